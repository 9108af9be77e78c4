/**
 * send.ts: a response on its way: small ones in one write, streams chunk by chunk, files by the kernel.
 *
 * Invariants
 *  - What Content-Length says is what is sent, or the connection breaks off: a client never takes half a
 *    body for a whole one.
 *  - A stream is asked for more only when the kernel has taken what it gave before.
 */
import type { BaseConn } from "../net/conn.ts";
import { NetError } from "../net/errors.ts";
import { TCPConn } from "../net/tcp.ts";
import { TlsConn } from "../tls/conn.ts";
import { IncomingSource } from "./body.ts";
import { HTTPError } from "./errors.ts";
import { FileBody } from "./file_body.ts";
import type { Latin1Buffer } from "./llhttp.ts";
import { type Framing, fieldsOf, headOf, plainHead } from "./message.ts";
import { BodyFailure, partsOf, sendParts } from "./parts.ts";
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
  /** Of the response that is sent: its status, 0 while there is none, and the bytes of its head. */
  status: number;
  headBytes: number;
  /** By performance.now(); 0 while nobody wants to be told. */
  started: number;
  report(error: unknown, request: Request): void;
  /** Sends text of latin1, perhaps with what follows. Undefined when there is nothing to wait for. */
  send(text: string): Promise<unknown> | undefined;
  /** Writes what waits for company, as has to be done before anything is written but by `send`. */
  flush(): Promise<unknown> | undefined;
}

/** What a response's body is kept as. */
type Sendable = string | Uint8Array | ReadableStream<Uint8Array> | IncomingSource | null;

/** A body that comes in parts: from a stream, or from another connection as it is. */
function comesInParts(source: Sendable): source is ReadableStream<Uint8Array> | IncomingSource {
  if (source instanceof IncomingSource) return !(source.incoming instanceof FileBody);
  return source instanceof ReadableStream;
}

/** Bodies up to this size are copied behind their head, which costs less than a list of buffers. */
const COPIED = 16_384;

/** Bytes up to so many go with their head as a text of latin1, which needs no buffer for both. */
const AS_TEXT = 2048;
const { latin1Slice } = Buffer.prototype as Latin1Buffer;

function latin1Of(bytes: Uint8Array): string {
  return latin1Slice.call(bytes, 0, bytes.length);
}

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
    const length = Buffer.byteLength(body);
    const head = plainHead(response.bodyType, length);
    exchange.status = 200;
    exchange.headBytes = head.length;
    if (isOneByte(body, length)) return exchange.send(head + body);
    return sendMessage(exchange, head, body, lengthOf(length));
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
    exchange.status = response.status;
    exchange.headBytes = text.length;
  } catch (error) {
    exchange.report(error, exchange.request);
    return sendResponse(exchange, new Response("Internal Server Error\n", { status: 500 }));
  }
  return sendMessage(exchange, text, source, framing);
}

/** The usual response: a text, and nothing said about how to send it. */
function isPlain(exchange: Exchange, response: Response): boolean {
  return (
    typeof response.source === "string" &&
    response.status === 200 &&
    response.headerList === undefined &&
    response.statusText === "" &&
    !response.bodyUsed &&
    exchange.keepAlive &&
    exchange.version === 11 &&
    !exchange.head
  );
}

/** As many bytes as characters, and few of them. */
function isOneByte(text: string, bytes: number): boolean {
  return bytes <= COPIED && bytes === text.length;
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
  if (comesInParts(source)) {
    if (declared !== -1) return lengthOf(declared);
    if (version === 11) return chunked;
    return head ? noBody : untilClose;
  }
  // Of what was not made for a HEAD the length is not known; 0 would be said of what a GET answers.
  if (head && source === null && declared === -1) return noBody;
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

function byteLength(source: string | Uint8Array | IncomingSource): number {
  if (typeof source === "string") return Buffer.byteLength(source);
  return source instanceof IncomingSource ? fileOf(source).size : source.length;
}

/** What arrives and does not come in parts is a file. */
function fileOf(source: IncomingSource): FileBody {
  return source.incoming as FileBody;
}

function sendMessage(
  exchange: Exchange,
  head: string,
  source: Sendable,
  framing: Framing,
): Promise<unknown> | undefined {
  const silent = exchange.head || framing === noBody || source === null;
  if (comesInParts(source)) {
    if (silent) return sendHeadAlone(exchange, head, source);
    const length = framing === fixed ? fixed.length : -1;
    return sendStream(exchange, head, source, length, framing === chunked);
  }
  if (source instanceof IncomingSource) {
    if (!silent) return sendFileBody(exchange, head, fileOf(source));
    fileOf(source).cancel();
    return exchange.send(head);
  }
  if (silent) return exchange.send(head);
  if (typeof source === "string") {
    // As many bytes as characters: all of them are ASCII.
    const isText = fixed.length === source.length && source.length <= COPIED;
    if (isText) return exchange.send(head + source);
  } else if (source.length <= AS_TEXT) return exchange.send(head + latin1Of(source));
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
  body: ReadableStream<Uint8Array> | IncomingSource,
): Promise<void> {
  await exchange.send(head);
  await partsOf(body).cancel("the response has no body");
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

async function sendFileBody(exchange: Exchange, head: string, body: FileBody): Promise<void> {
  try {
    await exchange.flush();
    await body.sendTo(exchange.conn, head);
  } catch (error) {
    if (error instanceof NetError) throw error;
    exchange.report(error, exchange.request);
    await breakOff(exchange);
  } finally {
    body.cancel();
  }
}

async function sendStream(
  exchange: Exchange,
  head: string,
  body: ReadableStream<Uint8Array> | IncomingSource,
  declared: number,
  isChunked: boolean,
): Promise<void> {
  const { conn } = exchange;
  const parts = partsOf(body);
  try {
    await exchange.flush();
    await conn.write(Buffer.from(head, "latin1"));
    await sendParts(conn, parts, declared, isChunked, "response");
  } catch (error) {
    await parts.cancel(error);
    if (!(error instanceof BodyFailure)) throw error;
    const { cause } = error;
    // A client that has left is no failure of anybody's.
    const isGone = cause instanceof HTTPError && cause.status === 0;
    if (!isGone) exchange.report(cause, exchange.request);
    await breakOff(exchange);
  }
}

/** Ends the connection so that the client cannot take what it has for all there is. */
async function breakOff(exchange: Exchange): Promise<void> {
  const { conn } = exchange;
  exchange.keepAlive = false;
  await exchange.flush()?.catch(() => {});
  if (conn instanceof TlsConn) return await conn.breakOff();
  if (conn instanceof TCPConn) conn.setLinger(0);
  await conn.close();
}
