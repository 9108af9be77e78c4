/**
 * netpoll_epoll.ts: the poller on Linux's epoll(7).
 *
 * One epoll instance per thread; its fd is watched by the host's loop, which calls `collect` with the
 * number of events that the kernel wrote into `events` (slot, sequence, bits per event).
 */
import { assert } from "../internal/assert.ts";
import {
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
} from "../syscall/constants.ts";
import { EINTR, errorName } from "../syscall/errno.ts";
import type { EpollKernel } from "../syscall/kernel.ts";
import {
  ARMED,
  EXCLUSIVE,
  HANGUP,
  type PollCache,
  type PollDesc,
  type Poller,
  readyRead,
  readyWrite,
  SHARED,
  URGENT,
} from "./netpoll.ts";
import type { Waiter } from "./sched.ts";

const INTEREST = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
/** What epoll_ctl(2) allows beside EPOLLEXCLUSIVE, and a listening socket needs. */
const ACCEPTS = EPOLLIN | EPOLLEXCLUSIVE | EPOLLET;
const WAKES_READER = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
const WAKES_WRITER = EPOLLOUT | EPOLLHUP | EPOLLERR;
const SAYS_HANGUP = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

const MAX_EVENTS = 1024;
/** The slot of the poller's own eventfd. */
const WAKE_SLOT = -1;

/** What a thread needs to wake the poller of another one; can be posted to it. */
export interface Waker {
  /** The poller's eventfd: valid until its thread ends. */
  readonly fd: number;
  /** Shared; [0] is 1 while a wake-up is under way. */
  readonly waking: Int32Array;
}

const one = new Uint8Array(new BigUint64Array([1n]).buffer);

/** Interrupts the poll of a waker's thread, with a system call only if no wake-up is under way. */
export function wakeUp(kernel: EpollKernel, waker: Waker): void {
  if (Atomics.exchange(waker.waking, 0, 1) === 1) return;
  const n = kernel.write(waker.fd, one, 0, 8);
  assert(n === 8, `the write that wakes a poller failed with ${errorName(-n)}`);
}

export class EpollPoller implements Poller {
  /** Shared: the addon writes here for as long as it watches, and shared memory cannot be detached. */
  readonly events = new Int32Array(new SharedArrayBuffer(MAX_EVENTS * 3 * 4));
  /** Events that belonged to a descriptor's earlier life. */
  stale = 0;
  private readonly kernel: EpollKernel;
  private readonly cache: PollCache;
  private epfd = -1;
  private wakeFd = -1;
  private readonly waking = new Int32Array(new SharedArrayBuffer(4));
  private readonly drained = new Uint8Array(8);
  private runnable: Waiter[] = [];

  constructor(kernel: EpollKernel, cache: PollCache) {
    this.kernel = kernel;
    this.cache = cache;
  }

  /** The epoll fd; -1 before init. */
  get fd(): number {
    return this.epfd;
  }

  init(): number {
    if (this.epfd !== -1) return 0;
    const { kernel } = this;
    const epfd = kernel.epollCreate1();
    if (epfd < 0) return epfd;
    const wakeFd = kernel.eventfd();
    const armed = wakeFd < 0 ? wakeFd : this.armWake(epfd, wakeFd);
    if (armed < 0) {
      if (wakeFd >= 0) kernel.close(wakeFd);
      kernel.close(epfd);
      return armed;
    }
    this.epfd = epfd;
    this.wakeFd = wakeFd;
    return 0;
  }

  private armWake(epfd: number, wakeFd: number): number {
    return this.kernel.epollCtl(epfd, EPOLL_CTL_ADD, wakeFd, EPOLLIN | EPOLLET, WAKE_SLOT, 0);
  }

  /** What another thread needs to wake this one. */
  get waker(): Waker {
    return { fd: this.wakeFd, waking: this.waking };
  }

  open(fd: number, pd: PollDesc): number {
    const interest = (pd.flags & EXCLUSIVE) === 0 ? INTEREST : ACCEPTS;
    const result = this.kernel.epollCtl(this.epfd, EPOLL_CTL_ADD, fd, interest, pd.slot, pd.seq);
    if (result === 0) pd.flags |= ARMED;
    return result;
  }

  // No system call: the close(2) that follows removes the interest, as long as nothing duplicates our
  // fd (epoll(7), "Will closing a file descriptor cause it to be removed"). A child process that has
  // a copy for the moment between fork and exec can cause one more event: it is stale and dropped.
  close(fd: number, pd: PollDesc): void {
    if ((pd.flags & (ARMED | SHARED)) === (ARMED | SHARED)) {
      this.kernel.epollCtl(this.epfd, EPOLL_CTL_DEL, fd, 0, 0, 0);
    }
    pd.flags &= ~ARMED;
  }

  // With a system call: the open file goes on living, and with it the interest would.
  disarm(fd: number, pd: PollDesc): void {
    if ((pd.flags & ARMED) === 0) return;
    pd.flags &= ~ARMED;
    const n = this.kernel.epollCtl(this.epfd, EPOLL_CTL_DEL, fd, 0, 0, 0);
    assert(n === 0, `taking an fd from the poller failed with ${errorName(-n)}`);
  }

  poll(timeout: number): readonly Waiter[] {
    for (;;) {
      const n = this.kernel.epollWait(this.epfd, this.events, timeout);
      if (n === -EINTR && timeout < 0) continue;
      assert(n >= 0 || n === -EINTR, `the poller's epoll_wait failed with ${errorName(-n)}`);
      const runnable = this.collect(Math.max(0, n));
      if (timeout >= 0 || runnable.length > 0 || n > 0) return runnable;
    }
  }

  /**
   * Walks the first n events and returns the goroutines that became runnable. The array is reused by
   * the next call.
   */
  collect(n: number): readonly Waiter[] {
    const { events, runnable, cache } = this;
    runnable.length = 0;
    for (let i = 0; i < n * 3; i += 3) {
      const slot = events[i] as number;
      const bits = events[i + 2] as number;
      const pd = cache.find(slot, events[i + 1] as number);
      if (pd === undefined) {
        if (slot === WAKE_SLOT) this.wokenUp();
        else this.stale++;
        continue;
      }
      if ((bits & SAYS_HANGUP) !== 0) pd.flags |= HANGUP;
      if ((bits & EPOLLPRI) !== 0) pd.flags |= URGENT;
      if ((bits & WAKES_READER) !== 0) readyRead(pd, runnable);
      if ((bits & WAKES_WRITER) !== 0) readyWrite(pd, runnable);
    }
    return runnable;
  }

  wake(): void {
    wakeUp(this.kernel, this.waker);
  }

  isPollDescriptor(fd: number): boolean {
    return fd === this.epfd || fd === this.wakeFd;
  }

  // First the read, then the mark: a thread that wakes this one in between is part of this wake-up.
  // The other way round its write would be read away while its mark stays, and no wake-up would ever
  // be written again.
  private wokenUp(): void {
    this.kernel.read(this.wakeFd, this.drained, 0, 8);
    Atomics.store(this.waking, 0, 0);
  }
}
