/**
 * meters.ts: how the runtime does, counted while the inspector runs: batches of the poller and of the run
 * queue, how long goroutines stand in the run queue, how late timers are, how late the loop comes round.
 *
 * A histogram has one bucket for each power of two, so that an entry costs an addition.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { attach } from "../observers.ts";

const BUCKETS = 24;

/** Counts by powers of two: bucket 0 has values below 1, bucket i those from 2^(i-1) on. */
export class Histogram {
  readonly counts = new Array<number>(BUCKETS).fill(0);

  add(value: number): void {
    const bucket = value < 1 ? 0 : 32 - Math.clz32(value);
    const at = bucket < BUCKETS ? bucket : BUCKETS - 1;
    this.counts[at] = (this.counts[at] as number) + 1;
  }
}

export class Meters {
  /** Goroutines that one turn of the poller, or of the run queue, has woken. */
  readonly pollBatch = new Histogram();
  readonly queueBatch = new Histogram();
  /** In µs. */
  readonly queueDelay = new Histogram();
  readonly timerLateness = new Histogram();
  polls = 0;
  queueTurns = 0;
  /** Those in the run queue, with when they came there. */
  private readonly queued = new Map<object, number>();
  private readonly loop: IntervalHistogram = monitorEventLoopDelay({ resolution: 20 });
  private readonly detach: () => void;

  constructor() {
    const now = performance.now.bind(performance);
    this.detach = attach({
      turn: (from, woken) => {
        if (from === "poll") {
          this.polls++;
          this.pollBatch.add(woken);
        } else {
          this.queueTurns++;
          this.queueBatch.add(woken);
        }
      },
      queued: (waiter) => void this.queued.set(waiter, now()),
      dequeued: (waiter) => {
        const since = this.queued.get(waiter);
        if (since === undefined) return;
        this.queued.delete(waiter);
        this.queueDelay.add((now() - since) * 1000);
      },
      fired: (_timer, late) => this.timerLateness.add(late * 1000),
    });
  }

  /** The loop is measured only while somebody looks: that takes a timer. */
  watchLoop(on: boolean): void {
    if (on) this.loop.enable();
    else this.loop.disable();
  }

  /** The loop's delay since the last call, in ms. */
  takeLoopDelay(): { mean: number; p99: number; max: number } {
    const { mean, max } = this.loop;
    const p99 = this.loop.percentile(99);
    this.loop.reset();
    // The resolution is part of what is measured.
    const ms = (ns: number): number => (Number.isFinite(ns) ? Math.max(0, ns / 1e6 - 20) : 0);
    return { mean: ms(mean), p99: ms(p99), max: ms(max) };
  }

  stop(): void {
    this.detach();
    this.loop.disable();
  }
}
