/**
 * runtime.ts: one runtime per thread: kernel, poller, timers and scheduler put together.
 *
 * Liveness: counters[0] counts the goroutines that are parked on I/O or a deadline and must keep the
 * process alive (see native/uvpoll.c). It is raised by `hold` when such a goroutine parks and lowered
 * by `release` when it goes on; when it is 0 the host's loop is free to end.
 */
import { type Clock, systemClock } from "../internal/clock.ts";
import { Random } from "../internal/random.ts";
import { chosenKernel } from "../syscall/choose.ts";
import { errorName } from "../syscall/errno.ts";
import type { Kernel, StreamKernel } from "../syscall/kernel.ts";
import { PortableKernel } from "../syscall/portable_kernel.ts";
import { type GoroutineStats, goroutineStats } from "./goroutine.ts";
import { type Host, NodeHost, PortableHost } from "./host.ts";
import { PollCache, type Poller } from "./netpoll.ts";
import { EpollPoller } from "./netpoll_epoll.ts";
import { observer } from "./observer.ts";
import { parked, type Resolve, resolver } from "./park.ts";
import { Scheduler } from "./sched.ts";
import { Timer, Timers } from "./timers.ts";

/** How long ago the poller may have looked for that to count as a moment ago: a turn of many goroutines, in ms. */
const RECENT_MS = 10;

/** A goroutine that sleeps; a signal ends its sleep early. */
class Sleeper extends Timer {
  private readonly runtime: Runtime;
  private readonly resolve: Resolve<void>;
  private readonly signal: AbortSignal | undefined;

  constructor(runtime: Runtime, resolve: Resolve<void>, signal: AbortSignal | undefined) {
    super();
    this.runtime = runtime;
    this.resolve = resolve;
    this.signal = signal;
    signal?.addEventListener("abort", this);
  }

  handleEvent(): void {
    this.runtime.timers.disarm(this);
    this.fire();
  }

  fire(): void {
    this.signal?.removeEventListener("abort", this);
    this.runtime.release();
    if (observer.resumed !== null) observer.resumed(this);
    this.resolve();
  }
}

/** What an open fd stands on: the calls that move its bytes and the poller that watches it. */
export interface Device<K extends StreamKernel = StreamKernel> {
  readonly kernel: K;
  readonly poller: Poller;
  readonly runtime: Runtime;
}

/** Numbers about one thread's runtime since it began. */
export interface RuntimeStats {
  /** What the runtime stands on: "epoll", by the native addon, or "portable", on node:net. */
  poller: "epoll" | "portable";
  goroutines: GoroutineStats;
  /** Connections and listeners that are open, and that were ever opened. */
  open: number;
  opened: number;
  /** Bytes that connections have read and written. */
  bytesRead: number;
  bytesWritten: number;
  /** Goroutines that wait for I/O or a deadline. */
  parked: number;
  /** Turns of the scheduler, and the goroutines that they woke. */
  turns: number;
  woken: number;
  /** Operations that were complete but had to wait for a further turn: the budget was used up. */
  exhausted: number;
  /** Events that came for a connection which was closed already. */
  staleEvents: number;
  /** Armed timers, and timers that have fired. */
  timers: number;
  timersFired: number;
  /** Goroutines that held this thread for too long, as far as sysmon watched. */
  longHolds: number;
}

export class Runtime implements Device<Kernel> {
  readonly kernel: Kernel;
  readonly host: Host;
  readonly clock: Clock;
  readonly cache = new PollCache();
  readonly poller: EpollPoller;
  readonly sched: Scheduler;
  readonly timers: Timers;
  /** Draws among the ready cases of a select. A test puts one with a known seed here. */
  random = new Random(Math.random() * 0x1_0000_0000);
  bytesRead = 0;
  bytesWritten = 0;
  /** Counted by sysmon (src/debug). */
  longHolds = 0;
  /** Goroutines parked on I/O that does not keep the process alive. */
  unreferenced = 0;
  private readonly counters = new Int32Array(new SharedArrayBuffer(64));
  private started = false;
  /** When the last batch of events was collected. */
  private polledAt = -Infinity;

  constructor(kernel: Kernel, host: Host, clock: Clock) {
    this.kernel = kernel;
    this.host = host;
    this.clock = clock;
    this.sched = new Scheduler(host);
    this.timers = new Timers(clock, host);
    this.poller = new EpollPoller(kernel, this.cache);
  }

  get runtime(): Runtime {
    return this;
  }

  /** True where it does without the native addon. */
  get portable(): boolean {
    return this.kernel instanceof PortableKernel;
  }

  /** Goroutines parked on I/O or a deadline that keep the process alive. */
  get parked(): number {
    return this.counters[0] as number;
  }

  get stats(): RuntimeStats {
    const { cache, sched, timers, poller } = this;
    return {
      poller: this.portable ? "portable" : "epoll",
      goroutines: goroutineStats(),
      open: cache.size,
      opened: cache.allocated,
      bytesRead: this.bytesRead,
      bytesWritten: this.bytesWritten,
      parked: this.parked,
      turns: sched.turns,
      woken: sched.woken,
      exhausted: sched.exhausted,
      staleEvents: poller.stale,
      timers: timers.size,
      timersFired: timers.fired,
      longHolds: this.longHolds,
    };
  }

  /** Creates the poller and joins it to the host's loop; does so once. 0 or a negative errno. */
  start(): number {
    if (this.started) return 0;
    const made = this.poller.init();
    if (made < 0) return made;
    this.host.watch(this.poller.fd, this.poller.events, this.counters, this.onBatch);
    this.started = true;
    return 0;
  }

  /** A goroutine parks on I/O or a deadline; `referenced` when that keeps the process alive. */
  hold(referenced = true): void {
    if (!referenced) {
      this.unreferenced++;
      return;
    }
    const counters = this.counters;
    const before = counters[0] as number;
    if (before === 0 && counters[1] === 0) {
      const started = this.start();
      if (started < 0) throw new Error(`coronet: no poller: ${errorName(-started)}`);
      this.host.ref();
    }
    counters[0] = before + 1;
  }

  /** It goes on. */
  release(referenced = true): void {
    if (!referenced) {
      this.unreferenced--;
      return;
    }
    const left = (this.counters[0] as number) - 1;
    this.counters[0] = left;
    if (left === 0 && this.host.idle !== undefined) this.host.idle();
  }

  /** Parks the calling goroutine for at least `ms` milliseconds, or until the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    const promise = parked<void>();
    this.hold();
    const sleeper = new Sleeper(this, resolver(), signal);
    this.timers.arm(sleeper, this.clock.now() + ms);
    if (observer.parked !== null) observer.parked(sleeper, "sleep", sleeper);
    return promise;
  }

  /** The poller has looked a moment ago: what it does not know has only just happened. */
  get hasJustPolled(): boolean {
    return this.clock.now() - this.polledAt < RECENT_MS;
  }

  /** One batch of events: walk, then run what became runnable. */
  private readonly onBatch = (n: number): void => {
    if (n < 0) throw new Error(`coronet: the poller stopped: ${errorName(-n)}`);
    this.polledAt = this.clock.now();
    const runnable = this.poller.collect(n);
    if (observer.turn !== null) observer.turn("poll", runnable.length);
    this.sched.beginTurn(runnable.length);
    for (const waiter of runnable) waiter.ready();
  };
}

let current: Runtime | undefined;

/** This thread's runtime. */
export function runtime(): Runtime {
  current ??= onThisMachine();
  return current;
}

/** On the addon, or without it where it cannot be loaded. */
function onThisMachine(): Runtime {
  const native = chosenKernel();
  if (native !== undefined) return new Runtime(native, new NodeHost(native), systemClock);
  const portable = new PortableKernel();
  return new Runtime(portable, new PortableHost(portable), systemClock);
}

/** @internal Puts another runtime in this thread's place, for a test; gives the one before. */
export function replaceRuntime(next: Runtime | undefined): Runtime | undefined {
  const before = current;
  current = next;
  return before;
}

/**
 * Numbers about this thread's runtime: goroutines, connections, bytes, turns of the poller.
 *
 * @example
 * import { pipe, stats } from "coronet";
 * const before = stats().open;
 * const [a, b] = pipe();
 * console.log(stats().open - before); // 2
 * await a.close();
 * await b.close();
 * console.log(stats().open - before); // 0
 */
export function stats(): RuntimeStats {
  return runtime().stats;
}
