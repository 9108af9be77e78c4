/** runtime.test.ts: a runtime put together: start, liveness, sleep, batches. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { drained, FakeClock, FakeHost } from "../../testing/fake_host.ts";
import { FakeKernel } from "../../testing/fake_kernel.ts";
import { Random } from "../internal/random.ts";
import { EMFILE } from "../syscall/errno.ts";
import type { Host } from "./host.ts";
import { parkRead } from "./netpoll.ts";
import { Runtime, replaceRuntime, runtime, stats } from "./runtime.ts";

interface World {
  kernel: FakeKernel;
  clock: FakeClock;
  host: FakeHost;
  rt: Runtime;
}

function setup(options?: { maxFds?: number }): World {
  const random = new Random(1);
  const kernel = new FakeKernel(random, options);
  const clock = new FakeClock();
  const host = new FakeHost(kernel, random, clock);
  return { kernel, clock, host, rt: new Runtime(kernel, host, clock) };
}

describe("a runtime", () => {
  test("opens nothing before it is needed", () => {
    const { kernel } = setup();
    assert.deepEqual(kernel.openFds(), []);
  });

  test("starts once", () => {
    const { kernel, rt } = setup();
    assert.equal(rt.start(), 0);
    const { length } = kernel.openFds();
    assert.equal(rt.start(), 0);
    assert.equal(kernel.openFds().length, length);
  });

  test("that cannot start says why, leaves nothing behind, and starts when it can", () => {
    const { kernel, rt } = setup({ maxFds: 2 });
    const [a, b] = kernel.pair();
    assert.equal(rt.start(), -EMFILE);
    assert.equal(kernel.openFds().length, 2);
    kernel.close(a);
    assert.equal(rt.start(), -EMFILE, "one of its two fds is not enough");
    assert.deepEqual(kernel.openFds(), [b]);
    kernel.close(b);
    assert.equal(rt.start(), 0);
  });

  test("that cannot start refuses to hold the process, and counts no hold", () => {
    const { kernel, rt } = setup({ maxFds: 1 });
    assert.throws(() => rt.hold(), /no poller: EMFILE/);
    assert.equal(rt.parked, 0);
    assert.deepEqual(kernel.openFds(), []);
  });

  test("that the host's loop refuses says so", () => {
    const { kernel, clock } = setup();
    const host: Host = {
      watch: () => {
        throw new Error("refused");
      },
      ref: () => {},
      setTimer: () => {},
      soon: () => {},
    };
    assert.throws(() => new Runtime(kernel, host, clock).start(), /refused/);
  });
});

describe("hold() and release()", () => {
  test("keep the host's loop alive while anybody is parked", () => {
    const { host, rt } = setup();
    rt.start();
    assert.equal(host.referenced, false);
    rt.hold();
    rt.hold();
    assert.equal(rt.parked, 2);
    assert.equal(host.referenced, true);
    rt.release();
    host.turn();
    assert.equal(host.referenced, true);
    rt.release();
    host.turn();
    assert.equal(host.referenced, false);
    rt.hold();
    assert.equal(host.referenced, true);
    rt.release();
  });

  test("cost the host nothing while the loop is referenced already", () => {
    const { kernel, clock } = setup();
    let refs = 0;
    let counters: Int32Array = new Int32Array(2);
    const host: Host = {
      watch: (_epfd, _events, shared) => {
        counters = shared;
      },
      ref: () => {
        refs++;
        counters[1] = 1;
      },
      setTimer: () => {},
      soon: () => {},
    };
    const rt = new Runtime(kernel, host, clock);
    for (let i = 0; i < 100; i++) {
      rt.hold();
      rt.release();
    }
    assert.equal(refs, 1);
    // The loop has dropped it.
    counters[1] = 0;
    rt.hold();
    assert.equal(refs, 2);
  });

  test("of a goroutine that does not keep the process alive are counted apart", () => {
    const { host, rt } = setup();
    rt.start();
    rt.hold(false);
    assert.deepEqual([rt.parked, rt.unreferenced, host.referenced], [0, 1, false]);
    rt.release(false);
    assert.deepEqual([rt.parked, rt.unreferenced], [0, 0]);
  });
});

describe("sleep()", () => {
  test("ends after its time, never before, and holds the process meanwhile", async () => {
    const { host, rt, clock } = setup();
    let woke = 0;
    const begun = clock.time;
    void rt.sleep(25).then(() => {
      woke = clock.time;
    });
    assert.equal(rt.parked, 1);
    await host.run(() => woke !== 0);
    assert.ok(woke >= begun + 25, `woke after ${woke - begun} ms`);
    assert.equal(rt.parked, 0);
    assert.equal(rt.timers.size, 0);
  });

  test("ends in the order of the times, not of the calls", async () => {
    const { host, rt } = setup();
    const order: number[] = [];
    for (const ms of [30, 10, 20, 10]) void rt.sleep(ms).then(() => order.push(ms));
    await host.run(() => order.length === 4);
    assert.deepEqual(order, [10, 10, 20, 30]);
  });

  test("ends early when its signal is aborted, and leaves nothing on it", async () => {
    const { rt } = setup();
    const controller = new AbortController();
    const { signal } = controller;
    let woken = false;
    void rt.sleep(1000, signal).then(() => {
      woken = true;
    });
    await drained();
    assert.equal(woken, false);
    controller.abort();
    await drained();
    assert.equal(woken, true);
    assert.deepEqual([rt.parked, rt.timers.size], [0, 0]);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test("that ends by its time leaves nothing on its signal", async () => {
    const { host, rt } = setup();
    const controller = new AbortController();
    let woken = false;
    void rt.sleep(5, controller.signal).then(() => {
      woken = true;
    });
    await host.run(() => woken);
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    controller.abort();
    assert.equal(rt.parked, 0, "it is not released twice");
  });

  test("whose signal is aborted already does not sleep", async () => {
    const { rt } = setup();
    await rt.sleep(1000, AbortSignal.abort());
    assert.deepEqual([rt.parked, rt.timers.size], [0, 0]);
  });
});

describe("a batch of events", () => {
  test("is walked first; what it made runnable runs after the walk", async () => {
    const { kernel, host, rt } = setup();
    rt.start();
    const order: string[] = [];
    const fds = Array.from({ length: 3 }, () => kernel.pair());
    const pds = fds.map(([a], i) => {
      const pd = rt.cache.alloc();
      assert.equal(rt.poller.open(a, pd), 0);
      pd.rg = null;
      parkRead(pd, {
        ready: () => {
          order.push(`reader ${i} of ${pds.filter((other) => other.rg !== null).length} seen`);
        },
      });
      return pd;
    });
    for (const [, b] of fds) kernel.send(b, new Uint8Array(1), 0, 1);
    while (kernel.network.step());
    await host.run(() => order.length === 3);
    for (const line of order) assert.match(line, /of 3 seen/);
  });

  test("opens one turn, for as many goroutines as it woke", async () => {
    const { kernel, host, rt } = setup();
    rt.start();
    const [a, b] = kernel.pair();
    const pd = rt.cache.alloc();
    rt.poller.open(a, pd);
    pd.rg = pd.wg = null;
    let woken = 0;
    parkRead(pd, { ready: () => woken++ });
    kernel.send(b, new Uint8Array(1), 0, 1);
    while (kernel.network.step());
    const { turns } = rt.sched;
    await host.run(() => woken === 1);
    assert.equal(rt.sched.turns, turns + 1);
    assert.equal(rt.sched.woken, 1);
  });

  test("that is an error is thrown: the poller is gone", () => {
    const { clock, kernel } = setup();
    let onBatch = (_n: number): void => {};
    const host: Host = {
      watch: (_epfd, _events, _counters, callback) => {
        onBatch = callback;
      },
      ref: () => {},
      setTimer: () => {},
      soon: () => {},
    };
    new Runtime(kernel, host, clock).start();
    assert.throws(() => onBatch(-EMFILE), /the poller stopped: EMFILE/);
  });
});

describe("stats", () => {
  test("tell of descriptors, parked goroutines, timers and turns", async () => {
    const { host, rt } = setup();
    const fresh = rt.stats;
    assert.deepEqual(
      [fresh.open, fresh.opened, fresh.parked, fresh.timers, fresh.turns, fresh.staleEvents],
      [0, 0, 0, 0, 0, 0],
    );
    const pd = rt.cache.alloc();
    let woken = false;
    void rt.sleep(5).then(() => {
      woken = true;
    });
    assert.deepEqual([rt.stats.open, rt.stats.parked, rt.stats.timers], [1, 1, 1]);
    rt.cache.free(pd);
    await host.run(() => woken);
    const { open, opened, parked, timers, timersFired } = rt.stats;
    assert.deepEqual([open, opened, parked, timers, timersFired], [0, 1, 0, 0, 1]);
  });

  test("of the thread's own runtime are those of runtime()", () => {
    assert.equal(runtime(), runtime());
    assert.equal(stats().opened, runtime().cache.allocated);
  });

  test("another runtime can stand in for the thread's own", () => {
    const { rt } = setup();
    const own = replaceRuntime(rt);
    assert.equal(runtime(), rt);
    assert.equal(replaceRuntime(own), rt);
    if (own !== undefined) assert.equal(runtime(), own);
  });
});

test("on Node's own loop a sleep holds the process, and the loop goes on meanwhile", async () => {
  let others = 0;
  const interval = setInterval(() => others++, 1);
  const before = performance.now();
  await runtime().sleep(30);
  const slept = performance.now() - before;
  clearInterval(interval);
  assert.ok(slept >= 30, `slept ${slept} ms`);
  assert.ok(others > 0);
  assert.equal(runtime().parked, 0);
});
