/**
 * client.ts: fetch(), and clients with settings of their own.
 *
 *     fetch ── Redirected ──▶ Outgoing ──▶ Exchange on a pooled connection ──▶ FetchedResponse
 *       ▲                                   │ dead before it was used: another one
 *       └────────────── redirect ───────────┘
 */
import type { PooledConn } from "../../net/cosocket.ts";
import type { PoolOptions } from "../../net/pool.ts";
import { closeIdle, poolStats } from "../../net/pool.ts";
import { type Trace, traced } from "../../runtime/traced.ts";
import { IncomingSource, type Source, sourceOf } from "../body.ts";
import { findIn, headerList } from "../headers.ts";
import { methodOf, Request } from "../request.ts";
import type { Response } from "../response.ts";
import { codingsOf, DecodedBody, WholeBody } from "./decode.ts";
import { FetchError, failureOf } from "./errors.ts";
import { Exchange, mayRepeat, type Outgoing } from "./exchange.ts";
import { FetchedResponse } from "./fetched.ts";
import { type Ending, Limit } from "./limit.ts";
import { type ClientOptions, type ClientSettings, type FetchInit, settingsOf } from "./options.ts";
import { dialOrigin, idleOf, type Origin, Origins } from "./origin.ts";
import { outgoingOf } from "./outgoing.ts";
import { type Place, placeOf } from "./place.ts";
import { isRedirect, locationOf, nextRequest, type Redirected } from "./redirect.ts";
import type { ClientTlsOptions } from "./tls.ts";

/** Idle connections to each origin. */
const POOL_SIZE = 256;
const MOST_REDIRECTS = 20;
/** Dead connections of the pool that one request may meet. */
const MOST_RETRIES = 3;
/** Urls whose parts are remembered. */
const MOST_URLS = 500;

/** Methods that would make something else of a connection (fetch.spec.whatwg.org). */
const FORBIDDEN = new Set(["CONNECT", "TRACE", "TRACK"]);

let clients = 0;

/** What one call of fetch wants. */
interface Task {
  settings: ClientSettings;
  socketPath: string | undefined;
  tls: ClientTlsOptions | undefined;
  decode: boolean;
  redirect: "follow" | "error" | "manual";
}

/**
 * A client: the connections, limits and defaults that its requests share. `fetch` is the method of one that
 * has nothing set. Each has pools of its own.
 *
 * @example
 * import { Client, Response, serve } from "coronet/http";
 * await using server = await serve("127.0.0.1:0", (request) => {
 *   return new Response(`you are ${request.headers.get("user-agent")}`);
 * });
 * const client = new Client({
 *   headers: { "user-agent": "example/1" },
 *   timeouts: { head: 2000, total: 10_000 },
 *   pool: { poolSize: 10, backlog: 100 },
 * });
 * console.log(await (await client.fetch(`http://${server.addr}/`)).text()); // you are example/1
 * client.closeIdle();
 */
export class Client {
  private readonly options: ClientOptions;
  private readonly settings: ClientSettings;
  private readonly pool: PoolOptions;
  private readonly defaults: readonly string[];
  private readonly prefix: string;
  private readonly origins: Origins;
  private readonly places = new Map<string, Place>();

  constructor(options: ClientOptions = {}) {
    this.options = options;
    this.pool = { poolSize: POOL_SIZE, ...options.pool };
    const { idleTimeout } = this.pool;
    this.settings = settingsOf(options.timeouts, options.limits, idleTimeout);
    this.defaults = headerList(options.headers);
    this.prefix = `http client ${++clients}: `;
    this.origins = new Origins(this.prefix);
  }

  /**
   * As the standard's fetch: resolves when the head of the response has come. The method stands by itself:
   * it may be taken out of its client.
   */
  readonly fetch = (
    input: string | URL | Request | globalThis.Request,
    init: FetchInit = {},
  ): Promise<Response> => {
    try {
      const from = typeof input === "object" && !(input instanceof URL) ? input : undefined;
      const task = this.taskOf(init, from);
      const signal = init.signal === undefined ? from?.signal : (init.signal ?? undefined);
      if (signal?.aborted === true) throw signal.reason;
      const place = this.placeOf(from === undefined ? (input as string | URL) : from.url, task);
      const request = this.requestOf(place, init, from);
      const { total } = task.settings;
      // Most requests have neither: they carry nothing along.
      const none = total === null && (signal === undefined || isNever(signal, from));
      const run = (): Promise<Response> =>
        none ? this.follow(request, task, undefined) : this.limited(request, task, signal);
      return traced.fetch === null ? run() : tracedFetch(traced.fetch, request, run);
    } catch (error) {
      return Promise.reject(error);
    }
  };

  private async limited(
    request: Redirected,
    task: Task,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const { total } = task.settings;
    const limit = new Limit(signal, total, () => late(request, total as number));
    try {
      return await this.follow(request, task, limit);
    } catch (error) {
      limit.end();
      throw error;
    }
  }

  /** Closes the connections that nobody uses now. Returns how many. */
  closeIdle(): number {
    const names = new Set(poolStats().map(({ name }) => name));
    let closed = 0;
    for (const name of names) if (name.startsWith(this.prefix)) closed += closeIdle(name);
    return closed;
  }

  private taskOf(init: FetchInit, from: { redirect?: string } | undefined): Task {
    const { options } = this;
    const {
      timeouts,
      tls,
      socketPath = options.socketPath,
      decode = options.decode ?? true,
    } = init;
    const asked = from instanceof Request ? undefined : (from?.redirect as Task["redirect"]);
    const redirect = init.redirect ?? asked ?? options.redirect ?? "follow";
    if (redirect !== "follow" && redirect !== "error" && redirect !== "manual") {
      throw new TypeError(`fetch: redirect is "follow", "error" or "manual", not ${redirect}`);
    }
    let { settings } = this;
    if (timeouts !== undefined) {
      const both = { ...options.timeouts, ...timeouts };
      settings = settingsOf(both, options.limits, this.pool.idleTimeout);
    }
    return { settings, socketPath, tls, decode, redirect };
  }

  private requestOf(
    place: Place,
    init: FetchInit,
    from: Request | globalThis.Request | undefined,
  ): Redirected {
    const method = methodOf(init.method ?? from?.method ?? "GET");
    if (FORBIDDEN.has(method.toUpperCase()))
      throw new TypeError(`fetch: ${method} is not for fetch`);
    const headers = headerList(init.headers ?? from?.headers);
    let source: Source = null;
    if (init.body !== undefined) {
      if (init.body !== null) {
        const { source: body, type } = sourceOf(init.body);
        source = body;
        if (type !== undefined && findIn(headers, "content-type") === null) {
          headers.push("content-type", type);
        }
      }
    } else if (from instanceof Request) source = from.take();
    else if (from !== undefined) {
      if (from.bodyUsed) throw new TypeError("fetch: the request's body has been used already");
      source = from.body as Source;
    }
    if (source !== null && (method === "GET" || method === "HEAD")) {
      throw new TypeError(`fetch: a ${method} request has no body`);
    }
    for (let i = 0; i < this.defaults.length; i += 2) {
      const name = this.defaults[i] as string;
      if (findIn(headers, name) === null) headers.push(name, this.defaults[i + 1] as string);
    }
    return { method, place, headers, source };
  }

  private placeOf(input: string | URL, { socketPath, tls }: Task): Place {
    const text = typeof input === "string" ? input : undefined;
    const known = text === undefined ? undefined : this.places.get(text);
    const isSame = known?.socketPath === socketPath && known?.tls === tls;
    if (known !== undefined && isSame) return known;
    const url = new URL(input);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError(`fetch: expected an url of http: or https:, got ${url.protocol}`);
    }
    if (url.username !== "" || url.password !== "") {
      const safe = `${url.protocol}//${url.host}${url.pathname}`;
      throw new TypeError(
        `fetch: the url has a user name or password (${safe}): give an Authorization header`,
      );
    }
    const place = placeOf(url, this.originOf(url, socketPath, tls), socketPath, tls);
    if (text !== undefined && text.length < 500) {
      if (this.places.size >= MOST_URLS) this.places.clear();
      this.places.set(text, place);
    }
    return place;
  }

  /** Sends a request and those that its redirects lead to. */
  private async follow(
    first: Redirected,
    task: Task,
    limit: Limit | undefined,
  ): Promise<FetchedResponse> {
    let request = first;
    const most = this.options.maxRedirects ?? MOST_REDIRECTS;
    const { decode, settings } = task;
    for (let redirects = 0; ; redirects++) {
      const outgoing = outgoingOf(request, decode);
      const exchange = await this.exchange(outgoing, settings, limit);
      if (task.redirect !== "manual" && isRedirect(exchange.parser.code)) {
        const next = this.redirected(exchange, request, task, redirects, most);
        if (next !== undefined) {
          exchange.skip();
          request = next;
          continue;
        }
      }
      limit?.last(exchange);
      return responseOf(exchange, request.place.href, redirects > 0, decode);
    }
  }

  /** The next request; undefined when the response is no redirect after all. */
  private redirected(
    exchange: Exchange,
    request: Redirected,
    task: Task,
    redirects: number,
    most: number,
  ): Redirected | undefined {
    const { parser } = exchange;
    const location = parser.field("location");
    if (location === undefined && task.redirect === "follow") return undefined;
    try {
      if (task.redirect === "error") throw new Error(`it answers ${parser.code}, a redirect`);
      if (redirects >= most) throw new Error(`there were ${most} redirects before`);
      const { url, socketPath, tls } = request.place;
      const next = locationOf(location as string, url);
      const to = placeOf(next, this.originOf(next, socketPath, tls), socketPath, tls);
      return nextRequest(request, parser.code, to);
    } catch (error) {
      const { message } = error as Error;
      const failure = exchange.error("head", "ERR_REDIRECT", `the redirect is refused: ${message}`);
      exchange.giveUp(failure);
      throw failure;
    }
  }

  /** @internal One request and the head of its response, on whichever connection does it. */
  async exchange(
    outgoing: Outgoing,
    settings: ClientSettings,
    limit: Ending | undefined,
  ): Promise<Exchange> {
    for (let retries = 0; ; retries++) {
      const lease = idleFor(outgoing, limit) ?? (await this.dial(outgoing, settings, limit));
      const exchange = new Exchange(lease, outgoing, settings);
      limit?.over(exchange);
      try {
        await exchange.run();
        return exchange;
      } catch (error) {
        if (retries >= MOST_RETRIES || !exchange.mayRetry(error)) throw error;
        // The others of that pool are likely to have gone with it.
        closeIdle(outgoing.origin.pool);
      }
    }
  }

  private async dial(
    { method, url, origin }: Outgoing,
    { connect, idleTimeout }: ClientSettings,
    limit: Ending | undefined,
  ): Promise<PooledConn> {
    const { network, pool, address } = origin;
    try {
      const options = { ...this.options.dial, ...this.pool, network, pool, idleTimeout };
      const { signal } = limit ?? {};
      return await dialOrigin(origin, { ...options, timeout: connect, signal });
    } catch (error) {
      if (limit?.signal?.aborted === true) throw limit.signal.reason;
      throw failureOf(error, { method, url, network, address }, "connect");
    }
  }

  /** @internal For a proxy: the origin that an address stands for. */
  originOf(url: URL, socketPath: string | undefined, tls?: ClientTlsOptions): Origin {
    return this.origins.of(url, socketPath, tls, this.options.tls);
  }

  /** @internal */
  get defaultSettings(): ClientSettings {
    return this.settings;
  }
}

/** The usual case: nothing to wait for, and nothing to be made for it. */
function idleFor(outgoing: Outgoing, limit: Ending | undefined): PooledConn | undefined {
  if (limit?.signal?.aborted === true) return undefined;
  return idleOf(outgoing.origin, mayRepeat(outgoing));
}

/** A tracer may add headers: a request says by them which trace it belongs to. */
function tracedFetch(
  trace: Trace,
  { method, place, headers }: Redirected,
  run: () => Promise<Response>,
): Promise<Response> {
  const addHeader = (name: string, value: string): void => {
    headers.push(...headerList([[name, value]]));
  };
  return trace({ method, url: place.href, addHeader }, run);
}

function late({ method, place }: Redirected, total: number): Error {
  const { network, address } = place.origin;
  const text = `not done after ${total} ms in all`;
  const code = "ERR_DEADLINE";
  const what = { method, url: place.href, network, address, phase: "body" as const };
  return new FetchError({ ...what, code, text, timeout: true });
}

/** The signal of a request that was made by hand without one: it never comes. */
function isNever(signal: AbortSignal, from: Request | globalThis.Request | undefined): boolean {
  return from instanceof Request && signal === neverSignal;
}

const neverSignal = new Request("http://localhost/").signal;

/** The response of an exchange whose head has come. */
export function responseOf(
  exchange: Exchange,
  url: string,
  redirected: boolean,
  decode: boolean,
): FetchedResponse {
  const { parser } = exchange;
  const { code, phrase, text, spans, encoding } = parser;
  let source = exchange.takeSource();
  const codings = decode && source !== null ? codingsOf(encoding) : undefined;
  const isEmpty = source instanceof Uint8Array && source.length === 0;
  const decoded = codings !== undefined && !isEmpty;
  if (decoded) {
    const coded =
      source instanceof IncomingSource ? source.incoming : new WholeBody(source as Uint8Array);
    const refuse = (reason: unknown): Error => {
      const { message = String(reason) } = (reason ?? {}) as { message?: string };
      const what = `its Content-Encoding is ${encoding}, but: ${message}`;
      return exchange.error("body", "ERR_RESPONSE_ENCODING", what, reason);
    };
    source = new IncomingSource(new DecodedBody(coded, codings as string[], refuse));
  }
  return new FetchedResponse({ code, phrase, text, spans, source, url, redirected, decoded });
}

const standard = new Client();

/**
 * The standard's fetch over pooled connections: keep-alive, one request on a connection at a time, bodies
 * streamed both ways as fast as they are taken.
 *
 * Resolves when the head of the response has come, whatever its status. Fails with a FetchError, which
 * says how far it had come; with the signal's reason when that ends it; with a TypeError for arguments
 * that are none. A body that is not read to its end should be canceled: `response.body?.cancel()`.
 *
 * A request that fails on a connection of the pool before anything of a response has come is sent again
 * on another one, if its method may be repeated (RFC 9110, 9.2.2) or nothing of it was sent, and its body
 * is no stream.
 *
 * @example
 * import { fetch, Response, serve } from "coronet/http";
 * await using server = await serve("127.0.0.1:0", async (request) => {
 *   return Response.json({ got: await request.json() });
 * });
 * const response = await fetch(`http://${server.addr}/`, {
 *   method: "POST",
 *   body: JSON.stringify([1, 2]),
 *   timeouts: { head: 1000 },
 * });
 * console.log(response.status, await response.json()); // 200 { got: [ 1, 2 ] }
 */
export const fetch: Client["fetch"] = standard.fetch;
