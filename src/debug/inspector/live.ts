/**
 * live.ts: what the page draws over time: one tick per second while somebody looks, to all who look.
 *
 * Counters go out as what was added since the tick before, histograms as the buckets that were hit. Ticks
 * of the last minutes are kept for who comes later.
 */
import type { ServerSentEvent } from "../../http/events/stream.ts";
import { runtime } from "../../runtime/runtime.ts";
import { allWaits, queuedGoroutines } from "../registry.ts";
import { categoryOf } from "./goroutines.ts";
import type { Histogram, Meters } from "./meters.ts";
import { Others, type ThreadNumbers, threadNumbers } from "./numbers.ts";
import { isOwnEndpoint, isOwnGoroutine } from "./own.ts";

const TICK_MS = 1000;
const KEPT = 300;

/** [bucket, entries, bucket, entries, …] of those that were hit. */
type Buckets = number[];

export interface Tick {
  /** By Date.now(). */
  time: number;
  /** How long it lasted, in ms. */
  ms: number;
  /** Goroutines by what they do. */
  states: Record<string, number>;
  timer: number | undefined;
  polls: number;
  queueTurns: number;
  pollBatch: Buckets;
  queueBatch: Buckets;
  queueDelay: Buckets;
  lateness: Buckets;
  loop: { mean: number; p99: number; max: number };
  /** This thread first. Counters are what was added. */
  threads: ThreadNumbers[];
}

const COUNTERS = [
  "started",
  "opened",
  "read",
  "written",
  "requests",
  "turns",
  "woken",
  "exhausted",
  "stale",
  "timersFired",
  "longHolds",
  "busy",
  "uptime",
] as const;

export class Live {
  private readonly meters: Meters;
  private readonly history: Tick[] = [];
  private readonly viewers = new Set<() => void>();
  private readonly others = new Others();
  private readonly before = new Map<string, ThreadNumbers>();
  private readonly buckets = new Map<Histogram, number[]>();
  private turns = { polls: 0, queueTurns: 0 };
  private timer: NodeJS.Timeout | undefined;
  private last = performance.now();
  private closed = false;

  constructor(meters: Meters) {
    this.meters = meters;
  }

  /** Events for one who looks, until its signal. */
  async *events(signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
    let wake = (): void => {};
    const woken = (): void => wake();
    this.add(woken);
    signal.addEventListener("abort", woken);
    try {
      yield { event: "history", data: JSON.stringify(this.history) };
      let sent = this.history.at(-1);
      while (!this.closed && !signal.aborted) {
        const tick = this.history.at(-1);
        if (tick !== undefined && tick !== sent) {
          sent = tick;
          yield { event: "tick", data: JSON.stringify(tick) };
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", woken);
      this.remove(woken);
    }
  }

  private add(viewer: () => void): void {
    this.viewers.add(viewer);
    if (this.timer !== undefined) return;
    this.meters.watchLoop(true);
    this.tick();
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref();
  }

  private remove(viewer: () => void): void {
    this.viewers.delete(viewer);
    if (this.viewers.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.meters.watchLoop(false);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    for (const viewer of this.viewers) viewer();
  }

  private tick(): void {
    const now = performance.now();
    const { meters } = this;
    const { polls, queueTurns } = meters;
    const numbers = threadNumbers();
    const { next } = runtime().timers;
    this.history.push({
      time: Date.now(),
      ms: now - this.last,
      states: this.states(numbers.goroutines),
      timer: next === Infinity ? undefined : Math.max(0, next - runtime().clock.now()),
      polls: polls - this.turns.polls,
      queueTurns: queueTurns - this.turns.queueTurns,
      pollBatch: this.hit(meters.pollBatch),
      queueBatch: this.hit(meters.queueBatch),
      queueDelay: this.hit(meters.queueDelay),
      lateness: this.hit(meters.timerLateness),
      loop: meters.takeLoopDelay(),
      threads: [numbers, ...this.others.look()].map((each) => this.added(each)),
    });
    if (this.history.length > KEPT) this.history.shift();
    this.turns = { polls, queueTurns };
    this.last = now;
    for (const viewer of this.viewers) viewer();
  }

  /** One walk over the waits: a goroutine that waits for two things at once counts twice. */
  private states(live: number): Record<string, number> {
    const states: Record<string, number> = { io: 0, channel: 0, lock: 0, sleep: 0, other: 0 };
    const categories = new Map<string, string>();
    let waiting = 0;
    for (const { kind, goroutine, object } of allWaits()) {
      if (goroutine === undefined) {
        // Began before anybody looked: whose wait it is, nobody knows; that it is I/O is known.
        if (isOwnEndpoint(object)) continue;
      } else if (isOwnGoroutine(goroutine)) continue;
      let category = categories.get(kind);
      if (category === undefined) {
        category = categoryOf(kind);
        categories.set(kind, category);
      }
      states[category] = (states[category] as number) + 1;
      waiting++;
    }
    const runnable = [...queuedGoroutines()].filter((g) => !isOwnGoroutine(g)).length;
    states.runnable = runnable;
    states.other = (states.other as number) + Math.max(0, live - waiting - runnable);
    return states;
  }

  private hit(histogram: Histogram): Buckets {
    const before = this.buckets.get(histogram) ?? [];
    const hit: Buckets = [];
    histogram.counts.forEach((count, bucket) => {
      const more = count - (before[bucket] ?? 0);
      if (more > 0) hit.push(bucket, more);
    });
    this.buckets.set(histogram, [...histogram.counts]);
    return hit;
  }

  private added(numbers: ThreadNumbers): ThreadNumbers {
    const key = `${numbers.pid}.${numbers.thread}`;
    const before = this.before.get(key);
    this.before.set(key, numbers);
    const added = { ...numbers };
    for (const name of COUNTERS)
      added[name] = before === undefined ? 0 : numbers[name] - before[name];
    return added;
  }
}
