/**
 * netpoll_streams.ts: the poller of streams that live in JavaScript (pipes, Node's streams).
 *
 * Their kernel says by itself when one is ready, in the middle of whatever runs then. What it says is
 * gathered here and delivered from the run queue, so that a goroutine is never made runnable inside a
 * call, and draws on the same budget as everybody else.
 */
import type { Readiness, StreamSource } from "../syscall/kernel.ts";
import { ARMED, HANGUP, type PollDesc, type Poller, readyRead, readyWrite } from "./netpoll.ts";
import type { Device, Runtime } from "./runtime.ts";
import type { Scheduler, Waiter } from "./sched.ts";

/** Joins one stream to a poll descriptor, from open to close: descriptors are used again. */
class Watch implements Waiter, Readiness {
  private pd: PollDesc | undefined;
  private readonly sched: Scheduler;
  private readable = false;
  private writable = false;
  private queued = false;

  constructor(pd: PollDesc, sched: Scheduler) {
    this.pd = pd;
    this.sched = sched;
  }

  notify(readable: boolean, writable: boolean, hangup: boolean): void {
    if (this.pd === undefined) return;
    if (hangup) this.pd.flags |= HANGUP;
    this.readable ||= readable;
    this.writable ||= writable;
    if (this.queued) return;
    this.queued = true;
    this.sched.enqueue(this);
  }

  ready(): void {
    const { pd, readable, writable } = this;
    this.readable = this.writable = this.queued = false;
    if (pd === undefined) return;
    const runnable: Waiter[] = [];
    if (readable) readyRead(pd, runnable);
    if (writable) readyWrite(pd, runnable);
    for (const waiter of runnable) waiter.ready();
  }

  end(): void {
    this.pd = undefined;
  }
}

class StreamPoller implements Poller {
  private readonly kernel: StreamSource;
  private readonly sched: Scheduler;
  private readonly watches = new Map<number, Watch>();

  constructor(kernel: StreamSource, sched: Scheduler) {
    this.kernel = kernel;
    this.sched = sched;
  }

  init(): number {
    return 0;
  }

  open(fd: number, pd: PollDesc): number {
    const watch = new Watch(pd, this.sched);
    this.watches.set(fd, watch);
    pd.flags |= ARMED;
    this.kernel.watch(fd, watch);
    return 0;
  }

  close(fd: number): void {
    this.watches.get(fd)?.end();
    this.watches.delete(fd);
  }

  disarm(): void {}

  poll(): readonly Waiter[] {
    return [];
  }

  wake(): void {}

  isPollDescriptor(): boolean {
    return false;
  }
}

/** What the fds of a kernel of streams stand on, on this thread's runtime or a test's. */
export class StreamDevices<K extends StreamSource> {
  readonly kernel: K;
  private last: Device<K> | undefined = undefined;

  constructor(kernel: K) {
    this.kernel = kernel;
  }

  on(runtime: Runtime): Device<K> {
    if (this.last?.runtime !== runtime) {
      const { kernel } = this;
      this.last = { kernel, poller: new StreamPoller(kernel, runtime.sched), runtime };
    }
    return this.last;
  }
}
