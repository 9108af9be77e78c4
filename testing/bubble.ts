/**
 * bubble.ts: bubble(): a test with a time of its own.
 *
 * Go's testing/synctest for Coronet. Inside a bubble time stands still while anything can run. When
 * every goroutine is blocked, the clock jumps to the next timer. A test of timeouts, retries and
 * tickers takes no time, and its times are exact: a sleep of 100 ms ends 100.000 ms later.
 *
 * A bubble puts a runtime of its own in its thread's place, with its clock, its timers, its seed, and a
 * network in memory. So:
 *  - Everything of Coronet's works inside: goroutines, channels, select, sync, context, sleep, Timer,
 *    Ticker, deadlines, pipe(). listen() and dial() reach each other, and nothing outside: no real
 *    socket is made, and an address where nobody in the bubble listens refuses the connection.
 *  - now() is the bubble's time. What is not Coronet's is real: Date.now(), setTimeout, node:fs. While
 *    Node waits for such a thing the clock stands still, and after `patience` real ms the bubble fails
 *    and names it (foreign.ts).
 *  - There is one bubble at a time in a thread. What else goes on in the thread meanwhile sees its time
 *    as well, so tests with bubbles must not run at the same time as others in one thread.
 *
 * Blocked means: every microtask has run, and no run queue, event, immediate, or foreign resource is
 * left that could make anything run.
 *
 * Time starts at 2000-01-01T00:00:00Z and stops for good when the bubble's function has ended, as in
 * Go: goroutines that it leaves behind may come to their end, but not by waiting for a timer.
 */

import { attach } from "../src/debug/observers.ts";
import { Random } from "../src/internal/random.ts";
import { type Goroutine, go } from "../src/runtime/goroutine.ts";
import type { Host } from "../src/runtime/host.ts";
import { onPanic, type PanicHandler } from "../src/runtime/panic.ts";
import { Runtime, replaceRuntime } from "../src/runtime/runtime.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeKernel } from "./fake_kernel.ts";
import { ForeignWork } from "./foreign.ts";

/** What the function in a bubble gets. */
export interface Bubble {
  /** Milliseconds of the bubble's time since it began. */
  readonly elapsed: number;
  /**
   * Waits until every other goroutine of the bubble is blocked; no time passes. Afterwards the test
   * may look at what they have done.
   */
  wait(): Promise<void>;
}

export interface BubbleOptions {
  /** Decides what select and the network in the bubble draw; the same seed gives the same run. */
  seed?: number;
  /** How long the bubble waits, in real ms, for something that is not Coronet's. */
  patience?: number;
}

/** A bubble could not come to its end. */
export class BubbleError extends Error {
  override readonly name: string = "BubbleError";
}

const EPOCH = Date.UTC(2000, 0, 1);
const PATIENCE_MS = 5_000;
const SOCKET_BUFFER = 65_536;

/** The host of a bubble's runtime: it is asked for its turns and makes none by itself. */
class BubbleHost implements Host {
  private readonly kernel: FakeKernel;
  private queue: (() => void)[] = [];
  private deliver: (() => boolean) | undefined = undefined;
  private counters: Int32Array | undefined = undefined;

  constructor(kernel: FakeKernel) {
    this.kernel = kernel;
  }

  watch(
    epfd: number,
    events: Int32Array,
    counters: Int32Array,
    onBatch: (n: number) => void,
  ): void {
    this.counters = counters;
    this.deliver = () => {
      const n = this.kernel.epollWait(epfd, events, 0);
      if (n > 0) onBatch(n);
      return n > 0;
    };
  }

  ref(): void {
    if (this.counters !== undefined) this.counters[1] = 1;
  }

  // The bubble looks at the timers itself, when it lets time pass.
  setTimer(): void {}

  soon(callback: () => void): void {
    this.queue.push(callback);
  }

  /** Does what can be done without time passing. False when there was nothing. */
  turn(): boolean {
    if (this.queue.length > 0) {
      const callbacks = this.queue;
      this.queue = [];
      for (const callback of callbacks) callback();
      return true;
    }
    let moved = false;
    while (this.kernel.network.step()) moved = true;
    return this.deliver?.() === true || moved;
  }
}

/** Goroutines and waits of a bubble, learnt from the observer's slots while it is installed. */
class Population {
  readonly goroutines = new Set<Goroutine<unknown>>();
  private readonly waits = new Map<object, string>();
  /** To be called when the bubble has burst. */
  uninstall = (): void => {};

  install(): void {
    const { goroutines, waits } = this;
    this.uninstall = attach({
      started: (g) => goroutines.add(g),
      ended: (g) => goroutines.delete(g),
      parked: (waiter, kind) => waits.set(waiter, kind),
      resumed: (waiter) => waits.delete(waiter),
    });
  }

  /** "2 × select, 1 × chan send" */
  get waiting(): string {
    return counted(this.waits.values());
  }
}

function counted(names: Iterable<string>): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} × ${name}`).join(", ");
}

/** Every microtask has run, and everything that Node had to do at once. */
function turnOfNode(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

class RunningBubble implements Bubble {
  private readonly seed: number;
  private readonly patience: number;
  private readonly clock = new FakeClock(0, EPOCH);
  private readonly host: BubbleHost;
  private readonly runtime: Runtime;
  private readonly population = new Population();
  private readonly foreign = new ForeignWork();
  private waiters: (() => void)[] = [];
  private ended = false;
  private failure: { error: unknown } | undefined = undefined;
  /** When the bubble began to wait for something foreign, in real ms. */
  private impatientSince = Infinity;

  constructor(options: BubbleOptions) {
    this.seed = options.seed ?? 1;
    this.patience = options.patience ?? PATIENCE_MS;
    const room = { sendBuffer: SOCKET_BUFFER, receiveBuffer: SOCKET_BUFFER };
    const kernel = new FakeKernel(new Random(this.seed), room);
    this.host = new BubbleHost(kernel);
    this.runtime = new Runtime(kernel, this.host, this.clock);
    this.runtime.random = new Random(this.seed);
  }

  get elapsed(): number {
    return this.clock.now();
  }

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.waiters.push(resolve);
    });
  }

  async run<T>(fn: (bubble: Bubble) => T | Promise<T>): Promise<T> {
    const before = replaceRuntime(this.runtime);
    const panicHandler = onPanic(this.fail);
    this.population.install();
    this.foreign.watch();
    try {
      const root = go(fn, this);
      const result = root.join();
      result.then(this.end, (error) => this.fail(error, root));
      while (await this.goesOn());
      return (await result) as T;
    } finally {
      // They will never go on; the bubble has said so, and the program need not say it again.
      for (const g of this.population.goroutines) g.unref();
      this.foreign.stop();
      this.population.uninstall();
      onPanic(panicHandler);
      replaceRuntime(before);
    }
  }

  /** One turn. False when every goroutine has ended; throws when one failed or none can go on. */
  private async goesOn(): Promise<boolean> {
    await turnOfNode();
    if (this.failure !== undefined) throw this.failure.error;
    if (this.host.turn()) return true;
    if (this.waitsForNode()) return true;
    if (this.population.goroutines.size === 0) return false;
    if (this.releaseWaiters() || this.passTime()) return true;
    throw this.stuck();
  }

  /** Something that is not Coronet's is under way; fails when it has been for too long. */
  private waitsForNode(): boolean {
    const { names, hasImmediates } = this.foreign;
    if (names.length === 0) {
      this.impatientSince = Infinity;
      return hasImmediates;
    }
    const now = performance.now();
    this.impatientSince = Math.min(this.impatientSince, now);
    if (now - this.impatientSince > this.patience) {
      throw this.error(`something outside of it did not end in ${this.patience} ms`, names);
    }
    return true;
  }

  private releaseWaiters(): boolean {
    const { waiters } = this;
    this.waiters = [];
    for (const resolve of waiters) resolve();
    return waiters.length > 0;
  }

  private passTime(): boolean {
    const { timers } = this.runtime;
    if (this.ended || timers.next === Infinity) return false;
    this.clock.time = Math.max(this.clock.time, timers.next);
    timers.run();
    return true;
  }

  private stuck(): BubbleError {
    const { population } = this;
    const left = [...population.goroutines].map((g) => `${g.id} [${g.name}] from ${g.origin}`);
    const what = this.ended
      ? "its function has ended and left goroutines that are blocked"
      : "deadlock: every goroutine is blocked and no timer is pending";
    return this.error(what, left, population.waiting);
  }

  private error(what: string, names: readonly string[], waiting = ""): BubbleError {
    const waits = waiting === "" ? "" : `\n  they wait for ${waiting}`;
    const lines = names.map((name) => `\n  ${name}`).join("");
    const when = `${this.elapsed} ms after it began, with seed ${this.seed}`;
    return new BubbleError(`bubble: ${what} (${when})${lines}${waits}`);
  }

  private readonly end = (): void => {
    this.ended = true;
  };

  private readonly fail: PanicHandler = (error) => {
    this.failure ??= { error };
  };
}

let running = false;

/**
 * Runs a function in a bubble and waits until it and every goroutine that it started have ended.
 * Rejects with its error, with that of a goroutine that panicked, or with BubbleError when nothing in
 * the bubble can go on.
 *
 * @example
 * import assert from "node:assert/strict";
 * import { test } from "node:test";
 * import { sleep } from "coronet";
 * import { bubble } from "coronet/testing";
 *
 * test("an hour passes at once", () =>
 *   bubble(async (b) => {
 *     await sleep(3_600_000);
 *     assert.equal(b.elapsed, 3_600_000);
 *   }));
 */
export async function bubble<T>(
  fn: (bubble: Bubble) => T | Promise<T>,
  options: BubbleOptions = {},
): Promise<T> {
  if (running) throw new BubbleError("bubble: another one runs in this thread");
  running = true;
  try {
    return await new RunningBubble(options).run(fn);
  } finally {
    running = false;
  }
}
