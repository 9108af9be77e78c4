/**
 * clocks.ts: happens-before, by vector clocks.
 *
 * A strand is a goroutine, or all that runs outside of goroutines. Its epoch is a number that grows with
 * each of its releases; its clock says, for every other strand, up to which epoch that one's doings
 * happened before its own. So the doing of strand s in epoch e happened before what strand t does now
 * exactly if t's clock has e or more for s: one comparison, as in FastTrack (Flanagan and Freund, 2009).
 *
 * Invariants
 *  - An epoch of s in a clock came from a release of s in that epoch (or a later one), with all that s
 *    knew then. So a clock that has the epoch of a release has all of the release.
 *  - A release has the whole step that it happens in, also what follows it there: a step takes effect
 *    as a whole, and nobody comes to acquire before it is over.
 *  - A released clock does not change any more; its strand copies it before it learns more.
 *  - Clocks forget strands that have ended and of which no access is remembered: nobody asks for them.
 */
import type { Goroutine } from "../../runtime/goroutine.ts";
import { currentStep } from "./steps.ts";

/** What a strand's release hands over: that strand up to this epoch, and all that it knew of others. */
export interface Release {
  readonly strand: Strand;
  readonly epoch: number;
  readonly others: ReadonlyMap<Strand, number>;
}

export class Strand {
  /** Undefined for what runs outside of goroutines. */
  readonly goroutine: Goroutine<unknown> | undefined;
  private epoch = 1;
  /** The step of the last release, and the epoch of the first one in that step. */
  private releasedIn = 0;
  private releasedAt = 0;
  ended = false;
  /** Accesses of this strand that cells remember. */
  remembered = 0;
  private others = new Map<Strand, number>();
  /** Some release has the map. */
  private lent = false;

  constructor(goroutine: Goroutine<unknown> | undefined) {
    this.goroutine = goroutine;
  }

  /** What it did in `epoch`, `other` strand, happened before what this one does now. */
  knows(other: Strand, epoch: number): boolean {
    return other === this || (this.others.get(other) ?? 0) >= epoch;
  }

  /** The epoch of what it does in this step. */
  epochIn(step: number): number {
    return this.releasedIn === step ? this.releasedAt : this.epoch;
  }

  /** Hands over what it did so far and does in this step, and what it knows. */
  release(): Release {
    this.lent = true;
    const step = currentStep();
    if (this.releasedIn !== step) {
      this.releasedIn = step;
      this.releasedAt = this.epoch;
    }
    return { strand: this, epoch: this.epoch++, others: this.others };
  }

  /** What was released happened before whatever this strand does from now on. */
  acquire(release: Release): void {
    if (this.knows(release.strand, release.epoch)) return;
    if (this.lent) {
      this.others = new Map(this.others);
      this.lent = false;
    }
    this.learn(release.strand, release.epoch);
    for (const [strand, epoch] of release.others) this.learn(strand, epoch);
  }

  private learn(strand: Strand, epoch: number): void {
    if (strand === this || (strand.ended && strand.remembered === 0)) return;
    if ((this.others.get(strand) ?? 0) < epoch) this.others.set(strand, epoch);
  }
}

/** Releases of several strands that are taken together. */
export class Gathered {
  private releases = new Map<Strand, Release>();

  add(release: Release): void {
    // A strand's later release has all of its earlier ones.
    this.releases.set(release.strand, release);
    if (this.releases.size > this.sweepAt) this.sweep();
  }

  acquireBy(strand: Strand): void {
    for (const release of this.releases.values()) strand.acquire(release);
  }

  clear(): void {
    this.releases.clear();
  }

  private sweepAt = 64;

  /** One strand that is nobody's stands for all of those that have ended. */
  private sweep(): void {
    const merged = new Strand(undefined);
    for (const [strand, release] of this.releases) {
      if (!strand.ended) continue;
      merged.acquire(release);
      this.releases.delete(strand);
    }
    merged.ended = true;
    this.releases.set(merged, merged.release());
    this.sweepAt = 2 * this.releases.size + 64;
  }
}
