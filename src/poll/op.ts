/**
 * op.ts: one operation on an fd: what all of them share.
 *
 * An operation is tried at once; only if it would block does an Op exist. It owns the read or the
 * write side of its fd (or queues for it), is parked on the poll descriptor, and tries again
 * whenever it is made ready:
 *
 *     queued ──lock──▶ trying ──EAGAIN──▶ parked ──ready──▶ trying ──▶ settled
 *        └──────────────── close, deadline, signal ───────────────────────▲
 *
 * Invariants
 *  - An Op settles once; `resolve` is undefined from then on.
 *  - A settled Op is in no queue, on no descriptor and listens to no signal.
 */
import { type Cancelable, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { failParked, type Resolve } from "../runtime/park.ts";
import type { Waiter } from "../runtime/sched.ts";
import { CANCELED } from "../syscall/errno.ts";
import type { ErrorDetails, FD } from "./fd.ts";

/** What an operation is called in errors and reports. */
export type OpName =
  | "read"
  | "write"
  | "accept"
  | "connect"
  | "wait"
  | "close"
  | "pass"
  | "receive"
  | "handshake";

/** Which side of an fd an operation owns. */
export const READER = 0;
export const WRITER = 1;
export type Side = typeof READER | typeof WRITER;

export abstract class Op<T> implements Waiter {
  readonly fd: FD;
  private resolve: Resolve<T> | undefined;

  constructor(fd: FD, resolve: Resolve<T>) {
    this.fd = fd;
    this.resolve = resolve;
  }

  abstract get kind(): OpName;
  abstract get side(): Side;
  /** Tries once. True when it has settled, false when it has to park (again). Must not throw. */
  abstract attempt(): boolean;

  /** Bytes that the operation had moved when it failed; undefined when that says nothing. */
  get progress(): number | undefined {
    return undefined;
  }

  /** What its error tells beside the number. */
  protected details(cause: unknown): ErrorDetails {
    return { bytesWritten: this.progress, cause };
  }

  /** Why the operation was canceled. */
  protected get reason(): unknown {
    return undefined;
  }

  get settled(): boolean {
    return this.resolve === undefined;
  }

  /** From the poller or the run queue: the goroutine is runnable. */
  ready(): void {
    if (this.resolve !== undefined) this.fd.onReady(this as never);
  }

  succeed(value: T): void {
    const resolve = this.detach();
    if (resolve !== undefined) resolve(value);
  }

  /** Fails with an errno (or CLOSED, DEADLINE, CANCELED); `text` says more than the number does. */
  fail(number: number, text?: string): void {
    const cause = number === CANCELED ? this.reason : undefined;
    const resolve = this.detach();
    if (resolve === undefined) return;
    const { fd, kind } = this;
    const details = { ...this.details(cause), text };
    failParked(resolve, () => fd.owner.error(kind, number, details));
  }

  /** Fails with an error that is not the connection's. */
  failWith(error: Error): void {
    const resolve = this.detach();
    if (resolve !== undefined) failParked(resolve, () => error);
  }

  /** Takes the resolver out, once; from then on the operation is settled. */
  protected detach(): Resolve<T> | undefined {
    const resolve = this.resolve;
    this.resolve = undefined;
    if (observer.resumed !== null && resolve !== undefined) observer.resumed(this);
    return resolve;
  }
}

/** An operation that a signal may cancel. */
export abstract class SignalOp<T> extends Op<T> implements Cancelable {
  private link: SignalLink | undefined;
  /** It stands in the run queue to try again (goOnLater). */
  goesOnLater: boolean;

  constructor(fd: FD, resolve: Resolve<T>, signal: AbortSignal | undefined) {
    super(fd, resolve);
    this.goesOnLater = false;
    this.link = signal === undefined ? undefined : new SignalLink(signal, this);
  }

  onAbort(): void {
    this.fd.cancel(this as never);
  }

  protected override get reason(): unknown {
    return this.link?.reason;
  }

  protected override detach(): Resolve<T> | undefined {
    if (this.link !== undefined) {
      this.link.remove();
      this.link = undefined;
    }
    return super.detach();
  }
}

/** An operation that could go on, but lets others go first. */
class Again implements Waiter {
  private readonly op: SignalOp<never>;

  constructor(op: SignalOp<never>) {
    this.op = op;
  }

  ready(): void {
    this.op.goesOnLater = false;
    this.op.fd.retry(this.op);
  }
}

/** Lets others go first; the operation has to be parked, and tries again in a later turn. */
export function goOnLater(op: SignalOp<never>): void {
  // An event may have made it try before its turn came: it has one place in the queue all the same.
  if (op.goesOnLater) return;
  op.goesOnLater = true;
  op.fd.device.runtime.sched.enqueue(new Again(op));
}
