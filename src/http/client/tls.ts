/**
 * tls.ts: how a client speaks TLS: options, their identity, and the sessions that resume.
 *
 * Connections are exchanged only between requests that would have asked the same of a server: the identity
 * of the options is part of a pool's name. It is made of what they say, not of the object they stand in.
 */
import { createHash } from "node:crypto";
import type { BaseConn } from "../../net/conn.ts";
import { NetError } from "../../net/errors.ts";
import type { SocketConn } from "../../net/socket.ts";
import { TlsConn } from "../../tls/conn.ts";
import { contextOf, SecureContext } from "../../tls/context.ts";
import type { TlsClientOptions } from "../../tls/options.ts";
import { secure } from "../../tls/secure.ts";

/** What a client may be told about TLS; it speaks HTTP/1.1, and resumes sessions by itself. */
export type ClientTlsOptions = Omit<TlsClientOptions, "ALPNProtocols" | "session">;

const PROTOCOLS = ["http/1.1"];

/** How the code of a refusal ends that names the protocols (the alert no_application_protocol). */
const REFUSED = "_ALERT_NO_APPLICATION_PROTOCOL";

/** What to do about a server that does not speak HTTP/1.1. */
export const ONLY_HTTP2 =
  "it may speak HTTP/2 alone: let it offer http/1.1 as well, or ask it with node:http2";

/** Options that are remembered by what they say. */
const MOST = 1000;

/** Options, checked and made into a context once. */
export class ClientTls {
  readonly options: ClientTlsOptions;
  readonly context: SecureContext;
  /** The same for options that say the same; "" for those that say nothing. */
  readonly key: string;

  constructor(options: ClientTlsOptions, key: string) {
    this.options = options;
    this.key = key;
    const context = contextOf(options);
    this.context =
      context.options.ALPNProtocols === undefined
        ? new SecureContext({ ...context.options, ALPNProtocols: PROTOCOLS })
        : context;
  }

  /**
   * TLS on a connection to a host: verified, and with a session of an earlier one resumed where the server
   * agrees. Within `timeout` ms. Fails as secure() does.
   */
  async over(
    conn: SocketConn,
    host: string,
    session: Uint8Array | undefined,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Promise<TlsConn> {
    const { options, context } = this;
    const { servername = host, handshakeTimeout = timeout } = options;
    const longest =
      timeout === null || handshakeTimeout === null
        ? (handshakeTimeout ?? timeout)
        : Math.min(timeout, handshakeTimeout);
    const over = await this.begin(conn, {
      ...options,
      secureContext: context,
      servername,
      handshakeTimeout: longest,
      ...(session === undefined ? {} : { session }),
      ...(signal === undefined ? {} : { signal }),
    });
    const { alpnProtocol = "http/1.1" } = over;
    if (alpnProtocol === "http/1.1") return over;
    await over.close();
    throw new NetError({
      op: "handshake",
      network: conn.network,
      address: String(over.remoteAddr),
      code: "ERR_ALPN",
      text: `the server chose "${alpnProtocol}", and this client speaks HTTP/1.1`,
      hint: 'leave ALPNProtocols out of secureContext, or give ["http/1.1"]',
    });
  }

  /** As secure(), whose refusal by a server of another protocol says what that means to this client. */
  private async begin(conn: SocketConn, options: TlsClientOptions): Promise<TlsConn> {
    const { network, remoteAddr } = conn;
    try {
      return await secure(conn, options);
    } catch (error) {
      if (!(error instanceof NetError && error.code.endsWith(REFUSED))) throw error;
      throw new NetError({
        op: "handshake",
        network,
        address: String(remoteAddr),
        code: "ERR_ALPN",
        text: "the server refuses HTTP/1.1, which is what this client speaks",
        hint: ONLY_HTTP2,
        cause: error,
      });
    }
  }
}

const byKey = new Map<string, ClientTls>();
let byObject = new WeakMap<object, ClientTls>();
const numbers = new WeakMap<object, number>();
let objects = 0;

/** What stands for a function or a context in a key. */
function numberOf(object: object): number {
  let number = numbers.get(object);
  if (number === undefined) {
    number = ++objects;
    numbers.set(object, number);
  }
  return number;
}

function keyOf(options: ClientTlsOptions): string {
  const names = Object.keys(options).sort() as (keyof ClientTlsOptions)[];
  const told = names.filter((name) => options[name] !== undefined);
  if (told.length === 0) return "";
  const hash = createHash("sha256");
  const add = (value: unknown): void => {
    if (value instanceof Uint8Array) hash.update(`bytes ${value.length} `).update(value);
    else if (Array.isArray(value)) {
      hash.update(`list ${value.length} `);
      for (const each of value) add(each);
    } else if (typeof value === "function" || (typeof value === "object" && value !== null)) {
      hash.update(`object ${numberOf(value)} `);
    } else hash.update(`${typeof value} ${String(value).length} ${String(value)} `);
  };
  for (const name of told) {
    hash.update(`${name} `);
    add(options[name]);
  }
  return hash.digest("base64url");
}

/** The options of a request, over those of its client. */
export function clientTls(
  given: ClientTlsOptions | undefined,
  defaults: ClientTlsOptions | undefined,
): ClientTls {
  const one = given === undefined || defaults === undefined ? (given ?? defaults) : undefined;
  const seen = one === undefined ? undefined : byObject.get(one);
  if (seen !== undefined) return seen;
  const options = { ...defaults, ...given };
  const key = keyOf(options);
  let tls = byKey.get(key);
  if (tls === undefined) {
    if (byKey.size >= MOST) {
      byKey.clear();
      byObject = new WeakMap();
    }
    tls = new ClientTls(options, key);
    byKey.set(key, tls);
  }
  if (one !== undefined) byObject.set(one, tls);
  return tls;
}

/** What resumes the session of a connection. */
export function sessionOf(conn: BaseConn): Uint8Array | undefined {
  return conn instanceof TlsConn ? conn.session : undefined;
}
