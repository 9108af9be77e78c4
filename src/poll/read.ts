/**
 * read.ts: the operations of the read side: read into a buffer, read a chunk, wait until readable,
 * watch an fd that nobody uses.
 */
import type { Resolve } from "../runtime/park.ts";
import { EAGAIN } from "../syscall/errno.ts";
import type { FD } from "./fd.ts";
import { Op, type OpName, READER, SignalOp } from "./op.ts";

abstract class ReadSideOp<T> extends SignalOp<T> {
  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "read";
  }
}

/** Reads into the caller's buffer: the number of bytes, or null at EOF. */
export class ReadOp extends ReadSideOp<number | null> {
  private readonly buffer: Uint8Array;

  constructor(
    fd: FD,
    resolve: Resolve<number | null>,
    signal: AbortSignal | undefined,
    buffer: Uint8Array,
  ) {
    super(fd, resolve, signal);
    this.buffer = buffer;
  }

  attempt(): boolean {
    if (this.buffer.length === 0) {
      // An empty buffer never waits, so its memory was taken away meanwhile; 0 would look like EOF.
      this.failWith(new TypeError("read: the buffer was detached while the read waited"));
      return true;
    }
    const n = this.fd.tryRead(this.buffer);
    if (n === -EAGAIN) return false;
    if (n < 0) this.fail(-n);
    else this.succeed(n === 0 ? null : n);
    return true;
  }
}

/** Reads what is there into a buffer that becomes the receiver's: for iteration. */
export class ChunkOp extends Op<IteratorResult<Uint8Array, undefined>> {
  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "read";
  }

  attempt(): boolean {
    const chunk = this.fd.tryChunk();
    if (typeof chunk !== "number") this.succeed({ done: false, value: chunk });
    else if (chunk === 0) this.succeed({ done: true, value: undefined });
    else if (chunk === -EAGAIN) return false;
    else this.fail(-chunk);
    return true;
  }
}

/** Reads one chunk, null at EOF: for a reader that takes a signal. */
export class ReadChunkOp extends ReadSideOp<Uint8Array | null> {
  attempt(): boolean {
    const chunk = this.fd.tryChunk();
    if (typeof chunk !== "number") this.succeed(chunk);
    else if (chunk === 0) this.succeed(null);
    else if (chunk === -EAGAIN) return false;
    else this.fail(-chunk);
    return true;
  }
}

/** Waits until there may be something to read: whoever waited looks for itself. */
export class ReadyOp extends Op<void> {
  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "read";
  }

  attempt(): boolean {
    this.succeed(undefined);
    return true;
  }
}

/** Waits until a read would not wait. */
export class WaitReadableOp extends ReadSideOp<void> {
  override get kind(): OpName {
    return "wait";
  }

  attempt(): boolean {
    if (!this.fd.tryReadable()) return false;
    this.succeed(undefined);
    return true;
  }
}

/** Stands by on an fd that nobody uses, and tells once when something arrives there. */
export abstract class Watch extends Op<void> {
  constructor(fd: FD) {
    super(fd, ignore);
  }

  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "wait";
  }

  /** Data, the end of the stream or an error is there. The watch is over. Must not throw. */
  abstract onArrival(): void;

  attempt(): boolean {
    if (!this.fd.tryReadable()) return false;
    this.succeed(undefined);
    this.onArrival();
    return true;
  }

  /** The fd was closed, or taken into use again: nobody is there to be told. */
  override fail(): void {
    this.detach();
  }
}

function ignore(): void {}
