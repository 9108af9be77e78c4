/** scanner.ts: Scanner: a stream cut into tokens by a function, as bufio.Scanner in Go. */
import { runtime } from "../runtime/runtime.ts";
import { Ahead } from "./ahead.ts";
import {
  type ChunkReader,
  checkLimit,
  IOError,
  isChunkReader,
  type OpOptions,
  type Reader,
  readChunk,
  readSome,
  withPartial,
} from "./io.ts";

/**
 * Cuts one token off the beginning of `data`, which holds what has arrived and was not cut yet. `ended`
 * when there will be no more of it. Answers
 *   undefined              more is needed; at the end: what is left is thrown away
 *   { advance }            so many bytes are thrown away, then it is asked again
 *   { advance, token }     so many bytes are gone, and this is the token; it may be a view of data
 */
export type SplitFunction<T> = (
  data: Uint8Array,
  ended: boolean,
) => { advance: number; token?: T } | undefined;

export interface ScannerOptions<T> extends OpOptions {
  /** "lines" (the default), "words", or a function of your own. */
  split?: "lines" | "words" | SplitFunction<T> | undefined;
  /** Longest token with what surrounds it, in bytes; 64 KiB by default. A longer one is ERR_LIMIT. */
  limit?: number | undefined;
}

const DEFAULT_LIMIT = 65_536;
const SIZE = 4096;
const LF = 10;
const CR = 13;

function text(data: Uint8Array, start: number, end: number): string {
  return Buffer.from(data.buffer, data.byteOffset + start, end - start).toString("utf8");
}

/** Lines as text, without LF and one CR before it; the last one needs no LF. */
function splitLines(): SplitFunction<string> {
  // What was looked at already: a line that trickles in is searched once.
  let searched = 0;
  return (data, ended) => {
    const at = data.indexOf(LF, searched);
    if (at === -1 && !(ended && data.length > 0)) {
      searched = data.length;
      return undefined;
    }
    searched = 0;
    const end = at === -1 ? data.length : at;
    const trimmed = at > 0 && data[at - 1] === CR ? at - 1 : end;
    return { advance: at === -1 ? end : at + 1, token: text(data, 0, trimmed) };
  };
}

/** The white space of ASCII. Other kinds of it are part of a word. */
function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

/** Words as text, with any run of ASCII white space between them. */
function splitWords(): SplitFunction<string> {
  let searched = 0;
  return (data, ended) => {
    let start = 0;
    while (start < data.length && isSpace(data[start] as number)) start++;
    // Space in front is dropped at once, so that it does not count for the limit.
    if (start > 0) {
      searched = 0;
      return { advance: start };
    }
    let end = searched;
    while (end < data.length && !isSpace(data[end] as number)) end++;
    if (end === 0 || (end === data.length && !ended)) {
      searched = end;
      return undefined;
    }
    searched = 0;
    return { advance: end, token: text(data, 0, end) };
  };
}

function splitterOf<T>(split: ScannerOptions<T>["split"]): SplitFunction<T> {
  if (typeof split === "function") return split;
  if (split === "words") return splitWords() as SplitFunction<T>;
  if (split === undefined || split === "lines") return splitLines() as SplitFunction<T>;
  throw new TypeError(`Scanner: expected "lines", "words" or a function, got ${String(split)}`);
}

/**
 * Iterates over the tokens of a stream: lines, words, or what a function of yours cuts off. Leaving the
 * loop closes nothing; iterating again goes on behind the last token.
 *
 * A token longer than `limit` is ERR_LIMIT. An error of the source carries what was read and not cut
 * as `partial`.
 *
 * @example
 * import { pipe, Scanner } from "coronet";
 * const [a, b] = pipe();
 * await a.write("one two\nthree\n");
 * await a.close();
 * for await (const word of new Scanner(b, { split: "words" })) console.log(word); // one two three
 */
export class Scanner<T = string> implements AsyncIterableIterator<T, undefined> {
  private readonly source: Reader;
  private readonly chunks: ChunkReader | undefined;
  private readonly split: SplitFunction<T>;
  private readonly limit: number;
  private readonly options: OpOptions | undefined;
  private readonly ahead: Ahead;
  private ended = false;
  private busy: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  constructor(source: Reader, options: ScannerOptions<T> = {}) {
    const { split, limit = DEFAULT_LIMIT, signal } = options;
    checkLimit(limit, "Scanner");
    this.source = source;
    this.chunks = isChunkReader(source) ? source : undefined;
    this.split = splitterOf(split);
    this.limit = limit;
    this.options = signal === undefined ? undefined : { signal };
    this.ahead = new Ahead(this.chunks === undefined ? SIZE : 0);
  }

  /** The next token. Calls before the last one has settled queue. */
  next(): Promise<IteratorResult<T, undefined>> {
    if (this.waiting === 0) {
      try {
        const result = this.cut();
        if (result !== undefined) return runtime().sched.completeLight(result);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.waiting++;
    const result = this.waiting === 1 ? this.scan() : this.busy.then(() => this.scan());
    this.busy = result.then(this.settled, this.settled);
    return result;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private readonly settled = (): void => {
    this.waiting--;
  };

  private async scan(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      const result = this.cut();
      if (result !== undefined) return result;
      await this.fill();
    }
  }

  /** The next token of what is here, the end, or undefined when more has to be read. */
  private cut(): IteratorResult<T, undefined> | undefined {
    const { ahead } = this;
    for (;;) {
      const { length } = ahead;
      if (length === 0 && this.ended) return { done: true, value: undefined };
      const data = ahead.view(length);
      const step = length > 0 ? this.split(data, this.ended) : undefined;
      if (step === undefined) {
        if (length > this.limit) throw this.tooLong();
        if (!this.ended) return undefined;
        ahead.drop(length);
        continue;
      }
      const { advance } = step;
      if (!(Number.isInteger(advance) && advance >= 0 && advance <= length)) {
        throw new RangeError(`Scanner: split advanced by ${advance} of ${length} bytes`);
      }
      if (step.token === undefined && advance === 0) {
        throw new RangeError("Scanner: split neither advanced nor gave a token");
      }
      if (step.token === undefined) {
        ahead.drop(advance);
        continue;
      }
      if (advance > this.limit) throw this.tooLong();
      return { done: false, value: this.taken(step.token, advance) };
    }
  }

  /** Takes the bytes of a token out; a token that is a view of them becomes a copy. */
  private taken(token: T, advance: number): T {
    const value = token instanceof Uint8Array ? (new Uint8Array(token) as T) : token;
    this.ahead.drop(advance);
    return value;
  }

  private tooLong(): IOError {
    const { limit } = this;
    return new IOError("ERR_LIMIT", `Scanner: a token is longer than ${limit} bytes`, { limit });
  }

  private async fill(): Promise<void> {
    const { ahead, chunks, options } = this;
    try {
      if (chunks !== undefined) {
        const chunk = await chunks[readChunk](options);
        if (chunk === null) this.ended = true;
        else ahead.append(chunk);
        return;
      }
      const n = await readSome(this.source, ahead.room(SIZE), options);
      if (n === null) this.ended = true;
      else ahead.added(n);
    } catch (error) {
      throw withPartial(error, ahead.take(ahead.length));
    }
  }
}
