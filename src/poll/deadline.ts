/**
 * deadline.ts: the deadlines and timeouts of one fd. Made when the first one is set.
 *
 * A waiting operation ends at the earliest of
 *   - the absolute deadline of its side (setReadDeadline, setWriteDeadline): stays expired until it
 *     is set again;
 *   - its own start plus the side's timeout (setTimeouts read, write): that operation only;
 *   - the idle timeout after its own start, or after the last byte that moved since in either
 *     direction: that operation only.
 *
 * Each side has one timer. It is armed when an operation parks, unless it is armed for earlier
 * already; when it fires it looks at the state of now and arms itself again if nothing is due. So a
 * deadline that moves later, or an operation that completes, costs no timer operation, and a timer
 * that lost the race does nothing.
 */
import { observer } from "../runtime/observer.ts";
import { Timer } from "../runtime/timers.ts";
import { DEADLINE } from "../syscall/errno.ts";
import type { FD } from "./fd.ts";
import { READER, type Side, WRITER } from "./op.ts";

/** All limits of an fd, as another thread can set them: deadlines as dates in ms, timeouts in ms. */
export interface Limits {
  readonly until: readonly [read: number, write: number];
  readonly timeout: readonly [read: number, write: number];
  readonly idle: number;
}

const NEVER = Infinity;
const EXPIRED = -Infinity;

class SideTimer extends Timer {
  private readonly deadlines: Deadlines;
  private readonly side: Side;

  constructor(deadlines: Deadlines, side: Side) {
    super();
    this.deadlines = deadlines;
    this.side = side;
  }

  fire(now: number): void {
    this.deadlines.onTimer(this.side, now);
  }
}

class SideState {
  /** Absolute, in the clock's milliseconds; EXPIRED once it has been seen to have passed. */
  until = NEVER;
  /** Inactivity timeout of one operation, in ms. */
  timeout = NEVER;
  /** When the operation that waits now times out. */
  opUntil = NEVER;
  /** Since when it waits. */
  since = 0;
  readonly timer: SideTimer;

  constructor(deadlines: Deadlines, side: Side) {
    this.timer = new SideTimer(deadlines, side);
  }
}

export class Deadlines {
  private readonly fd: FD;
  private readonly sides: readonly [SideState, SideState];
  private idle = NEVER;
  private lastActive = 0;

  constructor(fd: FD) {
    this.fd = fd;
    this.sides = [new SideState(this, READER), new SideState(this, WRITER)];
  }

  private now(): number {
    return this.fd.device.runtime.clock.now();
  }

  /** Sets the absolute deadline of a side, in the clock's milliseconds; Infinity clears it. */
  setUntil(side: Side, until: number): void {
    const state = this.sides[side];
    state.until = until;
    if (observer.released !== null) observer.released(state.timer, "once");
    if (until <= this.now()) this.expire(side);
    else if (this.fd.isWaiting(side)) this.arm(side);
  }

  setTimeout(side: Side, ms: number): void {
    this.sides[side].timeout = ms;
  }

  setIdle(ms: number): void {
    this.idle = ms;
    this.lastActive = this.now();
  }

  /** What is set, for an FD of another thread. */
  export(): Limits {
    const { clock } = this.fd.device.runtime;
    const shift = clock.wall() - clock.now();
    const [read, write] = this.sides;
    return {
      until: [read.until + shift, write.until + shift],
      timeout: [read.timeout, write.timeout],
      idle: this.idle,
    };
  }

  /** Sets what export() gave in another thread. */
  import({ until, timeout, idle }: Limits): void {
    const { clock } = this.fd.device.runtime;
    const shift = clock.now() - clock.wall();
    for (const side of [READER, WRITER] as const) {
      this.setUntil(side, until[side] + shift);
      this.setTimeout(side, timeout[side]);
    }
    this.setIdle(idle);
  }

  /** True when the side's absolute deadline has passed: it beats data that is ready. */
  expired(side: Side): boolean {
    const { until, timer } = this.sides[side];
    if (until === NEVER || until > this.now()) return false;
    if (observer.acquired !== null) observer.acquired(timer, "once");
    return true;
  }

  /** An operation of this side has parked, or has made progress and waits on. */
  waiting(side: Side): void {
    const state = this.sides[side];
    state.since = this.now();
    state.opUntil = state.since + state.timeout;
    this.arm(side);
  }

  /** Takes every deadline and timeout away; a timer that is armed finds nothing due. */
  clear(): void {
    for (const state of this.sides) state.until = state.timeout = state.opUntil = NEVER;
    this.idle = NEVER;
  }

  /** Bytes have moved. */
  active(): void {
    if (this.idle !== NEVER) this.lastActive = this.now();
  }

  /** The fd is closed: no timer may stay behind. */
  stop(): void {
    for (const state of this.sides) this.fd.device.runtime.timers.disarm(state.timer);
  }

  onTimer(side: Side, now: number): void {
    const state = this.sides[side];
    if (state.until <= now) {
      if (observer.acquired !== null) observer.acquired(state.timer, "once");
      this.expire(side);
      return;
    }
    if (!this.fd.isWaiting(side)) return;
    if (this.opDue(state) <= now) this.fd.evictOwner(side, DEADLINE);
    if (this.fd.isWaiting(side)) this.arm(side);
  }

  private opDue(state: SideState): number {
    return Math.min(state.opUntil, Math.max(state.since, this.lastActive) + this.idle);
  }

  private arm(side: Side): void {
    const state = this.sides[side];
    const due = Math.min(state.until, this.opDue(state));
    if (due === NEVER) return;
    const { timer } = state;
    if (timer.index === -1 || timer.when > due) this.fd.device.runtime.timers.arm(timer, due);
  }

  private expire(side: Side): void {
    this.sides[side].until = EXPIRED;
    this.fd.evictAll(side, DEADLINE);
  }
}
