/**
 * request.ts: Request as the Fetch standard has it, made from what a parser found when somebody asks.
 *
 * Making one costs an object; its url, headers, signal and body are made when they are looked at. What only
 * a browser's requests have (mode, cache, …) has the value it has for a server.
 */
import {
  asGlobal,
  Body,
  type BodyInit,
  type IncomingSource,
  type Source,
  sourceOf,
} from "./body.ts";
import { HTTPError } from "./errors.ts";
import { type Head, Headers, type HeadersInit, headerName } from "./headers.ts";

/** What a request is made with. */
export interface RequestInit {
  method?: string;
  headers?: HeadersInit;
  body?: BodyInit | null;
  signal?: AbortSignal | null;
}

/** What is known of a request that has arrived: what its url, headers and signal are made from. */
export abstract class Arrived {
  /** @internal */
  readonly verb: string;
  /** The request target as it was sent: "/path?query", "*", "http://host/path" or "host:port". */
  readonly target: string;
  /** @internal */
  readonly host: string;
  /** @internal The head, and the places of its fields. */
  readonly text: string;
  /** @internal */
  readonly spans: readonly number[];

  constructor(verb: string, target: string, host: string, text: string, spans: readonly number[]) {
    this.verb = verb;
    this.target = target;
    this.host = host;
    this.text = text;
    this.spans = spans;
  }

  /** @internal It came over TLS. */
  abstract get secure(): boolean;
  /** @internal */
  abstract get source(): IncomingSource | null;
  /** @internal */
  abstract get signal(): AbortSignal;
}

/** Methods that are written in capitals however they were given (fetch.spec.whatwg.org). */
const NORMAL = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);
const never = new AbortController().signal;

/** Nothing that an URL's parser would change: no dot segments, no characters to encode. */
const PLAIN_PATH =
  /^\/(?:[\w\-~!$&()*+,;=:@/]|%(?!2[eE])|\.(?![./?]|$))*(?:\?[\w\-.~!$&()*+,;=:@/%?]*)?$/;
const PLAIN_HOST = /^(?:localhost|(?:[a-z][a-z\d-]*\.)+[a-z]{2,}|127\.0\.0\.1)(?::[1-9]\d*)?$/;

/** The url of a request target (RFC 9112, 3.2 and 3.3), as an URL's parser writes it. */
export function urlOf(method: string, target: string, host: string, secure = false): string {
  const authority = host === "" ? "localhost" : host;
  const scheme = secure ? "https" : "http";
  const standard = secure ? ":443" : ":80";
  if (PLAIN_PATH.test(target) && PLAIN_HOST.test(authority) && !authority.endsWith(standard)) {
    return `${scheme}://${authority}${target}`;
  }
  if (method === "CONNECT") return `${scheme}://${target}/`;
  const url = target.startsWith("/") ? `${scheme}://${authority}${target}` : target;
  if (target === "*") return `${scheme}://${authority}/*`;
  try {
    return new URL(url).href;
  } catch (error) {
    // A host that follows the grammar and is none all the same, as 999.999.999.999 is.
    throw new HTTPError(400, "ERR_URL_INVALID", `request: ${url} is no url`, error);
  }
}

/**
 * A request: to a server's handler, or made by hand to call one.
 *
 * @example
 * import { Request } from "coronet/http";
 * const request = new Request("http://example.com/a?b=c", { method: "POST", body: "hello" });
 * console.log(request.method, new URL(request.url).pathname, await request.text()); // POST /a hello
 */
export class Request extends Body {
  private readonly verb: string;
  /** Whatever url and headers are made from when they are asked for. */
  private readonly arrived: Arrived | undefined;
  private madeUrl: string | undefined;
  private madeHeaders: Headers | undefined;
  private given: AbortSignal | undefined;

  constructor(input: string | URL | Request | globalThis.Request | Arrived, init?: RequestInit) {
    if (input instanceof Arrived) {
      super(input.source);
      this.verb = input.verb;
      this.arrived = input;
      this.madeUrl = this.madeHeaders = this.given = undefined;
      return;
    }
    const made = parts(input as string | URL | Request, init ?? {});
    super(made.source);
    this.verb = made.method;
    this.arrived = undefined;
    this.madeUrl = made.url;
    this.madeHeaders = made.headers;
    this.given = made.signal;
  }

  get method(): string {
    return this.verb;
  }

  /** The whole url, with "https:" or "http:" and the Host that the client named. */
  get url(): string {
    if (this.madeUrl === undefined) {
      const { verb, target, host, secure } = this.arrived as Arrived;
      this.madeUrl = urlOf(verb, target, host, secure);
    }
    return this.madeUrl;
  }

  override get headers(): Headers {
    if (this.madeHeaders === undefined) {
      const { text, spans } = this.arrived as Arrived;
      this.madeHeaders = Headers.ofHead(text, spans);
    }
    return this.madeHeaders;
  }

  /** Aborted when the client goes away before it has the response. */
  get signal(): AbortSignal {
    this.given ??= this.arrived?.signal ?? never;
    return this.given;
  }

  /** @internal Its fields as they came, or as somebody has changed them. */
  get head(): Head {
    return this.madeHeaders === undefined ? (this.arrived as Arrived) : this.madeHeaders.head;
  }

  /** @internal The request target as it was sent; undefined of a request that was made by hand. */
  get sentTarget(): string | undefined {
    return this.arrived?.target;
  }

  /** A second request of the same content; a body that arrives is handed to both. */
  clone(): Request {
    const { method, url, signal } = this;
    const copy = new Request(url, { method, headers: this.headers, signal });
    copy.source = this.fork();
    return copy;
  }

  get cache(): "default" {
    return "default";
  }

  get credentials(): "same-origin" {
    return "same-origin";
  }

  get destination(): "" {
    return "";
  }

  get integrity(): string {
    return "";
  }

  get keepalive(): boolean {
    return false;
  }

  get mode(): "cors" {
    return "cors";
  }

  get redirect(): "follow" {
    return "follow";
  }

  get referrer(): string {
    return "about:client";
  }

  get referrerPolicy(): "" {
    return "";
  }

  /** So that one can be given to fetch as its options: fetch(url, request). */
  get duplex(): "half" {
    return "half";
  }

  get [Symbol.toStringTag](): string {
    return "Request";
  }
}

interface Parts {
  method: string;
  url: string;
  headers: Headers;
  source: Source;
  signal: AbortSignal | undefined;
}

function parts(input: string | URL | Request, init: RequestInit): Parts {
  const from = typeof input === "object" && !(input instanceof URL) ? input : undefined;
  const url = from?.url ?? new URL(input as string | URL).href;
  const method = methodOf(init.method ?? from?.method ?? "GET");
  const headers = new Headers(init.headers ?? from?.headers);
  const { signal: wanted } = init;
  if (wanted !== undefined && wanted !== null && !(wanted instanceof AbortSignal)) {
    throw new TypeError("Request: signal: expected an AbortSignal");
  }
  const signal = wanted === undefined ? from?.signal : (wanted ?? undefined);
  if (init.body === undefined && from instanceof Request && from.source !== null) {
    if (method === "GET" || method === "HEAD") {
      throw new TypeError(`Request: a ${method} request has no body`);
    }
    // The other one's is this one's from now on.
    return { method, url, headers, source: from.take(), signal };
  }
  const body = init.body === undefined ? (from?.body ?? null) : init.body;
  if (body !== null && (method === "GET" || method === "HEAD")) {
    throw new TypeError(`Request: a ${method} request has no body`);
  }
  const { source, type } = body === null ? { source: null, type: undefined } : sourceOf(body);
  if (type !== undefined && !headers.has("content-type")) headers.set("content-type", type);
  return { method, url, headers, source, signal };
}

/** A method as it is sent. Throws a TypeError for what is none. */
export function methodOf(method: string): string {
  headerName(method);
  const upper = method.toUpperCase();
  return NORMAL.has(upper) ? upper : method;
}

asGlobal(Request, globalThis.Request);
