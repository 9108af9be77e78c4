/**
 * series.ts: numbers of the last minutes, one of each per second, in a ring of fixed size.
 */

/** What is kept, in this order. */
export const COLUMNS = [
  /** Goroutines: live; in the run queue. Waits for I/O or a time; for channels, locks, ends of others. */
  "goroutines",
  "runnable",
  "ioWaits",
  "otherWaits",
  /** Of ioWaits those for a time; of otherWaits those for channels, and for locks and ends of others. */
  "sleeps",
  "channelWaits",
  "lockWaits",
  /** Conns and listeners that are open. */
  "open",
  /** Timers that are set. */
  "timers",
  /** Per second. */
  "started",
  "opened",
  "accepted",
  "bytesIn",
  "bytesOut",
  "requests",
  "turns",
  /** Of the turns those of the poller and those of the run queue. */
  "polls",
  "queueTurns",
  "woken",
  "exhausted",
  "longHolds",
  "timersFired",
  /** The longest of the second, in ms. */
  "queueDelay",
  "lateness",
  "requestTime",
  /** The part of the second that the thread was busy, 0 … 1. */
  "busy",
] as const;

export type Column = (typeof COLUMNS)[number];

/** Those that can be asked for at any time; the others are of a second. */
export type Count = Exclude<Column, "queueDelay" | "lateness" | "requestTime" | "busy">;

/** Of the first of them the value is kept; of the next the difference to the second before. */
const RATES: ReadonlySet<Column> = new Set<Column>([
  "started",
  "opened",
  "accepted",
  "bytesIn",
  "bytesOut",
  "requests",
  "turns",
  "polls",
  "queueTurns",
  "woken",
  "exhausted",
  "longHolds",
  "timersFired",
]);

/** The last minutes, oldest first: every column is as long as `time`. */
export interface Series {
  /** ms since the epoch. */
  readonly time: number[];
  readonly columns: Record<Column, number[]>;
}

export class SeriesRing {
  private readonly cells: Float64Array;
  private readonly length: number;
  private readonly before = new Float64Array(COLUMNS.length);
  private lastAt: number;
  private count = 0;

  /** `counts` are the counters as they stand now. */
  constructor(length: number, now: number, counts: Record<Column, number>) {
    this.length = length;
    this.lastAt = now;
    this.cells = new Float64Array(length * (COLUMNS.length + 1));
    for (const [i, name] of COLUMNS.entries()) this.before[i] = counts[name];
  }

  /** Takes the numbers of a moment, ms since the epoch. */
  add(time: number, values: Record<Column, number>): void {
    const { cells, before } = this;
    const at = (this.count++ % this.length) * (COLUMNS.length + 1);
    const seconds = Math.max((time - this.lastAt) / 1000, 0.001);
    this.lastAt = time;
    cells[at] = time;
    for (const [i, name] of COLUMNS.entries()) {
      const value = values[name];
      const previous = before[i] as number;
      before[i] = value;
      cells[at + 1 + i] = RATES.has(name) ? Math.max(0, value - previous) / seconds : value;
    }
  }

  /** The last `most` seconds, or all that are kept. */
  read(most = this.length): Series {
    const kept = Math.min(this.count, this.length, most);
    const columns = {} as Record<Column, number[]>;
    const column = (i: number): number[] =>
      Array.from({ length: kept }, (_, k) => {
        const row = (this.count - kept + k) % this.length;
        return this.cells[row * (COLUMNS.length + 1) + i] as number;
      });
    for (const [i, name] of COLUMNS.entries()) columns[name] = column(i + 1);
    return { time: column(0), columns };
  }
}
