/** buffers.test.ts: memory for chunks: what belongs to one receiver overlaps no other's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertSameBytes, pattern, seeded } from "../../testing/support.ts";
import { scratch } from "../syscall/scratch.ts";
import { CHUNK_SIZE, chunkOfBulk, chunkOfScratch, newBulk } from "./buffers.ts";

test("a chunk is a copy of what was read, of its exact size, and overlaps no other", (t) => {
  const random = seeded(t);
  const chunks: Uint8Array[] = [];
  for (let i = 0; i < 2000; i++) {
    const largest = [64, 1024, 8192, CHUNK_SIZE][random.below(4)] as number;
    const n = 1 + random.below(largest);
    const content = pattern(n, i);
    scratch.set(content);
    const chunk = chunkOfScratch(n);
    assertSameBytes(chunk, content);
    assert.equal(chunk.byteOffset % 8, 0, "aligned for other views");
    chunks.push(chunk.fill(i & 0xff));
  }
  for (const [i, chunk] of chunks.entries()) {
    assert.ok(
      chunk.every((byte) => byte === (i & 0xff)),
      `chunk ${i} shares memory with another`,
    );
  }
});

test("a chunk read into memory of its own is that memory, unless most of it would be wasted", () => {
  const large = newBulk();
  assert.equal(large.length, CHUNK_SIZE);
  assert.equal(chunkOfBulk(large, CHUNK_SIZE / 2).buffer, large.buffer);
  const other = newBulk();
  assert.notEqual(chunkOfBulk(other, CHUNK_SIZE / 2 - 1).buffer, other.buffer);
  assert.notEqual(other.buffer, large.buffer);
});

test("no chunk keeps much more memory alive than it has bytes", () => {
  for (let n = 1; n <= CHUNK_SIZE; n = Math.ceil(n * 1.3)) {
    const { byteLength } = chunkOfScratch(n).buffer;
    assert.ok(byteLength <= Math.max(8192, 32 * n), `${n} bytes keep ${byteLength}`);
  }
});

test("a chunk that shares its memory cannot be transferred away from its neighbours", () => {
  let neighbour = chunkOfScratch(500);
  let chunk = chunkOfScratch(500);
  if (neighbour.buffer !== chunk.buffer) [neighbour, chunk] = [chunk, chunkOfScratch(500)];
  assert.equal(neighbour.buffer, chunk.buffer);
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(chunk, [chunk.buffer as ArrayBuffer]);
  } catch (error) {
    // Older versions of Node copy instead.
    assert.equal((error as Error).name, "DataCloneError");
  }
  port1.close();
  port2.close();
  assert.equal(neighbour.length, 500);
});
