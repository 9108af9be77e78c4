/**
 * ticker.ts: Ticker: an event at regular times.
 *
 * Ticks keep their phase: they are due at start + n × period, however late one of them was handled. A
 * receiver that is too slow for them misses some; at most one waits for it. A ticker that is not
 * stopped keeps the process alive.
 */
import type { ReceiveChan } from "../chan/chan.ts";
import { milliseconds } from "../runtime/timers.ts";
import { Alarm } from "./alarm.ts";

class Repeating extends Alarm {
  private period: number;

  constructor() {
    super();
    this.period = 0;
  }

  every(period: number): void {
    this.period = period;
    this.startIn(period);
  }

  fire(now: number): void {
    const { period, when } = this;
    const missed = Math.floor((now - when) / period);
    this.start(when + (1 + missed) * period);
    this.deliver();
  }
}

function positive(ms: number, what: string): number {
  if (milliseconds(ms, what) > 0) return ms;
  throw new RangeError(`${what}: a ticker's period is more than 0 ms, not ${ms}`);
}

/**
 * A ticker: sends the time on its channel every so many milliseconds until it is stopped.
 *
 * @example
 * import { Ticker } from "coronet";
 * using ticker = new Ticker(5);
 * let ticks = 0;
 * for await (const _ of ticker.c) if (++ticks === 3) break;
 * console.log(ticks); // 3
 */
export class Ticker implements Disposable {
  private readonly alarm: Repeating;

  /** Throws RangeError when `ms` is not positive. */
  constructor(ms: number) {
    positive(ms, "Ticker");
    this.alarm = new Repeating();
    this.alarm.every(ms);
  }

  /** Where the times are sent. */
  get c(): ReceiveChan<Date> {
    return this.alarm.channel;
  }

  /** Ends the ticks. The channel stays open, so a receiver does not take the end for a tick. */
  stop(): void {
    this.alarm.stop();
  }

  /** Begins anew with another period; the next tick comes one period from now. */
  reset(ms: number): void {
    positive(ms, "reset");
    this.alarm.stop();
    this.alarm.every(ms);
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}
