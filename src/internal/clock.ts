/**
 * clock.ts: where time comes from.
 *
 * Two readings: `now` never goes back and is what timers compare with; `wall` is the date that a
 * caller's absolute deadline is written in. Both are in milliseconds. Tests inject a clock of their
 * own.
 */

export interface Clock {
  /** Milliseconds of a monotonic clock, with fractions. */
  now(): number;
  /** Milliseconds since the epoch. */
  wall(): number;
}

// Taken once: a test that replaces the global clock must not move Coronet's timers.
const { performance } = globalThis;
const dateNow = Date.now;

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => dateNow(),
};
