/**
 * parts.ts: bodies that come in parts, on their way out: of a stream, or from one connection to another.
 *
 * Invariants
 *  - What was declared is what is sent: a body that is shorter or longer fails before anybody could take
 *    it for a whole one.
 *  - A body is asked for more only when the kernel has taken what it gave before.
 */
import { isUint8Array } from "node:util/types";
import { type BaseConn, writeLatin1 } from "../net/conn.ts";
import { NetError } from "../net/errors.ts";
import { IncomingSource } from "./body.ts";

/** Parts up to this size are copied between their size and their end, which costs less than a list of buffers. */
const COPIED = 16_384;

/** From so many bytes of the rest on it is worth moving them inside the kernel. */
const MOVED = 262_144;

/** A body that fails by itself, or is not what its head says; not the connection it is sent on. */
export class BodyFailure extends Error {
  constructor(cause: unknown) {
    super("the body failed", { cause });
  }
}

/** A body that comes in parts. */
export interface Parts {
  /** The next one; null at the end. Throws a BodyFailure. */
  next(): Promise<Uint8Array | null>;
  /** Moves what is left straight to the connection, as far as that can be done. Fails as both would. */
  moveTo(conn: BaseConn): Promise<number>;
  /** Nobody wants the rest. */
  cancel(reason: unknown): Promise<void>;
  /** Names and values in turn, known at the end. */
  readonly trailers: readonly string[];
}

class StreamParts implements Parts {
  readonly trailers: readonly string[] = [];
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.reader = stream.getReader();
  }

  async next(): Promise<Uint8Array | null> {
    const { done, value } = await this.reader.read().catch((error: unknown) => {
      throw new BodyFailure(error);
    });
    if (done) return null;
    if (isUint8Array(value)) return value;
    if (typeof value === "string") return Buffer.from(value);
    throw new BodyFailure(new TypeError("the body's stream holds what is no Uint8Array"));
  }

  async moveTo(): Promise<number> {
    return 0;
  }

  async cancel(reason: unknown): Promise<void> {
    await this.reader.cancel(reason).catch(() => {});
  }
}

class IncomingParts implements Parts {
  private readonly incoming: IncomingSource["incoming"];

  constructor(source: IncomingSource) {
    this.incoming = source.incoming;
  }

  get trailers(): readonly string[] {
    return this.incoming.trailers;
  }

  async next(): Promise<Uint8Array | null> {
    try {
      return await this.incoming.read();
    } catch (error) {
      throw new BodyFailure(error);
    }
  }

  async moveTo(conn: BaseConn): Promise<number> {
    try {
      return (await this.incoming.moveTo?.(conn)) ?? 0;
    } catch (error) {
      // Which of the two connections it was.
      if (error instanceof NetError && error.op !== "fetch") throw error;
      throw new BodyFailure(error);
    }
  }

  async cancel(): Promise<void> {
    this.incoming.cancel();
  }
}

export function partsOf(source: ReadableStream<Uint8Array> | IncomingSource): Parts {
  return source instanceof IncomingSource ? new IncomingParts(source) : new StreamParts(source);
}

/** Sends all parts: as many bytes as were declared (-1: any number), or chunked. */
export async function sendParts(
  conn: BaseConn,
  parts: Parts,
  declared: number,
  isChunked: boolean,
  what: string,
): Promise<void> {
  let sent = 0;
  for (let part = await parts.next(); part !== null; part = await parts.next()) {
    sent += part.length;
    if (declared !== -1 && sent > declared) throw wrongLength(what, declared, "more");
    if (part.length > 0) await sendPart(conn, part, isChunked);
    if (declared - sent >= MOVED) sent += await parts.moveTo(conn);
  }
  if (isChunked) await conn[writeLatin1](lastChunk(parts.trailers));
  else if (sent < declared) throw wrongLength(what, declared, `${sent}`);
}

function wrongLength(what: string, declared: number, sent: string): BodyFailure {
  const text = `the ${what}'s Content-Length is ${declared}, its stream has ${sent} bytes`;
  return new BodyFailure(new TypeError(text));
}

function sendPart(conn: BaseConn, part: Uint8Array, isChunked: boolean): Promise<number> {
  if (!isChunked) return conn.write(part);
  const size = `${part.length.toString(16)}\r\n`;
  if (part.length > COPIED) return conn.writev([size, part, "\r\n"]);
  const buffer = Buffer.allocUnsafe(size.length + part.length + 2);
  buffer.write(size, "latin1");
  buffer.set(part, size.length);
  buffer.write("\r\n", size.length + part.length);
  return conn.write(buffer);
}

/** What frames a message or says who asks: never taken from trailers (RFC 9110, 6.5.1). */
const NO_TRAILER =
  /^(?:transfer-encoding|content-length|host|connection|trailer|te|upgrade|authorization|proxy-.*|set-cookie|content-encoding|content-type|content-range|keep-alive)$/;

function lastChunk(trailers: readonly string[]): string {
  if (trailers.length === 0) return "0\r\n\r\n";
  let text = "0\r\n";
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i] as string;
    if (!NO_TRAILER.test(name.toLowerCase())) text += `${name}: ${trailers[i + 1]}\r\n`;
  }
  return `${text}\r\n`;
}
