/**
 * exchange.ts: one request over HTTP/2 and its response: a stream of a connection.
 *
 * Invariants
 *  - What Content-Length says is what is sent, or the stream is reset: a client never takes half a body for
 *    a whole one.
 *  - A body is asked for more only when the client's window has taken what it gave before.
 *  - The stream is over when serve() is: whoever still reads the request gets an error.
 */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Context } from "../../context/context.ts";
import { ListEntry } from "../../internal/list.ts";
import type { BaseConn, Conn } from "../../net/conn.ts";
import { fromDuplex } from "../../net/duplex.ts";
import { endsQuietly } from "../../runtime/panic.ts";
import { IncomingSource, type Source } from "../body.ts";
import { type Answer, type ConnectionOwner, Watcher } from "../connection.ts";
import { HTTPError } from "../errors.ts";
import { FileBody } from "../file_body.ts";
import { fromPlatform } from "../foreign.ts";
import { type HeadersInit, headerList } from "../headers.ts";
import { type InfoSource, RequestInfo } from "../info.ts";
import type { Observer } from "../observe.ts";
import { type Parts, partsOf } from "../parts.ts";
import { ResponseRecord } from "../record.ts";
import { Request } from "../request.ts";
import { isBodiless, isOurs, Response } from "../response.ts";
import { StreamBody } from "./body.ts";
import { type Head, headersOf, responseHeaders } from "./fields.ts";
import { StreamGone, StreamWriter } from "./writer.ts";

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR } = constants;

/** Bytes of a body that are handed over at once. */
const SLICE = 65_536;

export class StreamExchange extends ListEntry implements InfoSource {
  readonly conn: BaseConn;
  readonly secure = true;
  private readonly owner: ConnectionOwner;
  private readonly stream: ServerHttp2Stream;
  private readonly head: Head;
  private readonly incoming: StreamBody | undefined;
  private readonly info: RequestInfo;
  private readonly request: Request;
  private readonly writer: StreamWriter;
  private watcher: Watcher | undefined = undefined;
  private takenOver = false;
  private over = false;
  private status = 0;

  constructor(conn: BaseConn, owner: ConnectionOwner, stream: ServerHttp2Stream, head: Head) {
    super();
    this.conn = conn;
    this.owner = owner;
    this.stream = stream;
    this.head = head;
    const { settings } = owner;
    const { method, target, host, text, spans, expect, protocol } = head;
    // An extended CONNECT is a GET without a body, as the handler sees it.
    const hasBody = !stream.endAfterHeaders && protocol === "" && method !== "CONNECT";
    this.incoming = hasBody ? new StreamBody(stream, settings, expect !== undefined) : undefined;
    this.writer = new StreamWriter(stream);
    this.info = new RequestInfo(
      this,
      this.incoming,
      protocol !== "",
      method,
      target,
      host,
      text,
      spans,
    );
    this.request = new Request(this.info);
  }

  /** The stream is closed, by whomever. */
  closed(): void {
    this.writer.closed();
    this.incoming?.closed();
    this.watcher?.cancel("the client has gone");
  }

  /** Ends a stream whose client takes nothing: the connection looks at all of them from time to time. */
  look(most: number): void {
    if (this.writer.look(most)) this.stream.close(NGHTTP2_CANCEL);
  }

  /** Answers the request. Never throws. */
  async serve(): Promise<void> {
    const { owner, request, info, head } = this;
    const { observer, tally } = owner;
    const started = observer === undefined ? 0 : performance.now();
    if (head.status === 0) {
      tally.requests++;
      observer?.begun(request, info);
    } else this.noteRefusal(head.status, head.reason);
    let complete = false;
    try {
      const answer = head.status === 0 ? this.call() : refusal(head.status, head.reason);
      const response = isOurs(answer) ? answer : await answer;
      if (this.takenOver) return;
      const sending = this.send(response);
      const whole = typeof sending === "boolean" ? sending : await sending;
      // Nobody waits for the last bytes to leave who has nothing to do then.
      if (whole && !this.isAlone(observer)) await this.writer.left();
      complete = whole;
    } catch (error) {
      if (!(error instanceof StreamGone)) owner.report(error, request);
      this.reset(NGHTTP2_INTERNAL_ERROR);
    }
    if (!this.takenOver) this.finish();
    observer?.sent(this.record(started, complete));
  }

  /** Nobody is to be told when the response has left, and nothing is to be done. */
  private isAlone(observer: Observer | undefined): boolean {
    if (observer !== undefined || this.watcher !== undefined) return false;
    return this.incoming === undefined || this.incoming.arrived;
  }

  private noteRefusal(status: number, reason: string): void {
    const { tally, observer } = this.owner;
    tally.refuse(status);
    observer?.refused(status, reason, this.conn);
  }

  // ---- the handler

  private call(): Response | Promise<Response> {
    const { owner, request, info } = this;
    try {
      const answer = owner.handler(request, info);
      return isOurs(answer) ? answer : this.settle(answer);
    } catch (error) {
      return this.failure(error);
    }
  }

  private async settle(answer: Answer | Promise<Answer>): Promise<Response> {
    try {
      const response = this.responseOf(await answer);
      return isOurs(response) ? response : await response;
    } catch (error) {
      return this.failure(error);
    }
  }

  private responseOf(answer: Answer): Response | Promise<Response> {
    if (isOurs(answer)) return answer;
    if (answer instanceof globalThis.Response) return fromPlatform(answer);
    if (this.takenOver) return new Response();
    throw new TypeError(`the handler returned ${String(answer)}, which is no Response`);
  }

  private failure(error: unknown): Response {
    const { owner, request } = this;
    if (this.takenOver) {
      if (!this.stream.destroyed) this.stream.close(NGHTTP2_INTERNAL_ERROR);
      if (!endsQuietly(error)) owner.report(error, request);
      return new Response();
    }
    if (error instanceof HTTPError) {
      const { status, message } = error;
      if (status === 0) return Response.error();
      this.noteRefusal(status, message);
      return new Response(`${message}\n`, { status, headers: { ...error.headers } });
    }
    owner.report(error, request);
    return refusal(500, "Internal Server Error");
  }

  // ---- the response

  /** Sends it: true when it is handed over as a whole. */
  private send(response: Response): boolean | Promise<boolean> {
    const { stream, request, owner, writer } = this;
    if (response.status === 0) {
      this.reset(NGHTTP2_INTERNAL_ERROR);
      return false;
    }
    let headers: ReturnType<typeof responseHeaders>;
    let source: Source;
    let silent: boolean;
    try {
      if (response.status < 200) {
        throw new TypeError("a handler cannot answer 101 by itself: info.upgrade() does");
      }
      headers = responseHeaders(response);
      source = response.take();
      silent = request.method === "HEAD" || isBodiless(response.status);
      checkLength(headers, source, silent);
    } catch (error) {
      owner.report(error, request);
      return this.send(refusal(500, "Internal Server Error"));
    }
    if (stream.destroyed || stream.closed) return giveUp(source);
    this.status = response.status;
    if (silent || source === null) {
      stream.respond(headers, { endStream: true });
      writer.end();
      return isStreamed(source) ? giveUp(source, true) : true;
    }
    if (isStreamed(source)) return this.sendParts(headers, source);
    stream.respond(headers);
    if (source.length > SLICE) return this.sendSlices(source);
    writer.end(source);
    return true;
  }

  /** What is large goes in slices: node:http2 counts what it holds, and refuses requests beyond a limit. */
  private async sendSlices(body: string | Uint8Array): Promise<boolean> {
    const { writer } = this;
    const bytes = typeof body === "string" ? Buffer.from(body) : body;
    for (let at = 0; at < bytes.length; at += SLICE) {
      await writer.write(bytes.subarray(at, at + SLICE));
    }
    writer.end();
    return true;
  }

  private async sendParts(
    headers: ReturnType<typeof responseHeaders>,
    source: Streamed,
  ): Promise<boolean> {
    const { stream, writer } = this;
    const parts = partsOf(source);
    // To reset a stream node:http2 ends it first, which would tell the client that the body is whole: the
    // last word is ours, as with trailers.
    let broken = false;
    stream.once("wantTrailers", () => {
      if (!broken) stream.sendTrailers(headersOf(parts.trailers));
    });
    try {
      stream.respond(headers, { waitForTrailers: true });
      const length = headers["content-length"];
      await this.pass(parts, length === undefined ? -1 : Number(length));
      writer.end();
      await writer.left();
      return true;
    } catch (error) {
      broken = true;
      await parts.cancel(error);
      this.reset(NGHTTP2_INTERNAL_ERROR);
      this.tellOf(error);
      return false;
    }
  }

  private async pass(parts: Parts, declared: number): Promise<void> {
    let sent = 0;
    for (let part = await parts.next(); part !== null; part = await parts.next()) {
      sent += part.length;
      if (declared !== -1 && sent > declared) break;
      if (part.length > 0) await this.writer.write(part);
    }
    if (declared === -1 || sent === declared) return;
    const text = `the response's Content-Length is ${declared}, its stream has ${sent} bytes`;
    throw new TypeError(text);
  }

  /** A client that has left is no failure of anybody's. */
  private tellOf(error: unknown): void {
    const { cause = error } = error as Error;
    const isGone =
      error instanceof StreamGone || (cause instanceof HTTPError && cause.status === 0);
    if (!isGone) this.owner.report(cause, this.request);
  }

  /** The response has been sent. What the client still sends is not wanted (RFC 9113, 8.1). */
  private finish(): void {
    const { stream, watcher, incoming } = this;
    this.over = true;
    watcher?.cancel("the response has been sent");
    incoming?.end();
    if (stream.destroyed || incoming === undefined || incoming.arrived) return;
    if (!stream.closed) stream.close(NGHTTP2_NO_ERROR);
    // A stream whose body nobody takes would never come to its end.
    stream.removeAllListeners("readable");
    stream.resume();
  }

  private reset(code: number): void {
    if (!this.stream.destroyed && !this.stream.closed) this.stream.close(code);
  }

  private record(started: number, complete: boolean): ResponseRecord {
    const { conn, request, info, status } = this;
    return new ResponseRecord({
      conn,
      request,
      target: info.target,
      version: 20,
      status,
      started,
      ended: performance.now(),
      bytesSent: this.writer.bytes,
      headBytes: 0,
      complete,
      notes: info.notes,
    });
  }

  // ---- what a request's info asks

  contextFor(): Context {
    if (this.takenOver) return this.owner.ending;
    if (this.watcher === undefined) {
      this.watcher = new Watcher(this.owner.context);
      if (this.over) this.watcher.cancel("the response has been sent");
      else if (this.stream.destroyed) this.watcher.cancel("the client has gone");
    }
    return this.watcher.context;
  }

  /** A stream becomes a connection (RFC 8441): there is nothing else in HTTP/2. */
  async takeOver(_info: RequestInfo, headers: HeadersInit | null | undefined): Promise<Conn> {
    const { stream, owner, info, head } = this;
    if (head.protocol === "" || this.takenOver || this.over) {
      throw new TypeError(
        "upgrade: a request over HTTP/2 cannot change its connection's protocol; a client that " +
          "wants another one asks for it over HTTP/1.1, or with an extended CONNECT",
      );
    }
    if (headers === null) {
      throw new TypeError("upgrade: over HTTP/2 nobody but the server can write the response");
    }
    if (stream.destroyed) throw new HTTPError(0, "ERR_CLIENT_GONE", "the client has gone");
    const list = headerList(headers);
    this.takenOver = true;
    this.status = 200;
    const answer = headersOf(list);
    delete answer["sec-websocket-accept"];
    stream.respond({ ...answer, ":status": 200 });
    owner.tally.upgraded++;
    owner.observer?.upgraded(this.request, info);
    owner.observer?.write(this.record(performance.now(), true));
    return fromDuplex(stream);
  }
}

function refusal(status: number, reason: string): Response {
  return new Response(`${reason}\n`, { status });
}

type Streamed = ReadableStream<Uint8Array> | IncomingSource;

function isStreamed(source: Source): source is Streamed {
  return source instanceof ReadableStream || source instanceof IncomingSource;
}

/** Nobody wants the body. Says then whether the response is whole without it. */
async function giveUp(source: Source, whole = false): Promise<boolean> {
  if (isStreamed(source)) await partsOf(source).cancel("the response has no body");
  return whole;
}

/** Says how long the body is, where that is known. Throws a TypeError when something else was said. */
function checkLength(
  headers: ReturnType<typeof responseHeaders>,
  source: Source,
  silent: boolean,
): void {
  let length = -1;
  if (typeof source === "string") length = Buffer.byteLength(source);
  else if (source instanceof Uint8Array) length = source.length;
  else if (source === null) length = silent ? -1 : 0;
  else if (source instanceof IncomingSource && source.incoming instanceof FileBody) {
    length = source.incoming.size;
  }
  if (length === -1) return;
  const { "content-length": declared = length } = headers;
  if (declared !== length) {
    throw new TypeError(
      `the response's Content-Length is ${declared}, its body has ${length} bytes`,
    );
  }
  if (headers[":status"] !== 204 && headers[":status"] !== 304) headers["content-length"] = length;
}
