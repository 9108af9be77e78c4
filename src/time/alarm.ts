/**
 * alarm.ts: what Timer and Ticker share: an armed time, and a channel that a value comes on.
 *
 * Invariants
 *  - An armed alarm is in the runtime's heap and holds the process once; any other holds nothing.
 *  - The channel has room for one value, and holds one only if the alarm went off after the last
 *    stop or reset: both take an undelivered value back. So nobody receives a stale one, as in Go
 *    since 1.23.
 */
import { Chan } from "../chan/chan.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { Timer as RuntimeTimer } from "../runtime/timers.ts";

export abstract class Alarm extends RuntimeTimer {
  protected readonly runtime: Runtime;
  /** Made when it is first needed: most timers are stopped before. */
  private chan: Chan<Date> | undefined;
  private armed: boolean;

  constructor() {
    super();
    this.runtime = runtime();
    this.chan = undefined;
    this.armed = false;
  }

  get channel(): Chan<Date> {
    this.chan ??= new Chan<Date>(1);
    return this.chan;
  }

  /** Sets it to go off at this time of the runtime's clock. */
  start(when: number): void {
    if (!this.armed) this.runtime.hold();
    this.armed = true;
    this.runtime.timers.arm(this, when);
  }

  startIn(ms: number): void {
    this.start(this.runtime.clock.now() + ms);
  }

  /** True when this kept it from going off, or a value from being received. */
  stop(): boolean {
    const undelivered = this.chan?.tryReceive() !== undefined;
    if (!this.armed) return undelivered;
    this.runtime.timers.disarm(this);
    this.settle();
    return true;
  }

  /** It is over: it went off or was stopped. */
  protected settle(): void {
    this.armed = false;
    this.runtime.release();
  }

  /** Delivers the time, unless the last one has not been received. */
  protected deliver(): void {
    this.channel.trySend(new Date(this.runtime.clock.wall()));
  }
}
