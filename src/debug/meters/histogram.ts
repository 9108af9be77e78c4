/**
 * histogram.ts: how values are distributed, in a fixed piece of memory.
 *
 * Log-linear, after HdrHistogram: eight buckets for each power of two, so a value is known to 12.5 % over
 * the whole range. Recording is a shift and three additions; nothing is allocated.
 *
 * Values are whole units from 0 to 2^31 - 1; `scale` says how many units make one of what is recorded
 * (1000: milliseconds are kept as microseconds). What is larger counts as the largest.
 */

/** log2 of the buckets per power of two. */
const BITS = 3;
const STEPS = 1 << BITS;
const BUCKETS = STEPS + (31 - BITS) * STEPS;
const LARGEST = 0x7fff_ffff;

/** Before the buckets: the sum and the maximum since the beginning, and the maximum since takePeak. */
const SUM = 0;
const MAX = 1;
const PEAK = 2;
const FIRST = 3;

/** A histogram as data. */
export interface HistogramSnapshot {
  readonly count: number;
  readonly sum: number;
  readonly max: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  /** Buckets that are not empty, ascending: [largest value of it, how many]. */
  readonly buckets: readonly (readonly [upTo: number, count: number])[];
}

function bucketOf(units: number): number {
  if (units < STEPS) return units;
  const shift = 31 - Math.clz32(units) - BITS;
  return STEPS + shift * STEPS + ((units >> shift) & (STEPS - 1));
}

/** The largest value that falls into a bucket, in units. */
function upperOf(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const shift = (bucket - STEPS) >> BITS;
  return (STEPS + ((bucket - STEPS) & (STEPS - 1)) + 1) * 2 ** shift - 1;
}

export class Histogram {
  private readonly cells = new Float64Array(FIRST + BUCKETS);
  private readonly scale: number;

  constructor(scale: number) {
    this.scale = scale;
  }

  record(value: number): void {
    const { cells } = this;
    const units = value * this.scale;
    const bucket = bucketOf(units >= LARGEST ? LARGEST : units > 0 ? units | 0 : 0);
    (cells[FIRST + bucket] as number)++;
    (cells[SUM] as number) += value;
    if (value > (cells[PEAK] as number)) {
      cells[PEAK] = value;
      if (value > (cells[MAX] as number)) cells[MAX] = value;
    }
  }

  /** The largest value since the last call; 0 when there was none. */
  takePeak(): number {
    const peak = this.cells[PEAK] as number;
    this.cells[PEAK] = 0;
    return peak;
  }

  snapshot(): HistogramSnapshot {
    const { cells, scale } = this;
    const buckets: [number, number][] = [];
    for (let i = 0; i < BUCKETS; i++) {
      const count = cells[FIRST + i] as number;
      if (count > 0) buckets.push([upperOf(i) / scale, count]);
    }
    return summary(buckets, cells[SUM] as number, cells[MAX] as number);
  }
}

function summary(
  buckets: readonly (readonly [number, number])[],
  sum: number,
  max: number,
): HistogramSnapshot {
  const count = buckets.reduce((total, [, n]) => total + n, 0);
  const at = (part: number): number => quantile(buckets, count, max, part);
  return { count, sum, max, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), buckets };
}

/** The value that `part` of all values do not exceed. */
function quantile(
  buckets: readonly (readonly [number, number])[],
  count: number,
  max: number,
  part: number,
): number {
  let left = Math.ceil(count * part);
  for (const [upTo, n] of buckets) {
    left -= n;
    if (left <= 0) return Math.min(upTo, max);
  }
  return max;
}

/** One histogram of several: of threads, of kinds. */
export function mergeHistograms(all: readonly HistogramSnapshot[]): HistogramSnapshot {
  const counts = new Map<number, number>();
  for (const { buckets } of all) {
    for (const [upTo, n] of buckets) counts.set(upTo, (counts.get(upTo) ?? 0) + n);
  }
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const sum = all.reduce((total, each) => total + each.sum, 0);
  return summary(buckets, sum, Math.max(0, ...all.map(({ max }) => max)));
}
