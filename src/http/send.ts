/**
 * send.ts: a response on its way: small ones in one write, streams chunk by chunk.
 *
 * Invariants
 *  - What Content-Length says is what is sent, or the connection breaks off: a client never takes half a
 *    body for a whole one.
 *  - A stream is asked for more only when the kernel has taken what it gave before.
 */
import { isUint8Array } from "node:util/types";
import type { BaseConn } from "../net/conn.ts";
import { TCPConn } from "../net/tcp.ts";
import { type Framing, fieldsOf, headOf, plainHead } from "./message.ts";
import type { Request } from "./request.ts";
import { isBodiless, Response } from "./response.ts";

/** One request, as far as its response needs to know. */
export interface Exchange {
  readonly conn: BaseConn;
  readonly request: Request;
  /** 10 or 11. */
  readonly version: number;
  /** The request was HEAD: no body is sent. */
  readonly head: boolean;
  /** The connection goes on after the response. */
  keepAlive: boolean;
  report(error: unknown, request: Request): void;
  /** Sends text of latin1, perhaps with what follows. Undefined when there is nothing to wait for. */
  send(text: string): Promise<unknown> | undefined;
  /** Writes what waits for company, as has to be done before anything is written but by `send`. */
  flush(): Promise<unknown> | undefined;
}

/** What a response's body is kept as. */
type Sendable = string | Uint8Array | ReadableStream<Uint8Array> | null;

/** Bodies up to this size are copied behind their head, which costs less than a list of buffers. */
const COPIED = 16_384;

const noBody: Framing = { kind: "none" };
const chunked: Framing = { kind: "chunked" };
const untilClose: Framing = { kind: "close" };
const fixed = { kind: "length" as const, length: 0 };

/**
 * Sends a response. When it is sent, `exchange.keepAlive` says whether the connection goes on. Undefined when
 * there is nothing to wait for.
 */
export function sendResponse(exchange: Exchange, response: Response): Promise<unknown> | undefined {
  let source: Sendable;
  let text: string;
  let framing: Framing;
  if (isPlain(exchange, response)) {
    const body = response.take() as string;
    if (isOneByte(body)) return exchange.send(plainHead(response.bodyType, body.length) + body);
    const length = Buffer.byteLength(body);
    return sendMessage(exchange, plainHead(response.bodyType, length), body, lengthOf(length));
  }
  try {
    if (response.status === 0) return breakOff(exchange);
    if (response.status < 200) {
      throw new TypeError("a handler cannot answer 101 by itself: info.upgrade() does");
    }
    const said = fieldsOf(response);
    source = response.take() as Sendable;
    if (said.close) exchange.keepAlive = false;
    framing = framingOf(exchange, response.status, source, said.length);
    if (framing === untilClose) exchange.keepAlive = false;
    text = headOf(response, said.fields, framing, connectionOf(exchange));
  } catch (error) {
    exchange.report(error, exchange.request);
    return sendResponse(exchange, new Response("Internal Server Error\n", { status: 500 }));
  }
  return sendMessage(exchange, text, source, framing);
}

/** The usual response: a text, and nothing said about how to send it. */
function isPlain(exchange: Exchange, response: Response): boolean {
  return (
    response.status === 200 &&
    response.headerList === undefined &&
    response.statusText === "" &&
    typeof response.source === "string" &&
    !response.bodyUsed &&
    exchange.keepAlive &&
    exchange.version === 11 &&
    !exchange.head
  );
}

/** As many bytes as characters, and few of them. */
function isOneByte(text: string): boolean {
  return text.length <= COPIED && Buffer.byteLength(text) === text.length;
}

function connectionOf({ version, keepAlive }: Exchange): "" | "close" | "keep-alive" {
  if (!keepAlive) return "close";
  return version === 10 ? "keep-alive" : "";
}

/** How the body is told apart from what follows. Throws when Content-Length is not the body's. */
function framingOf(
  { version, head }: Exchange,
  status: number,
  source: Sendable,
  declared: number,
): Framing {
  if (status === 205) return lengthOf(0);
  // Of a 304 the length is that of the body it stands for.
  if (isBodiless(status) && !(status === 304 && declared !== -1)) return noBody;
  if (source instanceof ReadableStream) {
    if (declared !== -1) return lengthOf(declared);
    if (version === 11) return chunked;
    return head ? noBody : untilClose;
  }
  const length = source === null ? 0 : byteLength(source);
  if (declared !== -1 && declared !== length && !(source === null && (head || status === 304))) {
    throw new TypeError(
      `the response's Content-Length is ${declared}, its body has ${length} bytes`,
    );
  }
  return lengthOf(declared === -1 ? length : declared);
}

function lengthOf(length: number): Framing {
  fixed.length = length;
  return fixed;
}

function byteLength(source: string | Uint8Array): number {
  return typeof source === "string" ? Buffer.byteLength(source) : source.length;
}

function sendMessage(
  exchange: Exchange,
  head: string,
  source: Sendable,
  framing: Framing,
): Promise<unknown> | undefined {
  const silent = exchange.head || framing === noBody || source === null;
  if (source instanceof ReadableStream) {
    if (silent) return sendHeadAlone(exchange, head, source);
    const length = framing === fixed ? fixed.length : -1;
    return sendStream(exchange, head, source, length, framing === chunked);
  }
  if (silent) return exchange.send(head);
  if (typeof source === "string") {
    // As many bytes as characters: all of them are ASCII.
    const isText = fixed.length === source.length && source.length <= COPIED;
    if (isText) return exchange.send(head + source);
  }
  const { length } = fixed;
  const flushed = exchange.flush();
  if (flushed === undefined) return sendBody(exchange.conn, head, source, length);
  return flushed.then(() => sendBody(exchange.conn, head, source, length));
}

function sendBody(
  conn: BaseConn,
  head: string,
  body: string | Uint8Array,
  length: number,
): Promise<number> {
  return typeof body === "string"
    ? sendString(conn, head, body, length)
    : sendBytes(conn, head, body);
}

async function sendHeadAlone(
  exchange: Exchange,
  head: string,
  body: ReadableStream,
): Promise<void> {
  await exchange.send(head);
  await body.cancel().catch(() => {});
}

function sendString(conn: BaseConn, head: string, body: string, length: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(head.length + length);
  buffer.write(head, "latin1");
  buffer.write(body, head.length);
  return conn.write(buffer);
}

function sendBytes(conn: BaseConn, head: string, body: Uint8Array): Promise<number> {
  if (body.length > COPIED) return conn.writev([Buffer.from(head, "latin1"), body]);
  const buffer = Buffer.allocUnsafe(head.length + body.length);
  buffer.write(head, "latin1");
  buffer.set(body, head.length);
  return conn.write(buffer);
}

async function sendStream(
  exchange: Exchange,
  head: string,
  stream: ReadableStream<Uint8Array>,
  declared: number,
  isChunked: boolean,
): Promise<void> {
  const { conn } = exchange;
  const reader = stream.getReader();
  let sent = 0;
  try {
    await exchange.flush();
    await conn.write(Buffer.from(head, "latin1"));
    for (;;) {
      const part = await reader.read().catch((error: unknown) => {
        throw new BodyFailure(error);
      });
      if (part.done) break;
      const value = bytesOfPart(part.value);
      sent += value.length;
      if (declared !== -1 && sent > declared) throw wrongLength(declared, "more");
      if (value.length > 0) await sendPart(conn, value, isChunked);
    }
    if (declared !== -1 && sent < declared) throw wrongLength(declared, `${sent}`);
    if (isChunked) await exchange.send("0\r\n\r\n");
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    if (!(error instanceof BodyFailure)) throw error;
    exchange.report(error.cause, exchange.request);
    await breakOff(exchange);
  }
}

/** A body's stream that fails, or is not what its head says. */
class BodyFailure extends Error {
  constructor(cause: unknown) {
    super("the response's body failed", { cause });
  }
}

function wrongLength(declared: number, sent: string): BodyFailure {
  const text = `the response's Content-Length is ${declared}, its stream has ${sent} bytes`;
  return new BodyFailure(new TypeError(text));
}

function bytesOfPart(value: unknown): Uint8Array {
  if (isUint8Array(value)) return value;
  if (typeof value === "string") return Buffer.from(value);
  throw new BodyFailure(new TypeError("the response's stream holds what is no Uint8Array"));
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

/** Ends the connection so that the client cannot take what it has for all there is. */
async function breakOff(exchange: Exchange): Promise<void> {
  const { conn } = exchange;
  exchange.keepAlive = false;
  await exchange.flush()?.catch(() => {});
  if (conn instanceof TCPConn) conn.setLinger(0);
  await conn.close();
}
