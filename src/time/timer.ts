/**
 * timer.ts: Timer: one event at a later time.
 *
 * A pending timer keeps the process alive; stop it when nobody needs it any more.
 */
import type { AsyncResource } from "node:async_hooks";
import type { ReceiveChan } from "../chan/chan.ts";
import { contextOfNow } from "../runtime/async_context.ts";
import { type AnyFunction, Goroutine, launch } from "../runtime/goroutine.ts";
import { recordOrigin } from "../runtime/origin.ts";
import { milliseconds } from "../runtime/timers.ts";
import { Alarm } from "./alarm.ts";

class OneShot extends Alarm {
  private readonly fn: AnyFunction | undefined;
  /** Of who set the timer; of a function's only. */
  private readonly context: AsyncResource | undefined;

  constructor(fn: (() => unknown) | undefined) {
    super();
    this.fn = fn;
    this.context = fn === undefined ? undefined : contextOfNow();
  }

  fire(): void {
    this.settle();
    if (this.fn === undefined) this.deliver();
    else {
      this.context?.runInAsyncScope(launch, undefined, new Goroutine(this.fn), []);
    }
  }
}

/**
 * A timer: after so many milliseconds it sends the time on its channel, once, or starts a function.
 *
 * After stop() or reset() no stale value is ever received, so a timer can be reset whether it has
 * gone off or not.
 *
 * @example
 * import { Timer } from "coronet";
 * const timer = new Timer(10);
 * const [date] = await timer.c.receive();
 * console.log(date instanceof Date, timer.stop()); // true false
 */
export class Timer implements Disposable {
  private readonly alarm: OneShot;

  /** `fn` is for Timer.func. */
  constructor(ms: number, fn?: () => unknown) {
    milliseconds(ms, "Timer");
    this.alarm = new OneShot(fn);
    this.alarm.startIn(ms);
  }

  /**
   * A timer that starts `fn` in a goroutine of its own instead of sending; nothing ever comes on its
   * channel (in Go: time.AfterFunc).
   *
   * @example
   * import { Chan, Timer } from "coronet";
   * const done = new Chan<string>();
   * Timer.func(5, () => done.send("now"));
   * console.log((await done.receive())[0]); // now
   */
  static func(ms: number, fn: () => unknown): Timer {
    if (typeof fn !== "function") throw new TypeError("Timer.func: expected a function");
    recordOrigin(fn, Timer.func);
    return new Timer(ms, fn);
  }

  /** Where the time is sent. */
  get c(): ReceiveChan<Date> {
    return this.alarm.channel;
  }

  /**
   * Keeps the timer from going off. False when it had gone off, and its value was received, or it was
   * stopped before.
   */
  stop(): boolean {
    return this.alarm.stop();
  }

  /** Sets the timer to go off `ms` milliseconds from now. Says whether it was pending, as stop(). */
  reset(ms: number): boolean {
    milliseconds(ms, "reset");
    const pending = this.alarm.stop();
    this.alarm.startIn(ms);
    return pending;
  }

  [Symbol.dispose](): void {
    this.alarm.stop();
  }
}
