/**
 * waitgroup.ts: waiting until a number of goroutines have finished.
 *
 * Invariants
 *  - The counter is never below zero. Nobody waits while it is zero.
 *  - `passing` counts the waits that found it at zero and whose goroutines have not gone on yet. An add
 *    that comes in between was meant to be waited for and is too late: it throws.
 */
import { List } from "../internal/list.ts";
import { type AnyFunction, Goroutine, launch } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { panic } from "../runtime/panic.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import { SyncError } from "./errors.ts";
import { refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

class GroupWaiter extends SyncWaiter<void> {
  get kind(): string {
    return "waitgroup wait";
  }
}

/** A goroutine that counts itself out of its group. */
class Member<T> extends Goroutine<T> {
  private readonly group: WaitGroup;

  constructor(group: WaitGroup, fn: AnyFunction) {
    super(fn);
    this.group = group;
  }

  override ended(): void {
    try {
      this.group.done();
    } catch (error) {
      // Somebody called done() once too often: an error of the program, with this goroutine's number.
      panic(this as Goroutine<unknown>, error);
    }
  }
}

const settled: Promise<void> = Promise.resolve();

/**
 * A counter of goroutines that are at work; `wait` resolves when it is zero.
 *
 * `go` counts, starts and counts down by itself. With `add` and `done`, add before the goroutine is
 * started: one that adds itself does so only when it runs, and wait may have found zero by then.
 *
 * @example
 * import { sleep, WaitGroup } from "coronet";
 * const wg = new WaitGroup();
 * const done: number[] = [];
 * async function work(n: number) {
 *   await sleep(n);
 *   done.push(n);
 * }
 * for (const n of [3, 1, 2]) wg.go(work, n);
 * await wg.wait();
 * console.log(done.length); // 3
 */
export class WaitGroup {
  private counter: number;
  private passing: number;
  private readonly waiters: List<GroupWaiter>;

  constructor() {
    this.counter = 0;
    this.passing = 0;
    this.waiters = new List<GroupWaiter>();
  }

  /** How much is left to be done. */
  get count(): number {
    return this.counter;
  }

  /**
   * Adds to the counter, which may be negative but must not make it so. At zero every wait is over.
   * Throws SyncError when the counter would go below zero, and when it is called too late: after a wait
   * that has found zero and before its goroutine has gone on.
   */
  add(delta = 1): void {
    if (!Number.isSafeInteger(delta)) throw new RangeError(`WaitGroup.add: ${delta} is no integer`);
    const counter = this.counter + delta;
    if (counter < 0) throw new SyncError("negative WaitGroup counter");
    if (this.passing > 0 && this.counter === 0 && delta > 0) {
      throw new SyncError(
        "WaitGroup.add came after the wait that should know of it: call add before go, or wg.go",
      );
    }
    this.counter = counter;
    if (observer.released !== null && delta < 0) observer.released(this, "done");
    if (counter === 0 && this.waiters.length > 0) this.release();
  }

  /** Takes one from the counter. */
  done(): void {
    this.add(-1);
  }

  /**
   * Starts a goroutine as go() does, adds it before it starts and takes it off when it has ended,
   * whether it returned or threw.
   */
  go<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Goroutine<Awaited<R>> {
    const member = new Member<Awaited<R>>(this, fn as AnyFunction);
    this.add(1);
    return launch(member, args, WaitGroup.prototype.go);
  }

  /**
   * Waits until the counter is zero. Rejects with CanceledError when `signal` is aborted first.
   *
   * @example
   * import { sleep, WaitGroup } from "coronet";
   * const wg = new WaitGroup();
   * wg.go(sleep, 50);
   * const early = wg.wait({ signal: AbortSignal.timeout(1) });
   * await early.catch((error) => console.log(error.code, wg.count)); // ERR_CANCELED 1
   * await wg.wait();
   * console.log(wg.count); // 0
   */
  wait(options?: WaitOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("waitgroup wait", signal);
    if (this.counter === 0) return this.pass();
    const promise = parked<void>();
    const resolve: Resolve<void> = resolver();
    this.waiters.push(new GroupWaiter(this, resolve, signal));
    return promise;
  }

  /** @internal */
  gaveUp(): void {}

  private pass(): Promise<void> {
    this.passing++;
    if (observer.acquired !== null) observer.acquired(this, "done");
    const { sched } = runtime();
    const now = sched.spend() ? settled : sched.defer<void>(undefined);
    return now.then(() => {
      this.passing--;
    });
  }

  private release(): void {
    const { waiters } = this;
    for (let next = waiters.shift(); next !== undefined; next = waiters.shift()) {
      if (observer.acquired !== null) observer.acquired(this, "done", next);
      next.wake();
    }
  }
}
