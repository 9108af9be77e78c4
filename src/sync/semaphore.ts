/**
 * semaphore.ts: a number of units that goroutines share, each taking as many as it needs.
 *
 * Invariants
 *  - What was taken is between zero and the capacity.
 *  - Strictly first in, first out: who waits at the front for many units holds back those behind that
 *    need few, or else it might wait for ever.
 *  - The one at the front waits only because what is free is not enough for it.
 *  - A guard gives back what it was made for, once.
 */
import { List } from "../internal/list.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import { SyncError } from "./errors.ts";
import { refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

/** Holds units of a Semaphore until the end of its scope. */
export class SemaphoreGuard implements Disposable {
  private readonly semaphore: Semaphore;
  private units: number;

  /** @internal */
  constructor(semaphore: Semaphore, units: number) {
    this.semaphore = semaphore;
    this.units = units;
  }

  /** Gives the units back. Harmless when it did so before. */
  [Symbol.dispose](): void {
    const { units } = this;
    this.units = 0;
    if (units > 0) this.semaphore.release(units);
  }
}

class AcquireWaiter extends SyncWaiter<SemaphoreGuard> {
  readonly units: number;

  constructor(
    semaphore: Semaphore,
    units: number,
    resolve: Resolve<SemaphoreGuard>,
    signal: AbortSignal | undefined,
  ) {
    super(semaphore, resolve, signal);
    this.units = units;
  }

  get kind(): string {
    return "semaphore acquire";
  }
}

/**
 * A weighted semaphore: at most `capacity` units are taken at once.
 *
 * @example
 * import { Semaphore, sleep, WaitGroup } from "coronet";
 * const slots = new Semaphore(2);
 * const wg = new WaitGroup();
 * let busiest = 0;
 * async function fetchOne() {
 *   using _ = await slots.acquire();
 *   busiest = Math.max(busiest, slots.taken);
 *   await sleep(1);
 * }
 * for (let i = 0; i < 10; i++) wg.go(fetchOne);
 * await wg.wait();
 * console.log(busiest); // 2
 */
export class Semaphore {
  /** How many units there are. */
  readonly capacity: number;
  private used: number;
  private readonly waiters: List<AcquireWaiter>;

  constructor(capacity: number) {
    checkUnits(capacity, "a semaphore's capacity");
    this.capacity = capacity;
    this.used = 0;
    this.waiters = new List<AcquireWaiter>();
  }

  /** How many units are taken. */
  get taken(): number {
    return this.used;
  }

  /** How many units could be taken now. */
  get available(): number {
    return this.waiters.length > 0 ? 0 : this.capacity - this.used;
  }

  /**
   * Waits until so many units are free and takes them. Dispose of the guard, or release as many, once.
   * Rejects with CanceledError when `signal` is aborted first, and has taken nothing then. Throws
   * RangeError when there will never be so many.
   */
  acquire(units = 1, options?: WaitOptions): Promise<SemaphoreGuard> {
    this.checkDemand(units);
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("semaphore acquire", signal);
    if (units <= this.available) return runtime().sched.completeLight(this.take(units, undefined));
    const promise = parked<SemaphoreGuard>();
    const resolve: Resolve<SemaphoreGuard> = resolver();
    this.waiters.push(new AcquireWaiter(this, units, resolve, signal));
    return promise;
  }

  /** Takes so many units if that needs no wait, else gives undefined. */
  tryAcquire(units = 1): SemaphoreGuard | undefined {
    this.checkDemand(units);
    return units <= this.available ? this.take(units, undefined) : undefined;
  }

  /** Gives units back. Throws when fewer were taken. */
  release(units = 1): void {
    checkUnits(units, "what is released");
    if (units > this.used) {
      throw new SyncError(`semaphore released ${units} of ${this.used} units that were taken`);
    }
    this.used -= units;
    if (observer.released !== null) observer.released(this, "units", undefined, units);
    this.admit();
  }

  /** @internal The one at the front may have gone: those behind it may need less. */
  gaveUp(): void {
    this.admit();
  }

  private admit(): void {
    const { waiters } = this;
    for (;;) {
      const next = waiters.peek();
      if (next === undefined || next.units > this.capacity - this.used) return;
      waiters.shift();
      next.wake(this.take(next.units, next));
    }
  }

  private take(units: number, waiter: AcquireWaiter | undefined): SemaphoreGuard {
    this.used += units;
    if (observer.acquired !== null) observer.acquired(this, "units", waiter, units);
    return new SemaphoreGuard(this, units);
  }

  private checkDemand(units: number): void {
    checkUnits(units, "what is acquired");
    if (units > this.capacity) {
      throw new RangeError(`${units} units of a semaphore that has ${this.capacity}`);
    }
  }
}

function checkUnits(units: number, what: string): void {
  if (!Number.isSafeInteger(units) || units < 1) {
    throw new RangeError(`${what}: a whole number from 1, not ${units}`);
  }
}
