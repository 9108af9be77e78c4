/**
 * sample.ts: what one thread does, as the page draws it: its numbers, its goroutines by state, its
 * histograms so far. Each thread takes its own; the one that serves the page asks the others for theirs.
 */
import { threadId } from "node:worker_threads";
import { runtime } from "../../runtime/runtime.ts";
import { LoopDelay } from "../meters/loop_delay.ts";
import {
  categoryOf,
  type HistogramSnapshot,
  type Histograms,
  meterCounts,
  meterHistograms,
  watchMeters,
} from "../meters/meters.ts";
import { isOwnEndpoint, isOwnGoroutine } from "../own.ts";
import { allWaits, queuedGoroutines, watchGoroutines } from "../registry.ts";
import { keeper } from "./keeper.ts";

const BUCKETS = 24;
/** From the histograms' units, ms and goroutines, to the page's: µs and goroutines. */
const SCALES: Record<keyof Histograms, number> = {
  pollBatch: 1,
  queueBatch: 1,
  queueDelay: 1000,
  lateness: 1000,
};
export const HISTOGRAMS = Object.keys(SCALES) as (keyof Histograms)[];

/** Counts since the thread began, requests and turns since its meters did; except those that are of now. */
export interface ThreadNumbers {
  pid: number;
  thread: number;
  goroutines: number;
  started: number;
  panicked: number;
  open: number;
  opened: number;
  read: number;
  written: number;
  requests: number;
  parked: number;
  turns: number;
  polls: number;
  queueTurns: number;
  woken: number;
  exhausted: number;
  stale: number;
  timers: number;
  timersFired: number;
  longHolds: number;
  queue: number;
  /** Time that the loop was busy, and all time, in ms. */
  busy: number;
  uptime: number;
  heap: number;
  /** Goroutines by what they do. */
  states: Record<string, number>;
  /** In how many ms the next timer fires. */
  timer: number | undefined;
  /** How late the loop came round since the last sample, in ms. */
  loop: { mean: number; p99: number; max: number };
}

/**
 * With the entries of each histogram by bucket: bucket 0 has values below 1, bucket i those from 2^(i-1) on.
 */
export interface Sample extends ThreadNumbers, Record<keyof Histograms, number[]> {}

/** Takes this thread's samples; its meters and goroutines are watched. */
export class Sampler {
  private readonly loop = new LoopDelay();

  /** Whether samples are taken again and again: only then the loop's delay is measured. */
  watch(on: boolean): void {
    this.loop.watch(on);
  }

  take(): Sample {
    const { stats, timers, clock } = runtime();
    const counts = meterCounts();
    const { active } = performance.eventLoopUtilization();
    return {
      pid: process.pid,
      thread: threadId,
      goroutines: counts.goroutines,
      started: counts.started,
      panicked: stats.goroutines.panicked,
      open: counts.open,
      opened: counts.opened,
      read: counts.bytesIn,
      written: counts.bytesOut,
      requests: counts.requests,
      parked: stats.parked,
      turns: counts.turns,
      polls: counts.polls,
      queueTurns: counts.queueTurns,
      woken: counts.woken,
      exhausted: counts.exhausted,
      stale: stats.staleEvents,
      timers: counts.timers,
      timersFired: counts.timersFired,
      longHolds: counts.longHolds,
      queue: counts.runnable,
      busy: active,
      uptime: performance.now(),
      heap: process.memoryUsage().heapUsed,
      states: statesOf(counts.goroutines),
      timer: timers.next === Infinity ? undefined : Math.max(0, timers.next - clock.now()),
      loop: this.loop.take(),
      ...buckets(),
    };
  }
}

/** One walk over the waits: a goroutine that waits for two things at once counts twice. */
function statesOf(live: number): Record<string, number> {
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

function buckets(): Record<keyof Histograms, number[]> {
  const all = meterHistograms();
  const counts = {} as Record<keyof Histograms, number[]>;
  for (const name of HISTOGRAMS) counts[name] = counted(all[name], SCALES[name]);
  return counts;
}

function counted({ buckets }: HistogramSnapshot, scale: number): number[] {
  const counts: number[] = [];
  for (const [upTo, count] of buckets) {
    const bucket = Math.min(BUCKETS - 1, 32 - Math.clz32(Math.round(upTo * scale)));
    while (counts.length <= bucket) counts.push(0);
    counts[bucket] = (counts[bucket] as number) + count;
  }
  return counts;
}

const watched = keeper(() => {
  const unwatch = [watchGoroutines(), watchMeters()];
  const sampler = new Sampler();
  sampler.watch(true);
  const stop = (): void => {
    sampler.watch(false);
    for (const each of unwatch) each();
  };
  return { sampler, stop };
});

/** This thread's, for an inspector that runs in another one. */
export function answerNumbers(): Sample {
  return watched().sampler.take();
}
