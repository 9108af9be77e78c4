/**
 * waiter.ts: a goroutine that is parked in the queue of a lock, a counter or a group.
 *
 * Invariants
 *  - A waiter stands in a queue exactly as long as it may still be chosen. Whoever takes it out wakes
 *    it in the same step, so nobody has to ask whether a queued waiter is still alive.
 *  - A waiter that was chosen has what it waited for: a signal that is aborted afterwards comes too
 *    late. One whose signal came first leaves its queue and takes nothing.
 */
import type { WaitOptions } from "../chan/waiter.ts";
import { ListEntry } from "../internal/list.ts";
import { type Cancelable, CanceledError, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { failParked, type Resolve } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";

export type { WaitOptions };

/** What a goroutine waits for: is told when one gives up. */
export interface Awaited {
  /** A waiter has left because its signal was aborted: others may be able to go on now. */
  gaveUp(): void;
}

export abstract class SyncWaiter<T> extends ListEntry implements Cancelable {
  protected readonly resolve: Resolve<T>;
  protected readonly target: Awaited;
  private link: SignalLink | undefined;

  constructor(target: Awaited, resolve: Resolve<T>, signal: AbortSignal | undefined) {
    super();
    this.resolve = resolve;
    this.target = target;
    this.link = signal === undefined ? undefined : new SignalLink(signal, this);
    if (observer.parked !== null) this.announce();
  }

  /** What the wait is called in errors and reports. */
  abstract get kind(): string;

  /**
   * Goes on with what it waited for; to be called when it is out of its queue. It costs a unit of the
   * turn's budget, so goroutines that hand a lock to each other leave turns to everybody else.
   */
  wake(value: T): void {
    this.unlink();
    if (observer.resumed !== null) observer.resumed(this);
    const { sched } = runtime();
    this.resolve(sched.spend() ? value : sched.defer(value));
  }

  /** Fails; to be called when it is out of its queue. */
  fail(makeError: () => Error): void {
    this.unlink();
    if (observer.resumed !== null) observer.resumed(this);
    failParked(this.resolve, makeError);
  }

  onAbort(): void {
    const { reason } = this;
    this.list?.remove(this);
    this.fail(() => new CanceledError(this.kind, reason));
    this.target.gaveUp();
  }

  private announce(): void {
    observer.parked?.(this, this.kind, this.target);
  }

  /** Why the signal was aborted. */
  protected get reason(): unknown {
    return this.link?.reason;
  }

  /** The signal no longer matters. */
  protected unlink(): void {
    if (this.link === undefined) return;
    this.link.remove();
    this.link = undefined;
  }
}

const DONE: Promise<void> = Promise.resolve();

/** The result of an operation that had nothing to wait for. */
export function completed(): Promise<void> {
  const { sched } = runtime();
  return sched.spend() ? DONE : sched.defer<void>(undefined);
}

/** The result of an operation whose signal was aborted before it began. */
export function refused(what: string, signal: AbortSignal): Promise<never> {
  return Promise.reject(new CanceledError(what, signal.reason));
}
