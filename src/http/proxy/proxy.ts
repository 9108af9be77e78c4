/**
 * proxy.ts: reverseProxy(): a handler that passes requests on to other servers, and their answers back.
 *
 * Both bodies go through as they come, as fast as the slower side takes them; nothing is kept. Each message
 * is parsed once on each side and framed anew from what the parser found, so what two servers could read
 * differently ends here.
 */
import { type BaseConn, type Conn, writeLatin1 } from "../../net/conn.ts";
import { NetError } from "../../net/errors.ts";
import { SocketConn } from "../../net/socket.ts";
import { type Runtime, runtime } from "../../runtime/runtime.ts";
import { Timer } from "../../runtime/timers.ts";
import { IncomingSource, type Source } from "../body.ts";
import { Client } from "../client/client.ts";
import { FetchError } from "../client/errors.ts";
import { type Exchange, isIdempotent, type Outgoing } from "../client/exchange.ts";
import type { Ending } from "../client/limit.ts";
import type { ClientSettings } from "../client/options.ts";
import { HTTPError } from "../errors.ts";
import { Headers, headerList } from "../headers.ts";
import { IncomingBody } from "../incoming.ts";
import type { RequestInfo } from "../info.ts";
import type { Request } from "../request.ts";
import { Response } from "../response.ts";
import { chooser } from "./balance.ts";
import { Checks } from "./checks.ts";
import { addForwarded, requestFields, responseFields } from "./fields.ts";
import { atLeast, type Choose, DEFAULTS, type ProxyOptions } from "./options.ts";
import { PassedResponse } from "./passed.ts";
import { tunnel } from "./tunnel.ts";
import { Upstream } from "./upstream.ts";

/** A request that takes longer than this is watched for its client leaving, in ms. */
const WATCHED_AFTER_MS = 20;

/** A reverse proxy: a handler for serve(), or a function for one's own handler to call. */
export interface ReverseProxy extends Disposable {
  (request: Request, info: RequestInfo): Promise<Response | undefined>;
  readonly upstreams: readonly Upstream[];
  /** Ends the checks and closes connections that nobody uses now. */
  close(): void;
}

/** A request on its way through. */
interface Passage {
  request: Request;
  info: RequestInfo;
  /** Fields for the upstream, in turn. */
  fields: string[];
  /** Whom the client asks for, or whom a change of the headers says. */
  host: string;
  source: Source;
  declared: number;
  expects: boolean;
  /** The protocol that the client asks for. */
  upgrade: string;
  /** The client knows of interim responses. */
  modern: boolean;
}

class Forwarder {
  readonly upstreams: readonly Upstream[];
  private readonly options: ProxyOptions;
  private readonly client: Client;
  private readonly settings: ClientSettings;
  private readonly choose: Choose;
  private readonly retries: number;
  private readonly checks: Checks | undefined;
  private readonly runtime: Runtime;

  constructor(options: ProxyOptions) {
    const { timeouts, limits = {}, pool = {}, tls = {}, upstreams, check } = options;
    this.options = options;
    const { connect } = DEFAULTS;
    this.client = new Client({ timeouts: { connect, ...timeouts }, limits, pool, tls });
    this.settings = this.client.defaultSettings;
    this.choose = chooser(options);
    this.retries = atLeast(options.retries ?? DEFAULTS.retries, 0, "retries");
    const maxFails = atLeast(options.maxFails ?? DEFAULTS.maxFails, 0, "maxFails");
    const failTime = atLeast(options.failTime ?? DEFAULTS.failTime, 1, "failTime");
    if (upstreams.length === 0) throw new TypeError("reverseProxy: expected an upstream");
    // With nobody to take its place, an upstream is tried every time.
    const most = upstreams.length === 1 ? 0 : maxFails;
    this.upstreams = upstreams.map((each) => new Upstream(each, this.client, most, failTime));
    this.checks = check === undefined ? undefined : new Checks(this.client, this.upstreams, check);
    this.runtime = runtime();
  }

  close(): void {
    this.checks?.stop();
    this.client.closeIdle();
  }

  async handle(request: Request, info: RequestInfo): Promise<Response | undefined> {
    if (request.method === "CONNECT") return plain(405, "Method Not Allowed");
    const passage = this.passageOf(request, info);
    const { source } = passage;
    if (source instanceof IncomingSource && source.incoming instanceof IncomingBody) {
      // What has come whole can be sent in one piece, and again.
      const { incoming } = source;
      if (incoming.arrived && incoming.trailers.length === 0) {
        passage.source = await incoming.readAll();
        passage.expects = false;
      }
    }
    let tried: Upstream[] | undefined;
    for (let retries = this.retries; ; retries--) {
      const upstream = this.next(passage, tried);
      if (upstream === undefined) break;
      try {
        return await this.pass(passage, upstream);
      } catch (error) {
        if (error instanceof HTTPError) throw error;
        this.failed(error, passage, upstream);
        if (retries <= 0 || !mayRetry(error, passage)) return answerTo(error);
        tried ??= [];
        tried.push(upstream);
        if (this.next(passage, tried, true) === undefined) return answerTo(error);
      }
    }
    return plain(503, "Service Unavailable");
  }

  /** Who gets it; with `only`, whether there is somebody. */
  private next(
    { request, info }: Passage,
    tried: readonly Upstream[] | undefined,
    only = false,
  ): Upstream | undefined {
    const candidates = this.upstreams.filter((each) => each.up && tried?.includes(each) !== true);
    if (only || candidates.length === 0) return candidates[0];
    return this.choose(candidates, request, info);
  }

  private passageOf(request: Request, info: RequestInfo): Passage {
    const { trusted = false, headers } = this.options;
    const list = headerList(request.headers);
    const source = request.take();
    let fields = requestFields(list, trusted);
    if (headers !== undefined) {
      const given = Headers.ofList(fields);
      headers(given, request, info);
      fields = given.ownList();
    }
    const host = hostOf(request, list);
    addForwarded(fields, { ip: ipOf(info), host, proto: info.secure ? "https" : "http" });
    const length = fieldIn(list, "content-length");
    return {
      request,
      info,
      fields,
      host:
        fieldIn(fields, "host") === fieldIn(list, "host") ? host : (fieldIn(fields, "host") ?? ""),
      source,
      declared: source === null || length === undefined ? -1 : Number(length),
      expects: source instanceof IncomingSource && fieldIn(list, "expect") !== undefined,
      upgrade: info.wantsUpgrade && source === null ? protocolOf(list) : "",
      modern: / HTTP\/1\.1\r?$/m.test(info.text.slice(0, info.text.indexOf("\n"))),
    };
  }

  private outgoingFor(passage: Passage, { origin, prefix, url }: Upstream): Outgoing {
    const { request, info, fields, host, source } = passage;
    const { declared, expects, upgrade, modern } = passage;
    const { method } = request;
    const path = targetOf(request);
    const target = path === "*" ? path : prefix + path;
    const useOrigins = this.options.host === "upstream";
    let text = `host: ${useOrigins || host === "" ? origin.host : host}\r\n`;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      if (name === "host" || name === "content-length" || name === "expect") continue;
      text += `${name}: ${fields[i + 1]}\r\n`;
    }
    if (upgrade !== "") text += `connection: Upgrade\r\nupgrade: ${upgrade}\r\n`;
    else if (fieldIn(fields, "te") !== undefined) text += "connection: te\r\n";
    if (expects) text += "expect: 100-continue\r\n";
    const length = lengthOf(source, declared);
    const head = `${method} ${target} HTTP/1.1\r\n${text}${framing(method, source, length)}`;
    return {
      method,
      url: url + target,
      origin,
      head,
      source,
      length,
      expects,
      close: false,
      upgrades: upgrade !== "",
      onInterim: modern ? (code, list) => tellInterim(info, code, list) : undefined,
    };
  }

  private async pass(passage: Passage, upstream: Upstream): Promise<Response | undefined> {
    upstream.requests++;
    upstream.active++;
    const leaver = new Leaver(this.runtime, passage.info, () => void upstream.active--);
    let exchange: Exchange;
    try {
      const outgoing = this.outgoingFor(passage, upstream);
      exchange = await this.client.exchange(outgoing, this.settings, leaver);
    } catch (error) {
      leaver.end();
      throw error;
    }
    upstream.succeed();
    leaver.last(exchange);
    const { parser } = exchange;
    if (parser.code === 101) return await this.connectBoth(passage, exchange);
    const { code, phrase } = parser;
    const list = responseFields(parser);
    return new PassedResponse(code, phrase, list, exchange.takeSource());
  }

  private async connectBoth({ info }: Passage, exchange: Exchange): Promise<undefined> {
    const list = responseFields(exchange.parser);
    const lease = exchange.takeOver();
    let conn: Conn;
    try {
      conn = await info.upgrade(pairsOf(list));
    } catch (error) {
      await lease.close();
      throw error;
    }
    const below = lease.below();
    await tunnel(conn, conn instanceof SocketConn ? below : lease);
    await lease.close();
  }

  private failed(error: unknown, { request, info }: Passage, upstream: Upstream): void {
    if (!(error instanceof FetchError && error.code === "ERR_POOL_FULL")) upstream.fail();
    const { onError } = this.options;
    if (onError !== undefined) onError(error, request, upstream);
    else console.error(`proxy: ${request.method} ${info.target} for ${info.remoteAddr}:`, error);
  }
}

/** Why an exchange was ended whose client had gone: there is nobody to answer. */
function clientGone(cause: unknown): HTTPError {
  return new HTTPError(0, "ERR_CLIENT_GONE", "the client has gone", cause);
}

/**
 * Ends the upstream's exchange when the client leaves. It looks for that only when the exchange takes its
 * time: most are over before it would be worth it.
 */
class Leaver extends Timer implements Ending {
  private readonly runtime: Runtime;
  private readonly info: RequestInfo;
  private readonly onEnd: () => void;
  private exchange: Exchange | undefined = undefined;
  private gone: AbortSignal | undefined = undefined;
  private ended = false;

  constructor(rt: Runtime, info: RequestInfo, onEnd: () => void) {
    super();
    this.runtime = rt;
    this.info = info;
    this.onEnd = onEnd;
    rt.timers.arm(this, rt.clock.now() + WATCHED_AFTER_MS);
  }

  /** Dialling goes on for the next request if its client leaves meanwhile. */
  get signal(): undefined {
    return undefined;
  }

  fire(): void {
    const { signal } = this.info.context;
    this.gone = signal;
    if (signal.aborted) this.onAbort();
    else signal.addEventListener("abort", this.onAbort);
  }

  private readonly onAbort = (): void => {
    this.exchange?.giveUp(clientGone(this.gone?.reason));
  };

  over(exchange: Exchange): void {
    this.exchange = exchange;
    if (this.gone?.aborted === true) this.onAbort();
  }

  last(exchange: Exchange): void {
    exchange.whenLeft(() => this.end());
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    if (this.index !== -1) this.runtime.timers.disarm(this);
    this.gone?.removeEventListener("abort", this.onAbort);
    this.exchange = undefined;
    this.onEnd();
  }
}

function ipOf({ remoteAddr }: RequestInfo): string {
  return (remoteAddr as { ip?: string }).ip ?? "";
}

function fieldIn(list: readonly string[], name: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1];
  return undefined;
}

function protocolOf(list: readonly string[]): string {
  return ((fieldIn(list, "upgrade") ?? "").split(",")[0] as string).trim();
}

/** Whom the client asks for: a whole url in the request line says more than Host (RFC 9112, 3.2.2). */
function hostOf(request: Request, list: readonly string[]): string {
  const { sentTarget } = request;
  const isWhole = sentTarget !== undefined && /^[a-z][a-z\d+.-]*:\/\//i.test(sentTarget);
  return isWhole ? new URL(request.url).host : (fieldIn(list, "host") ?? "");
}

/** Path and query as the client sent them; of a request that was made by hand, its url's. */
function targetOf(request: Request): string {
  const { sentTarget } = request;
  if (sentTarget?.startsWith("/") === true) return sentTarget;
  if (sentTarget === "*") return "*";
  const { pathname, search } = new URL(request.url);
  return pathname + search;
}

function lengthOf(source: Source, declared: number): number {
  if (source === null) return 0;
  if (typeof source === "string") return Buffer.byteLength(source);
  return source instanceof Uint8Array ? source.length : declared;
}

function framing(method: string, source: Source, length: number): string {
  if (source === null && method !== "POST" && method !== "PUT" && method !== "PATCH") return "\r\n";
  return length === -1 ? "transfer-encoding: chunked\r\n\r\n" : `content-length: ${length}\r\n\r\n`;
}

function pairsOf(list: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < list.length; i += 2) {
    pairs.push([list[i] as string, list[i + 1] as string]);
  }
  return pairs;
}

async function tellInterim(
  info: RequestInfo,
  code: number,
  list: readonly string[],
): Promise<void> {
  let text = `HTTP/1.1 ${code} ${code === 103 ? "Early Hints" : ""}\r\n`;
  for (let i = 0; i < list.length; i += 2) text += `${list[i]}: ${list[i + 1]}\r\n`;
  try {
    await (info.conn as BaseConn)[writeLatin1](`${text}\r\n`);
  } catch (error) {
    throw clientGone(error);
  }
}

/** Whether another upstream may get it: this one cannot have acted on it, or acting twice does no harm. */
function mayRetry(error: unknown, { request, source, info }: Passage): boolean {
  if (!(error instanceof FetchError)) return false;
  const isWhole = source === null || typeof source === "string" || source instanceof Uint8Array;
  if (error.phase === "connect") return true;
  if (!isWhole || error.phase === "body") return false;
  return isIdempotent(request.method, info.text);
}

function answerTo(error: unknown): Response {
  if (error instanceof NetError && error.timeout) return plain(504, "Gateway Timeout");
  if (error instanceof NetError && error.code === "ERR_POOL_FULL") {
    return plain(503, "Service Unavailable");
  }
  return plain(502, "Bad Gateway");
}

function plain(status: number, text: string): Response {
  return new Response(`${text}\n`, { status });
}

/**
 * A reverse proxy to one or several servers: a handler for serve().
 *
 * An upstream that refuses is answered for with 502, one that is too slow with 504; when none is up, 503.
 * A request goes to another upstream when the first one cannot have acted on it, or its method may be
 * repeated, and nothing has been sent to the client yet. WebSockets and other upgrades are connected
 * through. A response that breaks off upstream breaks off here.
 *
 * @example
 * import { fetch, Response, reverseProxy, serve } from "coronet/http";
 * await using app = await serve("127.0.0.1:0", (request) => {
 *   return new Response(`for ${request.headers.get("x-forwarded-for")}`);
 * });
 * using proxy = reverseProxy({ upstreams: [`http://${app.addr}`] });
 * await using front = await serve("127.0.0.1:0", proxy);
 * console.log(await (await fetch(`http://${front.addr}/`)).text()); // for 127.0.0.1
 */
export function reverseProxy(options: ProxyOptions): ReverseProxy {
  const proxy = new Forwarder(options);
  const handler = (request: Request, info: RequestInfo): Promise<Response | undefined> =>
    proxy.handle(request, info);
  return Object.assign(handler, {
    upstreams: proxy.upstreams,
    close: () => proxy.close(),
    [Symbol.dispose]: () => proxy.close(),
  });
}
