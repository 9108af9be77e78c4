/**
 * loop_delay.ts: how late the loop comes round. It takes a timer, which wakes an idle thread: so it is
 * measured only while somebody looks.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 20;

export class LoopDelay {
  private readonly loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  watch(on: boolean): void {
    if (on) this.loop.enable();
    else this.loop.disable();
  }

  /** The delay since the last call, in ms. */
  take(): { mean: number; p99: number; max: number } {
    const { mean, max } = this.loop;
    const p99 = this.loop.percentile(99);
    this.loop.reset();
    // The resolution is part of what is measured.
    const ms = (ns: number): number =>
      Number.isFinite(ns) ? Math.max(0, ns / 1e6 - RESOLUTION_MS) : 0;
    return { mean: ms(mean), p99: ms(p99), max: ms(max) };
  }
}
