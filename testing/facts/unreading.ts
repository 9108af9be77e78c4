/** unreading.ts: facts about bytes that are put back in front of what has not been read. */
import assert from "node:assert/strict";
import { type Conn, go, stats } from "../../src/index.ts";
import {
  assertSameBytes,
  failure,
  nextChunk,
  pattern,
  readAll,
  readFull,
  readText,
  seeded,
  staysPending,
  thrown,
  turn,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

const LARGEST_CHUNK = 65_536;

function text(chunk: Uint8Array | null): string {
  return Buffer.from(chunk ?? assert.fail("the end of the stream")).toString();
}

/** Reads what was put back before it, as the reader of a protocol's greeting does. */
async function readGreeting(conn: Conn): Promise<string> {
  const buffer = new Uint8Array(100);
  const n = (await conn.read(buffer)) ?? assert.fail("the end of the stream");
  const taken = Buffer.from(buffer.subarray(0, n));
  const end = taken.indexOf("\n") + 1;
  conn.unread(taken.subarray(end));
  return taken.subarray(0, end).toString();
}

export const unreading = {
  "bytes that are put back are read first, then what had not been read": async ({ a, b }) => {
    await a.write("world");
    await b.waitReadable();
    b.unread(Buffer.from("hello "));
    assert.equal(await readText(b, 11), "hello world");
  },

  "what was put back last is read first, in one read": async ({ b }) => {
    for (const part of ["third", "second ", "first "]) b.unread(Buffer.from(part));
    const buffer = new Uint8Array(100);
    const n = (await b.read(buffer)) ?? 0;
    assert.equal(Buffer.from(buffer.subarray(0, n)).toString(), "first second third");
    const reading = b.read(buffer);
    assert.ok(await staysPending(reading), "there is nothing left");
    b.unread(Buffer.from("x"));
    assert.equal(await reading, 1);
  },

  "a read takes a part of what was put back, and the rest stays first": async ({ a, b }) => {
    await a.write("!");
    b.unread(Buffer.from("abcdef"));
    assert.equal(await readText(b, 2), "ab");
    b.unread(Buffer.from("AB"));
    assert.equal(await b.read(new Uint8Array(0)), 0);
    assert.equal(await readText(b, 3), "ABc");
    assert.equal(await readText(b, 4), "def!");
  },

  "iteration and waitReadable see what was put back at once": async ({ a, b }) => {
    b.unread(Buffer.from("one"));
    await b.waitReadable();
    assert.equal(text(await nextChunk(b)), "one");
    const waiting = b.waitReadable();
    assert.ok(await staysPending(waiting));
    b.unread(Buffer.from("two"));
    await waiting;
    assert.equal(text(await nextChunk(b)), "two");
    const next = nextChunk(b);
    await turn();
    b.unread(Buffer.from("three"));
    assert.equal(text(await next), "three");
    await a.write("four");
    assert.equal(text(await nextChunk(b)), "four");
  },

  "a long put-back comes in chunks of 64 KiB at most, each the receiver's own": async ({
    a,
    b,
  }) => {
    const bytes = pattern(200_000);
    b.unread(bytes);
    await a.closeWrite();
    const chunks: Uint8Array[] = [];
    for await (const chunk of b) chunks.push(chunk);
    assert.ok(chunks.every((chunk) => chunk.length <= LARGEST_CHUNK));
    assertSameBytes(Buffer.concat(chunks), bytes);
    assert.equal(new Set(chunks.map((chunk) => chunk.buffer)).size, chunks.length);
  },

  "the bytes are copied: the caller may go on using its buffer": async ({ b }) => {
    const bytes = Buffer.from("original");
    b.unread(bytes);
    bytes.fill("?");
    assert.equal(await readText(b, 8), "original");
  },

  "a put-back wakes the reader that waits, and those behind it if there is enough": async ({
    b,
  }) => {
    const first = b.read(new Uint8Array(2));
    const second = b.read(new Uint8Array(2));
    const third = b.read(new Uint8Array(2));
    await turn();
    b.unread(Buffer.from("abc"));
    assert.equal(await first, 2);
    assert.equal(await second, 1);
    assert.ok(await staysPending(third));
    b.unread(Buffer.from("de"));
    assert.equal(await third, 2);
  },

  "the end of the stream comes after what was put back": async ({ a, b }) => {
    await a.write("x");
    await a.close();
    assert.equal(text(await readAll(b)), "x");
    b.unread(Buffer.from("again"));
    assert.equal(text(await readAll(b)), "again");
    assert.equal(await b.read(new Uint8Array(1)), null);
    b.unread(Buffer.from("z"));
    assert.equal(await readText(b, 5), "z");
  },

  "a reset comes after what was put back": async ({ a, b, reset }) => {
    await reset(b, a);
    await a.waitReadable();
    a.unread(Buffer.from("first"));
    assert.equal(await readText(a, 5), "first");
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
    a.unread(Buffer.from("second"));
    assert.equal(text(await nextChunk(a)), "second");
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
  },

  "closeRead discards what was put back, and nothing can be put back after it": async ({ b }) => {
    b.unread(Buffer.from("gone"));
    await b.closeRead();
    assert.equal(await b.read(new Uint8Array(4)), null);
    b.unread(Buffer.from("gone too"));
    assert.equal(await nextChunk(b), null);
  },

  "a deadline in the past beats what was put back, which is there when it is cleared": async ({
    b,
  }) => {
    b.unread(Buffer.from("kept"));
    b.setReadDeadline(new Date(0));
    await failure(b.read(new Uint8Array(4)), "ERR_DEADLINE");
    await failure(nextChunk(b), "ERR_DEADLINE");
    b.setReadDeadline(null);
    assert.equal(await readText(b, 4), "kept");
  },

  "putting back fails with ERR_CLOSED after close, and what is no Uint8Array is a TypeError":
    async ({ b }) => {
      assert.throws(() => b.unread("text" as never), TypeError);
      assert.throws(() => b.unread([1, 2] as never), TypeError);
      b.unread(Buffer.from("dropped"));
      await b.close();
      await thrown(() => b.unread(Buffer.from("x")), "ERR_CLOSED");
      await thrown(() => b.unread(new Uint8Array(0)), "ERR_CLOSED");
    },

  "putting nothing back does nothing": async ({ a, b }) => {
    const reading = b.read(new Uint8Array(4));
    await turn();
    b.unread(new Uint8Array(0));
    assert.ok(await staysPending(reading));
    await a.write("real");
    assert.equal(await reading, 4);
  },

  "bytes that are put back are not counted twice": async ({ a, b }) => {
    await a.write("counted");
    await readFull(b, 7);
    const before = stats().bytesRead;
    b.unread(Buffer.from("counted"));
    await readFull(b, 7);
    assert.equal(stats().bytesRead, before);
  },

  "a reader that took too much hands the rest on": async ({ a, b }) => {
    const sent = pattern(300_000);
    const writer = go(async () => {
      await a.writev(["STARTTLS\n", sent]);
      await a.closeWrite();
    });
    assert.equal(await readGreeting(b), "STARTTLS\n");
    assertSameBytes(await readAll(b), sent);
    await writer.join();
  },

  "a stream of which parts are put back all the time arrives intact": async ({ a, b, t }) => {
    const random = seeded(t);
    const sent = pattern(500_000);
    const writer = go(() => a.write(sent).then(() => a.closeWrite()));
    for (let at = 0; ; ) {
      const buffer = new Uint8Array(1 + random.below(20_000));
      const n = await b.read(buffer);
      if (n === null) {
        assert.equal(at, sent.length);
        break;
      }
      const keep = random.chance(0.3) ? n : random.below(n + 1);
      assertSameBytes(buffer.subarray(0, keep), sent.subarray(at, at + keep));
      // In two steps: what comes later in the stream goes back first.
      const middle = keep + random.below(n - keep + 1);
      b.unread(buffer.subarray(middle, n));
      b.unread(buffer.subarray(keep, middle));
      at += keep;
    }
    await writer.join();
  },
} satisfies FactTable;
