/**
 * steps.ts: StepReader: the life of a buffered read.
 *
 * Every operation is a step that is tried on the bytes read ahead (ahead.ts). Where they are enough it
 * is done at once; else the source is read once more, and the step is tried again.
 *
 * Invariants
 *  - One operation reads at a time; others queue in the order of their calls (turns.ts).
 *  - An operation that fails because its source failed takes out what had arrived for it and hands it
 *    over as err.partial, if it is one that consumes.
 *  - Bytes read ahead are given without a look at the source: a deadline of the source concerns whoever
 *    waits for it. They cost a unit of the turn's budget, so a loop over them leaves turns to others.
 *  - Over a source with memory of its own (a conn), a reader that waits holds no buffer.
 */
import { CanceledError } from "../runtime/canceled.ts";
import { runtime } from "../runtime/runtime.ts";
import { Ahead } from "./ahead.ts";
import {
  type ChunkReader,
  checkLimit,
  isChunkReader,
  type Reader,
  readChunk,
  readSome,
  unexpectedEOF,
  withPartial,
} from "./io.ts";
import { Turns } from "./turns.ts";

/** Options of a BufReader. */
export interface BufReaderOptions {
  /** Bytes that are asked of a source at once, 4096 by default; a conn gives up to 64 KiB as it likes. */
  size?: number;
  /** Longest line, and longest run of bytes before a delimiter; 1 MiB by default. */
  limit?: number;
}

const DEFAULT_SIZE = 4096;
const DEFAULT_LIMIT = 1 << 20;

/** A step's answer: the bytes read ahead are not enough. */
export const MORE: unique symbol = Symbol("more");

/** Tries to complete an operation from the bytes read ahead; `ended` when no more will come. */
export type Step<T> = (ended: boolean, ahead: Ahead) => T | typeof MORE;

export abstract class StepReader {
  /** Where the bytes come from. */
  readonly source: Reader;
  protected readonly size: number;
  protected readonly limit: number;
  private readonly chunks: ChunkReader | undefined;
  protected readonly ahead: Ahead;
  protected readonly turns = new Turns();

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

  /** @internal Runs an operation: at once, or when enough has arrived. For codecs as well. */
  perform<T>(
    what: string,
    signal: AbortSignal | undefined,
    consumes: boolean,
    step: Step<T>,
  ): Promise<T> {
    if (signal?.aborted === true) return Promise.reject(new CanceledError(what, signal.reason));
    if (!this.turns.taken) {
      try {
        const done = step(false, this.ahead);
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
      const done = step(false, this.ahead);
      if (done !== MORE) return done;
      if (!(await this.fill(signal, consumes))) return step(true, this.ahead) as T;
    }
  }

  protected async inTurn<T>(
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

  /** The stream has ended inside of what was to be read, or right before it. */
  protected endInside(what: string, wanted?: number): null {
    if (this.ahead.length === 0) return null;
    throw unexpectedEOF(what, this.ahead.take(this.ahead.length), wanted);
  }
}
