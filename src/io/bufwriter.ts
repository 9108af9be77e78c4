/**
 * bufwriter.ts: BufWriter: gathers small writes into few large ones.
 *
 * Invariants
 *  - Bytes reach the sink in the order of the calls, whoever made them. A call that fits takes effect
 *    at once; one that does not waits for its turn, and everything after it queues (turns.ts).
 *  - The first error of the sink is kept: every later write and flush fails with it, as in Go. What
 *    the sink had not taken stays counted in `buffered`.
 */
import { isUint8Array } from "node:util/types";
import { runtime } from "../runtime/runtime.ts";
import { bufferOf } from "./ahead.ts";
import { type Closer, IOError, type OpOptions, type Reader, type Writer } from "./io.ts";
import {
  type FileSource,
  NO,
  type Passed,
  type ReaderFrom,
  readFrom,
  type Transfer,
} from "./transfer.ts";
import { Turns } from "./turns.ts";

/** Options of a BufWriter. */
export interface BufWriterOptions {
  /** Bytes that are gathered before they are written; 4096 by default. */
  size?: number;
}

const DEFAULT_SIZE = 4096;
const NONE = Buffer.alloc(0);
const LONGEST_VARINT = 10;

/** Stands for the failure of a writer that was closed. */
const CLOSED: unique symbol = Symbol("closed");

type Bytes = Uint8Array | string;
/** A sink that takes several pieces in one call. */
type VectorSink = Writer & {
  writev?(chunks: readonly Uint8Array[], options?: OpOptions): Promise<number>;
};

/**
 * Gathers writes and passes them on when its buffer is full, and at `flush`. A write that is larger
 * than the room left goes straight to the sink, together with what was gathered, in one call where the
 * sink has `writev`.
 *
 * After an error of the sink every write and flush fails with that error. `close` flushes, and closes
 * the sink where that can be closed.
 *
 * @example
 * import { BufReader, BufWriter, pipe } from "coronet";
 * const [a, b] = pipe();
 * const writer = new BufWriter(a);
 * await writer.writeUint16BE(5);
 * await writer.write("hello");
 * console.log(writer.buffered); // 7
 * await writer.flush();
 * const reader = new BufReader(b);
 * console.log(await reader.readUint16BE(), writer.buffered); // 5 0
 */
export class BufWriter implements ReaderFrom, Closer, AsyncDisposable {
  /** Where the bytes go. */
  readonly sink: Writer;
  private readonly size: number;
  /** Made by the first write after a flush. */
  private memory: Buffer = NONE;
  private used = 0;
  private readonly turns = new Turns();
  private failure: unknown = undefined;
  private failed = false;

  constructor(sink: Writer, options: BufWriterOptions = {}) {
    const { size = DEFAULT_SIZE } = options;
    if (!Number.isInteger(size) || size < 16) {
      throw new RangeError(`BufWriter size: expected at least 16 bytes, got ${size}`);
    }
    this.sink = sink;
    this.size = size;
  }

  /** Bytes that wait to be flushed. */
  get buffered(): number {
    return this.used;
  }

  /** Bytes that fit before the next one is written to the sink. */
  get available(): number {
    return this.size - this.used;
  }

  /** Writes p (a string as UTF-8): into the buffer, or to the sink. Resolves to its bytes. */
  write(p: Bytes, options?: OpOptions): Promise<number> {
    const bytes = typeof p === "string" ? Buffer.from(p) : p;
    if (!isUint8Array(bytes)) {
      return Promise.reject(new TypeError(`write: expected a Uint8Array or a string, got ${p}`));
    }
    const { length } = bytes;
    const aborted = options?.signal?.aborted === true;
    if (!this.open || aborted || length > this.available) return this.writeThrough(bytes, options);
    this.room().set(bytes, this.used);
    this.used += length;
    return runtime().sched.completeLight(length);
  }

  /** Passes on what was gathered. */
  async flush(options?: OpOptions): Promise<void> {
    await this.inTurn("flush", options, async () => {
      if (this.used > 0) await this.send([], options);
    });
  }

  /** Flushes, and closes the sink where it can be closed; also when flushing fails. */
  async close(): Promise<void> {
    if (this.failure === CLOSED) return;
    try {
      if (!this.failed) await this.flush();
    } finally {
      this.fail(CLOSED);
      const { close } = this.sink as Partial<Closer>;
      if (typeof close === "function") await close.call(this.sink);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- numbers; one that does not fit its type is a RangeError

  writeUint8(n: number, options?: OpOptions): Promise<void> {
    return this.number(1, options, (m, at) => m.writeUInt8(n, at));
  }

  writeInt8(n: number, options?: OpOptions): Promise<void> {
    return this.number(1, options, (m, at) => m.writeInt8(n, at));
  }

  writeUint16BE(n: number, options?: OpOptions): Promise<void> {
    return this.number(2, options, (m, at) => m.writeUInt16BE(n, at));
  }

  writeUint16LE(n: number, options?: OpOptions): Promise<void> {
    return this.number(2, options, (m, at) => m.writeUInt16LE(n, at));
  }

  writeInt16BE(n: number, options?: OpOptions): Promise<void> {
    return this.number(2, options, (m, at) => m.writeInt16BE(n, at));
  }

  writeInt16LE(n: number, options?: OpOptions): Promise<void> {
    return this.number(2, options, (m, at) => m.writeInt16LE(n, at));
  }

  writeUint32BE(n: number, options?: OpOptions): Promise<void> {
    return this.number(4, options, (m, at) => m.writeUInt32BE(n, at));
  }

  writeUint32LE(n: number, options?: OpOptions): Promise<void> {
    return this.number(4, options, (m, at) => m.writeUInt32LE(n, at));
  }

  writeInt32BE(n: number, options?: OpOptions): Promise<void> {
    return this.number(4, options, (m, at) => m.writeInt32BE(n, at));
  }

  writeInt32LE(n: number, options?: OpOptions): Promise<void> {
    return this.number(4, options, (m, at) => m.writeInt32LE(n, at));
  }

  writeBigUint64BE(n: bigint, options?: OpOptions): Promise<void> {
    return this.number(8, options, (m, at) => m.writeBigUInt64BE(n, at));
  }

  writeBigUint64LE(n: bigint, options?: OpOptions): Promise<void> {
    return this.number(8, options, (m, at) => m.writeBigUInt64LE(n, at));
  }

  writeBigInt64BE(n: bigint, options?: OpOptions): Promise<void> {
    return this.number(8, options, (m, at) => m.writeBigInt64BE(n, at));
  }

  writeBigInt64LE(n: bigint, options?: OpOptions): Promise<void> {
    return this.number(8, options, (m, at) => m.writeBigInt64LE(n, at));
  }

  writeFloat32BE(n: number, options?: OpOptions): Promise<void> {
    return this.number(4, options, (m, at) => m.writeFloatBE(n, at));
  }

  writeFloat32LE(n: number, options?: OpOptions): Promise<void> {
    return this.number(4, options, (m, at) => m.writeFloatLE(n, at));
  }

  writeFloat64BE(n: number, options?: OpOptions): Promise<void> {
    return this.number(8, options, (m, at) => m.writeDoubleBE(n, at));
  }

  writeFloat64LE(n: number, options?: OpOptions): Promise<void> {
    return this.number(8, options, (m, at) => m.writeDoubleLE(n, at));
  }

  /** An unsigned number of up to 64 bits, 7 bits per byte, the low ones first. */
  async writeUvarint(n: bigint | number, options?: OpOptions): Promise<void> {
    let rest = BigInt(n);
    if (rest < 0n || rest >> 64n !== 0n) {
      throw new RangeError(`writeUvarint: expected 0 or more, below 2^64, got ${n}`);
    }
    const bytes = new Uint8Array(LONGEST_VARINT);
    let length = 0;
    for (; rest >= 0x80n; rest >>= 7n) bytes[length++] = Number(rest & 0x7fn) | 0x80;
    bytes[length++] = Number(rest);
    await this.write(bytes.subarray(0, length), options);
  }

  private async number(
    bytes: number,
    options: OpOptions | undefined,
    put: (memory: Buffer, at: number) => void,
  ): Promise<void> {
    if (this.open && bytes <= this.available) {
      put(this.room(), this.used);
      this.used += bytes;
      await runtime().sched.completeLight(undefined);
      return;
    }
    const memory = Buffer.alloc(bytes);
    put(memory, 0);
    await this.write(memory, options);
  }

  // ---- the way to the sink

  /** @internal For copy: what was gathered goes first, the rest as the sink can take it. */
  async [readFrom](src: Reader | FileSource, transfer: Transfer): Promise<Passed> {
    if (!(readFrom in this.sink)) return NO;
    const sink = this.sink as ReaderFrom;
    return await this.inTurn("copy", transfer.options, async () => {
      if (this.used > 0) await this.send([], transfer.options);
      return await sink[readFrom](src, transfer);
    });
  }

  /** Nothing stands between a write and the buffer. */
  private get open(): boolean {
    return !this.turns.taken && !this.failed;
  }

  private async writeThrough(bytes: Uint8Array, options: OpOptions | undefined): Promise<number> {
    await this.inTurn("write", options, async () => {
      if (bytes.length > this.available) await this.send([bytes], options);
      else {
        this.room().set(bytes, this.used);
        this.used += bytes.length;
      }
    });
    return bytes.length;
  }

  /** Writes what was gathered, and more behind it. */
  private async send(more: readonly Uint8Array[], options: OpOptions | undefined): Promise<void> {
    const gathered = this.memory.subarray(0, this.used);
    const pieces = this.used > 0 ? [gathered, ...more] : more;
    const sink: VectorSink = this.sink;
    try {
      if (pieces.length > 1 && sink.writev !== undefined) await sink.writev(pieces, options);
      else for (const piece of pieces) await this.sendOne(sink, piece, options);
      this.memory = NONE;
      this.used = 0;
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  private async sendOne(
    sink: Writer,
    piece: Uint8Array,
    options: OpOptions | undefined,
  ): Promise<void> {
    const n = await sink.write(piece, options);
    if (n >= piece.length) return;
    throw new IOError("ERR_SHORT_WRITE", `write: the sink took ${n} of ${piece.length} bytes`);
  }

  private async inTurn<T>(
    what: string,
    options: OpOptions | undefined,
    body: () => Promise<T>,
  ): Promise<T> {
    const waiting = this.turns.enter(what, options?.signal);
    if (waiting !== undefined) await waiting;
    try {
      if (this.failure === CLOSED) {
        throw new IOError("ERR_CLOSED", `${what}: the buffered writer is closed`);
      }
      if (this.failed) throw this.failure;
      return await body();
    } finally {
      this.turns.leave();
    }
  }

  private fail(error: unknown): void {
    this.failure = error;
    this.failed = true;
  }

  private room(): Buffer {
    if (this.memory === NONE) this.memory = bufferOf(new Uint8Array(this.size));
    return this.memory;
  }
}
