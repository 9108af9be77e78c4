/** ranges.ts: the Range header: which bytes of a file a client asks for (RFC 9110, 14.1 and 14.2). */

/** Bytes of a file, one after another. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** More ranges than this are answered with the whole file: nobody needs them but to make work. */
const MOST_RANGES = 64;
const RANGE = /^(\d*)-(\d*)$/;

/**
 * The spans that a Range header names in a file of that size:
 *
 *   undefined  the header is to be ignored: another unit, or the spans have more bytes than the file
 *   []         none of them can be had, or the header is malformed: 416
 */
export function spansOf(header: string, size: number): Span[] | undefined {
  const [, unit, set] = /^\s*([!#$%&'*+\-.^_`|~\w]+)=(.*)$/s.exec(header) ?? [];
  if (unit === undefined || unit.toLowerCase() !== "bytes") return undefined;
  const spans: Span[] = [];
  let named = 0;
  let total = 0;
  for (const part of (set as string).split(",")) {
    const text = part.trim();
    // Empty elements of a list are to be passed over (RFC 9110, 5.6.1).
    if (text === "") continue;
    if (++named > MOST_RANGES) return undefined;
    const span = spanOf(text, size);
    if (span === null) return [];
    if (span === undefined) continue;
    spans.push(span);
    total += span.length;
  }
  if (size === 0 && named > 0) return undefined;
  return total > size ? undefined : spans;
}

/** One range; undefined when it lies behind the end, null when it is none. */
function spanOf(text: string, size: number): Span | undefined | null {
  const [, from, to] = RANGE.exec(text) ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return null;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? undefined : { offset: size - length, length };
  }
  const offset = Number(from);
  const last = to === "" ? Infinity : Number(to);
  if (last < offset) return null;
  if (offset >= size) return undefined;
  return { offset, length: Math.min(last, size - 1) - offset + 1 };
}
