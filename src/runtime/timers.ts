/**
 * timers.ts: the runtime's timers: one heap, one timer of the host.
 *
 * Invariants
 *  - A timer never fires before its time: the host's timer is only a hint, the clock is asked.
 *  - Whoever owns a timer may find out in `fire` that its time has moved later, and arm it again.
 *    So moving a deadline later is a store and costs no timer operation.
 *  - All due timers are collected before the first one fires; a fired timer is outside the heap.
 */
import type { Clock } from "../internal/clock.ts";
import { Heap, type HeapEntry } from "../internal/heap.ts";
import type { Host } from "./host.ts";
import { observer } from "./observer.ts";

/** A caller's duration, checked: any number, also Infinity, but not NaN. */
export function milliseconds(ms: number, what: string): number {
  if (typeof ms === "number" && !Number.isNaN(ms)) return ms;
  throw new TypeError(`${what}: expected a number of milliseconds, got ${String(ms)}`);
}

export abstract class Timer implements HeapEntry {
  /** When to fire, in the clock's milliseconds. */
  when = 0;
  /** Place in the heap; -1 when not armed. */
  index = -1;
  /** Called once per arming; must not throw. */
  abstract fire(now: number): void;
}

export class Timers {
  private readonly heap = new Heap<Timer>();
  private readonly clock: Clock;
  private readonly host: Host;
  /** When the host's timer is set for; Infinity when it is not set. */
  private armedFor = Infinity;
  /** Timers that fired, and the time by which the last one was late, in ms. */
  fired = 0;
  lateness = 0;

  constructor(clock: Clock, host: Host) {
    this.clock = clock;
    this.host = host;
  }

  /** Armed timers. */
  get size(): number {
    return this.heap.size;
  }

  /** The armed timers, in no order, for reports. */
  all(): readonly Timer[] {
    return this.heap.all();
  }

  /** When the next timer is due; Infinity when none is armed. */
  get next(): number {
    return this.heap.peek()?.when ?? Infinity;
  }

  /** Arms a timer for `when`, or moves one that is armed. */
  arm(timer: Timer, when: number): void {
    timer.when = when;
    if (observer.armed !== null) observer.armed(timer);
    if (timer.index === -1) this.heap.push(timer);
    else this.heap.update(timer);
    this.armHost();
  }

  /** Takes a timer back; it does not fire, even if it is due in this very moment. */
  disarm(timer: Timer): void {
    this.heap.remove(timer);
    timer.when = Infinity;
  }

  /** Fires every timer that is due. */
  run(): void {
    const now = this.clock.now();
    const due: Timer[] = [];
    for (let top = this.heap.peek(); top !== undefined && top.when <= now; top = this.heap.peek()) {
      this.heap.remove(top);
      due.push(top);
    }
    for (const timer of due) {
      // One that fired before it may have disarmed or moved this one.
      if (timer.index !== -1 || timer.when > now) continue;
      this.fired++;
      this.lateness = now - timer.when;
      if (observer.fired !== null) observer.fired(timer, this.lateness);
      timer.fire(now);
    }
  }

  private armHost(): void {
    const next = this.heap.peek();
    // A host timer that is set too early only finds nothing to do.
    if (next === undefined || next.when >= this.armedFor) return;
    this.armedFor = next.when;
    this.host.setTimer(Math.max(1, next.when - this.clock.now()), this.onHostTimer);
  }

  private readonly onHostTimer = (): void => {
    this.armedFor = Infinity;
    this.run();
    this.armHost();
  };
}
