/**
 * origin.ts: where a request goes: an origin (RFC 6454) and what is dialled for it.
 *
 * The pool's key is the origin: scheme, host and port, and the unix socket where one is used instead. TLS
 * and the server's name are part of it, as the scheme and the host.
 */
import { networkOf, type StreamNetwork } from "../../net/addr.ts";
import { type ConnectOptions, connect, connectIdle, type PooledConn } from "../../net/cosocket.ts";
import { FetchError } from "./errors.ts";

/** Origins that are remembered. */
const MOST = 1000;

export class Origin {
  /** "http://host:port", as URL has it. */
  readonly name: string;
  readonly tls: boolean;
  /** Whom a certificate has to be for. */
  readonly serverName: string;
  /** What is dialled. */
  readonly address: string;
  readonly network: StreamNetwork;
  /** The Host header. */
  readonly host: string;
  /** The name of its pool of connections. */
  readonly pool: string;

  constructor(url: URL, socketPath: string | undefined, prefix: string) {
    this.name = url.origin;
    this.tls = url.protocol === "https:";
    this.serverName = url.hostname.replace(/^\[|\]$/g, "");
    const port = url.port === "" ? (this.tls ? "443" : "80") : url.port;
    this.address = socketPath ?? `${url.hostname}:${port}`;
    this.network = socketPath === undefined ? "tcp" : networkOf(socketPath);
    this.host = url.host;
    this.pool = `${prefix}${this.name}${socketPath === undefined ? "" : ` at ${socketPath}`}`;
  }
}

/** Origins by their name: what is made for each request otherwise. */
export class Origins {
  private readonly prefix: string;
  private readonly known = new Map<string, Origin>();

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  of(url: URL, socketPath: string | undefined): Origin {
    const key = socketPath === undefined ? url.origin : `${url.origin} ${socketPath}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const made = new Origin(url, socketPath, this.prefix);
    if (this.known.size >= MOST) this.known.clear();
    this.known.set(key, made);
    return made;
  }
}

/** A connection to an origin that is idle in its pool, if there is one: see connectIdle. */
export function idleOf(origin: Origin, canDoWithout: boolean): PooledConn | undefined {
  return origin.tls ? undefined : connectIdle(origin.pool, origin.network, canDoWithout);
}

/** A connection to an origin, idle in its pool or new. Here, and nowhere else, TLS comes in. */
export function dialOrigin(
  origin: Origin,
  method: string,
  url: string,
  options: ConnectOptions,
): Promise<PooledConn> {
  const { address, network, tls } = origin;
  if (!tls) return connect(address, options);
  const text = "https: needs TLS, which is not part of this version";
  const hint = "use http:, or the platform's fetch";
  const code = "ERR_TLS_UNAVAILABLE";
  return Promise.reject(
    new FetchError({ method, url, network, address, phase: "connect", code, text, hint }),
  );
}
