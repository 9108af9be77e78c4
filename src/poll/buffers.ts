/**
 * buffers.ts: memory for chunks: read first, then allocate what is needed.
 *
 * A waiting iteration holds no buffer. When data is there it is read into the thread's scratch buffer
 * and copied into an array of its exact size, which is the receiver's alone:
 *
 *   up to 64 B      an array whose bytes V8 keeps in its own heap: no malloc
 *   up to 8 KiB     a part of a slab. A part that someone keeps keeps its slab alive, so slabs are
 *                   small, and parts of like size share one
 *   up to 64 KiB    memory of its own
 *
 * A connection whose chunks are large reads straight into memory of its own, which saves the copy.
 */
import { markAsUntransferable } from "node:worker_threads";
import { SCRATCH_SIZE, scratch } from "../syscall/scratch.ts";

/** Largest chunk, in bytes. */
export const CHUNK_SIZE = SCRATCH_SIZE;

/** Largest typed array whose bytes V8 keeps inside its heap (V8's typed_array_max_size_in_heap). */
const IN_HEAP = 64;
const SMALL = 1024;
const MEDIUM = 8192;

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
      // Not cleared: a part is filled when it is cut.
      this.memory = Buffer.allocUnsafeSlow(this.size).buffer as ArrayBuffer;
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

/** Memory that is not cleared: whoever asks for it fills it. */
function uncleared(n: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(n).buffer, 0, n);
}

/** A buffer for one large chunk. */
export function newBulk(): Uint8Array {
  return uncleared(CHUNK_SIZE);
}

/** The first n bytes of the scratch buffer, as an array that belongs to the receiver. */
export function chunkOfScratch(n: number): Uint8Array {
  return chunkOf(scratch, 0, n);
}

/** n bytes of shared memory from `at` on, as an array that belongs to the receiver. */
export function chunkOf(memory: Uint8Array, at: number, n: number): Uint8Array {
  if (n <= IN_HEAP) return memory.slice(at, at + n);
  const part = n <= SMALL ? small.cut(n) : n <= MEDIUM ? medium.cut(n) : uncleared(n);
  part.set(memory.subarray(at, at + n));
  return part;
}

/** The first n bytes of a bulk buffer; a chunk must not keep a much larger buffer alive. */
export function chunkOfBulk(buffer: Uint8Array, n: number): Uint8Array {
  return n >= CHUNK_SIZE / 2 ? buffer.subarray(0, n) : buffer.slice(0, n);
}

/** Largest buffer that is sent through the scratch buffer: copying it costs less than finding it. */
export const SENT_BY_SCRATCH = 512;
