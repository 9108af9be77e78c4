/**
 * connect.ts: connectTls(): a connection over TLS from the pool, or a new one that goes there afterwards.
 *
 * Pools of TLS are pools like others, told apart by what was said about TLS: connections are exchanged only
 * where the same name, the same trust and the same certificate were asked for. Each pool keeps sessions:
 * a connection leaves its ticket behind when its first user is done, and the next one that is dialled takes
 * it. A ticket is used once, so that nobody on the way can tell that two connections are one client's
 * (RFC 8446, C.4).
 */
import type { X509Certificate } from "node:crypto";
import { networkOf } from "../net/addr.ts";
import type { BaseConn, Conn } from "../net/conn.ts";
import { type ConnectOptions, connectOver, PooledConn } from "../net/cosocket.ts";
import type { Layer, Link, PoolOptions } from "../net/pool.ts";
import type { SocketConn } from "../net/socket.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { TlsConn } from "./conn.ts";
import { contextOf, nameOfContext, type SecureContext } from "./context.ts";
import type { TlsClientOptions } from "./options.ts";
import { hostIn, put, shake } from "./secure.ts";
import { clientSettings, prepared } from "./settings.ts";

export interface ConnectTlsOptions
  extends ConnectOptions,
    Omit<TlsClientOptions, "session" | "requestOCSP"> {
  /**
   * What a new connection says in plain before its handshake: STARTTLS and the like. Not called for one
   * that comes from the pool. Bytes that it has read too much of go back with conn.unread().
   */
  startTls?: (conn: Conn) => Promise<void>;
}

/** Sessions that a pool keeps, and pools of TLS that are remembered. */
const MOST_SESSIONS = 16;
const MOST_LAYERS = 1000;

/** TLS between a pool's sockets and its users. */
class TlsLayer {
  readonly name: string;
  private readonly runtime: Runtime;
  private readonly host: string;
  private readonly context: SecureContext;
  private readonly sessions: Uint8Array[] = [];

  constructor(rt: Runtime, name: string, host: string, options: ConnectTlsOptions) {
    this.name = name;
    this.runtime = rt;
    this.host = host;
    this.context = contextOf(options);
    prepared(rt, clientSettings(options, host));
  }

  /** The layer for one call. */
  with(options: ConnectTlsOptions): Layer {
    return {
      name: this.name,
      put: (conn, until, signal) => this.put(conn, until, signal, options),
      onUsed: (conn) => this.onUsed(conn),
    };
  }

  private async put(
    conn: SocketConn,
    until: number,
    signal: AbortSignal | undefined,
    options: ConnectTlsOptions,
  ): Promise<TlsConn> {
    let over: TlsConn;
    try {
      if (options.startTls !== undefined) await this.prepare(conn, until, options.startTls);
      const session = this.sessions.pop();
      const own: TlsClientOptions = { ...options, secureContext: this.context };
      if (session !== undefined) own.session = session;
      over = put(conn, this.bounded(clientSettings(own, this.host), until));
    } catch (error) {
      await conn.close();
      throw error;
    }
    return await shake(over, signal === undefined ? {} : { signal });
  }

  /** The plain part; bounded by the time that connect may take. */
  private async prepare(
    conn: SocketConn,
    until: number,
    startTls: (conn: Conn) => Promise<void>,
  ): Promise<void> {
    const left = this.left(until);
    if (left !== Infinity) conn.setDeadline(new Date(Date.now() + left));
    await startTls(conn);
    if (left !== Infinity) conn.setDeadline(null);
  }

  private left(until: number): number {
    return until === Infinity ? until : Math.max(until - this.runtime.clock.now(), 1);
  }

  /** The handshake takes no longer than connect may. */
  private bounded<T extends { readonly timeout: number }>(settings: T, until: number): T {
    return { ...settings, timeout: Math.min(settings.timeout, this.left(until)) };
  }

  private onUsed(conn: BaseConn): void {
    const session = conn instanceof TlsConn ? conn.session : undefined;
    if (session === undefined) return;
    if (this.sessions.length >= MOST_SESSIONS) this.sessions.shift();
    this.sessions.push(session);
  }
}

/** The layers of each thread, by what they are asked for. */
const layers = new Map<string, TlsLayer>();

function layerOf(address: string, options: ConnectTlsOptions): Layer {
  const network = options.network ?? networkOf(address);
  const host = network === "unix" ? "" : hostIn(address);
  const { servername = host, rejectUnauthorized, startTls } = options;
  const trust = rejectUnauthorized === false ? "any" : "verified";
  const plain = startTls === undefined ? "" : " after plain";
  const name = `tls ${servername} ${trust}${plain} ${nameOfContext(options)}`;
  // Sessions belong to where the connections lead.
  const key = `${options.pool ?? address} ${network} ${name}`;
  let layer = layers.get(key);
  if (layer === undefined) {
    layer = new TlsLayer(runtime(), name, host, options);
    if (layers.size >= MOST_LAYERS) layers.delete(layers.keys().next().value as string);
    layers.set(key, layer);
  }
  return layer.with(options);
}

/**
 * A connection over TLS that goes back to its pool when it is no longer needed; see connectTls. After it was
 * given back its properties tell what they told before.
 */
export class PooledTlsConn extends PooledConn {
  private get over(): TlsConn {
    return this.conn as TlsConn;
  }

  /** "TLSv1.2" or "TLSv1.3". */
  get protocol(): string | undefined {
    return this.over.protocol;
  }

  /** The cipher suite, by IANA's name. */
  get cipher(): string | undefined {
    return this.over.cipher;
  }

  /** The protocol that both sides agreed upon (ALPN); undefined for none. */
  get alpnProtocol(): string | undefined {
    return this.over.alpnProtocol;
  }

  /** True when the handshake resumed the session of an earlier connection. */
  get sessionReused(): boolean {
    return this.over.sessionReused;
  }

  /** The server's certificate was verified. */
  get authorized(): boolean {
    return this.over.authorized;
  }

  /** The server's certificate. */
  get peerCertificate(): X509Certificate | undefined {
    return this.over.peerCertificate;
  }
}

function lease(link: Link, { idleTimeout }: PoolOptions): PooledTlsConn {
  return new PooledTlsConn(link, idleTimeout);
}

/**
 * A connection over TLS to an address, out of this thread's pool when one is idle there, else a new one,
 * whose handshake resumes an earlier session where the server gave a ticket. Options are those of connect
 * and of dialTls; `timeout` bounds the whole, handshake included. Connections are exchanged only between
 * calls that say the same about TLS; a call that names `ca` or `cert` has them looked at each time, so one
 * that connects often names a `secureContext`.
 *
 * An idle connection is closed when anything but a session ticket arrives on it. Throws what connect and
 * dialTls throw.
 *
 * @example
 * import { closeIdle, connectTls, createSecureContext, go, tlsListen } from "coronet";
 * import { selfSigned } from "coronet/testing";
 * const { cert, key } = selfSigned("localhost");
 * await using listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key });
 * go(async () => {
 *   for await (const conn of listener) {
 *     go(async () => {
 *       await using _ = conn;
 *       for await (const chunk of conn) await conn.write(chunk);
 *     });
 *   }
 * });
 * const address = String(listener.addr);
 * const secureContext = createSecureContext({ ca: cert });
 * for (let i = 0; i < 3; i++) {
 *   await using conn = await connectTls(address, { secureContext, servername: "localhost" });
 *   await conn.write("PING\r\n");
 *   console.log(await conn.readLine(), conn.reusedTimes, conn.protocol); // PING 0 TLSv1.3, PING 1 …
 *   conn.setKeepalive();
 * }
 * closeIdle(); // the server here is in the same program, and would wait for its client
 */
export function connectTls(
  address: string,
  options: ConnectTlsOptions = {},
): Promise<PooledTlsConn> {
  let layer: Layer;
  try {
    layer = layerOf(address, options);
  } catch (error) {
    return Promise.reject(error);
  }
  return connectOver(layer, address, options, lease);
}
