/** write.ts: the operations of the write side: write, writev, and the end of writing. */
import { assert } from "../internal/assert.ts";
import type { Resolve } from "../runtime/park.ts";
import { EAGAIN } from "../syscall/errno.ts";
import type { FD } from "./fd.ts";
import { type OpName, SignalOp, WRITER } from "./op.ts";

/** Largest number of bytes, and largest offset, of one call: its arguments have 32 bits. */
export const MOST_AT_ONCE = 1 << 30;

abstract class WriteSideOp<T> extends SignalOp<T> {
  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "write";
  }
}

/** Writes the rest of a buffer; resolves to the whole number of bytes. */
export class WriteOp extends WriteSideOp<number> {
  private readonly buffer: Uint8Array;
  /** The length at the call: a buffer that is detached or shrinks meanwhile is an error. */
  private readonly length: number;
  private written: number;

  constructor(
    fd: FD,
    resolve: Resolve<number>,
    signal: AbortSignal | undefined,
    buffer: Uint8Array,
    written: number,
  ) {
    super(fd, resolve, signal);
    this.buffer = buffer;
    this.length = buffer.length;
    this.written = written;
  }

  override get progress(): number {
    return this.written;
  }

  attempt(): boolean {
    const { buffer, length } = this;
    if (buffer.length < length) {
      this.failWith(new TypeError("write: the buffer was detached while the write waited"));
      return true;
    }
    let asked = 0;
    let n = 0;
    // More than one call only where the last one took all that it could be given.
    for (; n === asked && this.written < length; this.written += n) {
      asked = Math.min(length - this.written, MOST_AT_ONCE);
      n = this.send(asked);
      if (n === -EAGAIN) return false;
      if (n < 0) {
        this.fail(-n);
        return true;
      }
    }
    if (this.written < length) return false;
    const error = this.fd.flush();
    if (error === -EAGAIN) return false;
    if (error === 0) this.succeed(length);
    else this.fail(-error);
    return true;
  }

  private send(length: number): number {
    const { fd, buffer, written } = this;
    if (written <= MOST_AT_ONCE) return fd.trySend(buffer, written, length);
    return fd.trySend(buffer.subarray(written), 0, length);
  }
}

/** Writes the rest of a list of buffers; resolves to the whole number of bytes. */
export class WritevOp extends WriteSideOp<number> {
  private readonly rest: VectorRest;

  constructor(fd: FD, resolve: Resolve<number>, signal: AbortSignal | undefined, rest: VectorRest) {
    super(fd, resolve, signal);
    this.rest = rest;
  }

  override get progress(): number {
    return this.rest.written;
  }

  attempt(): boolean {
    if (!this.rest.intact) {
      this.failWith(new TypeError("writev: a chunk was detached while the write waited"));
      return true;
    }
    const error = this.rest.send(this.fd) || this.fd.flush();
    if (error === -EAGAIN) return false;
    if (error === 0) this.succeed(this.rest.written);
    else this.fail(-error);
    return true;
  }
}

/** A list of buffers and how far it has been written. */
export class VectorRest {
  private readonly chunks: Uint8Array[];
  private first = 0;
  private offset = 0;
  private missing: number;
  written = 0;

  /** Takes the array over. */
  constructor(chunks: Uint8Array[]) {
    this.chunks = chunks;
    this.missing = 0;
    for (const chunk of chunks) this.missing += chunk.length;
    this.advance(0);
  }

  /** False when a chunk that is left to write was detached, or has become shorter. */
  get intact(): boolean {
    let left = -this.offset;
    for (let i = this.first; i < this.chunks.length; i++) left += this.chunks[i]?.length ?? 0;
    return left === this.missing;
  }

  /** Sends on: 0 when all is written, -EAGAIN when the socket is full, else a negative errno. */
  send(fd: FD): number {
    while (this.missing > 0) {
      if (this.offset > MOST_AT_ONCE) this.cutFirst();
      const n = fd.trySendVector(this.chunks, this.first, this.offset);
      if (n < 0) return n;
      // The first chunk left is never empty.
      assert(n > 0, "a write of several buffers moved nothing");
      this.advance(n);
    }
    return 0;
  }

  private cutFirst(): void {
    this.chunks[this.first] = (this.chunks[this.first] as Uint8Array).subarray(this.offset);
    this.offset = 0;
  }

  private advance(n: number): void {
    this.written += n;
    this.missing -= n;
    let rest = n + this.offset;
    while (this.first < this.chunks.length) {
      const { length } = this.chunks[this.first] as Uint8Array;
      if (rest < length) break;
      rest -= length;
      this.first++;
    }
    this.offset = rest;
  }
}

/** Ends the write direction after every write that came before it. */
export class ShutdownOp extends WriteSideOp<void> {
  override get kind(): OpName {
    return "close";
  }

  attempt(): boolean {
    const n = this.fd.shutWrite();
    if (n === -EAGAIN) return false;
    if (n < 0) this.fail(-n);
    else this.succeed(undefined);
    return true;
  }
}
