/**
 * origin.ts: where a goroutine was started.
 *
 * Taking a stack costs some microseconds, more than starting the goroutine. So it is taken exactly
 * while that is cheap: for the first starts of every function, and for fresh functions (closures) as
 * long as the allowance lasts, which time refills. After that a function that has always been started
 * from one place is said to come from there, and a closure's origin is unknown. CORONET_TRACEBACK=all
 * takes every one.
 */

/** Starts of one function that are looked at before its origin is believed. */
const EXACT_PER_FUNCTION = 8;
/** Stacks that may be taken in a burst, and how many come back per second. */
const BURST = 256;
const PER_SECOND = 256;

interface Known {
  where: string | undefined;
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

/** The first frame above `above`, as "file:line:column"; undefined when there is none. */
function callSite(above: (...args: never[]) => unknown): string | undefined {
  const holder: { stack?: string } = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 1;
  Error.captureStackTrace(holder, above);
  Error.stackTraceLimit = limit;
  const frame = /\n\s+at (?:.*\()?(.*?)\)?$/.exec(String(holder.stack));
  return frame?.[1];
}

/** Where `fn` is being started, as seen from the frame above `above`. */
export function origin(
  fn: object,
  above: (...args: never[]) => unknown,
): string | undefined {
  let entry = known.get(fn);
  if (!all && entry !== undefined && entry.seen >= EXACT_PER_FUNCTION) return entry.where;
  if (!all && !mayTake()) return entry?.where;
  const where = callSite(above);
  if (entry === undefined) {
    entry = { where, seen: 0 };
    known.set(fn, entry);
  }
  entry.seen++;
  // Started from several places: believing one of them would mislead.
  if (entry.where !== where) entry.where = undefined;
  return where;
}
