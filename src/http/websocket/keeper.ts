/**
 * keeper.ts: finds out whether a silent peer is there: a ping, and a time for anything to come.
 *
 * Whatever comes counts as an answer. What has come and was not received proves nothing about now, but as
 * long as it waits nothing more is read: a peer is judged only where it could have been heard.
 */
import { type Runtime, runtime } from "../../runtime/runtime.ts";
import { Timer } from "../../runtime/timers.ts";

/** Who is kept. */
export interface Kept {
  /** Something came since this was last set to false. */
  heard: boolean;
  /** What has come and was not received yet; 0 when there is nothing. */
  readonly waiting: number;
  sendPing(): void;
  pingTimedOut(ms: number): void;
}

export class Keeper extends Timer {
  private readonly kept: Kept;
  private readonly interval: number;
  private readonly timeout: number;
  private readonly runtime: Runtime;
  private asked = false;

  constructor(kept: Kept, interval: number, timeout: number) {
    super();
    this.kept = kept;
    this.interval = interval;
    this.timeout = timeout;
    this.runtime = runtime();
    this.again(this.interval);
  }

  private again(ms: number): void {
    this.runtime.timers.arm(this, this.runtime.clock.now() + ms);
  }

  stop(): void {
    this.runtime.timers.disarm(this);
  }

  fire(): void {
    const { kept } = this;
    if (kept.heard || kept.waiting > 0) {
      kept.heard = this.asked = false;
      this.again(this.interval);
    } else if (this.asked) {
      kept.pingTimedOut(this.timeout);
    } else {
      this.asked = true;
      this.again(this.timeout);
      kept.sendPing();
    }
  }
}
