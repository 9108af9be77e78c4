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
 *   bits 8-15   FAILED       errno of a failure that the socket stays in (ECONNRESET, …), else 0
 *   bits 16-29  REFS         references: one of the open fd, one of each lock owner, one of each
 *                            borrower; the last one to go closes the fd
 *
 * System calls are synchronous, so nothing can be inside one when close() runs; the count exists for
 * whoever holds the fd across an await: a parked operation until it was evicted, a lingering close.
 */
import type { Op } from "./op.ts";

export const CLOSING = 1;
export const READ_LOCK = 2;
export const WRITE_LOCK = 4;
export const READ_SHUT = 8;
export const PACKETS = 16;
export const UNREF = 32;
export const BULK = 64;
export const FAILED_SHIFT = 8;
export const FAILED_MASK = 0xff << FAILED_SHIFT;
export const ONE_REF = 1 << 16;
export const REFS_MASK = 0x3fff << 16;

/** Operations that wait for a lock, oldest first. Made when the first one has to wait. */
export class Queues {
  readonly readers: Op<never>[] = [];
  readonly writers: Op<never>[] = [];
}
