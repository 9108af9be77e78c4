/**
 * transfer.ts: moving bytes from a source to a sink, by the shortest way that both of them know.
 *
 * A source that stands before another one (BufReader, LimitedReader) moves its own part and passes the
 * transfer on to the one behind it ([writeTo]). A sink may know how to take from a source without a
 * buffer ([readFrom]); what it cannot, goes through one, a piece at a time.
 *
 * Invariant: bytes that were taken from the source and not written are put back (`unread`) before the
 * transfer fails; where a source cannot take them back, they are the error's `partial`.
 */
import { runtime } from "../runtime/runtime.ts";
import {
  IOError,
  isChunkReader,
  type OpOptions,
  type Reader,
  readChunk,
  readSome,
  type Writer,
} from "./io.ts";

/** A file on disk: a FileHandle of node:fs/promises, or an fd with the part of it that is meant. */
export interface FileSource {
  readonly fd: number;
  /** Where to begin, in bytes; 0 by default. The file's own position is neither used nor moved. */
  readonly offset?: number | undefined;
  /** The most bytes of it; up to its end by default. */
  readonly length?: number | undefined;
}

export function isFile(source: Reader | FileSource): source is FileSource {
  return typeof (source as { fd?: unknown }).fd === "number";
}

/** How far a transfer has come. */
export class Transfer {
  readonly options: OpOptions | undefined;
  /** Bytes that it may still move; Infinity for no limit. */
  left: number;
  written = 0;

  constructor(left: number, options: OpOptions | undefined) {
    this.left = left;
    this.options = options;
  }

  get signal(): AbortSignal | undefined {
    return this.options?.signal;
  }

  moved(n: number): void {
    this.written += n;
    this.left -= n;
  }
}

/** Name of the method of a source that moves its bytes itself. */
export const writeTo: unique symbol = Symbol("coronet.writeTo");

export interface WriterTo extends Reader {
  /** Moves everything up to its end, or to the transfer's limit. */
  [writeTo](dst: Writer, transfer: Transfer): Promise<void>;
}

/** Name of the method of a sink that may take from a source without a buffer. */
export const readFrom: unique symbol = Symbol("coronet.readFrom");

/**
 * How far a sink came without a buffer:
 *   DONE     the source has ended, or the limit is reached
 *   STUCK    the next piece has to go through a buffer; then it may try again
 *   NO       all that is left has to go through one
 */
export const DONE = 0;
export const STUCK = 1;
export const NO = 2;
export type Passed = typeof DONE | typeof STUCK | typeof NO;

export interface ReaderFrom extends Writer {
  [readFrom](src: Reader | FileSource, transfer: Transfer): Promise<Passed>;
}

const PIECE = 65_536;
const KEPT = 4;
const spare: Uint8Array[] = [];

/** Moves everything from a source to a sink, or up to the transfer's limit. */
export async function move(dst: Writer, src: Reader, transfer: Transfer): Promise<void> {
  if (transfer.left <= 0) return;
  if (writeTo in src) return await (src as WriterTo)[writeTo](dst, transfer);
  let passed: Passed = readFrom in dst ? STUCK : NO;
  for (;;) {
    if (passed !== NO) passed = await (dst as ReaderFrom)[readFrom](src, transfer);
    if (passed === DONE || transfer.left <= 0) return;
    if (!(await movePiece(dst, src, transfer))) return;
    // Neither of the two may ever wait.
    const { sched } = runtime();
    if (!sched.spend()) await sched.defer(undefined);
  }
}

/** Moves what one read gives; false at the end of the source. */
async function movePiece(dst: Writer, src: Reader, transfer: Transfer): Promise<boolean> {
  // Without a limit, a source with memory of its own is asked for it: nothing is held while it waits.
  if (transfer.left === Infinity && isChunkReader(src)) {
    const chunk = await src[readChunk](transfer.options);
    if (chunk !== null) await writePiece(dst, src, chunk, transfer);
    return chunk !== null;
  }
  const buffer = spare.pop() ?? new Uint8Array(PIECE);
  try {
    const p = transfer.left < PIECE ? buffer.subarray(0, transfer.left) : buffer;
    const n = await readSome(src, p, transfer.options);
    if (n !== null) await writePiece(dst, src, p.subarray(0, n), transfer);
    return n !== null;
  } finally {
    if (spare.length < KEPT) spare.push(buffer);
  }
}

async function writePiece(
  dst: Writer,
  src: Reader,
  piece: Uint8Array,
  transfer: Transfer,
): Promise<void> {
  try {
    const n = await dst.write(piece, transfer.options);
    if (n < piece.length) throw shortWrite(n, piece.length);
    transfer.moved(piece.length);
  } catch (error) {
    const written = writtenBefore(error, piece.length);
    transfer.moved(written);
    putBack(src, piece.slice(written), error);
    throw error;
  }
}

/** How much of a piece a write that failed had written, as far as it says so. */
export function writtenBefore(error: unknown, length: number): number {
  const { bytesWritten } = (error ?? {}) as { bytesWritten?: unknown };
  return typeof bytesWritten === "number" ? Math.min(bytesWritten, length) : 0;
}

function shortWrite(n: number, length: number): IOError {
  const text = `write: the sink took ${n} of ${length} bytes`;
  return Object.assign(new IOError("ERR_SHORT_WRITE", text), { bytesWritten: n });
}

function putBack(src: Reader, bytes: Uint8Array, error: unknown): void {
  if (bytes.length === 0) return;
  try {
    const { unread } = src as { unread?: (bytes: Uint8Array) => void };
    if (typeof unread === "function") {
      unread.call(src, bytes);
      return;
    }
  } catch {
    // The source was closed meanwhile.
  }
  if (error instanceof Error && Object.isExtensible(error)) {
    (error as { partial?: Uint8Array }).partial = bytes;
  }
}
