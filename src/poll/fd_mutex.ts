/**
 * fd_mutex.ts: the state word of an fd: locks, reference count, sticky facts; and its queues.
 *
 * Layout of the word (a small integer):
 *
 *   bit  0      CLOSING      close() was called: no operation may begin
 *   bit  1      READ_LOCK    an operation owns the read side
 *   bit  2      WRITE_LOCK   an operation owns the write side
 *   bit  3      READ_SHUT    closeRead() was called: reads answer EOF
 *   bit  4      PACKETS      message boundaries: a short read proves nothing, read whole packets
 *   bit  5      UNREF        waiting here does not keep the process alive
 *   bit  6      BULK         the last chunk was large: read the next into a buffer of its own
 *   bit  7      UNREAD       bytes were put back: reads take them before they ask the kernel
 *   bits 8-15   FAILED       errno of a failure that the socket stays in (ECONNRESET, …), else 0
 *   bits 16-28  REFS         references: one of the open fd, one of each lock owner, one of each
 *                            borrower; the last one to go closes the fd
 *   bit  29     WATCHED      nobody uses the fd: what owns its read side is a watch, no goroutine
 *   bit  30     UNFLUSHED    a layer of the fd (TLS) holds bytes that the socket had no room for
 *
 * System calls are synchronous, so nothing can be inside one when close() runs; the count exists for
 * whoever holds the fd across an await: a parked operation until it was evicted, a lingering close.
 */
import { Ring } from "../internal/ring.ts";
import type { Op } from "./op.ts";

export const CLOSING = 1;
export const READ_LOCK = 2;
export const WRITE_LOCK = 4;
export const READ_SHUT = 8;
export const PACKETS = 16;
export const UNREF = 32;
export const BULK = 64;
export const UNREAD = 128;
export const FAILED_SHIFT = 8;
export const FAILED_MASK = 0xff << FAILED_SHIFT;
export const ONE_REF = 1 << 16;
export const REFS_MASK = 0x1fff << 16;
export const WATCHED = 1 << 29;
export const UNFLUSHED = 1 << 30;

/** Canceled operations that a queue keeps before it looks for them. */
const FEW = 16;

/**
 * Operations that wait for a lock, oldest first. One that is canceled keeps its place until it is
 * passed over, or until such ones are the most of the queue: so both ends and the middle cost O(1).
 */
export class Queue {
  private readonly ring = new Ring<Op<never>>();
  private canceled = 0;

  push(op: Op<never>): void {
    this.ring.push(op);
  }

  /** Takes out the oldest that still waits. */
  shift(): Op<never> | undefined {
    for (let op = this.ring.shift(); op !== undefined; op = this.ring.shift()) {
      if (!op.settled) return op;
      this.canceled--;
    }
    return undefined;
  }

  /** Takes out all that still wait. */
  shiftAll(): Op<never>[] {
    const all: Op<never>[] = [];
    for (let op = this.shift(); op !== undefined; op = this.shift()) all.push(op);
    return all;
  }

  /** To be called when an operation inside has settled. */
  onCanceled(): void {
    this.canceled++;
    if (this.canceled <= FEW || this.canceled * 2 < this.ring.length) return;
    for (const op of this.shiftAll()) this.ring.push(op);
  }
}

/** The queues for both locks. Made when the first operation has to wait. */
export class Queues {
  readonly readers = new Queue();
  readonly writers = new Queue();
}
