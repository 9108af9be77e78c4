/** ticker.test.ts: Ticker, fact by fact, in the time of a bubble. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bubble } from "../../testing/bubble.ts";
import { go } from "../runtime/goroutine.ts";
import { runtime } from "../runtime/runtime.ts";
import { sleep } from "./sleep.ts";
import { Ticker } from "./ticker.ts";

describe("a ticker", () => {
  test("ticks at regular times", async () => {
    await bubble(async (b) => {
      using ticker = new Ticker(10);
      const times: number[] = [];
      for await (const _ of ticker.c) if (times.push(b.elapsed) === 4) break;
      assert.deepEqual(times, [10, 20, 30, 40]);
    });
  });

  test("drops ticks for a slow receiver, and keeps its phase", async () => {
    await bubble(async (b) => {
      using ticker = new Ticker(10);
      await sleep(35);
      assert.equal(ticker.c.length, 1);
      const [first] = await ticker.c.receive();
      assert.equal(
        first?.getTime(),
        Date.UTC(2000, 0, 1) + 10,
        "the one that was kept is the oldest",
      );
      await ticker.c.receive();
      assert.equal(b.elapsed, 40);
    });
  });

  test("that was stopped ticks no more, and its channel stays open", async () => {
    await bubble(async () => {
      const ticker = new Ticker(10);
      await sleep(15);
      ticker.stop();
      assert.equal(ticker.c.tryReceive(), undefined, "no stale tick");
      await sleep(100);
      assert.equal(ticker.c.tryReceive(), undefined);
      ticker.stop();
    });
  });

  test("begins anew when it is reset, with no stale tick", async () => {
    await bubble(async (b) => {
      using ticker = new Ticker(10);
      await sleep(15);
      ticker.reset(100);
      await ticker.c.receive();
      assert.equal(b.elapsed, 115);
      await ticker.c.receive();
      assert.equal(b.elapsed, 215);
      ticker.stop();
      ticker.reset(1);
      await ticker.c.receive();
      assert.equal(b.elapsed, 216);
    });
  });

  test("may be stopped by one that receives its tick", async () => {
    await bubble(async (b) => {
      const ticker = new Ticker(1);
      const receiver = go(async () => {
        for await (const _ of ticker.c) {
          ticker.stop();
          break;
        }
      });
      await receiver.join();
      await sleep(10);
      assert.deepEqual([ticker.c.tryReceive(), b.elapsed], [undefined, 11]);
    });
  });

  test("with a period that is not positive is refused", () => {
    for (const ms of [0, -1]) assert.throws(() => new Ticker(ms), RangeError);
    assert.throws(() => new Ticker(Number.NaN), TypeError);
    using ticker = new Ticker(1000);
    assert.throws(() => ticker.reset(0), RangeError);
    assert.throws(() => ticker.reset(-1), RangeError);
  });

  test("keeps the process alive until it is stopped", () => {
    const rt = runtime();
    const [parked, timers] = [rt.parked, rt.timers.size];
    const ticker = new Ticker(1e9);
    ticker.reset(1e8);
    assert.deepEqual([rt.parked, rt.timers.size], [parked + 1, timers + 1]);
    ticker.stop();
    assert.deepEqual([rt.parked, rt.timers.size], [parked, timers]);
  });

  test("of a fraction of a millisecond misses ticks, but not its phase", async () => {
    using ticker = new Ticker(0.1);
    const began = performance.now();
    for (let i = 0; i < 5; i++) await ticker.c.receive();
    assert.ok(performance.now() - began >= 0.5);
  });
});
