/**
 * waiter.ts: what stands in a channel's two queues.
 *
 * A waiter is a goroutine that is parked in one operation, or one case of a parked select. It is in a
 * queue exactly as long as it may still be chosen: whoever takes it out, settles it in the same step.
 * So everything in a queue is alive, and nobody has to ask.
 */
import { ListEntry } from "../internal/list.ts";
import { type Cancelable, CanceledError, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { failParked, type Resolve } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";

/** Options of an operation that may wait. */
export interface WaitOptions {
  /** Ends the wait: the operation rejects with CanceledError and leaves no trace. */
  signal?: AbortSignal | undefined;
}

/** What a receive gives: a value, or the news that the channel is closed and drained. */
export type Received<T> = [value: T, ok: true] | [value: undefined, ok: false];

/**
 * A channel was used in a way that no program means: sending on a closed one, closing it twice. A
 * goroutine that does not catch it panics.
 */
export class ChanError extends Error {
  override readonly name: string = "ChanError";
  readonly code = "ERR_CHAN_CLOSED";
}

export const SEND_ON_CLOSED = "send on closed channel";

/** Stands in a channel's queue of receivers; already taken out when a method is called. */
export abstract class Receiver<T> extends ListEntry {
  /** Who waits, as the observer knows it: a case of a select waits as its select. */
  get waiter(): object {
    return this;
  }

  /** Gets a value. `behind`: its goroutine is to run after the one that sent it. */
  abstract take(value: T, behind: boolean): void;
  /** Learns that the channel was closed and has nothing left. */
  abstract end(): void;
  /** Learns that the channel is broken: only one between threads can be. */
  abstract fail(makeError: () => Error): void;
}

/** Stands in a channel's queue of senders; already taken out when a method is called. */
export abstract class Sender<T> extends ListEntry {
  value: T;

  constructor(value: T) {
    super();
    this.value = value;
  }

  /** Who waits, as the observer knows it: a case of a select waits as its select. */
  get waiter(): object {
    return this;
  }

  /** Learns that its value was accepted. `behind`: its goroutine is to run after the receiver's. */
  abstract sent(behind: boolean): void;
  /** Learns that the channel was closed. */
  abstract refused(): void;
  /** Learns that the channel is broken: only one between threads can be. */
  abstract fail(makeError: () => Error): void;
}

/** A wait that a signal may end. */
export class Cancel implements Cancelable {
  readonly waiter: ListEntry & { resolve: Resolve<never> };
  private readonly what: string;
  private readonly link: SignalLink;

  constructor(signal: AbortSignal, waiter: ListEntry & { resolve: Resolve<never> }, what: string) {
    this.waiter = waiter;
    this.what = what;
    this.link = new SignalLink(signal, this);
  }

  onAbort(): void {
    const { waiter, what, link } = this;
    link.remove();
    waiter.list?.remove(waiter);
    if (observer.resumed !== null) observer.resumed(waiter);
    failParked(waiter.resolve, () => new CanceledError(what, link.reason));
  }

  remove(): void {
    this.link.remove();
  }
}

const settled: Promise<void> = Promise.resolve();

/** Lets a goroutine go on: `behind`, when the one that is running has reached its next wait. */
function wake<R>(resolve: Resolve<R>, result: R, behind: boolean): void {
  if (behind) wakeBehind(resolve, result);
  else runtime().sched.wake(resolve, result);
}

/** By itself, because a function that makes a closure pays for it even where it does not come to it. */
function wakeBehind<R>(resolve: Resolve<R>, result: R): void {
  void settled.then(() => runtime().sched.wake(resolve, result));
}

function unset(): void {}

abstract class ParkedReceiver<T, R> extends Receiver<T> {
  /** Set by the executor of the goroutine's promise. */
  resolve: Resolve<R>;
  private cancel: Cancel | undefined;

  constructor() {
    super();
    this.resolve = unset;
    this.cancel = undefined;
  }

  cancelBy(signal: AbortSignal): void {
    this.cancel = new Cancel(signal, this, "chan receive");
  }

  protected settle(result: R, behind: boolean): void {
    if (this.cancel !== undefined) this.cancel.remove();
    if (observer.resumed !== null) observer.resumed(this);
    wake(this.resolve, result, behind);
  }

  fail(makeError: () => Error): void {
    if (this.cancel !== undefined) this.cancel.remove();
    if (observer.resumed !== null) observer.resumed(this);
    failParked(this.resolve, makeError);
  }
}

/** Parked in receive(). */
export class PairReceiver<T> extends ParkedReceiver<T, Received<T>> {
  take(value: T, behind: boolean): void {
    this.settle([value, true], behind);
  }

  end(): void {
    this.settle([undefined, false], false);
  }
}

/** Parked in a step of `for await`. */
export class StepReceiver<T> extends ParkedReceiver<T, IteratorResult<T, undefined>> {
  take(value: T, behind: boolean): void {
    this.settle({ value, done: false }, behind);
  }

  end(): void {
    this.settle({ value: undefined, done: true }, false);
  }
}

/** Parked in send(). */
export class ParkedSender<T> extends Sender<T> {
  /** Set by the executor of the goroutine's promise. */
  resolve: Resolve<void>;
  private cancel: Cancel | undefined;

  constructor(value: T) {
    super(value);
    this.resolve = unset;
    this.cancel = undefined;
  }

  cancelBy(signal: AbortSignal): void {
    this.cancel = new Cancel(signal, this, "chan send");
  }

  sent(behind: boolean): void {
    this.detach();
    wake(this.resolve, undefined, behind);
  }

  refused(): void {
    this.fail(() => new ChanError(SEND_ON_CLOSED));
  }

  fail(makeError: () => Error): void {
    this.detach();
    failParked(this.resolve, makeError);
  }

  private detach(): void {
    if (this.cancel !== undefined) this.cancel.remove();
    if (observer.resumed !== null) observer.resumed(this);
  }
}
