/**
 * buffers.ts: memory for chunks: read first, then allocate what is needed.
 *
 * A waiting iteration holds no buffer. When data is there it is read into one scratch buffer per
 * thread and copied into an array of its exact size, which is the receiver's alone:
 *
 *   up to 64 B      an array whose bytes V8 keeps in its own heap: no malloc
 *   up to 8 KiB     a part of a slab. A part that someone keeps keeps its slab alive, so slabs are
 *                   small, and parts of like size share one
 *   up to 64 KiB    memory of its own
 *
 * A connection whose chunks are large reads straight into memory of its own, which saves the copy.
 */
import { markAsUntransferable } from "node:worker_threads";

/** Largest chunk, in bytes. */
export const CHUNK_SIZE = 65_536;

/** Largest typed array whose bytes V8 keeps inside its heap (V8's typed_array_max_size_in_heap). */
const IN_HEAP = 64;
const SMALL = 1024;
const MEDIUM = 8192;

/** What chunks are read into before their size is known. Its content is nobody's. */
export const scratch = new Uint8Array(CHUNK_SIZE);

/** Memory that parts are cut from, one after the other; a new one is begun when it is used up. */
class Slab {
  private readonly size: number;
  private memory = new ArrayBuffer(0);
  private used = 0;

  constructor(size: number) {
    this.size = size;
  }

  cut(n: number): Uint8Array {
    if (this.used + n > this.memory.byteLength) {
      this.memory = new ArrayBuffer(this.size);
      // Transferring one chunk would take the memory of its neighbours away.
      markAsUntransferable(this.memory);
      this.used = 0;
    }
    const part = new Uint8Array(this.memory, this.used, n);
    // Aligned for whoever lays other views over the bytes.
    this.used += (n + 7) & ~7;
    return part;
  }
}

const small = new Slab(8192);
const medium = new Slab(32_768);

/** A buffer for one large chunk; its memory is not cleared, the read fills it. */
export function newBulk(): Uint8Array {
  const { buffer } = Buffer.allocUnsafeSlow(CHUNK_SIZE);
  return new Uint8Array(buffer, 0, CHUNK_SIZE);
}

/** The first n bytes of what was read, as an array that belongs to the receiver. */
export function chunkOf(buffer: Uint8Array, n: number, bulk: boolean): Uint8Array {
  if (n <= IN_HEAP) return buffer.slice(0, n);
  if (n <= MEDIUM) {
    const part = n <= SMALL ? small.cut(n) : medium.cut(n);
    part.set(buffer.subarray(0, n));
    return part;
  }
  // A chunk must not keep a much larger buffer alive.
  return bulk && n >= CHUNK_SIZE / 2 ? buffer.subarray(0, n) : buffer.slice(0, n);
}

const outgoing = new Uint8Array(IN_HEAP);

/**
 * Where to send a buffer from. Handing an array that lives in V8's heap to native code would move its
 * bytes out of it, by a malloc; copying so few is much cheaper.
 */
export function sendable(buffer: Uint8Array): Uint8Array {
  if (buffer.length > IN_HEAP) return buffer;
  outgoing.set(buffer);
  return outgoing;
}
