/**
 * locks.ts: locks that will never be free, reported while the program still runs.
 *
 * The report at an empty loop comes only when everything sleeps; in a server two goroutines may hold each
 * other up for ever while thousands go on. So from time to time the waits for locks, joins and groups are
 * looked at: goroutines that need nobody but each other are named, once, when they have waited for long
 * enough.
 *
 * It knows goroutines, not the async functions inside one: when a goroutine runs several at once
 * (Promise.all) and one holds a lock that another waits for, while the first awaits something that is
 * not Coronet's, that looks like a goroutine waiting for itself.
 */
import { writeSync } from "node:fs";
import type { Goroutine } from "../runtime/goroutine.ts";
import { formatGoroutines, takeDump } from "./dump.ts";
import { drawCycle, WaitGraph } from "./graph.ts";
import { holdsOf } from "./holders.ts";
import { goroutineName, nameOf } from "./objects.ts";
import { type Wait, watchGoroutines } from "./registry.ts";

const DEFAULT_DELAY_MS = 1000;
/** Looks per delay. */
const LOOKS = 2;
/** Goroutines that a report lists. */
const LISTED = 20;

/** Goroutines that hold each other up for ever. */
export interface Lockup {
  /** The cycles, drawn: "goroutine 1 [a] ──mutex #2──▶ goroutine 2 [b] ──mutex #1──▶ goroutine 1 [a]". */
  readonly cycles: readonly string[];
  /** The numbers of all that are held up, those that wait behind a cycle included. */
  readonly goroutines: readonly number[];
  /** The whole report, with where each of them waits. */
  readonly text: string;
}

export interface LockWatchOptions {
  /** How long, in ms, a wait may last before it is reported; 1000 by default. */
  delay?: number;
  /** Takes the reports; by default they are printed on standard error. */
  onLockup?: (lockup: Lockup) => void;
}

type Stuck = ReadonlyMap<Goroutine<unknown>, Wait>;

/** What is special about a cycle, in words. */
function explain(cycle: readonly Goroutine<unknown>[], stuck: Stuck): string {
  const again = cycle.find((g) => {
    const wait = stuck.get(g) as Wait;
    return holdsOf(wait.object).some(({ goroutine }) => goroutine === g);
  });
  if (again === undefined) return "";
  const { kind, object } = stuck.get(again) as Wait;
  const name = `${goroutineName(again)} holds ${nameOf(object)} and asks for it again`;
  if (kind !== "rwmutex rlock") return `: ${name}`;
  return `: ${name} for reading, while a writer waits in between`;
}

async function reportOf(graph: WaitGraph, stuck: Stuck): Promise<Lockup> {
  const cycles = graph.cyclesOf(stuck);
  const drawn = cycles.map((cycle) => drawCycle(cycle, stuck));
  const lines = cycles.map((cycle, i) => `  ${drawn[i]}${explain(cycle, stuck)}\n`).join("");
  const ids = new Set([...stuck.keys()].map(({ id }) => id));
  const dump = await takeDump();
  const goroutines = dump.goroutines.filter(({ id }) => ids.has(id));
  const listed = { ...dump, goroutines, outside: [], graph: [] };
  const title =
    ids.size === 1 ? "1 goroutine holds itself" : `${ids.size} goroutines hold each other`;
  const blocks = formatGoroutines(listed, { most: LISTED });
  const text = `coronet: ${title} up for ever\n\n${lines}\n${blocks}`;
  return { cycles: drawn, goroutines: [...ids], text };
}

function print({ text }: Lockup): void {
  try {
    writeSync(2, `${text}\n`);
  } catch {
    // Nobody reads standard error.
  }
}

/**
 * Looks for goroutines that wait for each other's locks for ever, while the program runs, and reports
 * each once. Keeps the registry of goroutines while it is on. Returns what ends it.
 *
 * @example
 * import { go, Mutex, sleep } from "coronet";
 * import { watchLocks } from "coronet/debug";
 * const found = new Promise<string>((resolve) => {
 *   watchLocks({ delay: 20, onLockup: (lockup) => resolve(lockup.cycles.join()) });
 * });
 * const [a, b] = [new Mutex(), new Mutex()];
 * async function both(first: Mutex, second: Mutex) {
 *   using _ = await first.lock();
 *   await sleep(1);
 *   using __ = await second.lock();
 * }
 * go(both, a, b).unref();
 * go(both, b, a).unref();
 * const keepsRunning = setInterval(() => {}, 10);
 * console.log(await found); // goroutine 1 [both] ──mutex #1──▶ goroutine 2 [both] ──mutex #2──▶ …
 * clearInterval(keepsRunning);
 */
export function watchLocks(options: LockWatchOptions = {}): () => void {
  const { delay = DEFAULT_DELAY_MS, onLockup = print } = options;
  if (!(delay > 0 && delay < 2 ** 31)) {
    throw new RangeError(`watchLocks: delay takes ms from 1 on, got ${delay}`);
  }
  const unwatch = watchGoroutines();
  const reported = new WeakSet<object>();
  const look = (): void => {
    const graph = new WaitGraph();
    const lasting = graph.lockedUp(performance.now() - delay);
    if ([...lasting.values()].every(({ waiter }) => reported.has(waiter))) return;
    // Who came behind them since is held up as well.
    const stuck = graph.lockedUp();
    for (const { waiter } of stuck.values()) reported.add(waiter);
    void reportOf(graph, stuck).then(onLockup);
  };
  const timer = setInterval(look, Math.max(1, delay / LOOKS));
  timer.unref();
  return () => {
    clearInterval(timer);
    unwatch();
  };
}
