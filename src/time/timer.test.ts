/** timer.test.ts: Timer, fact by fact. Exact times are those of a bubble. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bubble } from "../../testing/bubble.ts";
import { staysPending } from "../../testing/support.ts";
import { recv } from "../chan/cases.ts";
import { Chan } from "../chan/chan.ts";
import { select } from "../chan/select.ts";
import { go, liveGoroutines } from "../runtime/goroutine.ts";
import { onPanic } from "../runtime/panic.ts";
import { runtime } from "../runtime/runtime.ts";
import { now, sleep } from "./sleep.ts";
import { Timer } from "./timer.ts";

describe("a timer", () => {
  test("sends the time once, when it goes off", async () => {
    await bubble(async (b) => {
      const timer = new Timer(100);
      const [date, ok] = await timer.c.receive();
      assert.deepEqual([date?.getTime(), ok, b.elapsed], [now(), true, 100]);
      await sleep(1000);
      assert.equal(timer.c.tryReceive(), undefined);
    });
  });

  test("keeps its time until it is received", async () => {
    await bubble(async () => {
      const began = now();
      const timer = new Timer(100);
      await sleep(500);
      const [date] = await timer.c.receive();
      assert.equal((date as Date).getTime() - began, 100);
    });
  });

  test("that was stopped never goes off", async () => {
    await bubble(async () => {
      const timer = new Timer(100);
      assert.equal(timer.stop(), true);
      assert.equal(timer.stop(), false);
      await sleep(1000);
      assert.equal(timer.c.tryReceive(), undefined);
    });
  });

  test("that went off gives no stale value after stop or reset", async () => {
    await bubble(async (b) => {
      const timer = new Timer(10);
      await sleep(20);
      assert.equal(timer.stop(), true, "the value was not received: stop took it back");
      assert.equal(timer.c.tryReceive(), undefined);
      timer.reset(10);
      await sleep(20);
      assert.equal(timer.reset(100), true);
      await timer.c.receive();
      assert.equal(b.elapsed, 140, "the value is that of the reset");
      assert.equal(timer.stop(), false, "received");
    });
  });

  test("can be reset while it is pending, earlier or later, and after it went off", async () => {
    await bubble(async (b) => {
      const timer = new Timer(100);
      assert.equal(timer.reset(10), true);
      await timer.c.receive();
      assert.equal(b.elapsed, 10);
      assert.equal(timer.reset(50), false);
      assert.equal(timer.reset(500), true);
      await timer.c.receive();
      assert.equal(b.elapsed, 510);
    });
  });

  test("goes off soon when the time is zero or less", async () => {
    await bubble(async (b) => {
      await new Timer(0).c.receive();
      await new Timer(-5).c.receive();
      assert.equal(b.elapsed, 0);
    });
  });

  test("can be waited for in a select", async () => {
    await bubble(async (b) => {
      using idle = new Timer(50);
      const work = new Chan<number>();
      let works = 0;
      const end = Timer.func(100, () => work.send(1));
      for (;;) {
        const got = await select({ work: recv(work), idle: recv(idle.c) });
        if (got.case === "work") end.reset(10);
        if (got.case === "work" && ++works === 3) break;
        if (got.case === "idle") idle.reset(30);
      }
      assert.deepEqual([works, b.elapsed], [3, 120]);
    });
  });

  test("keeps the process alive while it is pending, and only then", () => {
    const rt = runtime();
    const [parked, timers] = [rt.parked, rt.timers.size];
    const timer = new Timer(1e9);
    timer.reset(2e9);
    assert.deepEqual([rt.parked, rt.timers.size], [parked + 1, timers + 1]);
    timer.stop();
    assert.deepEqual([rt.parked, rt.timers.size], [parked, timers]);
    {
      using _ = new Timer(1e9);
    }
    assert.deepEqual([rt.parked, rt.timers.size], [parked, timers]);
  });

  test("refuses what is no number", () => {
    assert.throws(() => new Timer(Number.NaN), TypeError);
    const timer = new Timer(1e9);
    assert.throws(() => timer.reset(Number.NaN), TypeError);
    assert.equal(timer.stop(), true, "a refused reset changes nothing");
  });
});

describe("Timer.func", () => {
  test("starts its function in a goroutine; nothing comes on its channel", async () => {
    await bubble(async (b) => {
      const done = new Chan<number>();
      const timer = Timer.func(100, async () => {
        await sleep(5);
        await done.send(b.elapsed);
      });
      assert.equal((await done.receive())[0], 105);
      assert.equal(timer.c.tryReceive(), undefined);
      assert.equal(timer.stop(), false);
    });
  });

  test("stop and reset work as for any timer", async () => {
    await bubble(async (b) => {
      const calls: number[] = [];
      const timer = Timer.func(100, () => calls.push(b.elapsed));
      assert.equal(timer.stop(), true);
      await sleep(200);
      assert.equal(timer.reset(50), false);
      await sleep(60);
      timer.reset(10);
      await sleep(20);
      assert.deepEqual(calls, [250, 270]);
    });
  });

  test("a function that throws is a goroutine that panics", async () => {
    const panics: unknown[] = [];
    const before = onPanic((error) => panics.push(error));
    try {
      Timer.func(1, () => {
        throw new Error("bug");
      });
      while (panics.length === 0) await sleep(1);
    } finally {
      onPanic(before);
    }
    assert.deepEqual(
      panics.map((error) => (error as Error).message),
      ["bug"],
    );
  });
});

describe("a real timer", () => {
  test("does not go off early", async () => {
    const began = performance.now();
    await new Timer(15).c.receive();
    assert.ok(performance.now() - began >= 15);
  });

  test("a receive that waits is woken by nothing but the timer", async () => {
    const timer = new Timer(1e9);
    const received = timer.c.receive();
    assert.ok(await staysPending(received));
    timer.reset(1);
    assert.equal((await received)[1], true);
  });

  test("starts a function whose origin is the line that left it there, and never Node's", async () => {
    const origins = new Chan<string | undefined>(2);
    const tell = (): void => {
      const g = liveGoroutines().find(({ fn }) => fn === tell);
      origins.trySend(g?.origin);
    };
    Timer.func(1, tell);
    assert.match(String((await origins.receive())[0]), /timer\.test\.[jt]s:\d+:\d+$/);
    const direct = (): void => {
      const g = liveGoroutines().find(({ fn }) => fn === direct);
      origins.trySend(g?.origin);
    };
    setTimeout(go, 1, direct);
    assert.equal((await origins.receive())[0], undefined);
  });
});
