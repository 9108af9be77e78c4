/**
 * leftover.ts: bytes that were put back in front of what the kernel has (conn.unread).
 *
 * A stack of put-backs: the last one is read first. On a stream their borders mean nothing and a
 * read runs across them; on a socket of packets each one is a packet, read whole or refused.
 * The bytes are copies, so nobody else can change or detach them.
 */
import { EMSGSIZE } from "../syscall/errno.ts";

export class Leftover {
  /** What is read first stands last; none is empty. */
  private readonly stack: Uint8Array[] = [];
  length = 0;

  push(bytes: Uint8Array): void {
    this.stack.push(new Uint8Array(bytes));
    this.length += bytes.length;
  }

  /** Moves bytes into `target`, as many as there are and fit. */
  shift(target: Uint8Array): number {
    let moved = 0;
    while (moved < target.length && this.length > 0) {
      const part = this.cut(target.length - moved);
      target.set(part, moved);
      moved += part.length;
    }
    return moved;
  }

  /** At most `most` bytes of one put-back, as an array that belongs to the receiver. */
  shiftChunk(most: number): Uint8Array {
    const part = this.cut(most);
    return part.length === part.buffer.byteLength ? part : part.slice();
  }

  /** Moves one packet into `target`: its length, or -EMSGSIZE, and then it is gone. */
  shiftPacket(target: Uint8Array): number {
    const packet = this.cut(Infinity);
    if (packet.length > target.length) return -EMSGSIZE;
    target.set(packet);
    return packet.length;
  }

  /** Everything, in the order of reading. */
  all(): Uint8Array[] {
    return [...this.stack].reverse();
  }

  /** Takes everything out, in the order in which it would have been read. */
  takeAll(): Uint8Array[] {
    this.length = 0;
    return this.stack.splice(0).reverse();
  }

  private cut(most: number): Uint8Array {
    const top = this.stack.pop() as Uint8Array;
    const part = top.subarray(0, most);
    if (part.length < top.length) this.stack.push(top.subarray(part.length));
    this.length -= part.length;
    return part;
  }
}
