/**
 * errors.ts: the error of a program that uses a lock, a counter or a group in a way that none means.
 */

/**
 * A lock was unlocked that nobody held, a counter went below zero: an error of the program, not of
 * operation. The call changed nothing. A goroutine that does not catch it panics.
 *
 * @example
 * import { Mutex, SyncError } from "coronet";
 * const mu = new Mutex();
 * try {
 *   mu.unlock();
 * } catch (error) {
 *   console.log(error instanceof SyncError, (error as SyncError).message); // true unlock of unlocked Mutex
 * }
 */
export class SyncError extends Error {
  override readonly name: string = "SyncError";
  readonly code = "ERR_SYNC_MISUSE";
}
