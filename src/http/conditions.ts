/** conditions.ts: what a request makes its answer depend on: If-Match and its kin (RFC 9110, 13). */

/** Reads a header. */
export interface HeaderSource {
  get(name: string): string | null;
}

/** What tells one version of a file from another. */
export interface Version {
  /** With its quotes; with W/ before them when it is weak. */
  readonly etag: string;
  /** As Last-Modified says it, in seconds; -1 when nothing is said. */
  readonly modified: number;
}

/**
 * Whether a GET or HEAD is to be answered (200), or with 304 or 412; in the order of RFC 9110, 13.2.2. The
 * file is there.
 */
export function judge(headers: HeaderSource, version: Version): 200 | 304 | 412 {
  const match = headers.get("if-match");
  if (match !== null) {
    if (!matches(match, version.etag, true)) return 412;
  } else {
    const since = headers.get("if-unmodified-since");
    if (since !== null && version.modified > timeOf(since, Infinity)) return 412;
  }
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null) return matches(noneMatch, version.etag, false) ? 304 : 200;
  const since = headers.get("if-modified-since");
  if (since === null || version.modified === -1) return 200;
  return version.modified <= timeOf(since, -Infinity) ? 304 : 200;
}

/** Whether a Range header counts: what the client has a part of is this very version. */
export function rangeHolds(ifRange: string | null, version: Version): boolean {
  if (ifRange === null) return true;
  const text = ifRange.trim();
  if (text.endsWith('"')) return strong(text) && text === version.etag;
  // Dates have to be the same, and no two versions may share one.
  return strong(version.etag) && timeOf(text, -Infinity) === version.modified;
}

function strong(etag: string): boolean {
  return etag.startsWith('"');
}

/** Whether a list of entity tags has this one. */
function matches(list: string, etag: string, strongly: boolean): boolean {
  if (list.trim() === "*") return true;
  if (strongly && !strong(etag)) return false;
  const opaque = etag.replace(/^W\//, "");
  for (const [, weak, tag] of list.matchAll(/(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g)) {
    if (tag === opaque && !(strongly && weak !== undefined)) return true;
  }
  return false;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const IMF = /^\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;
const RFC850 = /^\w{6,9}, (\d\d)-(\w{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/;
const ASCTIME = /^\w{3} (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/;

/** Seconds of an HTTP date in one of its three forms (RFC 9110, 5.6.7); `none` for what is no date. */
export function timeOf(text: string, none: number): number {
  const date = text.trim();
  let found = IMF.exec(date);
  if (found !== null) return seconds(found[3], found[2], found[1], found.slice(4), none);
  found = RFC850.exec(date);
  if (found !== null) {
    // Two digits that look more than 50 years ahead are of the past.
    const now = new Date().getUTCFullYear();
    let year = Math.floor(now / 100) * 100 + Number(found[3]);
    if (year > now + 50) year -= 100;
    return seconds(String(year), found[2], found[1], found.slice(4), none);
  }
  found = ASCTIME.exec(date);
  if (found === null) return none;
  return seconds(found[6], found[1], found[2], found.slice(3, 6), none);
}

function seconds(
  year: string | undefined,
  month: string | undefined,
  day: string | undefined,
  time: string[],
  none: number,
): number {
  const at = MONTHS.indexOf(month as string);
  const [h, m, s] = time.map(Number) as [number, number, number];
  if (at === -1 || h > 23 || m > 59 || s > 60) return none;
  return Date.UTC(Number(year), at, Number(day), h, m, s) / 1000;
}
