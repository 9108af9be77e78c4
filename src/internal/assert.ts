/**
 * assert.ts: checks for errors of the programmer, never for errors of operation.
 *
 * A failed assertion means that Coronet itself is wrong; what a peer or the kernel can cause is a
 * NetError instead.
 */

/** Throws when `condition` does not hold. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`coronet: internal error: ${message}`);
}
