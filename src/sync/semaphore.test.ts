/** semaphore.test.ts: units that are shared. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seeded, staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { Semaphore } from "./semaphore.ts";

describe("a Semaphore", () => {
  test("gives at most its capacity, by weight", async () => {
    const semaphore = new Semaphore(5);
    await semaphore.acquire(3);
    await semaphore.acquire();
    assert.deepEqual([semaphore.taken, semaphore.available], [4, 1]);
    const waiting = semaphore.acquire(2);
    assert.ok(await staysPending(waiting));
    semaphore.release();
    await waiting;
    assert.equal(semaphore.taken, 5);
  });

  test("is first in, first out: a small demand does not overtake a large one", async () => {
    const semaphore = new Semaphore(4);
    await semaphore.acquire(3);
    const large = semaphore.acquire(4);
    const small = semaphore.acquire(1);
    assert.equal(semaphore.tryAcquire(1), undefined);
    assert.equal(semaphore.available, 0);
    assert.ok(await staysPending(Promise.race([large, small])));
    semaphore.release(3);
    await large;
    assert.ok(await staysPending(small));
    semaphore.release(4);
    await small;
  });

  test("lets all in that fit when much is given back at once", async () => {
    const semaphore = new Semaphore(4);
    await semaphore.acquire(4);
    const order: number[] = [];
    const waiting = [1, 2, 3].map((n) => semaphore.acquire(n).then(() => order.push(n)));
    semaphore.release(4);
    await turn();
    assert.deepEqual(order, [1, 2]);
    semaphore.release(3);
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3]);
  });

  test("takes nothing for a canceled wait, and lets those behind it go on", async () => {
    const semaphore = new Semaphore(3);
    const controller = new AbortController();
    await semaphore.acquire(2);
    const large = semaphore.acquire(3, { signal: controller.signal });
    const small = semaphore.acquire(1);
    assert.ok(await staysPending(small));
    controller.abort();
    await assert.rejects(large, { code: "ERR_CANCELED" });
    await small;
    assert.equal(semaphore.taken, 3);
  });

  test("throws when more is given back than was taken, and does not change", async () => {
    const semaphore = new Semaphore(3);
    assert.throws(() => semaphore.release(), { name: "SyncError", code: "ERR_SYNC_MISUSE" });
    await semaphore.acquire(2);
    assert.throws(() => semaphore.release(3), { message: /released 3 of 2 units/ });
    assert.equal(semaphore.taken, 2);
  });

  test("throws for a demand that can never be met, and for what is no number of units", () => {
    const semaphore = new Semaphore(3);
    assert.throws(() => semaphore.acquire(4), RangeError);
    assert.throws(() => semaphore.tryAcquire(4), RangeError);
    for (const wrong of [0, -1, 0.5, Number.NaN, Infinity]) {
      assert.throws(() => semaphore.acquire(wrong), RangeError);
      assert.throws(() => semaphore.release(wrong), RangeError);
      assert.throws(() => new Semaphore(wrong), RangeError);
    }
  });

  test("gives its guards' units back once", async () => {
    const semaphore = new Semaphore(4);
    {
      using _ = await semaphore.acquire(2);
      using other = semaphore.tryAcquire();
      assert.ok(other !== undefined);
      assert.equal(semaphore.taken, 3);
    }
    assert.equal(semaphore.taken, 0);
    const guard = await semaphore.acquire(2);
    await semaphore.acquire(2);
    guard[Symbol.dispose]();
    guard[Symbol.dispose]();
    assert.equal(semaphore.taken, 2, "the other one's units");
  });

  test("holds under any mixture of demands", async (t) => {
    const random = seeded(t);
    const semaphore = new Semaphore(7);
    let used = 0;
    let fullest = 0;
    let gaveUp = 0;
    async function worker(): Promise<void> {
      for (let i = 0; i < 50; i++) {
        const units = 1 + random.below(7);
        const controller = new AbortController();
        if (random.chance(0.2)) queueMicrotask(() => controller.abort());
        try {
          using _ = await semaphore.acquire(units, { signal: controller.signal });
          used += units;
          fullest = Math.max(fullest, used);
          assert.ok(used <= semaphore.taken && semaphore.taken <= 7);
          for (let wait = random.below(4); wait > 0; wait--) await null;
          used -= units;
        } catch (error) {
          assert.equal((error as { code?: string }).code, "ERR_CANCELED", String(error));
          gaveUp++;
        }
      }
    }
    await Promise.all(Array.from({ length: 15 }, () => go(worker).join()));
    assert.equal(fullest, 7);
    assert.ok(gaveUp > 10);
    assert.equal(semaphore.taken, 0);
  });
});
