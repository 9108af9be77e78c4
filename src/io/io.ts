/**
 * io.ts: what can be read from, written to and closed; and the error of whatever builds on that.
 *
 * A conn is a Reader, a Writer and a Closer. What stands on top (BufReader, Scanner, copy, codecs) asks
 * for no more than these, and finds what a source or sink can do beyond them by methods with a symbol
 * for a name: this layer knows no conn.
 *
 * Convention: a read resolves to the number of bytes, at least one, and to null at the end of the
 * stream; 0 is the answer to an empty buffer only.
 */
import { ENDS_GOROUTINE } from "../runtime/panic.ts";

/** What every operation that may wait takes. */
export interface OpOptions {
  /** Cancels this operation only (ERR_CANCELED, with the signal's reason as cause). */
  signal?: AbortSignal | undefined;
}

/** Something that bytes can be read from. */
export interface Reader {
  /**
   * Reads what is there, at least one byte, at most p.length. Resolves to the number of bytes, to
   * null at the end of the stream, to 0 only for an empty p.
   */
  read(p: Uint8Array, options?: OpOptions): Promise<number | null>;
}

/** Something that bytes can be written to. */
export interface Writer {
  /** Writes all of p (a string as UTF-8). Resolves to its number of bytes. */
  write(p: Uint8Array | string, options?: OpOptions): Promise<number>;
}

/** A writer that takes several pieces in one go. */
export interface VectorWriter extends Writer {
  writev(chunks: readonly (Uint8Array | string)[], options?: OpOptions): Promise<number>;
}

/** Something that can be closed. Closing twice is harmless. */
export interface Closer {
  close(): Promise<void>;
}

/** Name of the method of a ChunkReader. */
export const readChunk: unique symbol = Symbol("coronet.readChunk");

/** A source that hands out memory of its own: whoever waits for it holds no buffer. */
export interface ChunkReader extends Reader {
  /** The next bytes, which are the receiver's from then on; null at the end of the stream. */
  [readChunk](options?: OpOptions): Promise<Uint8Array | null>;
}

export function isChunkReader(reader: Reader): reader is ChunkReader {
  return readChunk in reader;
}

/**
 * ERR_UNEXPECTED_EOF   the stream ended inside of what was to be read
 * ERR_LIMIT            what was to be read is longer than its limit
 * ERR_OVERFLOW         a number that does not fit its type was received
 * ERR_NO_PROGRESS      a source answered 0 bytes again and again
 * ERR_SHORT_WRITE      a sink took fewer bytes than it was given, without an error
 * ERR_CLOSED           a buffered writer was written to after close
 * ERR_BUSY             the bytes read ahead were asked for while another read waits
 * ERR_FRAME_TOO_LARGE  a message is longer than allowed (FramingError)
 * ERR_FRAME_MALFORMED  there is no message where one should begin (FramingError)
 */
export type IOErrorCode =
  | "ERR_UNEXPECTED_EOF"
  | "ERR_LIMIT"
  | "ERR_OVERFLOW"
  | "ERR_NO_PROGRESS"
  | "ERR_SHORT_WRITE"
  | "ERR_CLOSED"
  | "ERR_BUSY"
  | "ERR_FRAME_TOO_LARGE"
  | "ERR_FRAME_MALFORMED";

/** Codes that a peer brings about: they end the goroutine of its connection, without a panic. */
const EVERYDAY = new Set<IOErrorCode>([
  "ERR_UNEXPECTED_EOF",
  "ERR_LIMIT",
  "ERR_OVERFLOW",
  "ERR_CLOSED",
  "ERR_FRAME_TOO_LARGE",
  "ERR_FRAME_MALFORMED",
]);

export interface IOErrorDetails {
  partial?: Uint8Array | undefined;
  limit?: number | undefined;
  cause?: unknown;
}

/**
 * A stream did not hold what was to be read from it, or a buffer's limit was reached. Errors of the
 * source or sink itself (a conn's NetError) pass through as they are.
 *
 * @example
 * import { BufReader, IOError, pipe } from "coronet";
 * const [a, b] = pipe();
 * await a.write("half a");
 * await a.close();
 * try {
 *   await new BufReader(b).readFull(16);
 * } catch (error) {
 *   if (!(error instanceof IOError)) throw error;
 *   console.log(error.code, String(Buffer.from(error.partial ?? []))); // ERR_UNEXPECTED_EOF half a
 * }
 */
export class IOError extends Error {
  override readonly name: string = "IOError";
  readonly code: IOErrorCode;
  /** What had arrived when the operation failed, where that was taken out of the stream. */
  readonly partial: Uint8Array | undefined;
  /** The limit that was reached, in bytes. */
  readonly limit: number | undefined;

  constructor(code: IOErrorCode, text: string, details: IOErrorDetails = {}) {
    const { partial, limit, cause } = details;
    super(`${text} (${code})`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.partial = partial;
    this.limit = limit;
    if (EVERYDAY.has(code)) Object.defineProperty(this, ENDS_GOROUTINE, { value: true });
  }
}

/** Hands what had arrived out with the error of a source. */
export function withPartial(error: unknown, partial: Uint8Array): unknown {
  if (error instanceof Error && Object.isExtensible(error)) {
    (error as { partial?: Uint8Array }).partial = partial;
  }
  return error;
}

export function unexpectedEOF(
  what: string,
  partial: Uint8Array | undefined,
  wanted?: number,
): IOError {
  const of = wanted === undefined ? "" : ` of ${wanted}`;
  const after = partial === undefined ? "" : ` after ${partial.length}${of} bytes`;
  return new IOError("ERR_UNEXPECTED_EOF", `${what}: the stream ended${after}`, { partial });
}

/** A whole number of bytes, 0 or more. */
export function checkCount(n: number, what: string): void {
  if (Number.isSafeInteger(n) && n >= 0) return;
  throw new RangeError(`${what}: expected a whole number of bytes, 0 or more, got ${n}`);
}

/** A limit: a number of bytes, or Infinity for none. */
export function checkLimit(n: number, what: string): void {
  if (typeof n === "number" && n >= 0) return;
  throw new RangeError(`${what}: expected a limit in bytes, 0 or more, got ${n}`);
}

/** Empty answers in a row after which a source is taken for broken. */
const EMPTY_READS = 100;

/** As reader.read, but never 0 for a buffer that has room. */
export async function readSome(
  reader: Reader,
  p: Uint8Array,
  options: OpOptions | undefined,
): Promise<number | null> {
  for (let i = 0; i < EMPTY_READS; i++) {
    const n = await reader.read(p, options);
    if (n !== 0) return n;
  }
  throw new IOError("ERR_NO_PROGRESS", `read: ${EMPTY_READS} answers without a byte in them`);
}

/**
 * Reads until p is full. Resolves to p.length, or to null when the stream had ended before. A stream
 * that ends inside is ERR_UNEXPECTED_EOF; every error carries what had arrived as `partial`.
 *
 * @example
 * import { pipe, readFull } from "coronet";
 * const [a, b] = pipe();
 * await a.write("ab");
 * await a.write("cd");
 * const p = new Uint8Array(4);
 * console.log(await readFull(b, p), String(Buffer.from(p))); // 4 abcd
 */
export async function readFull(
  reader: Reader,
  p: Uint8Array,
  options?: OpOptions,
): Promise<number | null> {
  let have = 0;
  try {
    while (have < p.length) {
      const n = await readSome(reader, have === 0 ? p : p.subarray(have), options);
      if (n === null) break;
      have += n;
    }
  } catch (error) {
    throw withPartial(error, p.subarray(0, have));
  }
  if (have === p.length) return have;
  if (have === 0) return null;
  throw unexpectedEOF("readFull", p.subarray(0, have), p.length);
}

/** The first buffer of readAll, in bytes; each further one is twice as large, up to the second. */
const FIRST_PIECE = 4096;
const LARGEST_PIECE = 1 << 20;

/**
 * Reads up to the end of the stream. More than `limit` bytes are ERR_LIMIT; there is no limit unless
 * one is given. Every error carries what had arrived as `partial`.
 *
 * @example
 * import { pipe, readAll } from "coronet";
 * const [a, b] = pipe();
 * await a.write("all of it");
 * await a.close();
 * console.log(String(Buffer.from(await readAll(b, { limit: 1024 })))); // all of it
 */
export async function readAll(
  reader: Reader,
  options: OpOptions & { limit?: number | undefined } = {},
): Promise<Uint8Array> {
  const { limit = Infinity } = options;
  checkLimit(limit, "readAll");
  const pieces: Uint8Array[] = [];
  let total = 0;
  try {
    for (let size = FIRST_PIECE; total <= limit; size = Math.min(size * 2, LARGEST_PIECE)) {
      const piece = new Uint8Array(Math.min(size, limit - total + 1));
      const n = await fillPiece(reader, piece, options, (taken) => pieces.push(taken));
      total += n;
      if (n < piece.length) return concat(pieces, total);
    }
  } catch (error) {
    throw withPartial(error, concat(pieces));
  }
  const text = `readAll: the stream is longer than ${limit} bytes`;
  throw new IOError("ERR_LIMIT", text, { limit, partial: concat(pieces) });
}

/** Fills a piece as far as the stream goes, and hands it over whatever happens. */
async function fillPiece(
  reader: Reader,
  piece: Uint8Array,
  options: OpOptions,
  take: (taken: Uint8Array) => void,
): Promise<number> {
  let have = 0;
  try {
    while (have < piece.length) {
      const n = await readSome(reader, piece.subarray(have), options);
      if (n === null) break;
      have += n;
    }
    return have;
  } finally {
    take(piece.subarray(0, have));
  }
}

/** Pieces in one array of their exact size. */
export function concat(pieces: readonly Uint8Array[], total?: number): Uint8Array {
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only;
  const all = new Uint8Array(total ?? pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
