/** atomic.test.ts: counters that threads share, within one thread. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { staysPending } from "../../testing/support.ts";
import { runtime } from "../runtime/runtime.ts";
import { AtomicInt32, AtomicInt64 } from "./atomic.ts";
import { thread } from "./memory.ts";

describe("an AtomicInt32", () => {
  test("adds, subtracts, exchanges, compares and swaps", () => {
    const n = new AtomicInt32(5);
    assert.equal(n.add(3), 8);
    assert.equal(n.sub(10), -2);
    assert.equal(n.exchange(7), -2);
    assert.equal(n.compareAndSwap(6, 1), false);
    assert.equal(n.compareAndSwap(7, 1), true);
    assert.equal(n.load(), 1);
    n.store(-5);
    assert.equal(n.load(), -5);
    assert.equal(new AtomicInt32().load(), 0);
  });

  test("goes on at the other end of its range", () => {
    const n = new AtomicInt32(2 ** 31 - 1);
    assert.equal(n.add(1), -(2 ** 31));
    assert.equal(n.sub(1), 2 ** 31 - 1);
  });

  test("takes whole numbers of 32 bits only", () => {
    const n = new AtomicInt32();
    for (const wrong of [1.5, 2 ** 31, Number.NaN, Infinity]) {
      assert.throws(() => n.add(wrong), { name: "RangeError" });
      assert.throws(() => new AtomicInt32(wrong), { name: "RangeError" });
    }
    assert.throws(() => n.store(1n as unknown as number), { name: "TypeError" });
  });
});

describe("an AtomicInt64", () => {
  test("counts beyond 2^53, and goes on at the other end of its range", () => {
    const n = new AtomicInt64(2n ** 53n);
    assert.equal(n.add(1n), 2n ** 53n + 1n);
    n.store(2n ** 63n - 1n);
    assert.equal(n.add(1n), -(2n ** 63n));
    assert.equal(n.compareAndSwap(-(2n ** 63n), 4n), true);
    assert.equal(n.sub(5n), -1n);
    assert.equal(n.exchange(9n), -1n);
  });

  test("takes bigints of 64 bits only", () => {
    const n = new AtomicInt64();
    assert.throws(() => n.add(2n ** 63n), { name: "RangeError" });
    assert.throws(() => n.add(1 as unknown as bigint), { name: "TypeError" });
  });
});

describe("a wait for another value", () => {
  test("is over at once when it is another one", async () => {
    assert.equal(await new AtomicInt32(3).wait(0), 3);
  });

  test("is over when a notify finds another value, and not before", async () => {
    const n = new AtomicInt64(0n);
    const waits = n.wait(0n);
    n.notify();
    assert.ok(await staysPending(waits));
    n.add(2n);
    assert.ok(await staysPending(waits));
    n.notify();
    assert.equal(await waits, 2n);
    assert.equal(thread().waiting.size, 0);
    assert.equal(runtime().parked, 0);
  });

  test("may be one of many, for several values", async () => {
    const n = new AtomicInt32(1);
    const ones = [n.wait(1), n.wait(1)];
    n.store(2);
    const two = n.wait(2);
    n.notify();
    assert.deepEqual(await Promise.all(ones), [2, 2]);
    assert.ok(await staysPending(two));
    n.store(3);
    n.notify();
    assert.equal(await two, 3);
    assert.equal(runtime().parked, 0);
  });

  test("ends with its signal, and leaves no trace", async () => {
    const n = new AtomicInt32();
    const stop = new AbortController();
    const canceled = n.wait(0, { signal: stop.signal });
    const other = n.wait(0);
    stop.abort();
    await assert.rejects(canceled, { code: "ERR_CANCELED" });
    await assert.rejects(n.wait(0, { signal: stop.signal }), { code: "ERR_CANCELED" });
    n.add(1);
    n.notify();
    assert.equal(await other, 1);
    assert.equal(thread().waiting.size, 0);
    assert.equal(runtime().parked, 0);
  });
});

test("a handle makes the same counter, of its own type only", () => {
  const n = new AtomicInt32(1);
  const wide = new AtomicInt64(2n);
  assert.equal(AtomicInt32.from(structuredClone(n.handle)), n);
  assert.equal(AtomicInt64.from(wide.handle), wide);
  // @ts-expect-error the handle of another type
  assert.throws(() => AtomicInt32.from(wide.handle), { name: "TypeError" });
  assert.throws(() => AtomicInt32.from(undefined as never), { name: "TypeError" });
  const bare = { memory: new SharedArrayBuffer(200), type: "int32" } as const;
  assert.throws(() => AtomicInt32.from(bare), { name: "TypeError" });
});
