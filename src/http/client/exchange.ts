/**
 * exchange.ts: one request and its response on one connection.
 *
 *     run()        the request goes out, interim responses are passed over, the head comes in
 *     read()       the body, as fast as it is taken
 *     the end      the connection goes back to its pool, or is closed
 *
 * Invariants
 *  - The connection is left exactly once: given back when both messages have ended, each as it said, and
 *    nothing stands behind them; closed in every other case.
 *  - A body that the connection's end cuts short is an error, never an end.
 *  - Whoever reads too late, or after a cancel, gets an error, never another response's bytes.
 */
import { copy } from "../../io/copy.ts";
import { readChunk } from "../../io/io.ts";
import { type BaseConn, readNow, waitReady, writeLatin1 } from "../../net/conn.ts";
import type { PooledConn } from "../../net/cosocket.ts";
import { NetError } from "../../net/errors.ts";
import { chunkOf } from "../../poll/buffers.ts";
import { allOf, type Incoming, IncomingSource, type Source } from "../body.ts";
import { llhttp } from "../llhttp.ts";
import { BodyFailure, type Parts, partsOf, sendParts } from "../parts.ts";
import { FetchError, type FetchPhase, failureOf } from "./errors.ts";
import type { ClientSettings } from "./options.ts";
import type { Origin } from "./origin.ts";

import { giveResponseParser, type ResponseParser, takeResponseParser } from "./parser.ts";
import { ONLY_HTTP2 } from "./tls.ts";

/** A request as it is sent. */
export interface Outgoing {
  readonly method: string;
  /** For errors. */
  readonly url: string;
  readonly origin: Origin;
  /** Request line and fields, up to the empty line. */
  readonly head: string;
  readonly source: Source;
  /** Bytes of the body; -1 when it is chunked. */
  readonly length: number;
  /** The body waits for the server's word (100-continue). */
  readonly expects: boolean;
  /** The connection ends with the response. */
  readonly close: boolean;
  /** Another protocol is asked for: 101 is an answer. */
  readonly upgrades: boolean;
  /** Told of interim responses, but for 100. */
  onInterim?: ((code: number, list: readonly string[]) => Promise<void>) | undefined;
}

/** Who is told that an exchange has left its connection. */
interface Leaving {
  end(): void;
}

/** Bodies up to this size are written with the head before the response is looked for. */
const AT_ONCE = 65_536;
/** Interim responses before the final one. */
const MOST_INTERIM = 20;
/** Of a body that nobody wants so much is read so that the connection can be used again. */
const DRAIN_BYTES = 65_536;
const DRAIN_MS = 1_000;
const NO_TRAILERS: readonly string[] = [];

/** What a connection fails with whose server has closed it. */
const GONE = new Set(["ECONNRESET", "EPIPE", "ERR_UNEXPECTED_EOF", "ERR_TLS_TRUNCATED"]);

const nothing = new Uint8Array(0);

/** Closes connections of responses that nobody holds any more and whose bodies were never read. */
const forgotten = new FinalizationRegistry<Exchange>((exchange) =>
  exchange.giveUp("nobody has the response any more"),
);

export class Exchange {
  readonly outgoing: Outgoing;
  /** The final response's parser; its head is complete once run() has resolved. */
  parser: ResponseParser;
  /** Why it was given up: an abort's reason. */
  private given: { readonly reason: unknown } | undefined = undefined;
  private readonly lease: PooledConn;
  private readonly conn: BaseConn;
  private readonly settings: ClientSettings;
  private chunk: Uint8Array = nothing;
  private at = 0;
  /** A byte of an answer has come. */
  private answered = false;
  private interim = 0;
  private sent = false;
  private sendError: unknown = undefined;
  private ended = false;
  private registered = false;
  /** Whether the server wants the body that waits for its word, as far as it has said so. */
  private wanted: boolean | undefined = undefined;
  private wake: (() => void) | undefined = undefined;
  private headDeadline = false;
  private parts: Parts | undefined = undefined;
  private onLeft: Leaving | undefined = undefined;

  constructor(lease: PooledConn, outgoing: Outgoing, settings: ClientSettings) {
    this.lease = lease;
    this.conn = lease.below();
    this.outgoing = outgoing;
    this.settings = settings;
    this.parser = takeResponseParser(outgoing.method, settings);
  }

  // ---- the request

  /** Sends the request and reads the head of its response. */
  async run(): Promise<void> {
    const { conn, settings } = this;
    const { isSentAtOnce } = this;
    // While a body is being sent the server may be silent.
    conn.setTimeouts({ read: isSentAtOnce ? settings.head : null, write: settings.send });
    try {
      if (isSentAtOnce) {
        const sending = this.sendAtOnce();
        if (sending !== undefined) await this.untilSent(sending);
        this.sent = this.sendError === undefined;
      } else void this.sendInParts();
      for (let wait = this.readHead(); wait !== undefined; wait = this.readHead()) await wait;
      if (!this.parser.done) conn.setTimeouts({ read: settings.bodyIdle });
    } catch (error) {
      const { sendError } = this;
      const failure =
        sendError === undefined ? this.failure(error, "head") : this.failure(sendError, "send");
      this.leave(false);
      throw failure;
    }
  }

  /** A server may answer and close without having read everything: its answer counts. */
  private async untilSent(sending: Promise<number>): Promise<void> {
    try {
      await sending;
    } catch (error) {
      this.sendError = error;
    }
  }

  /**
   * The connection came from the pool and was dead: another one may be tried. Only if nobody can have acted
   * on the request, or if acting twice does no harm.
   */
  mayRetry(error: unknown): boolean {
    if (this.answered || this.given !== undefined || this.lease.reusedTimes === 0) return false;
    if (!(error instanceof FetchError && GONE.has(error.code))) return false;
    const { outgoing, sendError } = this;
    if (!isWhole(outgoing.source)) return false;
    const nothingSent =
      sendError !== undefined && ((sendError as { bytesWritten?: number }).bytesWritten ?? 0) === 0;
    return nothingSent || mayRepeat(outgoing);
  }

  private get isSentAtOnce(): boolean {
    const { source, expects, length } = this.outgoing;
    if (source === null) return true;
    return !expects && length <= AT_ONCE && isWhole(source);
  }

  /** Undefined when there is nothing to wait for. */
  private sendAtOnce(): Promise<number> | undefined {
    const { conn, outgoing } = this;
    const { head, source, length } = outgoing;
    if (source === null) return conn[writeLatin1](head);
    const buffer = Buffer.allocUnsafe(head.length + length);
    buffer.write(head, "latin1");
    if (typeof source === "string") buffer.write(source, head.length);
    else buffer.set(source as Uint8Array, head.length);
    return conn.write(buffer);
  }

  /** Sends beside the response, which may begin, or say no, before the body has been sent. */
  private async sendInParts(): Promise<void> {
    const { conn, outgoing } = this;
    const { head, source, length, expects } = outgoing;
    const parts = isWhole(source) ? undefined : partsOf(source as IncomingSource);
    this.parts = parts;
    try {
      await conn[writeLatin1](head);
      if (expects && !(await this.waitForWord())) throw new BodyFailure("it is not wanted");
      if (parts === undefined) await conn.write(source as string);
      else await sendParts(conn, parts, length, length === -1, "request");
      this.sent = true;
      if (!this.parser.headDone) this.limitHead();
    } catch (error) {
      const failed = error instanceof BodyFailure;
      this.sendError ??= failed ? error.cause : error;
      await parts?.cancel(error);
      // A body that fails by itself cannot be completed; what a connection fails with shows when it is
      // read, unless its server just takes nothing more.
      if (failed && this.wanted !== false) this.giveUp(error.cause);
      else if (isTimeout(error)) this.giveUp(this.failure(error, "send"));
    }
  }

  /** Until the server says 100, answers, or takes its time: whether the body is to be sent. */
  private async waitForWord(): Promise<boolean> {
    if (this.wanted === undefined) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        timer = setTimeout(resolve, this.settings.continue);
      });
      clearTimeout(timer);
    }
    return this.wanted ?? true;
  }

  private tell(wanted: boolean): void {
    this.wanted ??= wanted;
    this.wake?.();
  }

  // ---- the head of the response

  /** Reads the head as far as it is here: what has to be waited for, or undefined when it is complete. */
  private readHead(): Promise<void> | undefined {
    for (;;) {
      const { parser } = this;
      if (this.at < this.chunk.length) this.at = parser.parse(this.chunk, this.at);
      else {
        if (this.answered) this.limitHead();
        if (!this.readInto(parser)) return this.conn[waitReady]();
      }
      if (parser.status !== 0) throw this.malformed(parser);
      if (!parser.headDone) continue;
      const { code } = parser;
      if (code >= 200 || (code === 101 && this.outgoing.upgrades)) break;
      if (code === 101) throw this.malformedFor("it changes to a protocol that nobody asked for");
      if (++this.interim > MOST_INTERIM) {
        throw this.malformedFor("there are too many interim responses");
      }
      const told = this.passOver(parser);
      if (told !== undefined) return told;
    }
    if (this.headDeadline) this.conn.setReadDeadline(null);
    this.tell(false);
    return undefined;
  }

  /** Reads into the parser's own memory: no chunk is made of most responses. False when nothing is there. */
  private readInto(parser: ResponseParser): boolean {
    const lib = llhttp();
    const n = this.conn[readNow](lib.input);
    if (n < 0) return false;
    if (n === 0) throw this.endedInHead();
    this.answered = true;
    lib.drop();
    const used = parser.parseInput(n);
    if (parser.status !== 0 && isSettings(lib.input)) throw this.otherProtocol();
    if (used === n) return true;
    this.chunk = chunkOf(lib.bytes, used, n - used);
    this.at = 0;
    return true;
  }

  /** Bounds how long the rest of the head may take: each read by itself may be in time. */
  private limitHead(): void {
    const { head } = this.settings;
    if (this.headDeadline || head === null) return;
    this.headDeadline = true;
    this.conn.setReadDeadline(new Date(Date.now() + head));
  }

  /** An interim response: 100 lets the body go, others are told to whoever asks. */
  private passOver(parser: ResponseParser): Promise<void> | undefined {
    const { onInterim, method } = this.outgoing;
    if (parser.code === 100) this.tell(true);
    const told = parser.code === 100 ? undefined : onInterim?.(parser.code, fieldsOf(parser));
    giveResponseParser(parser);
    this.parser = takeResponseParser(method, this.settings);
    // The next one has its own time.
    if (this.headDeadline) this.conn.setReadDeadline(null);
    this.headDeadline = false;
    return told;
  }

  private endedInHead(): unknown {
    if (this.sendError !== undefined) return this.sendError;
    return this.answered
      ? this.error("head", "ERR_RESPONSE_TRUNCATED", "the response ended in its head")
      : this.error("head", "ERR_UNEXPECTED_EOF", "the server closed without a response");
  }

  // ---- its body

  /** What the response's body is kept as. To be asked once, after run(); the parser is lost with it. */
  takeSource(): Source {
    const { parser } = this;
    const none = !parser.hasBody;
    // Trailers are told by a body that is read.
    if (!none && (!parser.done || parser.trailers !== undefined)) {
      const source = this.arriving(parser);
      if (parser.done) this.leaveIfDone();
      return source;
    }
    const { body } = parser;
    const whole = body.length === 0 ? nothing : body.length === 1 ? body[0] : Buffer.concat(body);
    this.leaveIfDone();
    giveResponseParser(parser);
    return none ? null : (whole as Uint8Array);
  }

  private arriving(parser: ResponseParser): IncomingSource {
    const body = new ResponseBody(this, parser);
    if (!parser.done) {
      forgotten.register(body, this, this);
      this.registered = true;
    }
    return new IncomingSource(body);
  }

  /** Reads on into the parser; false at the end of the body. */
  async fill(parser: ResponseParser): Promise<void> {
    try {
      if (this.ended) throw this.overError();
      if (this.at === this.chunk.length) {
        const chunk = await this.conn[readChunk]();
        if (chunk === null) {
          if (!parser.untilClose) {
            throw this.error("body", "ERR_RESPONSE_TRUNCATED", truncation(parser));
          }
          parser.done = true;
          this.leave(false);
          return;
        }
        this.chunk = chunk;
        this.at = 0;
      }
      if (!parser.chunked) this.at = parser.pass(this.chunk, this.at);
      else this.at = parser.parse(this.chunk, this.at);
      if (parser.status !== 0) throw this.malformed(parser);
    } catch (error) {
      const failure = this.failure(error, "body");
      this.leave(false);
      throw failure;
    }
    if (parser.done) this.leaveIfDone();
  }

  /** Moves the rest of a body whose length is known, and of which nothing is here, to another connection. */
  async moveTo(conn: BaseConn, parser: ResponseParser): Promise<number> {
    const left = parser.contentLength - parser.bodyBytes;
    if (parser.chunked || left <= 0 || this.ended || this.at < this.chunk.length) return 0;
    let moved: number;
    try {
      moved = await copy(conn, this.conn, { limit: left });
      parser.bodyBytes += moved;
      if (moved < left) throw this.error("body", "ERR_RESPONSE_TRUNCATED", truncation(parser));
    } catch (error) {
      const ofReader = error instanceof NetError && error.op === "write";
      const failure = ofReader && this.given === undefined ? error : this.failure(error, "body");
      this.leave(false);
      throw failure;
    }
    parser.done = true;
    this.leaveIfDone();
    return moved;
  }

  /** Nobody wants the body, which has not been looked at. */
  skip(): void {
    const source = this.takeSource();
    if (source instanceof IncomingSource) source.incoming.cancel();
  }

  /** Nobody wants the rest of the body. */
  drop(parser: ResponseParser): void {
    if (this.ended || parser.done) return;
    const missing = parser.contentLength - parser.bodyBytes;
    if (parser.contentLength === -1 || missing > DRAIN_BYTES || !this.sent) this.leave(false);
    else void this.drain(parser);
  }

  private async drain(parser: ResponseParser): Promise<void> {
    try {
      this.conn.setReadDeadline(new Date(Date.now() + DRAIN_MS));
      while (!parser.done) {
        parser.body.length = 0;
        await this.fill(parser);
      }
    } catch {
      // The connection has been closed.
    }
  }

  // ---- the end

  /** Both messages have ended: the connection goes on, where it may. */
  private leaveIfDone(): void {
    const { parser, outgoing } = this;
    const clean = this.at === this.chunk.length;
    // A server that has answered before it has the whole request does not care for the rest.
    this.leave(this.sent && clean && parser.keepAlive && !outgoing.close);
  }

  private leave(reusable: boolean): void {
    if (this.ended) return;
    this.ended = true;
    if (this.registered) forgotten.unregister(this);
    const { lease } = this;
    if (!(reusable && this.giveBack(lease))) void lease.close();
    this.chunk = nothing;
    this.at = 0;
    this.tell(false);
    this.parser.stop();
    if (!this.sent) void this.parts?.cancel(this.given?.reason ?? "the request is over");
    this.onLeft?.end();
  }

  private giveBack(lease: PooledConn): boolean {
    const { idleTimeout } = this.settings;
    const { keptFor } = this.parser;
    if (keptFor === -1) return lease.recycle(idleTimeout);
    // A second less than the server keeps it: a request must not cross its end.
    if (keptFor <= 1000) return false;
    return lease.recycle(Math.min(keptFor - 1000, idleTimeout ?? Infinity));
  }

  /** Tells somebody once the connection has been left. */
  whenLeft(leaving: Leaving): void {
    if (this.ended) leaving.end();
    else this.onLeft = leaving;
  }

  /** Ends the exchange at once: whoever waits in it fails with the reason. */
  giveUp(reason: unknown): void {
    if (this.ended || this.given !== undefined) return;
    this.given = { reason };
    this.leave(false);
  }

  /** The connection, which is another protocol's now, with what has been read ahead before it. */
  takeOver(): PooledConn {
    const { lease, conn, parser } = this;
    this.ended = true;
    giveResponseParser(parser);
    const rest = this.chunk.subarray(this.at);
    conn.setTimeouts({ read: null, write: null });
    if (rest.length > 0) lease.unread(rest);
    this.chunk = nothing;
    this.onLeft?.end();
    return lease;
  }

  // ---- errors

  private failure(error: unknown, phase: FetchPhase): unknown {
    if (this.given !== undefined) return this.given.reason;
    const { method, url, origin } = this.outgoing;
    const { network } = origin;
    return failureOf(error, { method, url, network, address: this.address }, phase);
  }

  overError(): FetchError {
    return this.error("body", "ERR_CLOSED", "the rest of the body was given up");
  }

  private get address(): string {
    return String(this.conn.remoteAddr);
  }

  error(phase: FetchPhase, code: string, text: string, cause?: unknown, hint?: string): FetchError {
    const { method, url, origin } = this.outgoing;
    const { network } = origin;
    return new FetchError({
      method,
      url,
      network,
      address: this.address,
      phase,
      code,
      text,
      cause,
      hint,
    });
  }

  private otherProtocol(): FetchError {
    const text = "the response is refused: the server speaks HTTP/2, and this client HTTP/1.1";
    return this.error("head", "ERR_RESPONSE_MALFORMED", text, undefined, ONLY_HTTP2);
  }

  private malformed({ status, reason, headDone }: ResponseParser): FetchError {
    const phase = headDone && this.parser.code !== 0 ? "body" : "head";
    if (status === 431) return this.error(phase, "ERR_RESPONSE_TOO_LARGE", reason);
    return this.malformedFor(reason, phase);
  }

  private malformedFor(reason: string, phase: FetchPhase = "head"): FetchError {
    return this.error(phase, "ERR_RESPONSE_MALFORMED", `the response is refused: ${reason}`);
  }
}

/** What a server of HTTP/2 says first: a frame of settings (RFC 9113, 3.4 and 6.5). */
function isSettings(bytes: Uint8Array): boolean {
  const isFirst = bytes[0] === 0 && bytes[3] === 4 && bytes[4] === 0;
  return isFirst && bytes[5] === 0 && bytes[6] === 0 && bytes[7] === 0 && bytes[8] === 0;
}

function truncation({ contentLength, bodyBytes }: ResponseParser): string {
  if (contentLength === -1) return `the response ended inside its body, after ${bodyBytes} bytes`;
  return `the response ended after ${bodyBytes} of ${contentLength} bytes of its body`;
}

function isTimeout(error: unknown): boolean {
  return (error as { timeout?: boolean }).timeout === true;
}

function isWhole(source: Source): boolean {
  return source === null || typeof source === "string" || source instanceof Uint8Array;
}

/** Methods that may be repeated without harm (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** Whether doing it twice is as good as doing it once: by its method, or because the caller says so. */
export function isIdempotent(method: string, head: string): boolean {
  return IDEMPOTENT.has(method) || /\r\n(?:x-)?idempotency-key:/i.test(head);
}

/** Whether it may be sent again on another connection, when one has failed before it answered. */
export function mayRepeat({ method, head, source }: Outgoing): boolean {
  return isWhole(source) && isIdempotent(method, head);
}

/** Names and values of a response's fields in turn. */
export function fieldsOf({ text, spans }: ResponseParser): string[] {
  const list: string[] = [];
  for (let i = 0; i < spans.length; i += 4) {
    const value = text.slice(spans[i + 2], spans[i + 3]).trimEnd();
    list.push(text.slice(spans[i], spans[i + 1]).toLowerCase(), value);
  }
  return list;
}

/** The body of a response, as it comes in. */
class ResponseBody implements Incoming {
  private readonly exchange: Exchange;
  private readonly parser: ResponseParser;
  private next = 0;
  private failed: unknown = undefined;
  private canceled = false;

  constructor(exchange: Exchange, parser: ResponseParser) {
    this.exchange = exchange;
    this.parser = parser;
  }

  get trailers(): readonly string[] {
    return this.parser.trailers ?? NO_TRAILERS;
  }

  async read(): Promise<Uint8Array | null> {
    const { parser } = this;
    for (;;) {
      if (this.failed !== undefined) throw this.failed;
      if (this.canceled) throw this.exchange.overError();
      if (this.next < parser.body.length) return parser.body[this.next++] as Uint8Array;
      if (parser.done) return null;
      parser.body.length = this.next = 0;
      try {
        await this.exchange.fill(parser);
      } catch (error) {
        this.failed = error;
      }
    }
  }

  async moveTo(conn: BaseConn): Promise<number> {
    const { parser } = this;
    if (this.failed !== undefined || this.canceled || this.next < parser.body.length) return 0;
    parser.body.length = this.next = 0;
    try {
      return await this.exchange.moveTo(conn, parser);
    } catch (error) {
      this.failed = error;
      throw error;
    }
  }

  readAll(): Promise<Uint8Array> {
    return allOf(this);
  }

  cancel(): void {
    if (this.canceled) return;
    this.canceled = true;
    this.exchange.drop(this.parser);
  }
}
