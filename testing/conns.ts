/** conns.ts: connected pairs of every kind of connection that Coronet has. */
import { mkdtemp, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Conn,
  connect as connectPooled,
  type DialOptions,
  dial,
  dialTls,
  type Listener,
  type ListenOptions,
  listen,
  pipe,
  type StreamNetwork,
  secure,
  type TCPAddr,
  TCPConn,
  type TlsClientOptions,
  type TlsConn,
  type TlsServerOptions,
  tlsListen,
} from "../src/index.ts";
import { type Certificate, selfSigned } from "./certificates.ts";
import type { ConnPair } from "./conn_suite.ts";

/** A pair whose ends have the type of their network. */
export interface SocketPair<C extends Conn = Conn> extends ConnPair, AsyncDisposable {
  /** The end that dialled. */
  a: C;
  /** The end that was accepted. */
  b: C;
}

let names = 0;

/** An abstract unix address that nobody else uses. */
export function abstractName(): string {
  const random = Math.random().toString(36).slice(2);
  return `@coronet-test-${process.pid}-${++names}-${random}`;
}

/** A folder for sockets; it is removed when it is disposed of. */
export async function socketFolder(): Promise<AsyncDisposable & { path(name: string): string }> {
  const folder = await mkdtemp(join(tmpdir(), "coronet-"));
  return {
    path: (name) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Why there is no IPv6 here; undefined when there is. */
export function lacksIPv6(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((each) => each?.address === "::1") ? undefined : "this machine has no ::1";
}

/** Dials a listener and accepts that very connection. */
export async function connect<C extends Conn = Conn>(
  listener: Listener,
  address: string = String(listener.addr),
  options: DialOptions = {},
): Promise<SocketPair<C>> {
  const accepting = listener.accept();
  const dialling = dial(listener.network, address, options);
  const [a, b] = (await Promise.all([dialling, accepting])) as unknown as [C, C];
  const close = async (): Promise<void> => {
    await a.close();
    await b.close();
  };
  return { a, b, close, [Symbol.asyncDispose]: close };
}

/** A pair over a listener of its own, which is closed when the pair stands. */
export async function socketPair<C extends Conn = Conn>(
  network: StreamNetwork,
  address: string,
  options: ListenOptions & DialOptions & { dialled?: (listener: Listener) => string } = {},
): Promise<SocketPair<C>> {
  await using listener = await listen(network, address, options);
  return await connect<C>(listener, options.dialled?.(listener), options);
}

export function tcpPair(options: ListenOptions & DialOptions = {}): Promise<SocketPair<TCPConn>> {
  return socketPair<TCPConn>("tcp4", "127.0.0.1:0", options);
}

export function tcp6Pair(): Promise<SocketPair<TCPConn>> {
  return socketPair<TCPConn>("tcp6", "[::1]:0");
}

/** A listener for both families, dialled by IPv4. */
export function dualStackPair(): Promise<SocketPair<TCPConn>> {
  const dialled = ({ addr }: Listener): string => `127.0.0.1:${(addr as TCPAddr).port}`;
  return socketPair<TCPConn>("tcp", ":0", { dialled });
}

export async function unixPair(network: "unix" | "unixpacket" = "unix"): Promise<SocketPair> {
  await using folder = await socketFolder();
  return await socketPair(network, folder.path("s"));
}

export function abstractPair(network: "unix" | "unixpacket" = "unix"): Promise<SocketPair> {
  return socketPair(network, abstractName());
}

export async function pipePair(): Promise<SocketPair> {
  const [a, b] = pipe();
  const close = async (): Promise<void> => {
    await a.close();
    await b.close();
  };
  return { a, b, close, [Symbol.asyncDispose]: close };
}

/**
 * A connection from a pool that had a user before, and its peer; with `readAhead` its new user has
 * read from it, so that its bytes come through a buffer.
 */
export async function pooledPair(readAhead: boolean): Promise<SocketPair> {
  await using listener = await listen("tcp4", "127.0.0.1:0");
  const accepting = listener.accept();
  const options = { network: "tcp4", poolSize: 1, backlog: 0 } as const;
  const first = await connectPooled(String(listener.addr), options);
  const b = await accepting;
  first.setTimeouts({ read: 1 });
  first.setDeadline(new Date(0));
  first.unref().setKeepalive();
  const a = await connectPooled(String(listener.addr), options);
  if (readAhead) {
    await b.write("\n");
    await a.readLine();
  }
  const close = async (): Promise<void> => {
    await a.close();
    await b.close();
  };
  return { a, b, close, [Symbol.asyncDispose]: close };
}

let certificate: Certificate | undefined;

/** A certificate for localhost and 127.0.0.1 that all tests of a file share. */
export function localCertificate(): Certificate {
  certificate ??= selfSigned("localhost", "127.0.0.1");
  return certificate;
}

export interface TlsPairOptions {
  network?: "tcp" | "unix";
  server?: TlsServerOptions;
  client?: TlsClientOptions;
  /** Lets the server's end be `a`. */
  swapped?: boolean;
  dial?: DialOptions;
  listen?: ListenOptions;
}

/** A pair over TLS. */
export async function tlsPair(options: TlsPairOptions = {}): Promise<SocketPair<TlsConn>> {
  const { network = "tcp", swapped = false } = options;
  const { cert, key } = localCertificate();
  const address = network === "tcp" ? "127.0.0.1:0" : abstractName();
  const serving = { cert, key, ...options.server, ...options.listen };
  await using listener = await tlsListen(network, address, serving);
  const accepting = listener.accept().then(async (conn) => {
    await conn.handshake();
    return conn;
  });
  const dialling = dialTls(network, String(listener.addr), {
    ca: cert,
    servername: "localhost",
    ...options.client,
    ...options.dial,
  });
  const [client, server] = await Promise.all([dialling, accepting]);
  return pairOf(swapped ? server : client, swapped ? client : server);
}

/** A pair of conns over node:tls, on a pipe: there is no socket for the addon. */
export async function nodeTlsPair(options: TlsPairOptions = {}): Promise<SocketPair<TlsConn>> {
  const { cert, key } = localCertificate();
  const [a, b] = pipe();
  const [client, server] = await Promise.all([
    secure(a, { ca: cert, servername: "localhost", ...options.client }),
    secure(b, { isServer: true, cert, key, ...options.server }),
  ]);
  return options.swapped === true ? pairOf(server, client) : pairOf(client, server);
}

function pairOf<C extends Conn>(a: C, b: C): SocketPair<C> {
  const close = async (): Promise<void> => {
    await a.close();
    await b.close();
  };
  return { a, b, close, [Symbol.asyncDispose]: close };
}

/** Ends a TCP connection so that its peer sees a reset. */
export async function resetTCP(conn: Conn): Promise<void> {
  if (!(conn instanceof TCPConn)) throw new TypeError("resetTCP: expected a TCPConn");
  await conn.setLinger(0).close();
}
