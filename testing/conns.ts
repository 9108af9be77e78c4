/** conns.ts: connected pairs of every kind of connection that Coronet has. */
import { mkdtemp, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Conn,
  connect as connectPooled,
  type DialOptions,
  dial,
  type Listener,
  type ListenOptions,
  listen,
  pipe,
  type StreamNetwork,
  type TCPAddr,
  TCPConn,
} from "../src/index.ts";
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

/** Ends a TCP connection so that its peer sees a reset. */
export async function resetTCP(conn: Conn): Promise<void> {
  if (!(conn instanceof TCPConn)) throw new TypeError("resetTCP: expected a TCPConn");
  await conn.setLinger(0).close();
}
