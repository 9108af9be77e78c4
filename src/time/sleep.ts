/**
 * sleep.ts: sleep(), gosched() and now(): a goroutine's time.
 *
 * A sleeping goroutine keeps the process alive. It never wakes early; how late it wakes depends on
 * what else the thread has to do.
 */
import { type Cancelable, CanceledError, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { failParked, parked, type Resolve, resolver } from "../runtime/park.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { milliseconds, Timer } from "../runtime/timers.ts";

class Sleeper extends Timer implements Cancelable {
  private readonly runtime: Runtime;
  private readonly resolve: Resolve<void>;
  private readonly link: SignalLink | undefined;

  constructor(rt: Runtime, resolve: Resolve<void>, signal: AbortSignal | undefined) {
    super();
    this.runtime = rt;
    this.resolve = resolve;
    this.link = signal === undefined ? undefined : new SignalLink(signal, this);
  }

  fire(): void {
    this.link?.remove();
    this.leave();
    this.resolve();
  }

  onAbort(): void {
    this.runtime.timers.disarm(this);
    this.leave();
    const reason = this.link?.reason;
    failParked(this.resolve, () => new CanceledError("sleep", reason));
  }

  private leave(): void {
    this.runtime.release();
    if (observer.resumed !== null) observer.resumed(this);
  }
}

/**
 * Pauses the calling goroutine for at least `ms` milliseconds. Zero or less only lets everybody else
 * have a turn, as gosched() does; Infinity sleeps until the signal is aborted. Rejects with
 * CanceledError when it is.
 *
 * @example
 * import { sleep } from "coronet";
 * const began = performance.now();
 * await sleep(20);
 * console.log(performance.now() - began >= 20); // true
 */
export function sleep(ms: number, options?: { signal?: AbortSignal | undefined }): Promise<void> {
  milliseconds(ms, "sleep");
  const signal = options?.signal;
  if (signal?.aborted === true) return Promise.reject(new CanceledError("sleep", signal.reason));
  if (ms <= 0) return gosched();
  const rt = runtime();
  const promise = parked<void>();
  const sleeper = new Sleeper(rt, resolver(), signal);
  rt.hold();
  rt.timers.arm(sleeper, rt.clock.now() + ms);
  if (observer.parked !== null) observer.parked(sleeper, "sleep", sleeper);
  return promise;
}

/**
 * Lets everybody else have a turn: goroutines that are ready, the poller, the host's timers. For work
 * that takes long without waiting for anything.
 *
 * @example
 * import { gosched } from "coronet";
 * let sum = 0;
 * for (let i = 0; i < 300_000; i++) {
 *   if (i % 100_000 === 0) await gosched();
 *   sum += i;
 * }
 * console.log(sum); // 44999850000
 */
export function gosched(): Promise<void> {
  return runtime().sched.later<void>(undefined);
}

/**
 * The time in milliseconds since the epoch: Date.now(), except in a bubble (coronet/testing), where
 * it is the bubble's.
 *
 * @example
 * import { now } from "coronet";
 * console.log(Math.abs(now() - Date.now()) < 1000); // true
 */
export function now(): number {
  return runtime().clock.wall();
}
