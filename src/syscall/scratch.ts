/**
 * scratch.ts: one buffer per thread through which small messages pass.
 *
 * The addon knows its place, so that a call need not look it up. Its content is nobody's: whoever
 * receives into it takes the bytes out before anything else can run; whoever sends from it puts them
 * in right before. Shared memory, because that cannot be detached.
 */

/** Bytes of the scratch buffer; also the largest chunk of an iteration. */
export const SCRATCH_SIZE = 65_536;

export const scratch = new Uint8Array(new SharedArrayBuffer(SCRATCH_SIZE));
