/**
 * host.ts: what the runtime needs of the program it lives in.
 *
 * Node's loop is the scheduler of last resort: it blocks, it runs timers and other people's I/O. The
 * runtime asks it for three things: a callback per batch of events, one timer, and another turn soon.
 * Tests put a host of their own here and step it by hand.
 */
import { clearTimeout, setImmediate, setInterval, setTimeout } from "node:timers";
import type { LoopKernel, PollHandle } from "../syscall/kernel.ts";

export interface Host {
  /** Calls `onBatch(n)` when the epoll fd has events; n of them stand in `events`. */
  watch(epfd: number, events: Int32Array, counters: Int32Array, onBatch: (n: number) => void): void;
  /** Makes the watch keep the process alive until counters[0] is 0. */
  ref(): void;
  /** Told when counters[0] has become 0, where the host cannot look at it before its loop blocks. */
  idle?(): void;
  /** Calls back once, at the earliest after `ms` milliseconds; replaces the timer set before. */
  setTimer(ms: number, callback: () => void): void;
  /** Calls back in the host's next turn, after it has polled; keeps the process alive until then. */
  soon(callback: () => void): void;
}

/** epoll_wait rounds per turn of the loop: enough to save libuv's turns, few enough for its timers. */
const ROUNDS = 8;
const LONGEST_TIMER = 0x7fff_ffff;

/** What every host on Node's loop does in the same way. */
abstract class LoopHost {
  private timer: NodeJS.Timeout | undefined;

  // Unreferenced: something else keeps the process alive for whoever waits on a timer.
  setTimer(ms: number, callback: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(callback, Math.min(Math.ceil(ms), LONGEST_TIMER));
    this.timer.unref();
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}

export class NodeHost extends LoopHost implements Host {
  private readonly loop: LoopKernel;
  private handle: PollHandle | undefined;

  constructor(loop: LoopKernel) {
    super();
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
}

/** Where events come from without the addon. */
export interface EventSource {
  /** Calls back when there are events, once until they have been collected. */
  onEvents(epfd: number, callback: () => void): void;
  epollWait(epfd: number, events: Int32Array, timeout: number): number;
}

/**
 * The host of a poller in JavaScript. Events are collected in the turn after they came. A timer that
 * never fires stands for the poll handle: while it is referenced, the process stays.
 */
export class PortableHost extends LoopHost implements Host {
  private readonly source: EventSource;
  private counters: Int32Array = new Int32Array(2);
  private keeper: NodeJS.Timeout | undefined;
  private looking = false;

  constructor(source: EventSource) {
    super();
    this.source = source;
  }

  watch(
    epfd: number,
    events: Int32Array,
    counters: Int32Array,
    onBatch: (n: number) => void,
  ): void {
    this.counters = counters;
    const deliver = (): void => {
      const n = this.source.epollWait(epfd, events, 0);
      if (n > 0) onBatch(n);
    };
    this.source.onEvents(epfd, () => setImmediate(deliver));
  }

  ref(): void {
    this.counters[1] = 1;
    this.keeper ??= setInterval(() => {}, LONGEST_TIMER);
    this.keeper.ref();
  }

  // Looked at again at the end of the turn: a goroutine that goes on often parks anew at once.
  idle(): void {
    if (this.looking || this.counters[1] === 0) return;
    this.looking = true;
    setImmediate(this.look);
  }

  private readonly look = (): void => {
    this.looking = false;
    if ((this.counters[0] as number) > 0) return;
    this.counters[1] = 0;
    this.keeper?.unref();
  };
}
