/**
 * sysmon_layout.ts: what sysmon's threads and its watchdog share.
 *
 * Layout of the shared memory, in int32: HEADER ints, then SLOT ints for each thread:
 *   SEQ      odd while a goroutine runs; changes with each that goes on, so a stamp has a number
 *   THREAD   threadId + 1, or 0 when the slot is free
 *   ID, KEY  the goroutine's number; which of the names that were sent to the watchdog is its own
 *   START    two ints, one float64: ms on the clock that all threads share
 */

export const HEADER = 2;
export const SLOT = 6;
export const SLOTS = 1024;
/** In the header: slots that were ever used, and holds that were too long. */
export const USED = 0;
export const TOTAL = 1;
/** In a slot, as above. */
export const SEQ = 0;
export const THREAD = 1;
export const ID = 2;
export const KEY = 3;
export const START = 4;

/** Under this symbol a watched main thread tells, in the middle of a hold, which one it is. */
export const CURRENT_SEQ = "coronet.sysmon.seq";

/** A goroutine held its thread for too long. */
export interface LongHold {
  /** The thread's number: 0 is the main thread. */
  thread: number;
  /** The goroutine's number; 0 when it was code outside of goroutines. */
  goroutine: number;
  /** The name of its function. */
  name: string;
  /** Where it was started ("file:line:column"), where that is known. */
  origin: string | undefined;
  /** How long it ran without an await, in ms. */
  milliseconds: number;
  /** What it was running when the watchdog saw it: on the main thread only. */
  stack: string | undefined;
}

/** What threads of one process share. */
export interface SysmonShared {
  memory: SharedArrayBuffer;
  /** Name of the BroadcastChannel on which threads tell the watchdog. */
  channel: string;
  threshold: number;
  quiet: boolean;
}

/** What threads tell the watchdog. */
export type SysmonMessage =
  | { kind: "name"; thread: number; key: number; name: string; origin: string | undefined }
  | { kind: "ended"; slot: number; seq: number; hold: LongHold };

/** Milliseconds on a clock that all threads share. */
export function sharedClock(): () => number {
  const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return () => performance.now() + offset;
}
