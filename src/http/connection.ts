/**
 * connection.ts: one goroutine per connection: read a head, call the handler, write the response, again.
 *
 * Invariants
 *  - One request at a time: nothing is read ahead of the response but what came in the same chunk, and,
 *    for a handler that wants to know when the client leaves, at most one chunk more.
 *  - After a request that was refused nothing is parsed any more.
 *  - An idle connection holds neither buffer nor parser.
 *  - Responses to requests that came together are written together: `held` is the text of those that
 *    wait for the next one. It is written before anything of this connection waits.
 */
import { type CancelFunc, withCancel } from "../context/cancel.ts";
import type { Context } from "../context/context.ts";
import { readChunk } from "../io/io.ts";
import { type BaseConn, type Conn, readNow, waitReady, writeLatin1 } from "../net/conn.ts";
import { NetError } from "../net/errors.ts";
import { chunkOf } from "../poll/buffers.ts";
import type { Meter } from "../poll/fd.ts";
import { contextOfNow } from "../runtime/async_context.ts";
import { endsQuietly } from "../runtime/panic.ts";
import type { Waiter } from "../runtime/sched.ts";
import { type Trace, traced } from "../runtime/traced.ts";
import { TlsConn } from "../tls/conn.ts";
import { HTTPError } from "./errors.ts";
import { fromPlatform } from "./foreign.ts";
import { type HeadersInit, headerList } from "./headers.ts";
import { type BodySource, IncomingBody } from "./incoming.ts";
import { type InfoSource, RequestInfo } from "./info.ts";
import { llhttp } from "./llhttp.ts";
import { CONTINUE, plainResponse, switchingHead } from "./message.ts";
import type { Observer, Tally } from "./observe.ts";
import type { Settings } from "./options.ts";
import { giveParser, type RequestParser, takeParser } from "./parser.ts";
import { ResponseRecord } from "./record.ts";
import { Request } from "./request.ts";
import { isOurs, Response } from "./response.ts";
import { type Exchange, sendResponse } from "./send.ts";

/** What a handler may answer. */
export type Answer = Response | globalThis.Response | undefined;

/** Answers a request. Undefined only after `info.upgrade()`. */
export type Handler = (request: Request, info: RequestInfo) => Answer | Promise<Answer>;

/** A connection as its server sees it. */
export interface Served {
  readonly conn: BaseConn;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** It is another protocol's, and its handler closes it. */
  readonly upgraded: boolean;
  /** Serves until one side is done. Never throws. */
  serve(): Promise<void>;
  /** The server stops: what is idle ends, what is under way is answered. */
  drain(): void;
}

/** What a connection needs of its server. */
export interface ConnectionOwner {
  readonly handler: Handler;
  readonly settings: Settings;
  readonly context: Context;
  /** Ends when the server begins to stop. */
  readonly ending: Context;
  readonly stopping: boolean;
  readonly tally: Tally;
  /** undefined while nobody wants to be told. */
  readonly observer: Observer | undefined;
  /**
   * How long an idle connection waits for one request more when the owner stops, in ms. A client that has
   * just sent it cannot know that nobody will read it.
   */
  readonly lastWait: number;
  report(error: unknown, request: Request): void;
  /** The connection is another protocol's from now on. */
  leave(connection: Served): void;
}

/** Bytes and time for which a connection that was refused is listened to, so that its end is not a reset. */
const LINGER_BYTES = 256 * 1024;
const LINGER_MS = 1_000;
/** Input that is kept while a handler runs. */
const READ_AHEAD = 65_536;
/** Characters of responses that wait for the next one, and how many there are at most. */
const HELD = 16_384;
const MOST_HELD = 32;

const nothing = new Uint8Array(0);

/** What a handler has that asked when its client leaves. */
export class Watcher {
  readonly context: Context;
  readonly cancel: CancelFunc;
  stop: AbortController | undefined = undefined;
  ended: Promise<void> | undefined = undefined;

  constructor(parent: Context) {
    [this.context, this.cancel] = withCancel(parent);
  }
}

export class Connection implements InfoSource, BodySource, Exchange, Waiter, Served {
  readonly conn: BaseConn;
  /** It came over TLS. */
  readonly secure: boolean;
  /** No request is being handled. */
  idle = true;
  /** Counted by the connection's fd (its Meter). */
  bytesIn = 0;
  bytesOut = 0;
  nextMeter: Meter | undefined = undefined;
  private readonly owner: ConnectionOwner;
  /** Input that has come and is not parsed: chunk from `at` on. */
  private chunk: Uint8Array = nothing;
  private at = 0;
  private requests = 0;
  private incoming: IncomingBody | undefined = undefined;
  private current: RequestInfo | undefined = undefined;
  private watcher: Watcher | undefined = undefined;
  private takenOver = false;
  private held = "";
  private heldCount = 0;
  // What is known of the request that is being answered; its Exchange is the connection itself.
  request: Request = nobody;
  version = 11;
  head = false;
  keepAlive = true;
  status = 0;
  headBytes = 0;
  started = 0;

  constructor(conn: BaseConn, owner: ConnectionOwner) {
    this.conn = conn;
    this.secure = conn instanceof TlsConn;
    this.owner = owner;
    conn.fd.addMeter(this);
  }

  report(error: unknown, request: Request): void {
    this.owner.report(error, request);
  }

  /** Serves until one side is done. Never throws. */
  async serve(): Promise<void> {
    const { conn, owner } = this;
    const { idle, write } = owner.settings;
    try {
      conn.setTimeouts({ read: idle, write });
      await this.serveAll();
    } catch (error) {
      // The peer went, or fell silent: that ends a connection and nothing else.
      if (!(error instanceof NetError)) owner.report(error, nobody);
    }
    this.endRequest();
    if (!this.takenOver) await conn.close();
  }

  private async serveAll(): Promise<void> {
    const { conn, owner } = this;
    const { settings } = owner;
    const lib = llhttp();
    for (;;) {
      let parser: RequestParser;
      if (this.at < this.chunk.length) {
        parser = takeParser(settings);
        this.at = parser.parse(this.chunk, this.at);
      } else {
        this.chunk = nothing;
        this.at = 0;
        const written = this.flush();
        if (written !== undefined) await written;
        this.idle = true;
        if (owner.stopping) this.drain();
        // Read into the parser's own memory, when there is something: no chunk is made of most requests.
        let n = conn[readNow](lib.input);
        while (n < 0) {
          await conn[waitReady]();
          n = conn[readNow](lib.input);
        }
        if (n === 0) return;
        this.idle = false;
        if (owner.stopping) conn.setReadDeadline(null);
        lib.drop();
        parser = takeParser(settings);
        const used = parser.parseInput(n);
        if (used < n) this.keepRest(used, n);
      }
      if (!parser.headDone && parser.status === 0 && !(await this.readHead(parser))) {
        giveParser(parser);
        return;
      }
      if (!this.accept(parser)) {
        const { status, reason } = parser;
        const line = parser.headDone ? parser.target : "";
        giveParser(parser);
        await this.refuse(status, reason, line);
        return;
      }
      // Nothing here is a function of its own that is waited for: most requests wait twice, to be read
      // and to be written, and each further async function costs them a promise and three turns.
      const answer = this.call();
      const response = isOurs(answer) ? answer : await answer;
      if (this.takenOver) return;
      const { observer } = owner;
      // Who came after the request began is not told of its end.
      const sent =
        observer === undefined || this.started === 0
          ? this.respond(response)
          : this.respondObserved(response, observer);
      if (sent !== undefined) await sent;
      const simple =
        this.keepAlive && this.watcher === undefined && (this.incoming?.arrived ?? true);
      if (simple) this.endRequest();
      else if (!(await this.finish())) return;
    }
  }

  /** The server stops: if the connection is idle it ends, now or when no request comes any more. */
  drain(): void {
    const { conn, owner } = this;
    if (!this.idle || conn.fd.closing) return;
    if (owner.lastWait > 0) conn.setReadDeadline(new Date(Date.now() + owner.lastWait));
    else if (!conn.fd.hasUnread()) void conn.close();
  }

  /** Whether the connection was handed over to another protocol. */
  get upgraded(): boolean {
    return this.takenOver;
  }

  /** What stands behind a message in the parser's memory is kept for the next one. */
  private keepRest(from: number, to: number): void {
    const lib = llhttp();
    this.chunk = chunkOf(lib.bytes, from, to - from);
    lib.hold(this.chunk, from);
  }

  // ---- writing

  /**
   * Sends text of latin1: at once, or with the response of the next request when that is here already.
   * Undefined when there is nothing to wait for.
   */
  send(text: string): Promise<unknown> | undefined {
    const all = this.held === "" ? text : this.held + text;
    const { conn } = this;
    // Who is told of every response is told of its bytes as well.
    const isAlone = this.at === this.chunk.length || this.owner.observer !== undefined;
    if (!this.keepAlive || isAlone) {
      this.held = "";
      return conn[writeLatin1](all);
    }
    // Whoever has used up this turn's budget, or sends one request behind the other, lets others go first.
    const { sched } = conn.fd.device.runtime;
    const mayGoOn = sched.charge(0) && ++this.heldCount < MOST_HELD;
    if (mayGoOn && all.length <= HELD) {
      this.held = all;
      return undefined;
    }
    this.held = "";
    this.heldCount = 0;
    const written = conn[writeLatin1](all);
    return mayGoOn ? written : (written ?? sched.later(undefined));
  }

  /** Writes what is held. Undefined when there is nothing to wait for. */
  flush(): Promise<unknown> | undefined {
    const { held } = this;
    if (held === "") return undefined;
    this.held = "";
    return this.conn[writeLatin1](held);
  }

  /** Time for others has passed while a handler was waiting: what is held must not wait with it. */
  ready(): void {
    // Who writes next fails as well.
    this.flush()?.catch(() => {});
  }

  /** Reads on until the head is complete or refused; false when the client leaves before. */
  private async readHead(parser: RequestParser): Promise<boolean> {
    const { conn } = this;
    const { headerTime } = this.owner.settings;
    if (headerTime !== Infinity) conn.setReadDeadline(new Date(Date.now() + headerTime));
    await this.flush();
    while (!parser.headDone && parser.status === 0) {
      if (this.at === this.chunk.length && !(await this.nextChunk())) return false;
      this.at = parser.parse(this.chunk, this.at);
    }
    conn.setReadDeadline(null);
    return true;
  }

  private async nextChunk(): Promise<boolean> {
    try {
      const chunk = await this.conn[readChunk]();
      if (chunk === null) return false;
      this.chunk = chunk;
      this.at = 0;
      return true;
    } catch (error) {
      if (!isTimeout(error)) throw error;
      this.conn.setReadDeadline(null);
      await this.refuse(408, "the request's head took too long", "");
      return false;
    }
  }

  /** Gets ready to answer a request whose head is complete; false when it is refused. */
  private accept(parser: RequestParser): boolean {
    if (parser.status !== 0 && !parser.headDone) return false;
    const { expect, version } = parser;
    const expects = expect !== undefined && version === 11;
    if (parser.status === 0 && expects && expect.toLowerCase() !== "100-continue") {
      parser.status = 417;
      parser.reason = "only 100-continue can be expected";
    }
    // A body that is malformed from its first bytes on is refused like a head.
    if (parser.status !== 0) return false;
    const { observer, settings, tally } = this.owner;
    let incoming: IncomingBody | undefined;
    if (!parser.done || parser.body.length > 0 || parser.chunked) {
      incoming = new IncomingBody(this, parser, settings.bodyRate, expects);
    }
    this.incoming = incoming;
    const { method, target, text, host } = parser;
    const info = new RequestInfo(
      this,
      incoming,
      parser.upgrade,
      method,
      target,
      host,
      text,
      parser.spans,
    );
    this.current = info;
    const persistent = parser.keepAlive && ++this.requests < settings.requests;
    const request = new Request(info);
    this.request = request;
    this.version = version;
    this.head = method === "HEAD";
    // What follows a CONNECT that was not taken up is no request.
    this.keepAlive = persistent && method !== "CONNECT";
    this.status = this.started = 0;
    if (incoming === undefined) giveParser(parser);
    tally.requests++;
    if (observer !== undefined) {
      this.started = performance.now();
      observer.begun(request, info);
    }
    return true;
  }

  /**
   * Calls the handler. Neither throws nor rejects: what fails becomes a response. It gets a context of its
   * own, so that a store which it enters (AsyncLocalStorage.enterWith, as tracers do) ends with the request
   * and is not the next one's on this connection.
   */
  private call(): Response | Promise<Response> {
    const { request, current } = this;
    try {
      const { handler } = this.owner;
      const run = traced.request === null ? handler : tracedHandler(handler, traced.request);
      const context = contextOfNow();
      const answer = context.runInAsyncScope(run, undefined, request, current as RequestInfo);
      return isOurs(answer) ? answer : this.settle(answer, request);
    } catch (error) {
      return this.failure(error, request);
    }
  }

  private async settle(answer: Answer | Promise<Answer>, request: Request): Promise<Response> {
    if (this.held !== "") this.conn.fd.device.runtime.sched.enqueue(this);
    try {
      const response = this.responseOf(await answer);
      return isOurs(response) ? response : await response;
    } catch (error) {
      return this.failure(error, request);
    }
  }

  private respond(response: Response): Promise<unknown> | undefined {
    // Requests that stand behind this one already are answered too.
    if (this.owner.stopping && this.at === this.chunk.length) this.keepAlive = false;
    const { incoming } = this;
    if (incoming === undefined) return sendResponse(this, response);
    // A response that is made of the request's body reads it once it has begun.
    const asked = incoming.awaitsContinue && this.request.streams && !incoming.arrived;
    if (asked) incoming.awaitsContinue = false;
    incoming.answered = true;
    this.judgeRest(incoming);
    if (!asked) return sendResponse(this, response);
    return this.write(CONTINUE).then(() => sendResponse(this, response));
  }

  private async respondObserved(response: Response, observer: Observer): Promise<void> {
    const { conn, request, started, version } = this;
    const info = this.current as RequestInfo;
    const before = this.bytesOut;
    let complete = false;
    try {
      await this.respond(response);
      complete = !conn.fd.closing;
    } finally {
      const record = new ResponseRecord({
        conn,
        request,
        target: info.target,
        version,
        status: this.status,
        started,
        ended: performance.now(),
        bytesSent: this.bytesOut - before,
        headBytes: this.headBytes,
        complete,
        notes: info.notes,
      });
      observer.sent(record);
    }
  }

  /** What is to be done behind a response; false when the connection ends with it. */
  private async finish(): Promise<boolean> {
    const { keepAlive } = this;
    if (this.watcher !== undefined) await this.endWatch();
    if (this.incoming !== undefined) return await this.endBody(this.incoming, keepAlive);
    if (!keepAlive && (this.owner.stopping || this.at < this.chunk.length)) await this.linger();
    this.endRequest();
    return keepAlive;
  }

  private responseOf(answer: Answer): Response | Promise<Response> {
    if (isOurs(answer)) return answer;
    if (answer instanceof globalThis.Response) return fromPlatform(answer);
    if (this.takenOver) return new Response();
    throw new TypeError(`the handler returned ${String(answer)}, which is no Response`);
  }

  private failure(error: unknown, request: Request): Response {
    if (this.takenOver) {
      // Nobody else will; and a peer that goes is no news on any connection.
      void this.conn.close();
      if (!endsQuietly(error)) this.owner.report(error, request);
      return new Response();
    }
    if (error instanceof HTTPError) {
      const { status, message } = error;
      if (status === 0) return Response.error();
      this.owner.tally.refuse(status);
      this.owner.observer?.refused(status, message, this.conn);
      const headers = { ...error.headers, connection: "close" };
      return new Response(`${message}\n`, { status, headers });
    }
    this.owner.report(error, request);
    return new Response("Internal Server Error\n", { status: 500 });
  }

  // ---- the request's body

  /** Says before the head is written whether the rest of the body is worth reading. */
  private judgeRest(incoming: IncomingBody): void {
    if (incoming.arrived) return;
    const { unread } = this.owner.settings;
    if (incoming.failure !== undefined || incoming.awaitsContinue || incoming.missing > unread) {
      this.keepAlive = false;
    }
  }

  private async endBody(incoming: IncomingBody, keepAlive: boolean): Promise<boolean> {
    const drained = keepAlive && (await incoming.drain(this.owner.settings.unread));
    if (drained) {
      this.endRequest();
      return true;
    }
    this.endRequest();
    await this.linger();
    return false;
  }

  private endRequest(): void {
    const { incoming } = this;
    this.incoming = this.current = undefined;
    this.request = nobody;
    if (incoming !== undefined) giveParser(incoming.end());
    this.watcher?.cancel("the connection is closed");
  }

  async more(ms: number): Promise<boolean> {
    const { conn } = this;
    const left = this.chunk.length - this.at;
    if (left > 0) {
      // A body that is parsed a little at a time takes its time: others get their turns in between.
      const { sched } = conn.fd.device.runtime;
      return sched.charge(left) ? true : await sched.defer(true, left);
    }
    await this.flush();
    if (ms !== Infinity) conn.setReadDeadline(new Date(Date.now() + ms));
    const chunk = await conn[readChunk]();
    if (chunk === null) return false;
    if (ms !== Infinity) conn.setReadDeadline(null);
    this.chunk = chunk;
    this.at = 0;
    return true;
  }

  feed(parser: RequestParser): void {
    this.at = parser.parse(this.chunk, this.at);
  }

  async write(text: string): Promise<void> {
    await this.flush();
    await this.conn[writeLatin1](text);
  }

  gone(cause: unknown): void {
    this.watcher?.cancel(cause ?? "the client has gone");
  }

  complete(): void {
    if (this.watcher !== undefined) this.watch(this.watcher);
  }

  // ---- a client that leaves

  contextFor(info: RequestInfo): Context {
    // Another protocol's peer is not watched; its handler is told when the server stops.
    if (this.takenOver) return this.owner.ending;
    if (info !== this.current) {
      const late = new Watcher(this.owner.context);
      late.cancel("the response has been sent");
      return late.context;
    }
    if (this.watcher === undefined) {
      this.watcher = new Watcher(this.owner.context);
      if (this.incoming?.arrived ?? true) this.watch(this.watcher);
    }
    return this.watcher.context;
  }

  private watch(watcher: Watcher): void {
    if (watcher.stop !== undefined) return;
    watcher.stop = new AbortController();
    watcher.ended = this.readAhead(watcher, watcher.stop.signal);
  }

  private async readAhead(watcher: Watcher, signal: AbortSignal): Promise<void> {
    while (this.chunk.length - this.at < READ_AHEAD) {
      try {
        const chunk = await this.conn[readChunk]({ signal });
        if (chunk === null) {
          watcher.cancel("the client has gone");
          return;
        }
        const rest = this.chunk.subarray(this.at);
        this.chunk = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        this.at = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (!isTimeout(error)) {
          watcher.cancel(error);
          return;
        }
      }
    }
  }

  private async endWatch(): Promise<void> {
    const watcher = this.watcher as Watcher;
    watcher.stop?.abort();
    await watcher.ended;
    watcher.cancel("the response has been sent");
    this.watcher = undefined;
  }

  // ---- ends

  async takeOver(info: RequestInfo, headers: HeadersInit | null | undefined): Promise<Conn> {
    const connect = info.verb === "CONNECT";
    if (!info.wantsUpgrade || info !== this.current || this.takenOver) {
      throw new TypeError("upgrade: the client did not ask for it, or it was done already");
    }
    if (this.incoming !== undefined) {
      throw new TypeError("upgrade: the request has a body; answer it instead");
    }
    const { conn } = this;
    const protocol = (new Request(info).headers.get("upgrade") ?? "").split(",")[0] as string;
    const list = headerList(headers ?? undefined);
    this.takenOver = true;
    if (this.watcher !== undefined) await this.endWatch();
    this.owner.leave(this);
    conn.setTimeouts({ read: null, write: null });
    const rest = this.chunk.subarray(this.at);
    if (rest.length > 0) conn.unread(rest);
    this.chunk = nothing;
    this.at = 0;
    const head = switchingHead(connect, protocol.trim(), list);
    try {
      if (headers === null) await this.flush();
      else await this.write(head);
    } finally {
      // Also when the client has gone: HTTP has ended here.
      this.tellOfUpgrade(info, connect ? 200 : 101, headers === null ? 0 : head.length);
    }
    return conn;
  }

  private tellOfUpgrade(info: RequestInfo, status: number, sent: number): void {
    const { observer, tally } = this.owner;
    tally.upgraded++;
    if (observer === undefined) return;
    const request = new Request(info);
    observer.upgraded(request, info);
    const now = performance.now();
    observer.write(
      new ResponseRecord({
        conn: this.conn,
        request,
        target: info.target,
        version: 11,
        status,
        started: now,
        ended: now,
        bytesSent: sent,
        headBytes: sent,
        complete: true,
        notes: info.notes,
      }),
    );
  }

  private async refuse(status: number, reason: string, target: string): Promise<void> {
    const { conn } = this;
    const { observer, tally } = this.owner;
    tally.refuse(status);
    const before = this.bytesOut;
    try {
      await this.write(plainResponse(status, reason));
    } finally {
      if (observer !== undefined) {
        const sent = this.bytesOut - before;
        observer.refused(status, reason, conn);
        observer.write(ResponseRecord.refused(conn, target, 0, status, sent));
      }
    }
    await this.linger();
  }

  /**
   * Ends writing and waits for the client to end, too: closing while its bytes are still coming would
   * make the kernel send a reset, which can overtake the response. Nothing is parsed.
   */
  private async linger(): Promise<void> {
    const { conn } = this;
    try {
      await conn.closeWrite();
      conn.setReadDeadline(new Date(Date.now() + LINGER_MS));
      for (let left = LINGER_BYTES; left > 0; ) {
        const chunk = await conn[readChunk]();
        if (chunk === null) return;
        left -= chunk.length;
      }
    } catch {
      // It has been given its time.
    }
  }
}

function tracedHandler(handler: Handler, trace: Trace): Handler {
  return (request, info) =>
    trace({ request, info }, async () => await handler(request, info)) as Promise<Answer>;
}

/** Stands for the request while there is none. */
const nobody = new Request("http://localhost/");

function isTimeout(error: unknown): boolean {
  return error instanceof NetError && error.code === "ERR_DEADLINE";
}
