/**
 * meter.ts: rates from counters that only grow.
 *
 * A rate is that of the last second, whatever the distance of the samples: a sample that came late
 * counts for the time that it stands for.
 */
import { stats } from "../../index.ts";
import type { EchoServer } from "../echo_server.ts";

const WINDOW_MS = 1000;

export interface Sample {
  /** In ms, monotonic. */
  at: number;
  bytesIn: number;
  bytesOut: number;
  messages: number;
  turns: number;
  woken: number;
}

/** Per second, except for the last. */
export interface Rates {
  bytesIn: number;
  bytesOut: number;
  messages: number;
  turns: number;
  wokenPerTurn: number;
}

/** The counters of now. */
export function sampleOf(echo: EchoServer): Sample {
  const { turns, woken } = stats();
  const { bytesIn, bytesOut, messages } = echo;
  return { at: performance.now(), bytesIn, bytesOut, messages, turns, woken };
}

export class Meter {
  /** In order; the first is the last one that is older than the window. */
  private samples: Sample[] = [];

  add(sample: Sample): void {
    this.samples.push(sample);
    const begin = sample.at - WINDOW_MS;
    while (this.samples.length > 2 && (this.samples[1] as Sample).at <= begin) this.samples.shift();
  }

  rates(): Rates {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) {
      return { bytesIn: 0, bytesOut: 0, messages: 0, turns: 0, wokenPerTurn: 0 };
    }
    const perSecond = (key: keyof Sample): number =>
      ((last[key] - first[key]) * 1000) / (last.at - first.at);
    const turns = last.turns - first.turns;
    return {
      bytesIn: perSecond("bytesIn"),
      bytesOut: perSecond("bytesOut"),
      messages: perSecond("messages"),
      turns: perSecond("turns"),
      wokenPerTurn: turns === 0 ? 0 : (last.woken - first.woken) / turns,
    };
  }
}

/** Throughput over time, one value per column of the chart. */
export class History {
  readonly columnMs: number;
  readonly values: number[] = [];
  private readonly longest: number;
  private from: Sample | undefined;

  constructor(columnMs: number, longest: number) {
    this.columnMs = columnMs;
    this.longest = longest;
  }

  add(sample: Sample): void {
    this.from ??= sample;
    const elapsed = sample.at - this.from.at;
    // Half a sample early is closer to the column's length than half a sample late.
    if (elapsed < this.columnMs * 0.9) return;
    const moved = sample.bytesIn + sample.bytesOut - this.from.bytesIn - this.from.bytesOut;
    this.values.push((moved * 1000) / elapsed);
    if (this.values.length > this.longest) this.values.shift();
    this.from = sample;
  }
}
