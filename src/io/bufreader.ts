/**
 * bufreader.ts: BufReader: reading lines, up to a delimiter, exactly n bytes, numbers.
 *
 * Every operation is a step that is tried on the bytes read ahead (ahead.ts). Where they are enough it
 * is done at once; else the source is read once more, and the step is tried again.
 *
 * Invariants
 *  - One operation reads at a time; others queue in the order of their calls (turns.ts).
 *  - An operation that fails because its source failed takes out what had arrived for it and hands it
 *    over as err.partial. One that meets its limit takes nothing. `peek` never takes anything.
 *  - Bytes read ahead are given without a look at the source: a deadline of the source concerns whoever
 *    waits for it.
 *  - Over a source with memory of its own (a conn), a reader that waits holds no buffer.
 */
import { CanceledError } from "../runtime/canceled.ts";
import { runtime } from "../runtime/runtime.ts";
import { Ahead, bufferOf } from "./ahead.ts";
import {
  type ChunkReader,
  checkCount,
  checkLimit,
  IOError,
  isChunkReader,
  type OpOptions,
  type Reader,
  readChunk,
  readSome,
  unexpectedEOF,
  type Writer,
  withPartial,
} from "./io.ts";
import { move, type Transfer, type WriterTo, writeTo, writtenBefore } from "./transfer.ts";
import { Turns } from "./turns.ts";

/** Options of a BufReader. */
export interface BufReaderOptions {
  /** Bytes that are asked of a source at once, 4096 by default; a conn gives up to 64 KiB as it likes. */
  size?: number;
  /** Longest line, and longest run of bytes before a delimiter; 1 MiB by default. */
  limit?: number;
}

/** Options of an operation whose length the peer decides. */
export interface LimitOptions extends OpOptions {
  /** The most bytes that it may give, delimiter and line end not counted. */
  limit?: number | undefined;
}

export interface UntilOptions extends LimitOptions {
  /** Gives the delimiter as well; it is taken out and thrown away otherwise. */
  inclusive?: boolean | undefined;
}

const DEFAULT_SIZE = 4096;
const DEFAULT_LIMIT = 1 << 20;
/** From here on exact reads go straight into memory of their own. */
const LARGE = 16_384;
const PIECE = 65_536;
/** Digits of 7 bits that a number of 64 bits takes. */
const LONGEST_VARINT = 10;

const LF = 10;
const CR = 13;

/** A step's answer: the bytes read ahead are not enough. */
const MORE: unique symbol = Symbol("more");

/** Tries to complete an operation from the bytes read ahead; `ended` when no more will come. */
type Step<T> = (ended: boolean) => T | typeof MORE;

/**
 * Reads ahead from a source and gives what is asked for: lines, everything up to a delimiter, exactly
 * or at most n bytes, numbers.
 *
 * Null stands for the end of the stream. A stream that ends inside of what is asked for is an IOError,
 * ERR_UNEXPECTED_EOF. When the source fails (deadline, reset, signal), its error carries the bytes that
 * had arrived for this operation as `partial`; they are taken out of the stream, and after a timeout
 * the reader goes on behind them. When a limit is met (ERR_LIMIT) nothing is taken out: read on with a
 * larger limit, `skip`, or close.
 *
 * Reads of several goroutines queue. Closing is the source's matter.
 *
 * @example
 * import { BufReader, pipe } from "coronet";
 * const [a, b] = pipe();
 * await a.write("SET key\r\nvalue--boundary--");
 * await a.close();
 * const reader = new BufReader(b);
 * console.log(await reader.readLine()); // SET key
 * console.log(String(Buffer.from((await reader.readUntil("--boundary--"))!))); // value
 * console.log(await reader.readLine()); // null
 */
export class BufReader implements WriterTo {
  /** Where the bytes come from. */
  readonly source: Reader;
  private readonly size: number;
  private readonly limit: number;
  private readonly chunks: ChunkReader | undefined;
  private readonly ahead: Ahead;
  private readonly turns = new Turns();

  constructor(source: Reader, options: BufReaderOptions = {}) {
    const { size = DEFAULT_SIZE, limit = DEFAULT_LIMIT } = options;
    if (!Number.isInteger(size) || size < 1) {
      throw new RangeError(`BufReader size: expected a positive number of bytes, got ${size}`);
    }
    checkLimit(limit, "BufReader");
    this.source = source;
    this.size = size;
    this.limit = limit;
    this.chunks = isChunkReader(source) ? source : undefined;
    this.ahead = new Ahead(this.chunks === undefined ? size : 0);
  }

  /** Bytes that were read ahead and wait to be read. */
  get buffered(): number {
    return this.ahead.length;
  }

  /**
   * Takes out the bytes that were read ahead: for handing the source over to someone else. Throws
   * (ERR_BUSY) while a read waits, because they are its.
   */
  takeBuffered(): Uint8Array {
    this.checkIdle("takeBuffered");
    return this.ahead.take(this.ahead.length);
  }

  /** Puts bytes back: they are read next. Throws (ERR_BUSY) while a read waits. */
  unread(bytes: Uint8Array): void {
    this.checkIdle("unread");
    this.ahead.prepend(bytes);
  }

  // ---- bytes

  /** As the source's read, with what was read ahead first. */
  read(p: Uint8Array, options?: OpOptions): Promise<number | null> {
    const { ahead } = this;
    if (ahead.length === 0 && p.length >= this.size) return this.readThrough(p, options);
    return this.perform("read", options?.signal, false, (ended) => {
      if (p.length === 0) return 0;
      if (ahead.length === 0) return ended ? null : MORE;
      return ahead.moveTo(p);
    });
  }

  /** The next byte, or null at the end of the stream. */
  readByte(options?: OpOptions): Promise<number | null> {
    const { ahead } = this;
    return this.perform("readByte", options?.signal, false, (ended) => {
      if (ahead.length === 0) return ended ? null : MORE;
      const byte = ahead.at(0);
      ahead.drop(1);
      return byte;
    });
  }

  /**
   * The next n bytes without taking them out; fewer only where the stream ends. The view is good until
   * the next operation on this reader.
   */
  peek(n: number, options?: OpOptions): Promise<Uint8Array> {
    const { ahead } = this;
    return this.perform("peek", options?.signal, false, (ended) => {
      checkCount(n, "peek");
      if (ahead.length < n && !ended) return MORE;
      return ahead.view(Math.min(n, ahead.length));
    });
  }

  /**
   * Exactly n bytes, or p filled. Null when the stream had ended before; ERR_UNEXPECTED_EOF when it
   * ends inside. Memory for n grows with what arrives.
   */
  readFull(p: Uint8Array, options?: OpOptions): Promise<number | null>;
  readFull(n: number, options?: OpOptions): Promise<Uint8Array | null>;
  readFull(what: Uint8Array | number, options?: OpOptions): Promise<number | Uint8Array | null> {
    return typeof what === "number"
      ? this.readExactly(what, options)
      : this.readInto(what, options);
  }

  private readExactly(n: number, options: OpOptions | undefined): Promise<Uint8Array | null> {
    const { ahead } = this;
    if (n > LARGE && n > ahead.length) return this.readLarge(n, options);
    return this.perform("readFull", options?.signal, true, (ended) => {
      checkCount(n, "readFull");
      if (ahead.length >= n) return ahead.take(n);
      return ended ? this.endInside("readFull", n) : MORE;
    });
  }

  private readInto(p: Uint8Array, options: OpOptions | undefined): Promise<number | null> {
    const { ahead } = this;
    if (p.length > LARGE && p.length > ahead.length) {
      return this.inTurn("readFull", options?.signal, () =>
        this.gather(() => p, p.length, options),
      ).then((have) => have || null);
    }
    return this.perform("readFull", options?.signal, true, (ended) => {
      if (ahead.length >= p.length) return ahead.moveTo(p);
      return ended ? this.endInside("readFull", p.length) : MORE;
    });
  }

  /** At least one byte, at most n of them: what is there. Null at the end of the stream. */
  readAtMost(n: number, options?: OpOptions): Promise<Uint8Array | null> {
    const { ahead } = this;
    return this.perform("readAtMost", options?.signal, false, (ended) => {
      checkCount(n, "readAtMost");
      if (n === 0) return new Uint8Array(0);
      if (ahead.length === 0) return ended ? null : MORE;
      return ahead.take(Math.min(n, ahead.length));
    });
  }

  /** Everything up to the end of the stream. There is no limit unless one is given. */
  readAll(options: LimitOptions = {}): Promise<Uint8Array> {
    const { ahead } = this;
    const { limit = Infinity, signal } = options;
    return this.perform("readAll", signal, true, (ended) => {
      checkLimit(limit, "readAll");
      if (ahead.length > limit) throw tooLong("readAll", "the stream", limit);
      return ended ? ahead.take(ahead.length) : MORE;
    });
  }

  /** Throws the next n bytes away; ERR_UNEXPECTED_EOF when the stream ends before. */
  skip(n: number, options?: OpOptions): Promise<void> {
    const { ahead } = this;
    let left = n;
    return this.perform("skip", options?.signal, false, (ended) => {
      checkCount(n, "skip");
      const now = Math.min(left, ahead.length);
      ahead.drop(now);
      left -= now;
      if (left === 0) return undefined;
      if (!ended) return MORE;
      throw new IOError("ERR_UNEXPECTED_EOF", `skip: the stream ended ${left} bytes too early`);
    });
  }

  // ---- lines and delimiters

  /**
   * The next line as UTF-8 text: up to LF, which is dropped with one CR before it. What stands after
   * the last LF is a line as well. Null at the end of the stream.
   */
  readLine(options?: LimitOptions): Promise<string | null> {
    const { ahead } = this;
    return this.lineStep(options, (length, end) => ahead.takeText(length, end));
  }

  /** As readLine, the bytes. */
  readLineBytes(options?: LimitOptions): Promise<Uint8Array | null> {
    const { ahead } = this;
    return this.lineStep(options, (length, end) => {
      const line = ahead.take(length);
      ahead.drop(end);
      return line;
    });
  }

  private lineStep<T>(
    options: LimitOptions | undefined,
    take: (length: number, end: number) => T,
  ): Promise<T | null> {
    const { ahead } = this;
    const limit = options?.limit ?? this.limit;
    let searched = 0;
    return this.perform("readLine", options?.signal, true, (ended) => {
      checkLimit(limit, "readLine");
      const at = ahead.indexOf(LF, searched);
      if (at !== -1) {
        const length = at > 0 && ahead.at(at - 1) === CR ? at - 1 : at;
        if (length > limit) throw tooLong("readLine", "the line", limit);
        return take(length, at + 1 - length);
      }
      searched = ahead.length;
      // A CR may yet turn out to be half of the line's end.
      const length = searched > 0 && ahead.at(searched - 1) === CR ? searched - 1 : searched;
      if (length > limit) throw tooLong("readLine", "the line", limit);
      if (!ended) return MORE;
      return searched === 0 ? null : take(searched, 0);
    });
  }

  /**
   * What stands before the next delimiter, which is taken out with it (and given with `inclusive`).
   * Null when the stream has ended; ERR_UNEXPECTED_EOF, with the rest as `partial`, when it ends
   * without a delimiter.
   */
  readUntil(
    delimiter: string | Uint8Array,
    options: UntilOptions = {},
  ): Promise<Uint8Array | null> {
    const { ahead } = this;
    const { limit = this.limit, inclusive = false, signal } = options;
    const needle = typeof delimiter === "string" ? Buffer.from(delimiter) : bufferOf(delimiter);
    const { length } = needle;
    let searched = 0;
    return this.perform("readUntil", signal, true, (ended) => {
      checkLimit(limit, "readUntil");
      if (length === 0) throw new RangeError("readUntil: expected a delimiter that is not empty");
      const at = ahead.indexOf(length === 1 ? (needle[0] as number) : needle, searched);
      if (at > limit) throw tooLong("readUntil", "what stands before the delimiter", limit);
      if (at !== -1) {
        const taken = ahead.take(inclusive ? at + length : at);
        if (!inclusive) ahead.drop(length);
        return taken;
      }
      // The end of what is here may be the beginning of a delimiter.
      searched = Math.max(0, ahead.length - length + 1);
      if (searched > limit) throw tooLong("readUntil", "what stands before the delimiter", limit);
      return ended ? this.endInside("readUntil") : MORE;
    });
  }

  // ---- numbers; a stream that ends before or inside one is ERR_UNEXPECTED_EOF

  readUint8(options?: OpOptions): Promise<number> {
    return this.number("readUint8", 1, options, (m, at) => m.readUInt8(at));
  }

  readInt8(options?: OpOptions): Promise<number> {
    return this.number("readInt8", 1, options, (m, at) => m.readInt8(at));
  }

  readUint16BE(options?: OpOptions): Promise<number> {
    return this.number("readUint16BE", 2, options, (m, at) => m.readUInt16BE(at));
  }

  readUint16LE(options?: OpOptions): Promise<number> {
    return this.number("readUint16LE", 2, options, (m, at) => m.readUInt16LE(at));
  }

  readInt16BE(options?: OpOptions): Promise<number> {
    return this.number("readInt16BE", 2, options, (m, at) => m.readInt16BE(at));
  }

  readInt16LE(options?: OpOptions): Promise<number> {
    return this.number("readInt16LE", 2, options, (m, at) => m.readInt16LE(at));
  }

  readUint32BE(options?: OpOptions): Promise<number> {
    return this.number("readUint32BE", 4, options, (m, at) => m.readUInt32BE(at));
  }

  readUint32LE(options?: OpOptions): Promise<number> {
    return this.number("readUint32LE", 4, options, (m, at) => m.readUInt32LE(at));
  }

  readInt32BE(options?: OpOptions): Promise<number> {
    return this.number("readInt32BE", 4, options, (m, at) => m.readInt32BE(at));
  }

  readInt32LE(options?: OpOptions): Promise<number> {
    return this.number("readInt32LE", 4, options, (m, at) => m.readInt32LE(at));
  }

  readBigUint64BE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigUint64BE", 8, options, (m, at) => m.readBigUInt64BE(at));
  }

  readBigUint64LE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigUint64LE", 8, options, (m, at) => m.readBigUInt64LE(at));
  }

  readBigInt64BE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigInt64BE", 8, options, (m, at) => m.readBigInt64BE(at));
  }

  readBigInt64LE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigInt64LE", 8, options, (m, at) => m.readBigInt64LE(at));
  }

  readFloat32BE(options?: OpOptions): Promise<number> {
    return this.number("readFloat32BE", 4, options, (m, at) => m.readFloatBE(at));
  }

  readFloat32LE(options?: OpOptions): Promise<number> {
    return this.number("readFloat32LE", 4, options, (m, at) => m.readFloatLE(at));
  }

  readFloat64BE(options?: OpOptions): Promise<number> {
    return this.number("readFloat64BE", 8, options, (m, at) => m.readDoubleBE(at));
  }

  readFloat64LE(options?: OpOptions): Promise<number> {
    return this.number("readFloat64LE", 8, options, (m, at) => m.readDoubleLE(at));
  }

  /**
   * An unsigned number of up to 64 bits, 7 bits per byte, the low ones first (protobuf, Go's
   * encoding/binary). A longer one is ERR_OVERFLOW and stays in the stream.
   */
  readUvarint(options?: OpOptions): Promise<bigint> {
    const { ahead } = this;
    return this.perform("readUvarint", options?.signal, true, (ended) => {
      let value = 0n;
      for (let i = 0; i < LONGEST_VARINT; i++) {
        if (i >= ahead.length) {
          if (!ended) return MORE;
          throw unexpectedEOF("readUvarint", ahead.take(ahead.length));
        }
        const byte = ahead.at(i);
        value |= BigInt(byte & 0x7f) << BigInt(7 * i);
        if (byte >= 0x80) continue;
        if (i === LONGEST_VARINT - 1 && byte > 1) break;
        ahead.drop(i + 1);
        return value;
      }
      throw new IOError("ERR_OVERFLOW", "readUvarint: the number has more than 64 bits");
    });
  }

  private number<T>(
    what: string,
    bytes: number,
    options: OpOptions | undefined,
    get: (memory: Buffer, at: number) => T,
  ): Promise<T> {
    const { ahead } = this;
    return this.perform(what, options?.signal, true, (ended) => {
      if (ahead.length < bytes) {
        if (!ended) return MORE;
        throw unexpectedEOF(what, ahead.take(ahead.length), bytes);
      }
      const { memory, start } = ahead.place;
      const value = get(memory, start);
      ahead.drop(bytes);
      return value;
    });
  }

  // ---- the life of an operation

  private perform<T>(
    what: string,
    signal: AbortSignal | undefined,
    consumes: boolean,
    step: Step<T>,
  ): Promise<T> {
    if (signal?.aborted === true) return Promise.reject(new CanceledError(what, signal.reason));
    if (!this.turns.taken) {
      try {
        const done = step(false);
        if (done !== MORE) return runtime().sched.completeLight(done);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.inTurn(what, signal, () => this.repeat(signal, consumes, step));
  }

  private async repeat<T>(
    signal: AbortSignal | undefined,
    consumes: boolean,
    step: Step<T>,
  ): Promise<T> {
    for (;;) {
      const done = step(false);
      if (done !== MORE) return done;
      if (!(await this.fill(signal, consumes))) return step(true) as T;
    }
  }

  private async inTurn<T>(
    what: string,
    signal: AbortSignal | undefined,
    body: () => Promise<T>,
  ): Promise<T> {
    const waiting = this.turns.enter(what, signal);
    if (waiting !== undefined) await waiting;
    try {
      return await body();
    } finally {
      this.turns.leave();
    }
  }

  /** Reads ahead once more. False at the end of the stream. */
  private async fill(signal: AbortSignal | undefined, consumes: boolean): Promise<boolean> {
    const { ahead, chunks } = this;
    const options = signal === undefined ? undefined : { signal };
    try {
      if (chunks !== undefined) {
        const chunk = await chunks[readChunk](options);
        if (chunk !== null) ahead.append(chunk);
        return chunk !== null;
      }
      const n = await readSome(this.source, ahead.room(this.size), options);
      if (n !== null) ahead.added(n);
      return n !== null;
    } catch (error) {
      throw consumes ? withPartial(error, ahead.take(ahead.length)) : error;
    }
  }

  /** Reads into the caller's memory without a detour. */
  private readThrough(p: Uint8Array, options: OpOptions | undefined): Promise<number | null> {
    return this.inTurn("read", options?.signal, () =>
      this.ahead.length === 0
        ? readSome(this.source, p, options)
        : Promise.resolve(this.ahead.moveTo(p)),
    );
  }

  /** @internal For copy: what was read ahead, then whatever the source can do. */
  [writeTo](dst: Writer, transfer: Transfer): Promise<void> {
    const { ahead } = this;
    return this.inTurn("copy", transfer.signal, async () => {
      while (ahead.length > 0 && transfer.left > 0) {
        const bytes = ahead.view(Math.min(ahead.length, transfer.left));
        let written = bytes.length;
        try {
          await dst.write(bytes, transfer.options);
        } catch (error) {
          written = writtenBefore(error);
          throw error;
        } finally {
          ahead.drop(written);
          transfer.moved(written);
        }
      }
      await move(dst, this.source, transfer);
    });
  }

  private async readLarge(n: number, options: OpOptions | undefined): Promise<Uint8Array | null> {
    checkCount(n, "readFull");
    return await this.inTurn("readFull", options?.signal, async () => {
      let memory = new Uint8Array(Math.min(n, Math.max(PIECE, this.ahead.length)));
      const grow = (have: number): Uint8Array => {
        if (have === memory.length) {
          const larger = new Uint8Array(Math.min(n, have * 2));
          larger.set(memory);
          memory = larger;
        }
        return memory;
      };
      const have = await this.gather(grow, n, options);
      return have === 0 ? null : memory;
    });
  }

  /** Fills memory with n bytes; 0 when the stream had ended before. */
  private async gather(
    memory: (have: number) => Uint8Array,
    n: number,
    options: OpOptions | undefined,
  ): Promise<number> {
    let have = this.ahead.moveTo(memory(0));
    while (have < n) {
      const p = memory(have);
      let more: number | null;
      try {
        more = await readSome(this.source, p.subarray(have), options);
      } catch (error) {
        throw withPartial(error, p.subarray(0, have));
      }
      if (more === null) {
        if (have === 0) return 0;
        throw unexpectedEOF("readFull", p.subarray(0, have), n);
      }
      have += more;
    }
    return have;
  }

  /** The stream has ended inside of what was to be read, or right before it. */
  private endInside(what: string, wanted?: number): null {
    if (this.ahead.length === 0) return null;
    throw unexpectedEOF(what, this.ahead.take(this.ahead.length), wanted);
  }

  private checkIdle(what: string): void {
    if (this.turns.taken) throw new IOError("ERR_BUSY", `${what}: a read waits on this reader`);
  }
}

function tooLong(what: string, which: string, limit: number): IOError {
  return new IOError("ERR_LIMIT", `${what}: ${which} is longer than ${limit} bytes`, { limit });
}
