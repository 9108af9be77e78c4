/**
 * buffers.ts: memory for chunks: read first, then allocate what is needed.
 *
 * A waiting iteration holds no buffer. When data is there it is read into one scratch buffer per
 * thread and copied into an array of its exact size, which is the receiver's alone. A connection
 * whose chunks are large reads straight into a fresh buffer, which saves the copy.
 */

/** Largest chunk, in bytes. */
export const CHUNK_SIZE = 65_536;

/** What chunks are read into before their size is known. Its content is nobody's. */
export const scratch = new Uint8Array(CHUNK_SIZE);

/** A buffer for one large chunk; its memory is not cleared, the read fills it. */
export function newBulk(): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_SIZE);
  return new Uint8Array(buffer.buffer, 0, CHUNK_SIZE);
}

/** The first n bytes of what was read, as an array that belongs to the receiver. */
export function chunkOf(buffer: Uint8Array, n: number, bulk: boolean): Uint8Array {
  if (!bulk) return buffer.slice(0, n);
  // A chunk must not keep a much larger buffer alive.
  return n >= CHUNK_SIZE / 2 ? buffer.subarray(0, n) : buffer.slice(0, n);
}
