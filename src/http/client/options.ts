/**
 * options.ts: what a client may be told, and what holds when it is not.
 */
import { timeoutOf } from "../../net/conn.ts";
import type { DialOptions } from "../../net/dial.ts";
import type { PoolOptions } from "../../net/pool.ts";
import type { HeadersInit } from "../headers.ts";
import type { ParserLimits } from "../parser.ts";
import type { RequestInit } from "../request.ts";
import type { ClientTlsOptions } from "./tls.ts";

/** How long each part of a request may take, in ms; null for no limit. */
export interface FetchTimeouts {
  /** A connection: waiting for a place in the pool, looking up the name, dialling, TLS. 10 s. */
  connect?: number | null;
  /** Without progress of what is sent. 60 s. */
  send?: number | null;
  /** From the request's last byte to the first of the response's head, and from there to its end. 60 s. */
  head?: number | null;
  /** Without a byte of the response's body. 60 s. */
  body?: number | null;
  /** The whole, with redirects and the reading of the body. No limit. */
  total?: number | null;
  /** How long a request with "expect: 100-continue" waits for a word before it sends its body. 1 s. */
  continue?: number;
}

/** How much of a response's head is read. */
export interface ResponseLimits {
  /** Bytes of the status line and the headers, and of the trailers. 64 KiB. */
  headerBytes?: number;
  /** Number of headers. 200. */
  headers?: number;
}

/** What a client does for all of its requests. */
export interface ClientOptions {
  /** Headers of every request that does not have them itself. */
  headers?: HeadersInit;
  timeouts?: FetchTimeouts;
  limits?: ResponseLimits;
  /** How many connections there are to each origin: see connect(). 256 idle ones are kept by default. */
  pool?: PoolOptions;
  /** How connections are dialled: resolver, localAddress, noDelay, … */
  dial?: Omit<DialOptions, "signal" | "timeout">;
  /**
   * How https: is spoken: ca, cert and key, servername, rejectUnauthorized, …, as dialTls takes them. Give the
   * same object for the same: what it says is looked at once.
   */
  tls?: ClientTlsOptions;
  /** The socket that is dialled instead of the url's host and port: "/run/x.sock", "@name". */
  socketPath?: string;
  /** Decodes gzip, deflate and br, and asks for them (the default); or leaves bodies as they are sent. */
  decode?: boolean;
  /** What is done about redirects: "follow" by default. */
  redirect?: "follow" | "error" | "manual";
  /** Redirects of one request. 20. */
  maxRedirects?: number;
}

/** What fetch takes beside the url: the standard's, and what is ours for one request. */
export interface FetchInit extends RequestInit {
  redirect?: "follow" | "error" | "manual";
  timeouts?: FetchTimeouts;
  /** Over the client's. Requests that say something else here get connections of their own. */
  tls?: ClientTlsOptions;
  socketPath?: string;
  decode?: boolean;
  /** As the standard asks for with a stream; nothing else is there. */
  duplex?: "half";
}

/** All of them, as numbers; `null` where there is no limit. */
export interface ClientSettings extends ParserLimits {
  readonly connect: number | null;
  readonly send: number | null;
  readonly head: number | null;
  readonly bodyIdle: number | null;
  readonly total: number | null;
  readonly continue: number;
  readonly idleTimeout: number | null | undefined;
}

const DEFAULTS = { connect: 10_000, send: 60_000, head: 60_000, body: 60_000, total: null };
const CONTINUE_MS = 1_000;
const HEADER_BYTES = 65_536;
const HEADERS = 200;

/** The settings that options leave. Throws a RangeError for what is no time or no number. */
export function settingsOf(
  timeouts: FetchTimeouts = {},
  limits: ResponseLimits = {},
  idleTimeout?: number | null,
): ClientSettings {
  const time = (name: keyof typeof DEFAULTS): number | null => {
    const ms = timeouts[name] === undefined ? DEFAULTS[name] : timeouts[name];
    if (ms !== null) timeoutOf(ms, name);
    return ms;
  };
  const { headerBytes = HEADER_BYTES, headers = HEADERS } = limits;
  return {
    connect: time("connect"),
    send: time("send"),
    head: time("head"),
    bodyIdle: time("body"),
    total: time("total"),
    continue: timeoutOf(timeouts.continue ?? CONTINUE_MS, "continue"),
    idleTimeout,
    headerBytes: count(headerBytes, "headerBytes"),
    headers: count(headers, "headers"),
    url: Infinity,
    body: Infinity,
  };
}

function count(value: number, name: string): number {
  if (typeof value === "number" && value >= 1) return value;
  throw new RangeError(`fetch: limit ${name}: expected a number from 1 on, got ${value}`);
}
