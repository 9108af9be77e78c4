/** chart.ts: a bar chart in characters: one column per value, eight steps per character cell. */

export interface Glyphs {
  /** From empty to full. */
  readonly bars: readonly string[];
  readonly dot: string;
  readonly rule: string;
}

export const UNICODE: Glyphs = {
  bars: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
  dot: "·",
  rule: "─",
};

/** For terminals that are not set to UTF-8. */
export const ASCII: Glyphs = {
  bars: [" ", "_", ".", ":", "-", "=", "+", "*", "#"],
  dot: "-",
  rule: "-",
};

/**
 * The last values as rows of text, the newest at the right edge; the largest of them fills the
 * height. A value of 0 leaves a mark on the bottom row, so that time is seen to pass.
 */
export function chart(
  values: readonly number[],
  width: number,
  height: number,
  { bars }: Glyphs,
): string[] {
  const shown = values.slice(-width);
  const max = Math.max(...shown, 0);
  const steps = shown.map((value) => {
    const step = max === 0 ? 0 : Math.round((value / max) * height * 8);
    return Math.max(step, 1);
  });
  const indent = " ".repeat(Math.max(width - shown.length, 0));
  return Array.from({ length: height }, (_, row) => {
    const below = (height - 1 - row) * 8;
    const cells = steps.map((step) => bars[Math.min(Math.max(step - below, 0), 8)]);
    return indent + cells.join("");
  });
}
