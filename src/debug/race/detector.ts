/**
 * detector.ts: the race detector: accesses of shared objects that nothing orders.
 *
 * accesses.ts says what a race is, clocks.ts and edges.ts what is ordered, cell.ts how accesses are
 * seen. docs/decisions/race.md has the reasons.
 */
import type { Access, Manner, OnRace, Place, Where } from "./accesses.ts";
import { type Cell, type Watcher, watch } from "./cell.ts";
import { type RaceOptions, Reporter } from "./report.ts";
import { detector as slot } from "./shared.ts";
import { currentStep } from "./steps.ts";
import { currentStrand, followStrands } from "./strands.ts";

/** Frames of a stack that are kept: cells have some of their own on top. */
const DEPTH = 24;

/** The stack that runs; it is written out only if somebody asks. */
function where(): Where {
  const holder: Where = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  Error.captureStackTrace(holder);
  Error.stackTraceLimit = limit;
  return holder;
}

/** The frame that called `above`: "file:line:column". */
function callSite(above: (...args: never[]) => unknown): string | undefined {
  const holder: { stack?: string } = {};
  Error.captureStackTrace(holder, above);
  return /\n\s+at (?:.*\()?(.*?)\)?(?:\n|$)/.exec(String(holder.stack))?.[1];
}

/** Gets each pair of accesses that race. */
export type Found = (
  place: string,
  sharedAt: string | undefined,
  before: Access,
  now: Access,
) => void;

/** Watches what one call of shared() gave. */
class Detector implements Watcher {
  private readonly found: Found;
  private readonly sharedAt: string | undefined;

  constructor(found: Found, sharedAt: string | undefined) {
    this.found = found;
    this.sharedAt = sharedAt;
  }

  read(place: Place, cell: Cell, key: unknown): void {
    if (on !== this.found) return;
    place.read(currentStrand(), currentStep(), where, this.racing(cell, key));
  }

  write(place: Place, cell: Cell, key: unknown, manner: Manner): void {
    if (on !== this.found) return;
    place.write(currentStrand(), currentStep(), manner, where, this.racing(cell, key));
  }

  private racing(cell: Cell, key: unknown): OnRace {
    return (before: Access, now: Access) => {
      this.found(cell.nameOf(key), this.sharedAt, before, now);
    };
  }
}

/** Who gets the races; undefined while the detector is off. */
let on: Found | undefined;

/** @internal Begins to watch, and gives every pair to `found`. Returns what ends it. */
export function watchShared(found: Found): () => void {
  if (on !== undefined) throw new Error("the race detector is on already");
  const unfollow = followStrands();
  on = found;
  slot.watch = (object, above) => {
    const kind = object.constructor?.name ?? "object";
    const name = `${kind[0]?.toLowerCase()}${kind.slice(1)}`;
    return watch(object, name, new Detector(found, callSite(above)));
  };
  return () => {
    if (on !== found) return;
    on = undefined;
    slot.watch = null;
    unfollow();
  };
}

/** A detector that is on. */
export interface RaceDetector extends Disposable {
  /** Races that were found. */
  readonly count: number;
  /** Switches it off. Objects that are watched go on to work. */
  stop(): void;
}

/**
 * Switches the race detector on, for goroutines and shared objects that are made from now on. Most
 * programs do not call it: `node --import coronet/race app.js` does, with the mode that CORONET_RACE in
 * the environment says ("report", "warn", "throw" or "exit"). Throws when it is on already.
 *
 * @example
 * import { go, shared, sleep } from "coronet";
 * import { type Race, startRaceDetector } from "coronet/debug";
 * const races: Race[] = [];
 * using detector = startRaceDetector({ onRace: (race) => races.push(race), mode: "warn" });
 * const counter = shared({ n: 0 });
 * async function add() {
 *   const { n } = counter;
 *   await sleep(1);
 *   counter.n = n + 1;
 * }
 * await Promise.all([go(add).join(), go(add).join()]);
 * console.log(counter.n, races[0]?.place, detector.count > 0); // 1 object.n true
 */
export function startRaceDetector(options: RaceOptions = {}): RaceDetector {
  const reporter = new Reporter(options);
  const unwatch = watchShared((...pair) => reporter.report(...pair));
  const stop = (): void => {
    unwatch();
    reporter.stop();
  };
  return {
    get count() {
      return reporter.count;
    },
    stop,
    [Symbol.dispose]: stop,
  };
}
