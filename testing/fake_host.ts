/**
 * fake_host.ts: a Host that a test steps by hand, in an order drawn from a seed.
 *
 * Time stands still unless the test, or a host with nothing else to do, moves it. One turn does one
 * thing: it delivers a batch of events, or runs what asked for another turn, or fires the timer, or
 * lets the network move. Node's loop would do these in a fixed order; whoever survives any order
 * survives that one.
 *
 * Invariants
 *  - Between two turns every microtask has run.
 *  - `quiet` is called whenever nothing can happen any more unless time passes.
 */
import type { Random } from "../src/internal/random.ts";
import type { Host } from "../src/runtime/host.ts";
import { FakeClock } from "./fake_clock.ts";
import type { FakeEpoll } from "./fake_file.ts";
import type { FakeKernel } from "./fake_kernel.ts";

export { FakeClock };

/** The run did not come to its end. */
export class Stuck extends Error {}

interface Watch {
  epfd: number;
  events: Int32Array;
  counters: Int32Array;
  onBatch: (n: number) => void;
}

type Action = () => void;

export class FakeHost implements Host {
  readonly clock: FakeClock;
  /** Turns so far. */
  turns = 0;
  /** Events that were delivered although their fd had been closed. */
  staleDelivered = 0;
  /** Called when only time can make anything happen. */
  quiet: () => void = () => {};
  private readonly kernel: FakeKernel;
  private readonly random: Random;
  private watching: Watch | undefined;
  private timer: { at: number; callback: Action } | undefined;
  private soonQueue: Action[] = [];
  /** Events that were collected and not delivered yet; -1 when there is no such batch. */
  private held = -1;
  /** The last turn ran something of the program's. */
  private ran = false;

  constructor(kernel: FakeKernel, random: Random, clock: FakeClock) {
    this.kernel = kernel;
    this.random = random;
    this.clock = clock;
  }

  // ---- Host

  watch(
    epfd: number,
    events: Int32Array,
    counters: Int32Array,
    onBatch: (n: number) => void,
  ): void {
    this.watching = { epfd, events, counters, onBatch };
  }

  ref(): void {
    if (this.watching === undefined) throw new Error("referenced before it watches anything");
    this.watching.counters[1] = 1;
  }

  setTimer(ms: number, callback: Action): void {
    this.timer = { at: this.clock.time + ms, callback };
  }

  soon(callback: Action): void {
    this.soonQueue.push(callback);
  }

  // ---- the loop

  /** True while the watch keeps the process alive. */
  get referenced(): boolean {
    return this.watching?.counters[1] === 1;
  }

  /** Runs turns until `done`; throws Stuck when that does not happen. */
  async run(done: () => boolean, mostTurns = 100_000): Promise<void> {
    const last = this.turns + mostTurns;
    await drained();
    while (!done()) {
      if (this.turns === last) throw new Stuck(`not done after ${mostTurns} turns`);
      if (!this.turn()) throw new Stuck("nothing is left to happen");
      // Where nothing of the program's ran there is no microtask.
      if (this.ran) await drained();
    }
  }

  /** Does one thing. False when nothing will ever happen again. */
  turn(): boolean {
    this.turns++;
    this.ran = false;
    const { random, kernel } = this;
    if (random.chance(kernel.faults.timePasses)) this.clock.advance(1 + random.below(30));
    // Some network steps need no turn of their own: nobody would notice.
    for (let i = random.below(4); i > 0 && kernel.network.step(); i--);
    const possible = this.possible();
    if (possible.length > 0) {
      this.ran = true;
      (possible[random.below(possible.length)] as Action)();
      return true;
    }
    if (kernel.network.step() || this.held >= 0) return true;
    this.dropReference();
    this.quiet();
    return this.passTime();
  }

  private possible(): Action[] {
    const actions: Action[] = [];
    if (this.held >= 0) actions.push(this.deliver);
    else if (this.hasEvents()) actions.push(this.collect);
    if (this.soonQueue.length > 0) actions.push(this.runSoon);
    if (this.timer !== undefined && this.timer.at <= this.clock.time) actions.push(this.fireTimer);
    return actions;
  }

  private hasEvents(): boolean {
    if (this.watching === undefined) return false;
    return (this.kernel.fileOf(this.watching.epfd) as FakeEpoll).pending;
  }

  private readonly collect = (): void => {
    const { epfd, events } = this.watching as Watch;
    const n = this.kernel.epollWait(epfd, events, 0);
    if (n <= 0) return;
    this.held = n;
    if (!this.random.chance(this.kernel.faults.delayBatch)) this.deliver();
  };

  private readonly deliver = (): void => {
    const { events, onBatch } = this.watching as Watch;
    const n = this.held;
    this.held = -1;
    for (let i = 0; i < n; i++) {
      if (!this.kernel.isWatched(events[i * 3 + 1] as number)) this.staleDelivered++;
    }
    onBatch(n);
    this.dropReference();
  };

  private readonly runSoon = (): void => {
    const callbacks = this.soonQueue;
    this.soonQueue = [];
    for (const callback of callbacks) callback();
  };

  private readonly fireTimer = (): void => {
    const { callback } = this.timer as { callback: Action };
    this.timer = undefined;
    callback();
  };

  /** As the poll handle does at the end of a batch and before the loop blocks. */
  private dropReference(): void {
    const counters = this.watching?.counters;
    if (counters !== undefined && (counters[0] as number) <= 0) counters[1] = 0;
  }

  private passTime(): boolean {
    if (this.timer === undefined) return false;
    // A host's timer may be late.
    const late = this.random.chance(0.3) ? this.random.below(5) : 0;
    this.clock.time = Math.max(this.clock.time, this.timer.at + late);
    return true;
  }
}

/** Resolves when every microtask has run. */
export function drained(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
