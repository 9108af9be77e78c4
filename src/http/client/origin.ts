/**
 * origin.ts: where a request goes: an origin (RFC 6454) and what is dialled for it.
 *
 * The pool's key is the origin: scheme, host and port, and the unix socket where one is used instead; over
 * TLS also what the options say of it (tls.ts), the server's name among it.
 */
import { networkOf, type StreamNetwork } from "../../net/addr.ts";
import type { BaseConn } from "../../net/conn.ts";
import {
  type ConnectOptions,
  connectIdle,
  connectOver,
  lease,
  type PooledConn,
} from "../../net/cosocket.ts";
import type { Layer } from "../../net/pool.ts";
import type { SocketConn } from "../../net/socket.ts";
import { runtime } from "../../runtime/runtime.ts";
import { type ClientTls, type ClientTlsOptions, clientTls, sessionOf } from "./tls.ts";

/** Origins that are remembered. */
const MOST = 1000;

export class Origin implements Layer {
  /** "http://host:port", as URL has it. */
  readonly name: string;
  /** How TLS is spoken there; undefined for http:. */
  readonly tls: ClientTls | undefined;
  /** Whom a certificate has to be for. */
  readonly serverName: string;
  /** What is dialled. */
  readonly address: string;
  readonly network: StreamNetwork;
  /** The Host header. */
  readonly host: string;
  /** The name of its pool of connections. */
  readonly pool: string;
  /** Of the last connection that brought one: what resumes it. */
  private session: Uint8Array | undefined = undefined;

  constructor(
    url: URL,
    socketPath: string | undefined,
    prefix: string,
    tls: ClientTls | undefined,
  ) {
    this.name = url.origin;
    this.tls = tls;
    this.serverName = url.hostname.replace(/^\[|\]$/g, "");
    const port = url.port === "" ? (tls === undefined ? "80" : "443") : url.port;
    this.address = socketPath ?? `${url.hostname}:${port}`;
    this.network = socketPath === undefined ? "tcp" : networkOf(socketPath);
    this.host = url.host;
    const options = tls === undefined || tls.key === "" ? "" : ` (tls ${tls.key})`;
    const place = socketPath === undefined ? "" : ` at ${socketPath}`;
    this.pool = `${prefix}${this.name}${place}${options}`;
  }

  /** @internal Puts TLS on a new connection to here: https: alone. */
  async put(conn: SocketConn, until: number, signal: AbortSignal | undefined): Promise<BaseConn> {
    const left = until === Infinity ? null : Math.max(1, until - runtime().clock.now());
    return await (this.tls as ClientTls).over(conn, this.serverName, this.session, left, signal);
  }

  /** @internal What a connection has brought along resumes the next one. */
  onUsed(conn: BaseConn): void {
    this.session = sessionOf(conn) ?? this.session;
  }

  /** What lies between the sockets to here and who uses them. */
  get layer(): Layer | undefined {
    return this.tls === undefined ? undefined : this;
  }
}

/** Origins by their name: what is made for each request otherwise. */
export class Origins {
  private readonly prefix: string;
  private readonly known = new Map<string, Origin>();

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  /** `given`: what is said about TLS, which only https: needs. */
  of(
    url: URL,
    socketPath: string | undefined,
    given: ClientTlsOptions | undefined,
    defaults: ClientTlsOptions | undefined,
  ): Origin {
    const tls = url.protocol === "https:" ? clientTls(given, defaults) : undefined;
    let key = socketPath === undefined ? url.origin : `${url.origin} ${socketPath}`;
    if (tls !== undefined) key += ` ${tls.key}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const made = new Origin(url, socketPath, this.prefix, tls);
    if (this.known.size >= MOST) this.known.clear();
    this.known.set(key, made);
    return made;
  }
}

/** A connection to an origin that is idle in its pool, if there is one: see connectIdle. */
export function idleOf(origin: Origin, canDoWithout: boolean): PooledConn | undefined {
  return connectIdle(origin.pool, origin.network, canDoWithout, origin.layer);
}

/** A connection to an origin, idle in its pool or new. Here, and nowhere else, TLS comes in. */
export function dialOrigin(origin: Origin, options: ConnectOptions): Promise<PooledConn> {
  return connectOver(origin.layer, origin.address, options, lease);
}
