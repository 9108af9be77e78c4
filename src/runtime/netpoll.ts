/**
 * netpoll.ts: the poller's contract, the poll descriptor, and the pool that descriptors come from.
 *
 * A backend (netpoll_epoll.ts, …) implements Poller:
 *   init()            creates the multiplexer, once per thread, when it is first needed; 0 or a
 *                     negative errno, after which nothing is left behind and it may be tried again
 *   open(fd, pd)      arms edge-triggered read, write and peer-hangup, once for the life of the fd
 *   close(fd, pd)     forgets the fd; called before close(2)
 *   disarm(fd, pd)    forgets the fd, which stays open here or with someone else
 *   poll(timeout)     < 0 waits, 0 asks, > 0 waits at most so many ms; returns the goroutines that
 *                     became runnable, not events
 *   wake()            interrupts a waiting poll from any thread; wake-ups coalesce
 *   isPollDescriptor  true for the poller's own fds
 *
 * PollDesc has two binary semaphores, rg for the reader and wg for the writer. Each is one of
 *   null     nobody waits and nothing is known: whoever comes next tries, or parks
 *   READY    an event came (or nothing is known against it): the next one tries at once
 *   Waiter   a goroutine is parked here
 *
 *              event                    event
 *      null ──────────▶ READY    Waiter ──────▶ READY, and the waiter becomes runnable
 *        ▲                │         ▲
 *        └── EAGAIN, ─────┘         └── park (only from null)
 *            short read
 *
 * Invariants
 *  - A second waiter on one semaphore is a programming error and throws. poll/fd.ts queues concurrent
 *    readers and writers above this.
 *  - Every event carries slot and sequence number of the descriptor it was armed with. Sequence
 *    numbers are never used twice in a thread's lifetime (32 bits), so an event for an fd that has
 *    been closed since, even one whose number the kernel has given to a new socket, is dropped.
 *  - Events are walked first; what they made runnable runs after the walk.
 */
import { assert } from "../internal/assert.ts";
import type { Waiter } from "./sched.ts";

export interface Poller {
  init(): number;
  /** 0 or a negative errno. */
  open(fd: number, pd: PollDesc): number;
  close(fd: number, pd: PollDesc): void;
  disarm(fd: number, pd: PollDesc): void;
  poll(timeout: number): readonly Waiter[];
  wake(): void;
  isPollDescriptor(fd: number): boolean;
}

class Ready implements Waiter {
  ready(): void {}
}

/** The semaphore's "ready" state; not a goroutine. */
export const READY: Waiter = new Ready();

/** The peer has hung up or the socket has an error: read on until EOF, a short read proves nothing. */
export const HANGUP = 1;
/**
 * Urgent data was seen, and a read may stop early at the urgent mark; or something else on this fd
 * ends reads early: a short read proves nothing.
 */
export const URGENT = 2;
/** Registered with the poller. */
export const ARMED = 4;
/** Someone else has this open file too (another process): close(2) will not end the interest. */
export const SHARED = 8;
/** Other threads accept from this open file too: armed only while someone waits here. */
export const EXCLUSIVE = 16;

export class PollDesc {
  /** Place in the pool, and the sequence number of this use of it. */
  slot: number;
  seq: number;
  rg: Waiter | null = READY;
  wg: Waiter | null = READY;
  flags = 0;

  constructor(slot: number, seq: number) {
    this.slot = slot;
    this.seq = seq;
  }
}

/** Parks a reader. Throws when one is parked already. */
export function parkRead(pd: PollDesc, waiter: Waiter): void {
  assert(pd.rg === null || pd.rg === READY, "a second reader parked on one descriptor");
  pd.rg = waiter;
}

/** Parks a writer. Throws when one is parked already. */
export function parkWrite(pd: PollDesc, waiter: Waiter): void {
  assert(pd.wg === null || pd.wg === READY, "a second writer parked on one descriptor");
  pd.wg = waiter;
}

/** Marks the read side ready; adds the goroutine that was parked there to `runnable`. */
export function readyRead(pd: PollDesc, runnable: Waiter[]): void {
  const waiter = pd.rg;
  pd.rg = READY;
  if (waiter !== null && waiter !== READY) runnable.push(waiter);
}

/** Marks the write side ready; adds the goroutine that was parked there to `runnable`. */
export function readyWrite(pd: PollDesc, runnable: Waiter[]): void {
  const waiter = pd.wg;
  pd.wg = READY;
  if (waiter !== null && waiter !== READY) runnable.push(waiter);
}

/** Free descriptors that are kept for reuse; more are left to the garbage collector. */
const KEPT = 256;

/**
 * The pool of descriptors. A slot is reused, a sequence number is not, so (slot, seq) names one use
 * of one descriptor for ever.
 */
export class PollCache {
  private readonly slots: (PollDesc | undefined)[] = [];
  private readonly freeSlots: number[] = [];
  private readonly kept: PollDesc[] = [];
  private sequence = 0;
  /** Descriptors ever handed out. */
  allocated = 0;

  /** Descriptors in use. */
  get size(): number {
    return this.slots.length - this.freeSlots.length;
  }

  /** Every waiter that is parked on a descriptor, for reports. */
  waiters(): Waiter[] {
    return this.slots
      .flatMap((pd) => [pd?.rg, pd?.wg])
      .filter((waiter) => waiter != null && waiter !== READY) as Waiter[];
  }

  alloc(): PollDesc {
    this.allocated++;
    this.sequence = (this.sequence + 1) | 0;
    const reused = this.kept.pop();
    const slot = this.freeSlots.pop() ?? this.slots.length;
    const pd = reused ?? new PollDesc(slot, this.sequence);
    if (reused !== undefined) {
      reused.slot = slot;
      reused.seq = this.sequence;
      reused.rg = reused.wg = READY;
      reused.flags = 0;
    }
    this.slots[slot] = pd;
    return pd;
  }

  free(pd: PollDesc): void {
    assert(this.slots[pd.slot] === pd, "a poll descriptor was freed twice");
    pd.rg = pd.wg = null;
    this.slots[pd.slot] = undefined;
    this.freeSlots.push(pd.slot);
    if (this.kept.length < KEPT) this.kept.push(pd);
  }

  /** The descriptor that an event belongs to; undefined when the event is stale. */
  find(slot: number, seq: number): PollDesc | undefined {
    const pd = this.slots[slot];
    return pd !== undefined && pd.seq === seq ? pd : undefined;
  }
}
