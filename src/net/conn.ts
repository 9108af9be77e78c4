/**
 * conn.ts: Conn, the byte stream between two ends, and the class that every kind of it extends.
 *
 * A conn adds to its fd what a user needs: checks of arguments, addresses, errors with both
 * addresses, deadlines as dates.
 */
import { fstatSync } from "node:fs";
import { isUint8Array } from "node:util/types";
import { type ChunkReader, checkCount, readChunk } from "../io/io.ts";
import type { FileSource } from "../io/transfer.ts";
import type { ErrorDetails, FD } from "../poll/fd.ts";
import { sendFilePart } from "../poll/send_file.ts";
import { traced } from "../runtime/traced.ts";
import { BUSY, CLOSED, EAGAIN, TRANSFERRED } from "../syscall/errno.ts";
import type { Addr } from "./addr.ts";
import { bytesOf, describe, Endpoint, type OpOptions, type Timeouts } from "./endpoint.ts";
import { errorOf, type NetError, type NetOp } from "./errors.ts";
import { readableOf, writableOf } from "./streams.ts";

export { type OpOptions, type Timeouts, timeoutOf, untilOf } from "./endpoint.ts";

export interface SendFileOptions extends OpOptions {
  /** Where in the file to begin, in bytes; 0 by default. Its own position is neither used nor moved. */
  offset?: number | undefined;
  /** How many bytes of it; by default all up to where it ends at the call. */
  length?: number | undefined;
  /** Goes before the file, in the same packets where there is room: a head, a length prefix. */
  head?: Uint8Array | string | undefined;
}

/**
 * A connection: a stream of bytes in both directions.
 *
 * Any number of goroutines may use it: reads queue behind reads, writes behind writes, and a write's
 * bytes are never mixed with another's. Every method fails with a NetError.
 *
 * @example
 * import { pipe } from "coronet";
 * const [a, b] = pipe();
 * await a.write("ping");
 * const buffer = new Uint8Array(16);
 * const n = await b.read(buffer);
 * console.log(n, new TextDecoder().decode(buffer.subarray(0, n ?? 0))); // 4 ping
 * await a.close();
 * console.log(await b.read(buffer)); // null
 */
export interface Conn extends AsyncDisposable, AsyncIterable<Uint8Array> {
  /**
   * Reads what is there, at least one byte, at most p.length. Resolves to the number of bytes, to
   * null at the end of the stream, to 0 only for an empty p. Until it settles, p is the conn's.
   */
  read(p: Uint8Array, options?: OpOptions): Promise<number | null>;
  /** Writes all of p (a string as UTF-8). Resolves to its bytes, when the kernel has every one. */
  write(p: Uint8Array | string, options?: OpOptions): Promise<number>;
  /** Writes all of every chunk, in order, with as few system calls as possible. */
  writev(chunks: readonly (Uint8Array | string)[], options?: OpOptions): Promise<number>;
  /**
   * Sends a file, or a part of it: a FileHandle, or an object with its `fd`. Resolves to the bytes that
   * went out, its `head`'s included, when the kernel has every one. On sockets the bytes do not pass
   * through this process (sendfile(2)); elsewhere they are read a piece at a time.
   *
   * It is one write: others wait behind it, and a deadline, a signal or close ends it in the middle, where
   * `err.bytesWritten` says how far it came. A file that is shorter than `length` is ERR_UNEXPECTED_EOF,
   * also when it becomes so meanwhile; one that cannot be read fails with Node's error.
   *
   * What is not in memory is read from the disk on this thread, 256 KiB at most before others get their turn.
   */
  sendFile(file: FileSource, options?: SendFileOptions): Promise<number>;
  /** Waits until a read would not wait. Holds no buffer. */
  waitReadable(options?: OpOptions): Promise<void>;
  /**
   * Puts bytes back in front of what has not been read yet: the next reads get them first, then what
   * the kernel has, then the end or an error. For handing a connection on after a buffered reader
   * has taken more than was its own. The bytes are copied; what was put back last is read first; on
   * "unixpacket" each put-back is one packet. Wakes a read that waits. After closeRead nothing can
   * be put back, and closeRead discards what was. Throws ERR_CLOSED after close.
   */
  unread(bytes: Uint8Array): void;
  /**
   * Iterates over what arrives, in chunks of at most 64 KiB that belong to the receiver, until the
   * end of the stream. No buffer is held while it waits. Leaving the loop closes nothing.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined>;
  /** Closes the connection; whoever waits on it fails with ERR_CLOSED. Twice is harmless. */
  close(): Promise<void>;
  /** Ends reading: reads answer the end of the stream. */
  closeRead(): Promise<void>;
  /** Ends writing after all earlier writes: the peer reads the end of the stream. */
  closeWrite(): Promise<void>;
  /** Sets both deadlines; null clears them. One in the past fails what waits at once. */
  setDeadline(t: Date | null): void;
  setReadDeadline(t: Date | null): void;
  setWriteDeadline(t: Date | null): void;
  /** Sets inactivity timeouts, which start anew with every operation. */
  setTimeouts(timeouts: Timeouts): void;
  /** Waiting on this connection keeps the process alive (the default), or does not. */
  ref(): this;
  unref(): this;
  readonly localAddr: Addr;
  readonly remoteAddr: Addr;
  /** The reading side as a web stream of bytes. */
  readonly readable: ReadableStream<Uint8Array>;
  /** The writing side as a web stream; closing it ends writing. */
  readonly writable: WritableStream<Uint8Array>;
}

/** @internal Name of a method that writes a text of latin1: for heads of messages, without a buffer. */
export const writeLatin1: unique symbol = Symbol("coronet.writeLatin1");
/** @internal Names of two methods for a reader that has memory only while it runs. */
export const readNow: unique symbol = Symbol("coronet.readNow");
export const waitReady: unique symbol = Symbol("coronet.waitReady");

/** What few connections need: kept apart, so that an idle connection stays small. */
interface Extra {
  local?: Addr;
  readable?: ReadableStream<Uint8Array>;
  writable?: WritableStream<Uint8Array>;
  lingerMs?: number;
  transferred?: boolean;
}

/** Bytes of a file from a position on. */
function restOf(file: FileSource, position: number): number {
  const stats = fstatSync(file.fd);
  if (stats.isFile()) return Math.max(0, stats.size - position);
  throw new TypeError("sendFile: expected a regular file; copy() takes what has no length");
}

export abstract class BaseConn extends Endpoint implements Conn, ChunkReader {
  protected extra: Extra | undefined;

  constructor(fd: FD) {
    super(fd);
    this.extra = undefined;
  }

  protected more(): Extra {
    this.extra ??= {};
    return this.extra;
  }

  abstract get localAddr(): Addr;
  abstract get remoteAddr(): Addr;

  read(p: Uint8Array, options?: OpOptions): Promise<number | null> {
    if (!isUint8Array(p)) {
      return Promise.reject(new TypeError(`read: expected a Uint8Array, got ${describe(p)}`));
    }
    if (traced.read !== null) {
      return traced.read({ conn: this }, () => this.fd.read(p, options?.signal));
    }
    return this.fd.read(p, options?.signal);
  }

  write(p: Uint8Array | string, options?: OpOptions): Promise<number> {
    if (traced.write === null && isUint8Array(p)) return this.fd.write(p, options?.signal);
    try {
      const bytes = bytesOf(p, "write");
      if (traced.write === null) return this.fd.write(bytes, options?.signal);
      const message = { conn: this, bytes: bytes.length };
      return traced.write(message, () => this.fd.write(bytes, options?.signal));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  writev(chunks: readonly (Uint8Array | string)[], options?: OpOptions): Promise<number> {
    try {
      if (!Array.isArray(chunks)) {
        throw new TypeError(`writev: expected an array of chunks, got ${describe(chunks)}`);
      }
      const bytes = Array.from(chunks as (Uint8Array | string)[], (chunk) =>
        bytesOf(chunk, "writev"),
      );
      if (traced.write === null) return this.fd.writev(bytes, options?.signal);
      const message = { conn: this, bytes: bytes.reduce((sum, { length }) => sum + length, 0) };
      return traced.write(message, () => this.fd.writev(bytes, options?.signal));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async sendFile(file: FileSource, options: SendFileOptions = {}): Promise<number> {
    const { head, signal } = options;
    const position = options.offset ?? file.offset ?? 0;
    checkCount(position, "sendFile: offset");
    const length = options.length ?? file.length ?? restOf(file, position);
    checkCount(length, "sendFile: length");
    const bytes = head === undefined ? undefined : bytesOf(head, "sendFile");
    const part = { file, position, length, head: bytes, exact: true, reads: true, before: 0 };
    if (traced.write === null) return await sendFilePart(this.fd, part, signal);
    const message = { conn: this, bytes: length + (bytes?.length ?? 0) };
    return await traced.write(message, () => sendFilePart(this.fd, part, signal));
  }

  /** @internal For BufReader: it holds no buffer while it waits. */
  [readChunk](options?: OpOptions): Promise<Uint8Array | null> {
    if (traced.read !== null) {
      return traced.read({ conn: this }, () => this.fd.readChunk(options?.signal));
    }
    return this.fd.readChunk(options?.signal);
  }

  /** @internal Every character of the text is a byte. Undefined when there is nothing to wait for. */
  [writeLatin1](text: string): Promise<number> | undefined {
    if (traced.write !== null) {
      const message = { conn: this, bytes: text.length };
      const call = async () => (await this.fd.writeLatin1(text)) ?? text.length;
      return traced.write(message, call);
    }
    return this.fd.writeLatin1(text);
  }

  /** @internal Reads what is there: how many bytes, 0 at EOF, -1 when waitReady is due. */
  [readNow](p: Uint8Array): number {
    const n = this.fd.readNow(p);
    if (n >= 0) return n;
    if (n === -EAGAIN) return -1;
    throw this.error("read", -n);
  }

  /** @internal */
  [waitReady](): Promise<void> {
    if (traced.read !== null) return traced.read({ conn: this }, () => this.fd.waitReady());
    return this.fd.waitReady();
  }

  waitReadable(options?: OpOptions): Promise<void> {
    return this.fd.waitReadable(options?.signal);
  }

  unread(bytes: Uint8Array): void {
    if (!isUint8Array(bytes)) {
      throw new TypeError(`unread: expected a Uint8Array, got ${describe(bytes)}`);
    }
    this.checkOpen("unread");
    if (this.fd.reserved) {
      throw this.errorFor("unread", BUSY, { text: "the connection is being passed" });
    }
    this.fd.unread(bytes);
  }

  // The fd itself is the iterator: an idle loop holds no object of its own.
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    if (traced.read === null) return this.fd;
    return { next: () => this.tracedNext() };
  }

  private tracedNext(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (traced.read === null) return this.fd.next();
    return traced.read({ conn: this }, () => this.fd.next());
  }

  close(): Promise<void> {
    return this.fd.close(this.extra?.lingerMs);
  }

  closeRead(): Promise<void> {
    return this.fd.closeRead();
  }

  closeWrite(): Promise<void> {
    return this.fd.closeWrite();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get readable(): ReadableStream<Uint8Array> {
    const extra = this.more();
    extra.readable ??= readableOf(this);
    return extra.readable;
  }

  get writable(): WritableStream<Uint8Array> {
    const extra = this.more();
    extra.writable ??= writableOf(this);
    return extra.writable;
  }

  /** @internal The error of something that was done to it from elsewhere. */
  failed(op: NetOp, number: number, text?: string, cause?: unknown): NetError {
    return this.errorFor(op, number, { text: text || undefined, cause });
  }

  /** @internal The connection belongs to another thread from now on. */
  transferred(): void {
    this.more().transferred = true;
    void this.fd.close();
  }

  /** An error of an operation on this conn, with both addresses. */
  protected override errorFor(op: NetOp, number: number, details?: ErrorDetails): NetError {
    const { network } = this;
    const source = String(this.localAddr);
    const address = String(this.remoteAddr);
    const gone = number === CLOSED && this.extra?.transferred === true;
    return errorOf(gone ? TRANSFERRED : number, { op, network, source, address, ...details });
  }
}
