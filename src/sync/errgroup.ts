/**
 * errgroup.ts: goroutines that work on one task: the first error ends it for all.
 *
 * Invariants
 *  - At most `limit` goroutines of the group run; who starts a further one waits, first come first
 *    served. Nobody waits for a place while there is one.
 *  - The group takes its goroutines' errors over: none of them panics. The first one is kept, cancels
 *    the group's context and is what wait() rejects with, when all have ended.
 *  - The context ends with the first error, or when a wait is over.
 */

import { type CancelFunc, withCancel } from "../context/cancel.ts";
import { background, type Context } from "../context/context.ts";
import type { ContextParent } from "../context/signal.ts";
import { List } from "../internal/list.ts";
import { type AnyFunction, Goroutine, launch } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { recordOrigin } from "../runtime/origin.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { completed, refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

export interface ErrGroupOptions {
  /** What the group's context is made below: when it ends, so does the group's. */
  context?: ContextParent;
  /** How many of its goroutines may run at once; any number by default. */
  limit?: number;
}

class Member extends Goroutine<unknown> {
  private readonly group: ErrGroup;

  constructor(group: ErrGroup, fn: AnyFunction) {
    super(fn);
    this.group = group;
    this.joined = true;
  }

  override ended(failed: boolean, error: unknown): void {
    this.group.memberEnded(failed, error);
  }
}

/** Waits for a place for a goroutine, which is started in the moment when there is one. */
class PlaceWaiter extends SyncWaiter<void> {
  readonly fn: AnyFunction;
  readonly args: unknown[];

  constructor(group: ErrGroup, fn: AnyFunction, args: unknown[], resolve: Resolve<void>) {
    super(group, resolve, undefined);
    this.fn = fn;
    this.args = args;
  }

  get kind(): string {
    return "errgroup go";
  }
}

class EndWaiter extends SyncWaiter<void> {
  get kind(): string {
    return "errgroup wait";
  }
}

/**
 * A group of goroutines that work on one task.
 *
 * @example
 * import { ErrGroup, sleep } from "coronet";
 * const group = new ErrGroup({ limit: 2 });
 * async function fetchPage(n: number) {
 *   await sleep(1, { signal: group.context.signal });
 *   if (n === 3) throw new Error(`page ${n} is missing`);
 * }
 * for (const n of [1, 2, 3, 4]) await group.go(fetchPage, n);
 * await group.wait().catch((error) => console.log(error.message)); // page 3 is missing
 */
export class ErrGroup {
  /** Ends with the first error, and when the group has been waited for. */
  readonly context: Context;
  private readonly cancel: CancelFunc;
  private readonly limit: number;
  private running: number;
  private failure: { readonly error: unknown } | undefined;
  private readonly waiting: List<PlaceWaiter>;
  private readonly waiters: List<EndWaiter>;

  constructor(options?: ErrGroupOptions) {
    const limit = options?.limit ?? Infinity;
    if (limit !== Infinity && (!Number.isSafeInteger(limit) || limit < 1)) {
      throw new RangeError(`an ErrGroup's limit is a whole number from 1, not ${limit}`);
    }
    [this.context, this.cancel] = withCancel(options?.context ?? background());
    this.limit = limit;
    this.running = 0;
    this.failure = undefined;
    this.waiting = new List<PlaceWaiter>();
    this.waiters = new List<EndWaiter>();
  }

  /** Goroutines that have not ended, and those that wait for a place. */
  get count(): number {
    return this.running + this.waiting.length;
  }

  /** Starts a goroutine of the group; waits first while as many run as may. */
  go<A extends unknown[]>(fn: (...args: A) => unknown, ...args: A): Promise<void> {
    if (this.start(fn, args, ErrGroup.prototype.go)) return completed();
    recordOrigin(fn, ErrGroup.prototype.go);
    if (observer.released !== null) observer.released(this, "units");
    const promise = parked<void>();
    this.waiting.push(new PlaceWaiter(this, fn as AnyFunction, args, resolver()));
    return promise;
  }

  /** Starts a goroutine of the group if that needs no wait; says whether it did. */
  tryGo<A extends unknown[]>(fn: (...args: A) => unknown, ...args: A): boolean {
    return this.start(fn, args, ErrGroup.prototype.tryGo);
  }

  /**
   * Waits until every goroutine of the group has ended, then ends its context. Rejects with the first
   * error that one of them threw; with CanceledError when `signal` is aborted before they have ended,
   * and then they go on.
   */
  wait(options?: WaitOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("errgroup wait", signal);
    if (this.running === 0) return this.outcome();
    const promise = parked<void>();
    const resolve: Resolve<void> = resolver();
    this.waiters.push(new EndWaiter(this, resolve, signal));
    return promise;
  }

  /** @internal */
  memberEnded(failed: boolean, error: unknown): void {
    if (failed && this.failure === undefined) {
      this.failure = { error };
      this.cancel(error);
    }
    if (observer.released !== null) observer.released(this, "done");
    const next = this.waiting.shift();
    if (next !== undefined) {
      // The new one comes after whoever waited to start it.
      if (observer.acquired !== null) observer.acquired(this, "units");
      launch(new Member(this, next.fn), next.args);
      next.wake();
    } else if (--this.running === 0) this.release();
  }

  /** @internal */
  gaveUp(): void {}

  private start(fn: unknown, args: unknown[], above: AnyFunction): boolean {
    if (this.running >= this.limit) return false;
    const member = new Member(this, fn as AnyFunction);
    this.running++;
    launch(member, args, above);
    return true;
  }

  private release(): void {
    const { failure, waiters } = this;
    if (waiters.length > 0) this.cancel();
    for (let next = waiters.shift(); next !== undefined; next = waiters.shift()) {
      if (observer.acquired !== null) observer.acquired(this, "done", next);
      if (failure === undefined) next.wake();
      else next.fail(() => failure.error as Error);
    }
  }

  private outcome(): Promise<void> {
    this.cancel();
    if (observer.acquired !== null) observer.acquired(this, "done");
    return this.failure === undefined ? completed() : Promise.reject(this.failure.error);
  }
}
