// The few statistics the report needs: medians with their spread, ratios per round, slopes.

export interface Summary {
  median: number;
  min: number;
  max: number;
  count: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)]!;
  if (sorted.length % 2 === 1) return upper;
  return (sorted[sorted.length / 2 - 1]! + upper) / 2;
}

/** Undefined when there is nothing to summarise. */
export function summarise(values: readonly number[]): Summary | undefined {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return undefined;
  return {
    median: median(finite),
    min: Math.min(...finite),
    max: Math.max(...finite),
    count: finite.length,
  };
}

/**
 * The ratio of two figures in each round that has both, by round number: what disturbs the machine
 * for a while disturbs both sides of a ratio.
 */
export function ratiosByRound(
  numerators: ReadonlyMap<number, number>,
  denominators: ReadonlyMap<number, number>,
): number[] {
  const ratios: number[] = [];
  for (const [round, numerator] of numerators) {
    const denominator = denominators.get(round);
    if (denominator !== undefined && denominator !== 0) ratios.push(numerator / denominator);
  }
  return ratios;
}

/** The slope between the first and the last point. */
export function slope(points: readonly { x: number; y: number }[]): number {
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined || first.x === last.x) return Number.NaN;
  return (last.y - first.y) / (last.x - first.x);
}

/** The list begun at another element, so that every element comes first in some round. */
export function rotate<T>(list: readonly T[], by: number): T[] {
  if (list.length === 0) return [];
  const start = by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
