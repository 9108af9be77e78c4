/** cond.test.ts: waiting for a condition under a lock. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { Cond } from "./cond.ts";
import { Mutex } from "./mutex.ts";

/** So many goroutines that wait; who wakes writes its number down. */
async function waiters(
  count: number,
): Promise<{ cond: Cond; woken: number[]; all: Promise<void>[] }> {
  const cond = new Cond(new Mutex());
  const woken: number[] = [];
  const all = Array.from({ length: count }, async (_, i) => {
    using _held = await cond.mutex.lock();
    await cond.wait();
    woken.push(i);
  });
  await turn();
  assert.equal(cond.length, count);
  return { cond, woken, all };
}

describe("a Cond", () => {
  test("wakes with signal the one that waits the longest, and only that one", async () => {
    const { cond, woken, all } = await waiters(3);
    for (const expected of [[0], [0, 1], [0, 1, 2]]) {
      cond.signal();
      await turn();
      assert.deepEqual(woken, expected);
    }
    await Promise.all(all);
  });

  test("wakes with broadcast all that wait, in their order, and nobody who comes later", async () => {
    const { cond, woken, all } = await waiters(4);
    cond.broadcast();
    const later = (async () => {
      using _ = await cond.mutex.lock();
      await cond.wait();
    })();
    await Promise.all(all);
    assert.deepEqual(woken, [0, 1, 2, 3]);
    assert.ok(await staysPending(later));
    assert.equal(cond.length, 1);
  });

  test("does not remember a signal or a broadcast that nobody waited for", async () => {
    const cond = new Cond(new Mutex());
    cond.signal();
    cond.broadcast();
    await cond.mutex.lock();
    const waiting = cond.wait();
    assert.ok(await staysPending(waiting));
    cond.signal();
    await waiting;
  });

  test("gives the lock up while it waits and has it again afterwards", async () => {
    const cond = new Cond(new Mutex());
    await cond.mutex.lock();
    const waiting = cond.wait();
    assert.ok(!cond.mutex.locked);
    await cond.mutex.lock();
    cond.signal();
    assert.ok(await staysPending(waiting), "it needs the lock, which the one that signaled holds");
    cond.mutex.unlock();
    await waiting;
    assert.ok(cond.mutex.locked);
  });

  test("keeps a signal sent under the lock from falling before the wait", async () => {
    const mu = new Mutex();
    const cond = new Cond(mu);
    let ready = false;
    const consumer = go(async () => {
      using _ = await mu.lock();
      while (!ready) await cond.wait();
      return "saw it";
    });
    const producer = go(async () => {
      using _ = await mu.lock();
      ready = true;
      cond.signal();
    });
    await producer.join();
    assert.equal(await consumer.join(), "saw it");
  });

  test("stays right under the guard of its lock, whoever held it meanwhile", async () => {
    const mu = new Mutex();
    const cond = new Cond(mu);
    const waiter = go(async () => {
      using _ = await mu.lock();
      await cond.wait();
      assert.ok(mu.locked);
    });
    await turn();
    const between = await mu.lock();
    cond.signal();
    between[Symbol.dispose]();
    between[Symbol.dispose]();
    await waiter.join();
    assert.ok(!mu.locked, "the waiter's guard has unlocked it");
    await mu.lock();
    between[Symbol.dispose]();
    assert.ok(mu.locked);
  });

  test("keeps a guard from unlocking who waited without one", async () => {
    const mu = new Mutex();
    const cond = new Cond(mu);
    await mu.lock();
    const waiting = cond.wait();
    const between = await mu.lock();
    cond.signal();
    between[Symbol.dispose]();
    await waiting;
    between[Symbol.dispose]();
    assert.ok(mu.locked);
    mu.unlock();
  });

  test("holds the lock also when its wait was canceled", async () => {
    const mu = new Mutex();
    const cond = new Cond(mu);
    const controller = new AbortController();
    const waiter = go(async () => {
      using _ = await mu.lock();
      await assert.rejects(cond.wait({ signal: controller.signal }), {
        code: "ERR_CANCELED",
        message: /^cond wait/,
        cause: "given up",
      });
      assert.ok(mu.locked);
      return "still locked";
    });
    await turn();
    await mu.lock();
    controller.abort("given up");
    assert.ok(await staysPending(waiter.join()), "another goroutine holds the lock");
    mu.unlock();
    assert.equal(await waiter.join(), "still locked");
    assert.ok(!mu.locked);
  });

  test("gives a signal to the next one when the first has given up", async () => {
    const mu = new Mutex();
    const cond = new Cond(mu);
    const controller = new AbortController();
    await mu.lock();
    const first = cond.wait({ signal: controller.signal });
    await mu.lock();
    const second = cond.wait();
    controller.abort();
    await assert.rejects(first, { code: "ERR_CANCELED" });
    cond.signal();
    mu.unlock();
    await second;
  });

  test("throws when nobody holds its lock", () => {
    const cond = new Cond(new Mutex());
    assert.throws(() => cond.wait(), { name: "SyncError", message: /without holding/ });
    assert.equal(cond.length, 0);
  });
});
