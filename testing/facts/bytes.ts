/** bytes.ts: facts about the bytes that a connection carries: all of them, once, in order. */
import assert from "node:assert/strict";
import { type Conn, go, stats } from "../../src/index.ts";
import {
  assertSameBytes,
  MORE_THAN_FITS,
  pattern,
  pieces,
  readAll,
  readFull,
  readText,
  seeded,
  staysPending,
  writeTooMuch,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

const MIB = 1 << 20;

async function writePieces(conn: Conn, all: Uint8Array[]): Promise<void> {
  for (const piece of all) assert.equal(await conn.write(piece), piece.length);
  await conn.closeWrite();
}

export const bytes = {
  "1 MiB written in odd pieces arrives intact and in order, then the end of the stream": async ({
    a,
    b,
    t,
  }) => {
    const sent = pattern(MIB);
    const writer = go(writePieces, a, pieces(sent, seeded(t), 4000));
    const random = seeded(t);
    const received: Uint8Array[] = [];
    for (;;) {
      const buffer = new Uint8Array(1 + random.below(5000));
      const n = await b.read(buffer);
      if (n === null) break;
      assert.ok(n >= 1 && n <= buffer.length, `a read of ${buffer.length} bytes gave ${n}`);
      received.push(buffer.subarray(0, n));
    }
    await writer.join();
    assertSameBytes(Buffer.concat(received), sent);
    assert.equal(await b.read(new Uint8Array(1)), null, "the end of the stream stays the end");
  },

  "1 MiB goes both ways at the same time": async ({ a, b }) => {
    const [there, back] = [pattern(MIB, 3), pattern(MIB, 90)];
    const writers = [go(writePieces, a, [there]), go(writePieces, b, [back])];
    const [atB, atA] = await Promise.all([readAll(b), readAll(a)]);
    await Promise.all(writers.map((g) => g.join()));
    assertSameBytes(atB, there);
    assertSameBytes(atA, back);
  },

  "a zero-length read returns 0 at once, also with nothing to read": async ({ a, b }) => {
    assert.equal(await a.read(new Uint8Array(0)), 0);
    const waiting = b.read(new Uint8Array(8));
    assert.equal(await b.read(new Uint8Array(0)), 0, "behind a read that waits");
    await a.write("ab");
    assert.equal(await waiting, 2);
  },

  "a zero-length read takes nothing of what is there": async ({ a, b }) => {
    await a.write("abc");
    await b.waitReadable();
    assert.equal(await b.read(new Uint8Array(0)), 0);
    assert.equal(await readText(b, 3), "abc");
  },

  "an empty write resolves to 0 and is not seen by the peer": async ({ a, b }) => {
    assert.equal(await a.write(new Uint8Array(0)), 0);
    assert.equal(await a.write(""), 0);
    assert.equal(await a.writev([]), 0);
    assert.equal(await a.writev(["", new Uint8Array(0)]), 0);
    const read = b.read(new Uint8Array(4));
    assert.ok(await staysPending(read));
    await a.write("x");
    assert.equal(await read, 1);
  },

  "a string is written as UTF-8 and counted in bytes": async ({ a, b }) => {
    const text = "goroutine, 协程, 🐹";
    const length = Buffer.byteLength(text);
    assert.equal(await a.write(text), length);
    assert.equal(await a.writev(["é", Buffer.from("!"), "ü"]), 5);
    assert.equal(await readText(b, length + 5), `${text}é!ü`);
  },

  "a read fills its part of a buffer, at most, and touches nothing beside it": async ({ a, b }) => {
    await a.write("0123456789");
    const memory = new Uint8Array(12).fill(0xee);
    let have = 0;
    while (have < 4) have += (await b.read(memory.subarray(4 + have, 8))) ?? assert.fail("EOF");
    assert.equal(Buffer.from(memory.subarray(4, 8)).toString(), "0123");
    assert.deepEqual([...memory.subarray(0, 4), ...memory.subarray(8)], Array(8).fill(0xee));
    assert.equal(await readText(b, 6), "456789");
  },

  "a write sends its part of a buffer and nothing beside it": async ({ a, b }) => {
    const memory = Buffer.from("..ab..cd..");
    await a.write(memory.subarray(2, 4));
    await a.writev([memory.subarray(6, 8), memory.subarray(2, 3)]);
    await a.closeWrite();
    assert.equal(Buffer.from(await readAll(b)).toString(), "abcda");
  },

  "writev sends many chunks, empty ones among them, in order": async ({ a, b, t }) => {
    const sent = pattern(200_000);
    const random = seeded(t);
    const chunks = pieces(sent, random, 300).flatMap((piece) =>
      random.chance(0.2) ? [new Uint8Array(0), piece, ""] : [piece],
    );
    const writing = a.writev(["", ...chunks, ""]).then(() => a.closeWrite());
    assertSameBytes(await readAll(b), sent);
    await writing;
  },

  "writev sends more chunks than one system call takes": async ({ a, b }) => {
    const sent = pattern(5000);
    const writing = a.writev(Array.from(sent, (_, i) => sent.subarray(i, i + 1)));
    assertSameBytes(await readFull(b, sent.length), sent);
    assert.equal(await writing, sent.length);
  },

  "writev waits where it does not fit and goes on in the middle of a chunk": async ({ a, b }) => {
    const chunk = pattern(3 * MIB + 1);
    const chunks = Array.from({ length: MORE_THAN_FITS / chunk.length + 1 }, () => chunk);
    const writing = a.writev(chunks);
    assert.ok(await staysPending(writing));
    const closed = writing.then(() => a.closeWrite());
    assertSameBytes(await readAll(b), Buffer.concat(chunks));
    assert.equal(await writing, chunks.length * chunk.length);
    await closed;
  },

  "a write resolves only when its last byte has been taken": async ({ a, b }) => {
    const writing = writeTooMuch(a);
    assert.ok(await staysPending(writing));
    await readFull(b, MORE_THAN_FITS);
    assert.equal(await writing, MORE_THAN_FITS);
  },

  "what is no Uint8Array is a TypeError and leaves the connection usable": async ({ a, b }) => {
    await assert.rejects(a.read("buffer" as never), TypeError);
    await assert.rejects(a.read(new Uint16Array(4) as never), TypeError);
    await assert.rejects(a.read(new ArrayBuffer(4) as never), TypeError);
    await assert.rejects(a.read(undefined as never), TypeError);
    await assert.rejects(a.write(5 as never), TypeError);
    await assert.rejects(a.write(null as never), TypeError);
    await assert.rejects(a.writev([Buffer.from("x"), {} as never]), TypeError);
    await assert.rejects(a.writev(5 as never), TypeError);
    await a.write("ok");
    assert.equal(await readText(b, 2), "ok");
  },

  "a peer that sends one byte at a time is read completely": async ({ a, b }) => {
    const sent = pattern(3000);
    const writer = go(async () => {
      for (let i = 0; i < sent.length; i++) await a.write(sent.subarray(i, i + 1));
      await a.closeWrite();
    });
    assertSameBytes(await readAll(b), sent);
    await writer.join();
  },

  "many small writes that nobody reads yet are read at once and quickly": async ({ a, b }) => {
    // As many as a socket takes before it is full; a socket counts each with its overhead.
    for (let i = 0; i < 200; i++) await a.write("x");
    assert.equal((await readFull(b, 200)).length, 200);
  },

  "10,000 messages go back and forth": async ({ a, b }) => {
    const rounds = 10_000;
    const echo = go(async () => {
      const buffer = new Uint8Array(64);
      for (;;) {
        const n = await b.read(buffer);
        if (n === null) return;
        await b.write(buffer.subarray(0, n));
      }
    });
    const out = new Uint32Array(1);
    const message = new Uint8Array(out.buffer);
    for (let round = 0; round < rounds; round++) {
      out[0] = round * 2_654_435_761;
      await a.write(message);
      const reply = await readFull(a, 4);
      if (Buffer.compare(reply, message) !== 0) assert.fail(`round ${round} came back changed`);
    }
    await a.closeWrite();
    await echo.join();
  },

  "the bytes are counted in the statistics": async ({ a, b }) => {
    const before = stats();
    await a.write(new Uint8Array(1000));
    await readFull(b, 1000);
    const after = stats();
    assert.equal(after.bytesWritten - before.bytesWritten, 1000);
    assert.equal(after.bytesRead - before.bytesRead, 1000);
  },
} satisfies FactTable;
