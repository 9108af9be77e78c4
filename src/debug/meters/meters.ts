/**
 * meters.ts: numbers of this thread while it runs: for the inspector, `coronet top` and Prometheus.
 *
 * They are kept only while somebody needs them (watchMeters). What the runtime counts by itself, always,
 * is taken from there; the rest begins when watching begins.
 *
 * What is done at each wait and each message is as little as can be; a snapshot looks at every open conn
 * instead (about 1 ms for 20,000). The series, taken once a second, does not.
 */
import { performance } from "node:perf_hooks";
import { threadId } from "node:worker_threads";
import { hookEveryServer } from "../../http/observe.ts";
import { type PoolStats, poolStats } from "../../net/pool.ts";
import { goroutineStats } from "../../runtime/goroutine.ts";
import { runtime } from "../../runtime/runtime.ts";
import { attach } from "../observers.ts";
import { ownCounts } from "../own.ts";
import { Histogram, type HistogramSnapshot } from "./histogram.ts";
import { RequestCounter, type RequestMeter } from "./requests.ts";
import { type Column, type Count, type Series, SeriesRing } from "./series.ts";
import {
  accepted,
  closed,
  type Flow,
  findOpen,
  flows,
  forgetTraffic,
  type ListenerFlow,
  moved,
  opened,
  tick,
} from "./traffic.ts";
import {
  dequeued,
  forgetWaits,
  otherWaits,
  parked,
  queueDelay,
  queued,
  resumed,
  type WaitMeter,
  waitMeters,
  waitsOf,
} from "./waits.ts";

export { Histogram, type HistogramSnapshot, mergeHistograms } from "./histogram.ts";
export type { RequestMeter } from "./requests.ts";
export { COLUMNS, type Column, type Count, type Series } from "./series.ts";
export { type Flow, type ListenerFlow, openTraffic, Traffic, trafficOf } from "./traffic.ts";
export { type Category, categoryOf, type WaitMeter } from "./waits.ts";

const SECOND_MS = 1000;
/** Seconds that the series goes back. */
const SERIES_LENGTH = 300;

/** Numbers of one thread. Times are in ms. */
export interface Meters {
  readonly pid: number;
  readonly thread: number;
  /** ms since the epoch; for how long it has been watched. */
  readonly time: number;
  readonly watched: number;
  readonly goroutines: {
    readonly live: number;
    readonly peak: number;
    /** In the run queue; waiting, for whatever it is. */
    readonly runnable: number;
    readonly waiting: number;
    readonly started: number;
    /** Ended by a reset, close, deadline or cancellation; by another error. */
    readonly endedByPeers: number;
    readonly panicked: number;
  };
  /** What is waited for, by kind. A goroutine can wait for several things; others wait, too. */
  readonly waits: Readonly<Record<string, WaitMeter>>;
  /** By network: "tcp", "unix", "udp", "pipe", …. */
  readonly networks: Readonly<Record<string, Flow>>;
  readonly listeners: readonly ListenerFlow[];
  /** Listeners that are open. */
  readonly listening: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly poller: {
    readonly kind: "epoll" | "portable";
    /** Conns and listeners that the poller knows; events that came too late for one. */
    readonly open: number;
    readonly stale: number;
    /** Batches of events, and goroutines that each woke. */
    readonly batch: HistogramSnapshot;
  };
  readonly scheduler: {
    /** Turns, the poller's and the run queue's, and the goroutines that they woke. */
    readonly turns: number;
    readonly woken: number;
    /** Operations that had to wait for a further turn. */
    readonly exhausted: number;
    /** Turns of the run queue, and goroutines that each woke. */
    readonly batch: HistogramSnapshot;
    /** How long goroutines stood in the run queue. */
    readonly delay: HistogramSnapshot;
    /** Goroutines that held the thread for too long, as far as sysmon watched. */
    readonly longHolds: number;
    /** For how long the thread was busy in all, and the part of the time since it is watched, 0 … 1. */
    readonly busyTime: number;
    readonly busy: number;
  };
  readonly timers: {
    readonly armed: number;
    readonly fired: number;
    /** By how much they fired too late. */
    readonly lateness: HistogramSnapshot;
  };
  readonly http: RequestMeter;
  /** Of clients: connections that are kept for reuse. */
  readonly pools: readonly PoolStats[];
}

/** How values are distributed, since watching began. */
export interface Histograms {
  /** Goroutines that one turn of the poller, of the run queue has woken. */
  readonly pollBatch: HistogramSnapshot;
  readonly queueBatch: HistogramSnapshot;
  /** In ms. */
  readonly queueDelay: HistogramSnapshot;
  readonly lateness: HistogramSnapshot;
}

/** What watching needs. */
class Watching {
  readonly since = performance.now();
  private polls = 0;
  private queueTurns = 0;
  private readonly pollBatch = new Histogram(1);
  private readonly queueBatch = new Histogram(1);
  private readonly lateness = new Histogram(1000);
  readonly requests = new RequestCounter();
  readonly series: SeriesRing;
  private acceptedInAll = 0;
  private readonly busyBefore = performance.eventLoopUtilization();
  private busyLast = this.busyBefore;
  private readonly undo: (() => void)[];

  constructor() {
    this.series = new SeriesRing(SERIES_LENGTH, Date.now(), this.values());
    const detach = attach({
      parked,
      resumed,
      queued,
      dequeued,
      moved,
      opened,
      closed,
      accepted: (conn, origin) => {
        this.acceptedInAll++;
        accepted(conn, origin);
      },
      turn: (from, woken) => {
        if (from === "poll") {
          this.polls++;
          this.pollBatch.record(woken);
        } else {
          this.queueTurns++;
          this.queueBatch.record(woken);
        }
      },
      fired: (_timer, late) => this.lateness.record(late),
    });
    const timer = setInterval(() => this.second(), SECOND_MS);
    timer.unref();
    const unhook = hookEveryServer(this.requests.hooks);
    findOpen();
    this.undo = [detach, unhook, () => clearInterval(timer), forgetTraffic, forgetWaits];
  }

  stop(): void {
    for (const each of this.undo) each();
  }

  private second(): void {
    tick(performance.now());
    this.series.add(Date.now(), this.values());
  }

  counts(): Record<Count, number> {
    const rt = runtime();
    const { stats } = rt;
    const own = ownCounts();
    return {
      goroutines: stats.goroutines.live - own.goroutines,
      runnable: rt.sched.length,
      // The inspector's connections and its listener wait for input.
      ioWaits: Math.max(0, rt.parked + rt.unreferenced - own.endpoints),
      otherWaits: otherWaits(),
      sleeps: waitsOf("sleep"),
      channelWaits: waitsOf("channel"),
      lockWaits: waitsOf("lock"),
      open: stats.open - own.endpoints,
      timers: stats.timers,
      started: stats.goroutines.started,
      opened: stats.opened,
      accepted: this.acceptedInAll,
      bytesIn: stats.bytesRead,
      bytesOut: stats.bytesWritten,
      requests: this.requests.begun,
      turns: stats.turns,
      polls: this.polls,
      queueTurns: this.queueTurns,
      woken: stats.woken,
      exhausted: stats.exhausted,
      longHolds: stats.longHolds,
      timersFired: stats.timersFired,
    };
  }

  histograms(): Histograms {
    return {
      pollBatch: this.pollBatch.snapshot(),
      queueBatch: this.queueBatch.snapshot(),
      queueDelay: queueDelay.snapshot(),
      lateness: this.lateness.snapshot(),
    };
  }

  private values(): Record<Column, number> {
    const busy = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(busy, this.busyLast);
    this.busyLast = busy;
    return {
      ...this.counts(),
      queueDelay: queueDelay.takePeak(),
      lateness: this.lateness.takePeak(),
      requestTime: this.requests.takePeak(),
      busy: utilization,
    };
  }

  meters(): Meters {
    const rt = runtime();
    const { stats } = rt;
    const { peak, started, ended, panicked } = goroutineStats();
    const { goroutines: live, open } = this.counts();
    const { pollBatch, queueBatch, queueDelay, lateness } = this.histograms();
    const runnable = Math.min(live, rt.sched.length);
    const now = performance.eventLoopUtilization();
    return {
      pid: process.pid,
      thread: threadId,
      time: Date.now(),
      watched: performance.now() - this.since,
      goroutines: {
        live,
        peak,
        runnable,
        waiting: live - runnable,
        started,
        endedByPeers: ended,
        panicked,
      },
      waits: waitMeters(),
      ...flows(),
      bytesIn: stats.bytesRead,
      bytesOut: stats.bytesWritten,
      poller: {
        kind: stats.poller,
        open,
        stale: stats.staleEvents,
        batch: pollBatch,
      },
      scheduler: {
        turns: stats.turns,
        woken: stats.woken,
        exhausted: stats.exhausted,
        batch: queueBatch,
        delay: queueDelay,
        longHolds: stats.longHolds,
        busyTime: now.active,
        busy: performance.eventLoopUtilization(now, this.busyBefore).utilization,
      },
      timers: { armed: stats.timers, fired: stats.timersFired, lateness },
      http: this.requests.meter(),
      pools: poolStats(),
    };
  }
}

let watching: Watching | undefined;
let users = 0;

/** Begins to keep the meters of this thread. Returns what ends it, once; they are kept as long as somebody needs them. */
export function watchMeters(): () => void {
  users++;
  watching ??= new Watching();
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--users > 0) return;
    watching?.stop();
    watching = undefined;
  };
}

/** The numbers of this thread as they stand now. Throws when nobody watches them. */
export function meters(): Meters {
  return watched().meters();
}

/** What the series is made of, as it stands now: counters since the beginning. Looks at no conn. */
export function meterCounts(): Record<Count, number> {
  return watched().counts();
}

export function meterHistograms(): Histograms {
  return watched().histograms();
}

/** The last five minutes, a value per second. Throws when nobody watches. */
export function meterSeries(seconds?: number): Series {
  return watched().series.read(seconds);
}

function watched(): Watching {
  if (watching === undefined) throw new Error("coronet: call watchMeters() first");
  return watching;
}
