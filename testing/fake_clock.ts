/** fake_clock.ts: a clock that stands still until a test moves it. */
import type { Clock } from "../src/internal/clock.ts";

export class FakeClock implements Clock {
  /** What now() says, in ms. */
  time: number;
  private readonly epoch: number;

  /** `epoch` is the date at which time is 0. */
  constructor(time = 1000, epoch = 1_700_000_000_000) {
    this.time = time;
    this.epoch = epoch;
  }

  now(): number {
    return this.time;
  }

  wall(): number {
    return this.epoch + this.time;
  }

  advance(ms: number): void {
    this.time += ms;
  }
}
