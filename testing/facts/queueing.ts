/** queueing.ts: facts about several goroutines that use one connection. */
import assert from "node:assert/strict";
import { go } from "../../src/index.ts";
import {
  assertSameBytes,
  MORE_THAN_FITS,
  pattern,
  readAll,
  readFull,
  readText,
  staysPending,
  turn,
  writeTooMuch,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

/** Lengths of the runs of equal bytes: [byte, length] in order. */
function runs(bytes: Uint8Array): [byte: number, length: number][] {
  const out: [number, number][] = [];
  let start = 0;
  for (let i = 1; i <= bytes.length; i++) {
    if (i < bytes.length && bytes[i] === bytes[start]) continue;
    out.push([bytes[start] as number, i - start]);
    start = i;
  }
  return out;
}

function detach(bytes: Uint8Array): void {
  structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
}

export const queueing = {
  "concurrent readers queue and are served in their order": async ({ a, b }) => {
    const readers = Array.from({ length: 5 }, () => go(() => readText(b, 4)));
    await turn();
    for (const text of ["0000", "1111", "2222", "3333", "4444"]) {
      await a.write(text);
      await turn();
    }
    const texts = await Promise.all(readers.map((g) => g.join()));
    assert.deepEqual(texts, ["0000", "1111", "2222", "3333", "4444"]);
  },

  "bytes that come at once are shared by the readers that wait, none is lost": async ({ a, b }) => {
    const buffers = Array.from({ length: 4 }, () => new Uint8Array(3));
    const reads = buffers.map((buffer) => b.read(buffer));
    await a.write("aaabbbcccddd");
    assert.deepEqual(await Promise.all(reads), [3, 3, 3, 3]);
    assert.equal(Buffer.concat(buffers).toString(), "aaabbbcccddd");
  },

  "the end of the stream reaches every reader that waits": async ({ a, b }) => {
    const reads = [b.read(new Uint8Array(4)), b.read(new Uint8Array(4)), b.read(new Uint8Array(4))];
    const waits = b.waitReadable();
    await a.closeWrite();
    assert.deepEqual(await Promise.all(reads), [null, null, null]);
    await waits;
  },

  "concurrent writers never interleave": async ({ a, b }) => {
    const length = MORE_THAN_FITS / 8;
    const writers = Array.from({ length: 8 }, (_, i) => new Uint8Array(length).fill(i + 1)).map(
      (bytes, i) => {
        const half = length / 2;
        const vector = [bytes.subarray(0, half), bytes.subarray(half)];
        return i % 2 === 0 ? a.write(bytes) : a.writev(vector);
      },
    );
    const closed = Promise.all(writers).then(() => a.closeWrite());
    const expected = writers.map((_, i) => [i + 1, length]);
    assert.deepEqual(runs(await readAll(b)), expected);
    await closed;
  },

  "a write that is small waits its turn behind one that is large": async ({ a, b }) => {
    const large = writeTooMuch(a);
    const small = a.write("after");
    assert.ok(await staysPending(small));
    await readFull(b, MORE_THAN_FITS);
    assert.equal(await readText(b, 5), "after");
    assert.equal(await large, MORE_THAN_FITS);
    assert.equal(await small, 5);
  },

  "a written buffer is the caller's again once the write has settled": async ({ a, b }) => {
    const bytes = pattern(40_000);
    const sent = bytes.slice();
    await a.write(bytes);
    bytes.fill(0);
    assertSameBytes(await readFull(b, sent.length), sent);
    const large = pattern(MORE_THAN_FITS);
    const writing = a.write(large).then(() => large.fill(0));
    const received = await readFull(b, large.length);
    await writing;
    assertSameBytes(received, pattern(MORE_THAN_FITS));
  },

  "a buffer is the reader's again once the read has settled": async ({ a, b }) => {
    const buffer = new Uint8Array(8);
    const reading = b.read(buffer);
    await a.write("first");
    assert.equal(await reading, 5);
    const kept = buffer.slice();
    await a.write("second");
    await b.waitReadable();
    assertSameBytes(buffer, kept);
    assert.equal(await readText(b, 6), "second");
  },

  "a buffer taken away while its read waits is a TypeError, not the end, and loses nothing":
    async ({ a, b }) => {
      const buffer = new Uint8Array(64);
      const reading = b.read(buffer);
      assert.ok(await staysPending(reading));
      detach(buffer);
      await a.write("kept");
      await assert.rejects(reading, TypeError);
      assert.equal(await readText(b, 4), "kept");
    },

  "a buffer taken away while its write waits is a TypeError": async ({ a, b }) => {
    const bytes = new Uint8Array(MORE_THAN_FITS);
    const writing = a.write(bytes);
    assert.ok(await staysPending(writing));
    detach(bytes);
    const drained = go(() => readAll(b));
    await assert.rejects(writing, TypeError);
    await a.write("goes on");
    await a.close();
    assert.equal(Buffer.from((await drained.join()).slice(-7)).toString(), "goes on");
  },

  "a chunk taken away while its writev waits is a TypeError": async ({ a, b }) => {
    const chunks = [new Uint8Array(MORE_THAN_FITS), new Uint8Array(10)];
    const writing = a.writev(chunks);
    assert.ok(await staysPending(writing));
    detach(chunks[0] as Uint8Array);
    const drained = go(async () => {
      for await (const _ of b);
    });
    await assert.rejects(writing, TypeError);
    await a.close();
    await drained.join();
  },

  "a read that waits does not hold up a write, nor a write a read": async ({ a, b }) => {
    const reading = a.read(new Uint8Array(4));
    await a.write("ping");
    assert.equal(await readText(b, 4), "ping");
    await b.write("pong");
    assert.equal(await reading, 4);
    const writing = writeTooMuch(a);
    assert.ok(await staysPending(writing));
    await b.write("news");
    assert.equal(await readText(a, 4), "news");
    await readFull(b, MORE_THAN_FITS);
    await writing;
  },
} satisfies FactTable;
