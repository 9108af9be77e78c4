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
import { runtime } from "../../runtime/runtime.ts";
import { IncomingSource, type Source } from "../body.ts";
import { Client } from "../client/client.ts";
import { FetchError } from "../client/errors.ts";
import { type Exchange, isIdempotent, type Outgoing } from "../client/exchange.ts";
import type { ClientSettings } from "../client/options.ts";
import { HTTPError } from "../errors.ts";
import { Headers } from "../headers.ts";
import { IncomingBody } from "../incoming.ts";
import type { RequestInfo } from "../info.ts";
import type { Request } from "../request.ts";
import { Response } from "../response.ts";
import { chooser } from "./balance.ts";
import { Checks } from "./checks.ts";
import { dropFields, listOf, RequestFields, responseText } from "./fields.ts";
import { clientGone, Leavers } from "./leaving.ts";
import { atLeast, type Choose, DEFAULTS, type ProxyOptions } from "./options.ts";
import { PassedResponse } from "./passed.ts";
import { tunnel } from "./tunnel.ts";
import { Upstream } from "./upstream.ts";

const TRAILERS = "te: trailers\r\nconnection: te\r\n";
const MODERN = /^[^\r\n]* HTTP\/1\.1\r?(?:\n|$)/;
const WHOLE_URL = /^[a-z][a-z\d+.-]*:\/\//i;

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
  /** Fields for the upstream, as text. */
  fields: string;
  /** Whom the client asks for, or whom a change of the headers says. */
  host: string;
  source: Source;
  declared: number;
  expects: boolean;
  /** The protocol that the client asks for. */
  upgrade: string;
}

class Forwarder {
  readonly upstreams: readonly Upstream[];
  private readonly options: ProxyOptions;
  private readonly client: Client;
  private readonly settings: ClientSettings;
  private readonly choose: Choose;
  private readonly retries: number;
  private readonly checks: Checks | undefined;
  private readonly leavers: Leavers;

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
    this.leavers = new Leavers(runtime());
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
        passage.source = incoming.takeNow() ?? (await incoming.readAll());
        passage.expects = false;
      }
    }
    let tried: Upstream[] | undefined;
    for (let retries = this.retries; ; retries--) {
      const upstream = this.next(passage, tried);
      if (upstream === undefined) break;
      const leaver = this.leavers.begin(info, upstream);
      try {
        const outgoing = this.outgoingFor(passage, upstream);
        const exchange = await this.client.exchange(outgoing, this.settings, leaver);
        upstream.succeed();
        leaver.last(exchange);
        if (exchange.parser.code === 101) return await this.connectBoth(info, exchange);
        return new PassedResponse(exchange);
      } catch (error) {
        leaver.end();
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
    const { upstreams } = this;
    const candidates =
      tried === undefined && upstreams.every(isUp)
        ? upstreams
        : upstreams.filter((each) => each.up && tried?.includes(each) !== true);
    if (only || candidates.length === 0) return candidates[0];
    return this.choose(candidates, request, info);
  }

  private passageOf(request: Request, info: RequestInfo): Passage {
    const { trusted = false } = this.options;
    const source = request.take();
    let fields = new RequestFields(request.head, trusted);
    const { length, expects, upgrade } = fields;
    const asked = hostOf(request, fields.host);
    let host = asked;
    if (this.options.headers !== undefined) {
      const before = fields.host;
      fields = this.changed(request, info, this.options.headers);
      if (fields.host !== before) host = fields.host;
    }
    const proto = info.secure ? "https" : "http";
    const from = { ip: ipOf(info), host: asked, proto } as const;
    return {
      request,
      info,
      fields: fields.textFrom(from) + (fields.trailers ? TRAILERS : ""),
      host,
      source,
      declared: source === null ? -1 : length,
      expects: source instanceof IncomingSource && expects,
      upgrade: info.wantsUpgrade && source === null ? upgrade : "",
    };
  }

  /** The fields after somebody has changed them: what he says of where the request is from counts. */
  private changed(
    request: Request,
    info: RequestInfo,
    change: NonNullable<ProxyOptions["headers"]>,
  ): RequestFields {
    const headers = new Headers(request.headers);
    dropFields(headers, this.options.trusted ?? false);
    change(headers, request, info);
    return new RequestFields(headers.head, true);
  }

  private outgoingFor(passage: Passage, { origin, prefix, url }: Upstream): Outgoing {
    const { request, info, fields, host, source } = passage;
    const { declared, expects, upgrade } = passage;
    const { method } = request;
    const path = targetOf(request);
    const target = path === "*" ? path : prefix + path;
    const useOrigins = this.options.host === "upstream";
    const length = lengthOf(source, declared);
    const head =
      `${method} ${target} HTTP/1.1\r\nhost: ${useOrigins || host === "" ? origin.host : host}\r\n` +
      fields +
      (upgrade === "" ? "" : `connection: Upgrade\r\nupgrade: ${upgrade}\r\n`) +
      (expects ? "expect: 100-continue\r\n" : "") +
      framing(method, source, length);
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
      onInterim: (code, list) => tellInterim(info, code, list),
    };
  }

  private async connectBoth(info: RequestInfo, exchange: Exchange): Promise<undefined> {
    const list = listOf(responseText(exchange.parser));
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

function isUp({ up }: Upstream): boolean {
  return up;
}

function ipOf({ remoteAddr }: RequestInfo): string {
  return (remoteAddr as { ip?: string }).ip ?? "";
}

/** Whom the client asks for: a whole url in the request line says more than Host (RFC 9112, 3.2.2). */
function hostOf(request: Request, field: string): string {
  const { sentTarget } = request;
  const isWhole =
    sentTarget !== undefined && !sentTarget.startsWith("/") && WHOLE_URL.test(sentTarget);
  return isWhole ? new URL(request.url).host : field;
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
  // A client of HTTP/1.0 knows of no interim responses.
  if (!MODERN.test(info.text)) return;
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
