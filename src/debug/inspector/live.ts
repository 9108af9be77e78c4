/**
 * live.ts: what the page draws over time: one tick per second while somebody looks, to all who look.
 *
 * Counters go out as what was added since the tick before, histograms as the buckets that were hit. Ticks
 * of the last minutes are kept for who comes later; of seconds when nobody looked there is what the meters'
 * series has, of this thread.
 */
import { threadId } from "node:worker_threads";
import type { ServerSentEvent } from "../../http/events/stream.ts";
import { runtime } from "../../runtime/runtime.ts";
import { LoopDelay } from "../meters/loop_delay.ts";
import {
  type Column,
  categoryOf,
  type HistogramSnapshot,
  type Histograms,
  meterHistograms,
  meterSeries,
} from "../meters/meters.ts";
import { isOwnEndpoint, isOwnGoroutine } from "../own.ts";
import { allWaits, queuedGoroutines } from "../registry.ts";
import { Others, type ThreadNumbers, threadNumbers } from "./numbers.ts";

const TICK_MS = 1000;
const KEPT = 300;
const BUCKETS = 24;

/**
 * [bucket, entries, bucket, entries, …] of those that were hit; bucket 0 has values below 1, bucket i those
 * from 2^(i-1) on.
 */
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
  threads: Partial<ThreadNumbers>[];
}

const COUNTERS = [
  "started",
  "opened",
  "read",
  "written",
  "requests",
  "turns",
  "polls",
  "queueTurns",
  "woken",
  "exhausted",
  "stale",
  "timersFired",
  "longHolds",
  "busy",
  "uptime",
] as const;

export class Live {
  private readonly loop = new LoopDelay();
  private readonly history: Tick[] = [];
  private readonly viewers = new Set<() => void>();
  private readonly others = new Others();
  private readonly before = new Map<string, ThreadNumbers>();
  private readonly buckets = new Map<keyof Histograms, number[]>();
  private timer: NodeJS.Timeout | undefined;
  private last = performance.now();
  private closed = false;

  constructor() {
    // The first tick has what comes from now on.
    this.added(threadNumbers());
    this.hits();
  }

  /** Events for one who looks, until its signal. */
  async *events(signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
    let wake = (): void => {};
    const woken = (): void => wake();
    this.add(woken);
    signal.addEventListener("abort", woken);
    try {
      yield { event: "history", data: JSON.stringify(this.past()) };
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
    this.loop.watch(true);
    this.tick();
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref();
  }

  private remove(viewer: () => void): void {
    this.viewers.delete(viewer);
    if (this.viewers.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.loop.watch(false);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.loop.watch(false);
    for (const viewer of this.viewers) viewer();
  }

  private tick(): void {
    const now = performance.now();
    const numbers = threadNumbers();
    const own = this.added(numbers);
    const { next } = runtime().timers;
    this.history.push({
      time: Date.now(),
      ms: now - this.last,
      states: this.states(numbers.goroutines),
      timer: next === Infinity ? undefined : Math.max(0, next - runtime().clock.now()),
      polls: own.polls,
      queueTurns: own.queueTurns,
      ...this.hits(),
      loop: this.loop.take(),
      threads: [own, ...this.others.look().map((each) => this.added(each))],
    });
    if (this.history.length > KEPT) this.history.shift();
    this.last = now;
    for (const viewer of this.viewers) viewer();
  }

  /** The last minutes: the ticks, and between and before them the meters' seconds. */
  private past(): Tick[] {
    const { history } = this;
    const covered = (middle: number): boolean =>
      history.some(({ time, ms }) => time >= middle && time - Math.min(ms, TICK_MS) < middle);
    const seconds = meterSeconds().filter(({ time }) => !covered(time - TICK_MS / 2));
    return [...seconds, ...history].sort((a, b) => a.time - b.time).slice(-KEPT);
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

  /** What came into the histograms since the last call. */
  private hits(): Record<keyof Histograms, Buckets> {
    const { pollBatch, queueBatch, queueDelay, lateness } = meterHistograms();
    return {
      pollBatch: this.hit("pollBatch", pollBatch, 1),
      queueBatch: this.hit("queueBatch", queueBatch, 1),
      queueDelay: this.hit("queueDelay", queueDelay, 1000),
      lateness: this.hit("lateness", lateness, 1000),
    };
  }

  private hit(name: keyof Histograms, { buckets }: HistogramSnapshot, scale: number): Buckets {
    const before = this.buckets.get(name) ?? [];
    const counts: number[] = [];
    for (const [upTo, count] of buckets) {
      const bucket = Math.min(BUCKETS - 1, 32 - Math.clz32(Math.round(upTo * scale)));
      counts[bucket] = (counts[bucket] ?? 0) + count;
    }
    this.buckets.set(name, counts);
    const hit: Buckets = [];
    counts.forEach((count, bucket) => {
      const more = count - (before[bucket] ?? 0);
      if (more > 0) hit.push(bucket, more);
    });
    return hit;
  }

  private added(numbers: ThreadNumbers): ThreadNumbers {
    const key = `${numbers.pid}.${numbers.thread}`;
    const before = this.before.get(key);
    this.before.set(key, numbers);
    const added = { ...numbers };
    for (const name of COUNTERS)
      added[name] = before === undefined ? 0 : Math.max(0, numbers[name] - before[name]);
    return added;
  }
}

/** The seconds of the meters' series as ticks; of what it does not have, nothing. */
function meterSeconds(): Tick[] {
  const { time: times, columns } = meterSeries();
  return times.map((time, i) => {
    const at = (name: Column): number => columns[name][i] as number;
    const nothing: Buckets = [];
    return {
      time,
      ms: TICK_MS,
      states: statesAt(at),
      timer: undefined,
      polls: at("polls"),
      queueTurns: at("queueTurns"),
      pollBatch: nothing,
      queueBatch: nothing,
      queueDelay: nothing,
      lateness: nothing,
      loop: { mean: 0, p99: 0, max: 0 },
      threads: [numbersAt(at)],
    };
  });
}

function statesAt(at: (name: Column) => number): Record<string, number> {
  const states = {
    io: Math.max(0, at("ioWaits") - at("sleeps")),
    channel: at("channelWaits"),
    lock: at("lockWaits"),
    sleep: at("sleeps"),
    runnable: at("runnable"),
  };
  const known = Object.values(states).reduce((sum, count) => sum + count, 0);
  return { ...states, other: Math.max(0, at("goroutines") - known) };
}

function numbersAt(at: (name: Column) => number): Partial<ThreadNumbers> {
  return {
    pid: process.pid,
    thread: threadId,
    goroutines: at("goroutines"),
    started: at("started"),
    open: at("open"),
    opened: at("opened"),
    read: at("bytesIn"),
    written: at("bytesOut"),
    requests: at("requests"),
    turns: at("turns"),
    woken: at("woken"),
    exhausted: at("exhausted"),
    timers: at("timers"),
    timersFired: at("timersFired"),
    longHolds: at("longHolds"),
    busy: at("busy") * TICK_MS,
    uptime: TICK_MS,
  };
}
