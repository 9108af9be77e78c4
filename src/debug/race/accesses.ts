/**
 * accesses.ts: which two accesses are a race.
 *
 * What a strand does to a place (a property, an element, a key) in one step is one access. JavaScript
 * runs nothing else meanwhile, so it takes effect as a whole. There are four kinds, the weakest first:
 *
 *   READ    reads.
 *   UPDATE  reads, then writes: `n++`, `map.set(k, map.get(k) + 1)`, "make it if it is not there".
 *   STALE   as UPDATE, but a step of the strand before only read it, the strand has not written it since,
 *           and this step looks at it only once: what it writes may rest on the old value. Who looks
 *           twice (once to decide anew, once to change) does not.
 *   WRITE   writes without having looked: it cannot know whose value it destroys.
 *
 * Two accesses by two strands that no happens-before edge orders are a race if they conflict:
 *
 *            READ   UPDATE  STALE   WRITE
 *   READ      -       -       -     race
 *   UPDATE    -       -      race   race
 *   STALE     -      race    race   race
 *   WRITE    race    race    race   race
 *
 * Invariants of a place
 *  - It has at most one access of each kind and strand, the last one: if an earlier one were unordered
 *    with what comes, the last one would be too.
 *  - It has no access that is ordered before one of another strand that conflicts with all that it
 *    conflicts with: whatever is unordered with the first is unordered with the second.
 */
import type { Strand } from "./clocks.ts";

export const READ = 0;
export const UPDATE = 1;
export const STALE = 2;
export const WRITE = 3;
export type Kind = typeof READ | typeof UPDATE | typeof STALE | typeof WRITE;

/** Whether a pair is a race if it is unordered. */
export function conflict(a: Kind, b: Kind): boolean {
  if (a === WRITE || b === WRITE) return true;
  return a !== READ && b !== READ && (a === STALE || b === STALE);
}

/** Accesses of one place that are remembered; of more, those of strands that have ended go first. */
const MOST = 64;

/** Where the program was; formatted when it is asked for. */
export interface Where {
  readonly stack?: string;
}

/** What one strand did in one step. */
export interface Access {
  readonly strand: Strand;
  readonly epoch: number;
  readonly step: number;
  readonly kind: Kind;
  readonly where: Where;
}

/** Called with each access that an access is in a race with, the earlier one first. */
export type OnRace = (before: Access, now: Access) => void;

/** How a write treats what is there. */
export const BLIND = 0;
/** It looks: a delete says whether there was something. */
export const LOOKS = 1;
/** It does the right thing whatever is there: a push. */
export const ADDS = 2;
export type Manner = typeof BLIND | typeof LOOKS | typeof ADDS;

/** What a strand has read of a place in a step that did not write it before. */
interface Reading {
  step: number;
  /** Times that it was read in that step. */
  times: number;
  /** A step before that one read it too. */
  before: boolean;
}

export class Place {
  private readonly accesses: Access[] = [];
  private readonly readings = new WeakMap<Strand, Reading>();

  read(strand: Strand, step: number, where: () => Where, race: OnRace): void {
    if (this.inStep(strand, step, UPDATE)) return;
    this.noteReading(strand, step);
    this.note(strand, step, READ, where, race);
  }

  write(strand: Strand, step: number, manner: Manner, where: () => Where, race: OnRace): void {
    if (this.inStep(strand, step, UPDATE)) return;
    const kind = this.kindOfWrite(strand, step, manner);
    this.readings.delete(strand);
    this.note(strand, step, kind, where, race);
  }

  private noteReading(strand: Strand, step: number): void {
    const reading = this.readings.get(strand);
    if (reading === undefined) {
      this.readings.set(strand, { step, times: 1, before: false });
    } else if (reading.step === step) {
      reading.times++;
    } else {
      reading.before = true;
      reading.step = step;
      reading.times = 1;
    }
  }

  private kindOfWrite(strand: Strand, step: number, manner: Manner): Kind {
    if (manner === ADDS) return UPDATE;
    const reading = this.readings.get(strand);
    const looks = (reading?.step === step ? reading.times : 0) + manner;
    if (looks === 0) return WRITE;
    const before = reading !== undefined && (reading.before || reading.step !== step);
    return before && looks === 1 ? STALE : UPDATE;
  }

  /** Whether the strand has had an access of this kind, or a stronger one, in this step. */
  private inStep(strand: Strand, step: number, kind: Kind): boolean {
    for (const access of this.accesses) {
      if (access.strand === strand && access.step === step && access.kind >= kind) return true;
    }
    return false;
  }

  private note(strand: Strand, step: number, kind: Kind, where: () => Where, race: OnRace): void {
    if (this.inStep(strand, step, kind)) return;
    const { accesses } = this;
    const now: Access = { strand, epoch: strand.epochIn(step), step, kind, where: where() };
    let kept = 0;
    for (const access of accesses) {
      const ordered = strand.knows(access.strand, access.epoch);
      if (!ordered && conflict(access.kind, kind)) race(access, now);
      if (ordered && access.kind <= kind) access.strand.remembered--;
      else accesses[kept++] = access;
    }
    accesses.length = kept;
    accesses.push(now);
    strand.remembered++;
    // What a goroutine left behind may go on after its end.
    strand.ended = false;
    if (accesses.length > MOST) this.forgetOne();
  }

  private forgetOne(): void {
    const { accesses } = this;
    const ended = accesses.findIndex((access) => access.strand.ended);
    const [gone] = accesses.splice(Math.max(0, ended), 1);
    if (gone !== undefined) gone.strand.remembered--;
  }
}
