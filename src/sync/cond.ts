/**
 * cond.ts: waiting, under a lock, until another goroutine says that something has changed.
 *
 *        wait()                signal(), broadcast()                 unlock by another
 *   holds the lock ──▶ among the waiters ──▶ among those who want the lock ──▶ holds the lock
 *                            └──────────── signal aborted ────────────▶┘ (and then fails)
 *
 * Invariants
 *  - wait() gives the lock up and joins the waiters in one step: a signal sent under the lock cannot
 *    fall in between. It always ends with the lock held, also when it fails, and under the same guard
 *    as before, so a `using` around it stays right.
 *  - A signal goes to a goroutine that waits at that moment, or to nobody: it is not remembered.
 */
import { List } from "../internal/list.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { Locker, type Mutex, type MutexGuard } from "./mutex.ts";
import { refused, type WaitOptions } from "./waiter.ts";

class CondWaiter extends Locker<void> {
  private readonly mutex: Mutex;
  private readonly guard: MutexGuard;
  /** Set when it gave up: why. */
  private gaveUp: { readonly reason: unknown } | undefined;

  constructor(
    cond: Cond,
    mutex: Mutex,
    guard: MutexGuard,
    resolve: Resolve<void>,
    signal: AbortSignal | undefined,
  ) {
    super(cond, resolve, signal);
    this.mutex = mutex;
    this.guard = guard;
    this.gaveUp = undefined;
  }

  get kind(): string {
    return "cond wait";
  }

  /** It was signaled, or gave up: all it needs now is the lock. */
  proceed(): void {
    this.unlink();
    this.mutex.admit(this as Locker<never>);
  }

  grant(): MutexGuard {
    const { gaveUp } = this;
    if (gaveUp === undefined) this.wake();
    else this.fail(() => new CanceledError(this.kind, gaveUp.reason));
    return this.guard;
  }

  override onAbort(): void {
    this.gaveUp = { reason: this.reason };
    this.list?.remove(this);
    this.proceed();
  }
}

/**
 * A condition: goroutines wait for it under a Mutex, others say that it may hold now.
 *
 * Whoever wakes looks again whether what it waits for is true, hence the loop. A signal that comes
 * when nobody waits is lost: what is waited for must be a fact that is kept somewhere (`ready` below),
 * and looked at before the first wait.
 *
 * @example
 * import { Cond, go, Mutex } from "coronet";
 * const mu = new Mutex();
 * const changed = new Cond(mu);
 * let ready = false;
 * go(async () => {
 *   using _ = await mu.lock();
 *   ready = true;
 *   changed.broadcast();
 * });
 * using _ = await mu.lock();
 * while (!ready) await changed.wait();
 * console.log("ready");
 */
export class Cond {
  /** The lock that guards what is waited for. */
  readonly mutex: Mutex;
  private readonly waiters: List<CondWaiter>;

  constructor(mutex: Mutex) {
    this.mutex = mutex;
    this.waiters = new List<CondWaiter>();
  }

  /** Goroutines that wait. */
  get length(): number {
    return this.waiters.length;
  }

  /**
   * Gives the lock up, waits for a signal and takes the lock again. Rejects with CanceledError when
   * `signal` is aborted first, holding the lock then as well; the next signal goes to somebody else.
   * Throws when nobody holds the lock.
   */
  wait(options?: WaitOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("cond wait", signal);
    const guard = this.mutex.suspend();
    const promise = parked<void>();
    const resolve: Resolve<void> = resolver();
    this.waiters.push(new CondWaiter(this, this.mutex, guard, resolve, signal));
    return promise;
  }

  /** Wakes the goroutine that waits the longest, if there is one. */
  signal(): void {
    const next = this.waiters.shift();
    if (next === undefined) return;
    if (observer.released !== null) observer.released(this, "signal");
    if (observer.acquired !== null) observer.acquired(this, "signal", next);
    next.proceed();
  }

  /** Wakes every goroutine that waits now. */
  broadcast(): void {
    for (let left = this.waiters.length; left > 0; left--) this.signal();
  }

  /** @internal */
  gaveUp(): void {}
}
