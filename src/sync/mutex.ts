/**
 * mutex.ts: mutual exclusion between goroutines.
 *
 * Invariants
 *  - `holder` is the guard of whoever holds the lock, undefined while it is free. Nobody waits for a
 *    free lock: unlock hands it to the one that waits the longest, in the same step.
 *  - A guard ends the lease that it was made for and no other: it unlocks only while it is `holder`.
 *
 * What an uncontended lock costs is mostly its promise, so guards are reused as long as nobody looks
 * at them: `spare` is a guard, with its promise, whose Symbol.dispose was never read. `using` reads
 * it once, when the declaration is evaluated; that takes the guard out of reuse for ever. A goroutine
 * that calls unlock() instead never reads it, and the next lock gets the same guard again.
 */
import { List } from "../internal/list.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import { SyncError } from "./errors.ts";
import { refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

/** Holds a Mutex until the end of its scope. */
export class MutexGuard implements Disposable {
  private readonly mutex: Mutex;
  /** @internal Resolved with this guard; made when it is first needed. */
  taken: Promise<MutexGuard> | undefined;

  /** @internal */
  constructor(mutex: Mutex) {
    this.mutex = mutex;
    this.taken = undefined;
  }

  /** Unlocks. Harmless when the lease it was made for is over. */
  get [Symbol.dispose](): () => void {
    this.mutex.retire(this);
    return this.release;
  }

  private release(): void {
    this.mutex.releaseBy(this);
  }
}

/** Stands in a Mutex's queue. */
export abstract class Locker<T> extends SyncWaiter<T> {
  /** Gets the lock, being out of the queue; gives the guard under which it holds it. */
  abstract grant(mutex: Mutex): MutexGuard;
}

/** A goroutine that waits in lock(). */
class LockWaiter extends Locker<MutexGuard> {
  get kind(): string {
    return "mutex lock";
  }

  grant(mutex: Mutex): MutexGuard {
    const guard = mutex.nextGuard();
    this.wake(guard);
    return guard;
  }
}

/**
 * A mutual exclusion lock. Those who wait get it in the order in which they came.
 *
 * Between two awaits a goroutine is alone anyway; a Mutex keeps others out of a stretch of code that
 * has an await inside.
 *
 * @example
 * import { go, Mutex, sleep } from "coronet";
 * const mu = new Mutex();
 * let balance = 100;
 * async function withdraw(amount: number) {
 *   using _ = await mu.lock();
 *   const before = balance;
 *   await sleep(1); // ask a server
 *   balance = before - amount;
 * }
 * await Promise.all([go(withdraw, 10).join(), go(withdraw, 20).join()]);
 * console.log(balance); // 70
 */
export class Mutex {
  private holder: MutexGuard | undefined;
  private spare: MutexGuard | undefined;
  private readonly waiters: List<Locker<never>>;

  constructor() {
    this.holder = undefined;
    this.spare = undefined;
    this.waiters = new List<Locker<never>>();
  }

  /** True while a goroutine holds it. */
  get locked(): boolean {
    return this.holder !== undefined;
  }

  /**
   * Waits until the lock is free and takes it. Dispose of the guard or call unlock(), once. Rejects
   * with CanceledError when `signal` is aborted first, and does not have the lock then.
   *
   * @example
   * import { background, Mutex, withTimeout } from "coronet";
   * const mu = new Mutex();
   * using ctx = withTimeout(background(), 10)[0];
   * {
   *   using _ = await mu.lock();
   *   console.log(mu.locked); // true
   *   const second = mu.lock({ signal: ctx.signal });
   *   await second.catch((error) => console.log(error.code)); // ERR_CANCELED
   * }
   * console.log(mu.locked); // false
   */
  lock(options?: WaitOptions): Promise<MutexGuard> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("mutex lock", signal);
    if (this.holder !== undefined) return this.park(signal);
    const guard = this.nextGuard();
    this.holder = guard;
    if (observer.acquired !== null) observer.acquired(this, "lock");
    const { sched } = runtime();
    if (!sched.spend()) return sched.defer(guard);
    return guard.taken ?? this.makePromise(guard);
  }

  /**
   * Takes the lock if it is free, else gives undefined.
   *
   * @example
   * import { Mutex } from "coronet";
   * const mu = new Mutex();
   * using held = mu.tryLock();
   * console.log(held !== undefined, mu.tryLock()); // true undefined
   */
  tryLock(): MutexGuard | undefined {
    if (this.holder !== undefined) return undefined;
    this.holder = this.nextGuard();
    if (observer.acquired !== null) observer.acquired(this, "lock");
    return this.holder;
  }

  /** Gives the lock to the one that waits the longest, or frees it. Throws when nobody holds it. */
  unlock(): void {
    if (this.holder === undefined) throw new SyncError("unlock of unlocked Mutex");
    const next = this.waiters.shift();
    if (observer.released !== null) observer.released(this, "lock");
    if (observer.acquired !== null && next !== undefined) observer.acquired(this, "lock", next);
    this.holder = next === undefined ? undefined : next.grant(this);
  }

  // ---- for guards

  /** @internal Somebody holds on to this guard: it is not used again. */
  retire(guard: MutexGuard): void {
    if (this.spare === guard) this.spare = undefined;
  }

  /** @internal */
  releaseBy(guard: MutexGuard): void {
    if (this.holder === guard) this.unlock();
  }

  /** @internal A guard that nobody else can tell from a new one. */
  nextGuard(): MutexGuard {
    this.spare ??= new MutexGuard(this);
    return this.spare;
  }

  // ---- for Cond, which gives the lock up and takes it again under the same guard

  /** @internal Unlocks; the guard waits with its owner. */
  suspend(): MutexGuard {
    const guard = this.holder;
    if (guard === undefined) throw new SyncError("Cond.wait without holding its Mutex");
    this.retire(guard);
    this.unlock();
    return guard;
  }

  /** @internal Gives a waiter the lock, or a place among those who wait for it. */
  admit(waiter: Locker<never>): void {
    if (this.holder !== undefined) {
      this.waiters.push(waiter);
      return;
    }
    if (observer.acquired !== null) observer.acquired(this, "lock", waiter);
    this.holder = waiter.grant(this);
  }

  /** @internal A waiter that gave up held nobody back. */
  gaveUp(): void {}

  private park(signal: AbortSignal | undefined): Promise<MutexGuard> {
    const promise = parked<MutexGuard>();
    const resolve: Resolve<MutexGuard> = resolver();
    this.waiters.push(new LockWaiter(this, resolve, signal) as Locker<never>);
    return promise;
  }

  private makePromise(guard: MutexGuard): Promise<MutexGuard> {
    guard.taken = Promise.resolve(guard);
    return guard.taken;
  }
}
