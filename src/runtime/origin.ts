/**
 * origin.ts: where goroutines were started.
 *
 * Taking a stack costs some microseconds, more than starting the goroutine, and keeping the answer
 * would cost every goroutine memory. So places are kept per function, and a stack is taken while that
 * is cheap: for the first starts of every function, and for fresh functions (closures) as long as the
 * allowance lasts, which time refills. CORONET_TRACEBACK=all takes a stack at every start.
 */

/** Starts of one function that are looked at before its places are believed. */
const EXACT_PER_FUNCTION = 8;
/** Stacks that may be taken in a burst, and how many come back per second. */
const BURST = 256;
const PER_SECOND = 256;

/** Places that are told apart for one function. */
const PLACES = 4;

interface Known {
  places: string[];
  seen: number;
}

const known = new WeakMap<object, Known>();
const all = process.env.CORONET_TRACEBACK === "all";
const now = performance.now.bind(performance);
let allowance = BURST;
let refilledAt = 0;

function mayTake(): boolean {
  if (allowance < 1) {
    const time = now();
    allowance = Math.min(BURST, allowance + ((time - refilledAt) * PER_SECOND) / 1000);
    refilledAt = time;
    if (allowance < 1) return false;
  }
  allowance--;
  return true;
}

/** The first frame above `above`, as "file:line:column"; undefined when there is none, or it is Node's. */
function callSite(above: (...args: never[]) => unknown): string | undefined {
  const holder: { stack?: string } = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 1;
  Error.captureStackTrace(holder, above);
  Error.stackTraceLimit = limit;
  const frame = /\n\s+at (?:.*\()?(.*?)\)?$/.exec(String(holder.stack));
  const place = frame?.[1];
  return place?.startsWith("node:") === true ? undefined : place;
}

/** Where the goroutine was started that is being started now, if a stack was taken. */
let latest: string | undefined;

/** That place, for whoever keeps it by the goroutine; it is forgotten here. */
export function takeLatestOrigin(): string | undefined {
  const place = latest;
  latest = undefined;
  return place;
}

/** Notes that `fn` is being started, or left to be started later, from the frame above `above`. */
export function recordOrigin(fn: object, above: (...args: never[]) => unknown): void {
  const entry = known.get(fn);
  latest = undefined;
  if (!all) {
    if (entry !== undefined && entry.seen >= EXACT_PER_FUNCTION) return;
    if (!mayTake()) return;
  }
  const place = callSite(above);
  if (place === undefined) return;
  latest = place;
  if (entry === undefined) {
    known.set(fn, { places: [place], seen: 1 });
    return;
  }
  entry.seen++;
  if (entry.places.length < PLACES && !entry.places.includes(place)) entry.places.push(place);
}

/** Where goroutines of `fn` were started: one place, or several; undefined when none is known. */
export function originOf(fn: object): string | undefined {
  return known.get(fn)?.places.join(" or ");
}
