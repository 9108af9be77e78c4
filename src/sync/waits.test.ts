/** waits.test.ts: what holds for every operation of sync that may wait. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { Cond } from "./cond.ts";
import { ErrGroup } from "./errgroup.ts";
import { Mutex } from "./mutex.ts";
import { Once, onceValue } from "./once.ts";
import { RWMutex } from "./rwmutex.ts";
import { Semaphore } from "./semaphore.ts";
import { singleflight } from "./singleflight.ts";
import type { WaitOptions } from "./waiter.ts";
import { WaitGroup } from "./waitgroup.ts";

/** An operation that waits now. */
interface Subject {
  wait(options?: WaitOptions): Promise<unknown>;
  /** Lets one wait (or all) be over. */
  release(): void;
}

/** A promise and the function that resolves it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const subjects: Record<string, () => Promise<Subject>> = {
  "mutex lock": async () => {
    const mu = new Mutex();
    await mu.lock();
    return { wait: (o) => mu.lock(o), release: () => mu.unlock() };
  },
  "rwmutex lock": async () => {
    const mu = new RWMutex();
    await mu.rlock();
    return { wait: (o) => mu.lock(o), release: () => mu.runlock() };
  },
  "rwmutex rlock": async () => {
    const mu = new RWMutex();
    await mu.lock();
    return { wait: (o) => mu.rlock(o), release: () => mu.unlock() };
  },
  "waitgroup wait": async () => {
    const wg = new WaitGroup();
    wg.add();
    return { wait: (o) => wg.wait(o), release: () => wg.done() };
  },
  "once do": async () => {
    const once = new Once();
    const { opened, open } = gate();
    void once.do(() => opened);
    return { wait: (o) => once.do(() => {}, o), release: open };
  },
  "once value": async () => {
    const { opened, open } = gate();
    const value = onceValue(() => opened);
    void value();
    return { wait: (o) => value(o), release: open };
  },
  "cond wait": async () => {
    const mu = new Mutex();
    const cond = new Cond(mu);
    const wait = async (options?: WaitOptions): Promise<void> => {
      await mu.lock();
      try {
        await cond.wait(options);
      } finally {
        mu.unlock();
      }
    };
    return { wait, release: () => cond.signal() };
  },
  "semaphore acquire": async () => {
    const semaphore = new Semaphore(1);
    await semaphore.acquire();
    return { wait: (o) => semaphore.acquire(1, o), release: () => semaphore.release() };
  },
  "errgroup wait": async () => {
    const group = new ErrGroup();
    const { opened, open } = gate();
    await group.go(() => opened);
    return { wait: (o) => group.wait(o), release: open };
  },
  "singleflight do": async () => {
    const flight = singleflight<number, void>();
    const { opened, open } = gate();
    void flight.do(1, () => opened);
    return { wait: (o) => flight.do(1, () => {}, o), release: open };
  },
};

/** The same operations with nothing in their way. */
const free: Record<string, (options: WaitOptions) => Promise<unknown>> = {
  "mutex lock": (o) => new Mutex().lock(o),
  "rwmutex lock": (o) => new RWMutex().lock(o),
  "rwmutex rlock": (o) => new RWMutex().rlock(o),
  "waitgroup wait": (o) => new WaitGroup().wait(o),
  "once do": (o) => new Once().do(() => assert.fail("the function ran"), o),
  "once value": (o) => onceValue(() => assert.fail("the function ran"))(o),
  "cond wait": (o) => new Cond(new Mutex()).wait(o),
  "semaphore acquire": (o) => new Semaphore(1).acquire(1, o),
  "errgroup wait": (o) => new ErrGroup().wait(o),
  "singleflight do": (o) => singleflight().do(1, () => assert.fail("the function ran"), o),
};

const canceled = { name: "CanceledError", code: "ERR_CANCELED", cause: "given up" };

/** Listeners on a signal. */
const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

for (const [kind, make] of Object.entries(subjects)) {
  describe(`a ${kind} that waits`, () => {
    test("is over when what it waits for has come", async () => {
      const { wait, release } = await make();
      const waiting = wait();
      assert.ok(await staysPending(waiting));
      release();
      await waiting;
    });

    test("rejects with CanceledError when its signal is aborted, and the reason is the cause", async () => {
      const { wait, release } = await make();
      const controller = new AbortController();
      const first = wait({ signal: controller.signal });
      const second = wait();
      assert.ok(await staysPending(first));
      controller.abort("given up");
      await assert.rejects(first, canceled);
      assert.ok(await staysPending(second), "the other one waits on");
      release();
      await second;
    });

    test("leaves no listener on its signal, however it ends", async () => {
      const { wait, release } = await make();
      const controller = new AbortController();
      const one = wait({ signal: controller.signal });
      await turn();
      assert.equal(listeners(controller.signal), 1);
      release();
      await one;
      assert.equal(listeners(controller.signal), 0);
      const again = await make();
      const two = again.wait({ signal: controller.signal });
      await turn();
      controller.abort("given up");
      await assert.rejects(two, canceled);
      assert.equal(listeners(controller.signal), 0);
      again.release();
    });

    test("has what it waited for when its signal is aborted a moment later", async () => {
      const { wait, release } = await make();
      const controller = new AbortController();
      const waiting = wait({ signal: controller.signal });
      await turn();
      release();
      // Whatever runs in promise jobs before the wait is told that it is over.
      for (let i = 0; i < 10; i++) await null;
      controller.abort("too late");
      await waiting;
    });

    test("shows the goroutine's own line in its error", async () => {
      const { wait, release } = await make();
      const controller = new AbortController();
      async function impatient(): Promise<unknown> {
        return await wait({ signal: controller.signal });
      }
      const g = go(impatient);
      await turn();
      controller.abort("given up");
      await assert.rejects(g.join(), { stack: /impatient.*waits\.test/ });
      release();
    });

    test("tells the observer when it begins and when it ends", async () => {
      const { wait, release } = await make();
      const seen: string[] = [];
      const before = { ...observer };
      const waiters = new Set<object>();
      observer.parked = (waiter, what, object) => {
        waiters.add(waiter);
        seen.push(`parked: ${what}, ${typeof object}`);
      };
      observer.resumed = (waiter) => {
        if (waiters.delete(waiter)) seen.push("resumed");
      };
      try {
        const waiting = wait();
        await turn();
        release();
        await waiting;
      } finally {
        Object.assign(observer, before);
      }
      const what = kind === "once value" ? "once do" : kind;
      assert.deepEqual(seen, [`parked: ${what}, object`, "resumed"]);
    });
  });

  test(`a ${kind} refuses a signal that was aborted before, though it needs no wait`, async () => {
    await assert.rejects(free[kind]!({ signal: AbortSignal.abort("given up") }), canceled);
  });
}
