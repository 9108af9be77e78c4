/**
 * options.ts: what a server may be told, and what holds when it is not.
 */
import type { TlsServerOptions } from "../tls/options.ts";
import type { AccessLog } from "./access_log.ts";
import type { ServerHooks } from "./observe.ts";
import type { ParserLimits } from "./parser.ts";

/** Limits of a server, each with the status of the response to what goes beyond it. */
export interface Limits {
  /** Bytes of a request's line and headers, and of its trailers: 431. 16 KiB. */
  headerBytes?: number;
  /** Headers of a request: 431. 100. */
  headers?: number;
  /** Length of the request target: 414. 8 KiB. */
  url?: number;
  /** Bytes of a request's body: 413. 16 MiB. */
  body?: number;
  /** From the first byte of a head to its last, in ms: 408. 10 s. Also of a handshake of TLS. */
  headerTime?: number;
  /** Bytes per second that a body has to come at, after 5 s: 408. 240. */
  bodyRate?: number;
  /** Without a request on an open connection, in ms: it is closed. 60 s. */
  idle?: number;
  /** Without progress of a write to a slow reader, in ms: the connection is reset. 30 s. */
  write?: number;
  /** Bytes of a body that the handler has not read and that are read for the sake of the next request. 256 KiB. */
  unread?: number;
  /** Requests of one connection: the last one's response closes it. No limit. */
  requests?: number;
  /** Connections at a time: more wait in the kernel's backlog. No limit. */
  connections?: number;
  /** Requests at a time on one connection of HTTP/2: more are refused, and may be sent again. 100. */
  streams?: number;
}

export interface ServeOptions {
  limits?: Limits;
  /**
   * Speaks TLS: cert and key, and what else tlsListen takes. ALPN offers HTTP/2 and HTTP/1.1, unless
   * ALPNProtocols says otherwise. A handshake may take as long as a head (limit headerTime).
   */
  tls?: TlsServerOptions;
  /** HTTP/2 to clients that want it, over TLS; true by default. */
  http2?: boolean;
  /**
   * Told what a handler, or the body of its response, has failed with; the client gets a 500 or a
   * connection that breaks off. By default it is printed.
   */
  onError?(error: unknown, request: Request): void;
  /**
   * A line for each response: an AccessLog, or the path of a file, which is closed with the server. None by
   * default.
   */
  accessLog?: AccessLog | string;
  /** Told of connections, requests and responses as they come and go. */
  hooks?: ServerHooks;
}

/** All of them, as numbers. */
export interface Settings extends ParserLimits {
  headerTime: number;
  bodyRate: number;
  idle: number;
  write: number;
  unread: number;
  requests: number;
  connections: number;
  streams: number;
}

const DEFAULTS: Settings = {
  headerBytes: 16_384,
  headers: 100,
  url: 8192,
  body: 16 * 1024 * 1024,
  headerTime: 10_000,
  bodyRate: 240,
  idle: 60_000,
  write: 30_000,
  unread: 256 * 1024,
  requests: Infinity,
  connections: Infinity,
  streams: 100,
};

/** The settings that limits leave; throws a RangeError for what is no limit. */
export function settingsOf(limits: Limits = {}): Settings {
  const settings = { ...DEFAULTS };
  for (const [name, value] of Object.entries(limits)) {
    if (value === undefined) continue;
    if (!(name in DEFAULTS)) throw new TypeError(`serve: there is no limit "${name}"`);
    const least = name === "body" || name === "unread" || name === "bodyRate" ? 0 : 1;
    if (typeof value !== "number" || !(value >= least)) {
      throw new RangeError(
        `serve: limit ${name}: expected a number from ${least} on, got ${value}`,
      );
    }
    settings[name as keyof Settings] = value;
  }
  return settings;
}
