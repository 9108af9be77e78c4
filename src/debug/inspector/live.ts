/**
 * live.ts: what the page draws over time: one tick per second while somebody looks, to all who look.
 *
 * Counters go out as what was added since the tick before, histograms as the buckets that were hit. Ticks
 * of the last minutes are kept for who comes later; of seconds when nobody looked there is what the meters'
 * series has, of this thread.
 */
import { threadId } from "node:worker_threads";
import type { ServerSentEvent } from "../../http/events/stream.ts";
import { type Column, type Histograms, meterSeries } from "../meters/meters.ts";
import { Others } from "./others.ts";
import { HISTOGRAMS, type Sample, Sampler } from "./sample.ts";

const TICK_MS = 1000;
const KEPT = 300;
/** [bucket, entries, bucket, entries, …] of those that were hit. */
type Hits = number[];

/** What one thread did: counters and histograms are what was added, the rest is of now. */
type ThreadTick = Omit<Sample, keyof Histograms> & Record<keyof Histograms, Hits>;

export interface Tick {
  /** By Date.now(). */
  time: number;
  /** How long it lasted, in ms. */
  ms: number;
  /** This thread first. */
  threads: Partial<ThreadTick>[];
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
  private readonly sampler = new Sampler();
  private readonly history: Tick[] = [];
  private readonly viewers = new Set<() => void>();
  private readonly others = new Others();
  private readonly before = new Map<string, Sample>();
  private timer: NodeJS.Timeout | undefined;
  private last = performance.now();
  private closed = false;

  constructor() {
    // The first tick has what comes from now on.
    this.added(this.sampler.take());
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
    this.sampler.watch(true);
    this.tick();
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.timer.unref();
  }

  private remove(viewer: () => void): void {
    this.viewers.delete(viewer);
    if (this.viewers.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.sampler.watch(false);
  }

  close(): void {
    this.closed = true;
    clearInterval(this.timer);
    this.sampler.watch(false);
    for (const viewer of this.viewers) viewer();
  }

  private tick(): void {
    const now = performance.now();
    const samples = [this.sampler.take(), ...this.others.look()];
    const threads = samples.map((each) => this.added(each));
    this.history.push({ time: Date.now(), ms: now - this.last, threads });
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

  /** A sample less the one before it. */
  private added(sample: Sample): ThreadTick {
    const key = `${sample.pid}.${sample.thread}`;
    const before = this.before.get(key) ?? sample;
    this.before.set(key, sample);
    const added: ThreadTick = { ...sample };
    for (const name of COUNTERS) added[name] = Math.max(0, sample[name] - before[name]);
    for (const name of HISTOGRAMS) added[name] = hits(sample[name], before[name]);
    return added;
  }
}

/** The buckets that were hit since. */
function hits(now: readonly number[], before: readonly number[]): Hits {
  return now.flatMap((count, bucket) => {
    const more = count - (before[bucket] ?? 0);
    return more > 0 ? [bucket, more] : [];
  });
}

/** The seconds of the meters' series as ticks; of what it does not have, nothing. */
function meterSeconds(): Tick[] {
  const { time: times, columns } = meterSeries();
  return times.map((time, i) => {
    const at = (name: Column): number => columns[name][i] as number;
    return { time, ms: TICK_MS, threads: [numbersAt(at)] };
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

function numbersAt(at: (name: Column) => number): Partial<ThreadTick> {
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
    polls: at("polls"),
    queueTurns: at("queueTurns"),
    woken: at("woken"),
    exhausted: at("exhausted"),
    timers: at("timers"),
    timersFired: at("timersFired"),
    longHolds: at("longHolds"),
    busy: at("busy") * TICK_MS,
    uptime: TICK_MS,
    states: statesAt(at),
  };
}
