/** byte_queue.ts: a queue of bytes, filled by the chunk and emptied by the byte. */
import { Ring } from "./ring.ts";

const EMPTY = new Uint8Array(0);

export class ByteQueue {
  private readonly chunks = new Ring<Uint8Array>();
  /** The oldest chunk, and how much of it is gone already. */
  private head: Uint8Array = EMPTY;
  private offset = 0;
  length = 0;

  /** Takes the chunk over: nobody may write to it any more. */
  push(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.length += bytes.length;
  }

  /** Moves bytes into `target`, as many as there are and fit. */
  shift(target: Uint8Array): number {
    let moved = 0;
    while (moved < target.length && this.length > 0) {
      if (this.offset === this.head.length) {
        this.head = this.chunks.shift() as Uint8Array;
        this.offset = 0;
      }
      const part = this.head.subarray(this.offset, this.offset + target.length - moved);
      target.set(part, moved);
      moved += part.length;
      this.offset += part.length;
      this.length -= part.length;
    }
    if (this.length === 0) {
      this.head = EMPTY;
      this.offset = 0;
    }
    return moved;
  }

  clear(): void {
    while (this.chunks.shift() !== undefined);
    this.head = EMPTY;
    this.offset = 0;
    this.length = 0;
  }
}
