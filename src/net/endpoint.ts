/**
 * endpoint.ts: what everything that reads and writes on an fd has, with a peer or without: deadlines as
 * dates, timeouts, and a say in whether waiting keeps the process alive.
 */
import { isUint8Array } from "node:util/types";
import type { OpOptions } from "../io/io.ts";
import type { ErrorDetails, FD, Owner } from "../poll/fd.ts";
import { type OpName, READER, WRITER } from "../poll/op.ts";
import { observer } from "../runtime/observer.ts";
import { CLOSED } from "../syscall/errno.ts";
import type { NetError, NetOp } from "./errors.ts";

export type { OpOptions };

/** Inactivity timeouts in ms. A property left out is left as it is; null takes the timeout away. */
export interface Timeouts {
  /** For dials: kept for clients that dial again. */
  connect?: number | null;
  /** How long one read may wait. */
  read?: number | null;
  /** How long one write may wait without progress. */
  write?: number | null;
  /** How long an operation may wait while no byte moves in either direction. */
  idle?: number | null;
}

/** The bytes that a caller wants to send. */
export function bytesOf(p: Uint8Array | string, method: string): Uint8Array {
  if (isUint8Array(p)) return p;
  // Three times as fast as a TextEncoder for the short texts of protocols.
  if (typeof p === "string") return Buffer.from(p);
  throw new TypeError(`${method}: expected a Uint8Array or a string, got ${describe(p)}`);
}

export function describe(value: unknown): string {
  if (value === null || typeof value !== "object") return String(value);
  return value.constructor?.name ?? "an object";
}

/** Milliseconds of a timeout; Infinity for null. Throws for what is not a time. */
export function timeoutOf(ms: number | null, name: string): number {
  if (ms === null) return Infinity;
  if (typeof ms !== "number" || !(ms > 0)) {
    throw new RangeError(`${name} timeout: expected a positive number of ms or null, got ${ms}`);
  }
  return ms;
}

/** Whatever reads and writes on an fd. */
export abstract class Endpoint implements Owner {
  /** @internal */
  readonly fd: FD;

  constructor(fd: FD) {
    this.fd = fd;
    fd.owner = this;
    if (observer.opened !== null) observer.opened(this);
  }

  /** "tcp", "udp", "unix", … */
  abstract get network(): string;

  /** Sets both deadlines; null clears them. One in the past fails what waits at once. */
  setDeadline(t: Date | null): void {
    const until = this.untilOf(t);
    this.fd.limits().setUntil(READER, until);
    this.fd.limits().setUntil(WRITER, until);
  }

  /** Sets the deadline of reads; null clears it. */
  setReadDeadline(t: Date | null): void {
    this.fd.limits().setUntil(READER, this.untilOf(t));
  }

  /** Sets the deadline of writes; null clears it. */
  setWriteDeadline(t: Date | null): void {
    this.fd.limits().setUntil(WRITER, this.untilOf(t));
  }

  /** Sets inactivity timeouts, which start anew with every operation. */
  setTimeouts(timeouts: Timeouts): void {
    this.checkOpen("set");
    const { read, write, idle, connect } = timeouts;
    if (connect !== undefined) timeoutOf(connect, "connect");
    const limits = this.fd.limits();
    if (read !== undefined) limits.setTimeout(READER, timeoutOf(read, "read"));
    if (write !== undefined) limits.setTimeout(WRITER, timeoutOf(write, "write"));
    if (idle !== undefined) limits.setIdle(timeoutOf(idle, "idle"));
  }

  /** An operation that waits here keeps the process alive (the default). */
  ref(): this {
    this.fd.setReferenced(true);
    return this;
  }

  /** It does not. */
  unref(): this {
    this.fd.setReferenced(false);
    return this;
  }

  /** @internal The fd's errors are made here. */
  error(op: OpName, number: number, details?: ErrorDetails): NetError {
    return this.errorFor(op, number, details);
  }

  /** The clock's time of a date. Fails when the conn is closed or the date is none. */
  protected untilOf(t: Date | null): number {
    this.checkOpen("set");
    return untilOf(this.fd, t);
  }

  protected checkOpen(op: NetOp): void {
    if (this.fd.closing) throw this.errorFor(op, CLOSED);
  }

  /** An error of an operation here, with the addresses that are known. */
  protected abstract errorFor(op: NetOp, number: number, details?: ErrorDetails): NetError;
}

/** A date as the runtime's clock counts; Infinity for null. */
export function untilOf(fd: FD, t: Date | null): number {
  if (t === null) return Infinity;
  const at = t instanceof Date ? t.getTime() : Number.NaN;
  if (Number.isNaN(at)) throw new TypeError("deadline: expected a valid Date or null");
  const { clock } = fd.device.runtime;
  return clock.now() + (at - clock.wall());
}
