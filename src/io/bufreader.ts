/**
 * bufreader.ts: BufReader: reading lines, up to a delimiter, exactly n bytes. steps.ts says how.
 *
 * Invariants
 *  - An operation that meets its limit takes nothing. `peek` never takes anything.
 *  - A search goes on where the last one ended: a delimiter that trickles in costs linear time.
 *  - Memory for n bytes grows with what arrives of them.
 */

import { runtime } from "../runtime/runtime.ts";
import { bufferOf } from "./ahead.ts";
import {
  checkCount,
  checkLimit,
  IOError,
  type OpOptions,
  type Reader,
  readSome,
  unexpectedEOF,
  type Writer,
  withPartial,
} from "./io.ts";
import { NumberReader } from "./numbers.ts";
import { untilStep } from "./search.ts";
import { type BufReaderOptions, MORE } from "./steps.ts";
import { move, type Transfer, type WriterTo, writeTo, writtenBefore } from "./transfer.ts";

/** Options of an operation whose length the peer decides. */
export interface LimitOptions extends OpOptions {
  /** The most bytes that it may give, delimiter and line end not counted. */
  limit?: number | undefined;
}

export interface UntilOptions extends LimitOptions {
  /** Gives the delimiter as well; it is taken out and thrown away otherwise. */
  inclusive?: boolean | undefined;
}

/** From here on exact reads go straight into memory of their own. */
const LARGE = 16_384;
const PIECE = 65_536;

export type { BufReaderOptions };

const LF = 10;
const CR = 13;

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
export class BufReader extends NumberReader implements WriterTo {
  /** Bytes that were read ahead and wait to be read. */
  get buffered(): number {
    return this.ahead.length;
  }

  /** True while a read waits: what arrives is its. */
  get isBusy(): boolean {
    return this.turns.taken;
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
    if (options === undefined && !this.turns.taken) {
      const line = ahead.shortLine(this.limit);
      if (line !== undefined) return runtime().sched.completeLight(line);
    }
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
    const { limit = this.limit, inclusive = false, signal } = options;
    const needle = typeof delimiter === "string" ? Buffer.from(delimiter) : bufferOf(delimiter);
    const onTooLong = (): Error => tooLong("readUntil", "what stands before the delimiter", limit);
    const step = untilStep("readUntil", needle, { inclusive, limit, tooLong: onTooLong });
    return this.perform("readUntil", signal, true, step);
  }

  /**
   * A reader of what stands before the next delimiter, in pieces: it ends there, and the delimiter is
   * taken out. For what is too long to be held at once. A stream that ends without a delimiter is
   * ERR_UNEXPECTED_EOF, with the last bytes as `partial`. A source that fails takes nothing along: what
   * may be the beginning of the delimiter stays, and after a timeout reading goes on.
   */
  until(delimiter: string | Uint8Array): Reader {
    const needle = typeof delimiter === "string" ? Buffer.from(delimiter) : bufferOf(delimiter);
    if (needle.length === 0) throw new RangeError("until: expected a delimiter that is not empty");
    let over = false;
    const read = (p: Uint8Array, options?: OpOptions): Promise<number | null> =>
      this.perform("until", options?.signal, false, (ended) => {
        if (over || p.length === 0) return over ? null : 0;
        const n = this.before(needle, p.length, ended);
        if (n === MORE) return MORE;
        if (n > 0) return this.ahead.moveTo(p.subarray(0, n));
        over = true;
        this.ahead.drop(needle.length);
        return null;
      });
    return { read };
  }

  /** How many bytes, of at most so many, stand before the delimiter; 0 when it is next. */
  private before(needle: Buffer, most: number, ended: boolean): number | typeof MORE {
    const { ahead } = this;
    const window = Math.min(ahead.length, most + needle.length);
    const at = ahead.indexOf(needle, 0, window);
    if (at !== -1) return Math.min(at, most);
    // The end of what is here may be the beginning of a delimiter.
    const sure = window - needle.length + 1;
    if (sure > 0) return Math.min(sure, most);
    if (ended) throw unexpectedEOF("until", ahead.take(ahead.length));
    return MORE;
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
          written = writtenBefore(error, bytes.length);
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

  private checkIdle(what: string): void {
    if (this.turns.taken) throw new IOError("ERR_BUSY", `${what}: a read waits on this reader`);
  }
}

function tooLong(what: string, which: string, limit: number): IOError {
  return new IOError("ERR_LIMIT", `${what}: ${which} is longer than ${limit} bytes`, { limit });
}
