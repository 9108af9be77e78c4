/** sleep.test.ts: sleep, gosched and now. Exact times are those of a bubble. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { bubble } from "../../testing/bubble.ts";
import { LATE_MS, staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { runtime } from "../runtime/runtime.ts";
import { gosched, now, sleep } from "./sleep.ts";

const canceledError = { name: "CanceledError", code: "ERR_CANCELED" };

describe("sleep", () => {
  test("lasts as long as it was told, and never shorter", async () => {
    for (const ms of [1, 5.5, 20]) {
      const began = performance.now();
      await sleep(ms);
      const slept = performance.now() - began;
      assert.ok(slept >= ms && slept < ms + LATE_MS, `${slept} ms instead of ${ms}`);
    }
  });

  test("wakes sleepers in the order of their times", async () => {
    await bubble(async (b) => {
      const woke: string[] = [];
      const sleepers = [30, 10, 20, 10].map((ms, i) =>
        go(async () => {
          await sleep(ms);
          woke.push(`${i} at ${b.elapsed}`);
        }),
      );
      for (const sleeper of sleepers) await sleeper.join();
      assert.deepEqual(woke, ["1 at 10", "3 at 10", "2 at 20", "0 at 30"]);
    });
  });

  test("of zero or less gives everybody else a turn", async () => {
    for (const ms of [0, -1]) {
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      await sleep(ms);
      await sleep(ms);
      assert.ok(turned);
    }
  });

  test("keeps the process's loop alive while it lasts, and leaves nothing behind", async () => {
    const rt = runtime();
    const [parked, timers] = [rt.parked, rt.timers.size];
    const slept = sleep(5);
    assert.deepEqual([rt.parked, rt.timers.size], [parked + 1, timers + 1]);
    await slept;
    assert.deepEqual([rt.parked, rt.timers.size], [parked, timers]);
  });

  test("ends with its signal, and leaves nothing behind", async () => {
    const rt = runtime();
    const [parked, timers] = [rt.parked, rt.timers.size];
    const stop = new AbortController();
    const { signal } = stop;
    async function sleeper(): Promise<void> {
      await sleep(1e9, { signal });
    }
    const slept = sleeper();
    stop.abort("enough");
    await assert.rejects(slept, (error: Error) => {
      assert.match(error.stack ?? "", /at async sleeper/);
      assert.equal(error.cause, "enough");
      return true;
    });
    assert.deepEqual([rt.parked, rt.timers.size], [parked, timers]);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await assert.rejects(sleep(1, { signal }), canceledError);
    const other = new AbortController();
    await sleep(1, { signal: other.signal });
    assert.equal(getEventListeners(other.signal, "abort").length, 0);
  });

  test("may last for ever", async () => {
    const stop = new AbortController();
    const slept = sleep(Infinity, { signal: stop.signal });
    assert.ok(await staysPending(slept));
    stop.abort();
    await assert.rejects(slept, canceledError);
  });

  test("refuses what is no number", () => {
    assert.throws(() => sleep(Number.NaN), TypeError);
    assert.throws(() => sleep("1" as never), TypeError);
  });

  test("tells the observer", async () => {
    const before = { ...observer };
    const log: unknown[] = [];
    observer.parked = (waiter, kind) => log.push(waiter, kind);
    observer.resumed = (waiter) => log.push(waiter);
    try {
      await sleep(1);
    } finally {
      Object.assign(observer, before);
    }
    const [waiter, kind, resumed] = log;
    assert.deepEqual([log.length, kind], [3, "sleep"]);
    assert.equal(waiter, resumed);
  });
});

describe("gosched", () => {
  test("lets goroutines, timers and immediates go first", async () => {
    const log: string[] = [];
    go(() => log.push("goroutine"));
    const immediate = turn().then(() => log.push("immediate"));
    await gosched();
    log.push("back");
    await immediate;
    assert.equal(log[0], "goroutine");
    let timer = false;
    setTimeout(() => {
      timer = true;
    }, 1);
    const giveUp = performance.now() + LATE_MS;
    while (!timer && performance.now() < giveUp) await gosched();
    assert.ok(timer);
  });

  test("is a turn of its own for each of many", async () => {
    const order: number[] = [];
    const spinner = (i: number) => async (): Promise<void> => {
      for (let n = 0; n < 3; n++) {
        order.push(i);
        await gosched();
      }
    };
    const spinners = [1, 2, 3].map((i) => go(spinner(i)));
    for (const g of spinners) await g.join();
    assert.deepEqual(order, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
  });
});

describe("now", () => {
  test("is the date, in a bubble the bubble's", async () => {
    assert.ok(Math.abs(now() - Date.now()) < LATE_MS);
    await bubble(async () => {
      const began = now();
      await sleep(1234);
      assert.equal(now() - began, 1234);
    });
  });
});
