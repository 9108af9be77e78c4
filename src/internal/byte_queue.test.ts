/** byte_queue.test.ts: bytes come out as they went in, however they are cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../../testing/support.ts";
import { ByteQueue } from "./byte_queue.ts";

test("bytes come out in order, in pieces of any size", (t) => {
  const random = seeded(t);
  const queue = new ByteQueue();
  let [next, expected] = [0, 0];
  for (let i = 0; i < 5000; i++) {
    if (random.chance(0.5)) {
      queue.push(Uint8Array.from({ length: random.below(20) }, () => next++ & 0xff));
      continue;
    }
    const target = new Uint8Array(random.below(30));
    const before = queue.length;
    const n = queue.shift(target);
    assert.equal(n, Math.min(before, target.length));
    assert.equal(queue.length, before - n);
    for (const byte of target.subarray(0, n)) assert.equal(byte, expected++ & 0xff);
  }
  assert.equal(queue.length, next - expected);
});

test("a queue that was cleared is as new", () => {
  const queue = new ByteQueue();
  queue.push(Uint8Array.of(1, 2, 3));
  queue.shift(new Uint8Array(1));
  queue.push(Uint8Array.of(4));
  queue.clear();
  assert.equal(queue.shift(new Uint8Array(8)), 0);
  queue.push(Uint8Array.of(5));
  const target = new Uint8Array(8);
  assert.equal(queue.shift(target), 1);
  assert.equal(target[0], 5);
});
