/**
 * host.ts: what the runtime needs of the program it lives in.
 *
 * Node's loop is the scheduler of last resort: it blocks, it runs timers and other people's I/O. The
 * runtime asks it for three things: a callback per batch of events, one timer, and another turn soon.
 * Tests put a host of their own here and step it by hand.
 */
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import type { LoopKernel, PollHandle } from "../syscall/kernel.ts";

export interface Host {
  /** Calls `onBatch(n)` when the epoll fd has events; n of them stand in `events`. */
  watch(epfd: number, events: Int32Array, counters: Int32Array, onBatch: (n: number) => void): void;
  /** Makes the watch keep the process alive until counters[0] is 0. */
  ref(): void;
  /** Calls back once, at the earliest after `ms` milliseconds; replaces the timer set before. */
  setTimer(ms: number, callback: () => void): void;
  /** Calls back in the host's next turn, after it has polled; keeps the process alive until then. */
  soon(callback: () => void): void;
}

/** epoll_wait rounds per turn of the loop: enough to save libuv's turns, few enough for its timers. */
const ROUNDS = 8;
const LONGEST_TIMER = 0x7fff_ffff;

export class NodeHost implements Host {
  private readonly loop: LoopKernel;
  private handle: PollHandle | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(loop: LoopKernel) {
    this.loop = loop;
  }

  watch(
    epfd: number,
    events: Int32Array,
    counters: Int32Array,
    onBatch: (n: number) => void,
  ): void {
    const handle = this.loop.pollOpen(epfd, events, counters, ROUNDS, onBatch);
    if (typeof handle === "number") {
      throw new Error(`coronet: the event loop refused the poller (errno ${-handle})`);
    }
    this.handle = handle;
  }

  ref(): void {
    if (this.handle !== undefined) this.loop.pollRef(this.handle);
  }

  // Unreferenced: the poll handle keeps the process alive for whoever waits on a timer.
  setTimer(ms: number, callback: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(callback, Math.min(Math.ceil(ms), LONGEST_TIMER));
    this.timer.unref();
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}
