/**
 * options.ts: what a reverse proxy may be told, and what holds when it is not.
 */
import type { PoolOptions } from "../../net/pool.ts";
import type { FetchTimeouts, ResponseLimits } from "../client/options.ts";
import type { ClientTlsOptions } from "../client/tls.ts";
import type { Headers } from "../headers.ts";
import type { RequestInfo } from "../info.ts";
import type { Request } from "../request.ts";
import type { Upstream } from "./upstream.ts";

export interface UpstreamOptions {
  /** "http://host:port" or "https://host:port", with a path that is put before each request's. */
  url: string;
  /** The unix socket that is dialled instead: "/run/app.sock", "@name". */
  socketPath?: string;
  /** Its share, compared with the others'. 1. */
  weight?: number;
}

/** Chooses among the upstreams that are up and not tried yet; undefined for none of them. */
export type Choose = (
  candidates: readonly Upstream[],
  request: Request,
  info: RequestInfo,
) => Upstream | undefined;

/** Asks each upstream now and then. */
export interface CheckOptions {
  /** What is asked for. "/". */
  path?: string;
  /** How often, in ms. 5 s. */
  interval?: number;
  /** How long an answer may take, in ms. 2 s. */
  timeout?: number;
  /** So many failures in a row take it out. 3. */
  fails?: number;
  /** So many answers in a row bring it back. 1. */
  passes?: number;
  /** Whether a status is an answer. 200 to 399. */
  ok?: (status: number) => boolean;
}

export interface ProxyOptions {
  upstreams: readonly (string | UpstreamOptions)[];
  /**
   * Who gets a request: each in turn by weight (the default), whoever has the fewest requests now, the same
   * one for the same key, or whom the function names.
   */
  balance?: "round-robin" | "least-connections" | "hash" | Choose;
  /** The key of "hash"; the client's address by default. */
  key?: (request: Request, info: RequestInfo) => string;
  /** The Host that upstreams see: the client's (the default), or the one of the upstream's url. */
  host?: "client" | "upstream";
  /**
   * The client is a proxy of one's own: its Forwarded and X-Forwarded-* are kept and added to. By default
   * they are replaced, as anybody can send some.
   */
  trusted?: boolean;
  /** Changes the headers that the upstream gets, before those of the connection are added. */
  headers?: (headers: Headers, request: Request, info: RequestInfo) => void;
  /** How many other upstreams may be tried for one request. 1. */
  retries?: number;
  /** So many failures within `failTime` take an upstream out for `failTime`; 0 for never. 1. */
  maxFails?: number;
  /** In ms. 10 s. */
  failTime?: number;
  /** Active checks; none by default. */
  check?: CheckOptions;
  /** As fetch's, but that connections take 5 s at most. */
  timeouts?: Omit<FetchTimeouts, "total">;
  limits?: ResponseLimits;
  /** How upstreams of https: are spoken to: ca, cert and key, servername, …, as fetch takes them. */
  tls?: ClientTlsOptions;
  /** Connections to each upstream. 256 idle ones are kept by default. */
  pool?: PoolOptions;
  /** Told what an upstream has failed with; printed by default. */
  onError?: (error: unknown, request: Request, upstream: Upstream) => void;
}

export const DEFAULTS = { retries: 1, maxFails: 1, failTime: 10_000, connect: 5_000 };
export const CHECKS = { path: "/", interval: 5_000, timeout: 2_000, fails: 3, passes: 1 };

export function atLeast(value: number, least: number, name: string): number {
  if (typeof value === "number" && value >= least) return value;
  throw new RangeError(`reverseProxy: ${name}: expected a number from ${least} on, got ${value}`);
}
