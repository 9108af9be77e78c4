/**
 * listen.ts: listen(): a listening socket for an address in text.
 */

import { observer } from "../runtime/observer.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import {
  AF_INET6,
  AF_UNIX,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import { addrOf, isPacket, type StreamNetwork } from "./addr.ts";
import { kindOf } from "./kinds.ts";
import { Listener } from "./listener.ts";
import type { Resolver } from "./names.ts";
import { Attempt, checkPositive, type Place } from "./place.ts";
import { type Control, callControl, networkOf } from "./raw_socket.ts";
import { type SocketConn, socketFD, socketType, sockname } from "./socket.ts";
import { applyTCPOptions, type TCPConn, type TCPOptions } from "./tcp.ts";
import { OwnedPath, type UnixConn } from "./unix.ts";

export interface ListenOptions extends TCPOptions {
  /** Connections that wait in the kernel; as many as the system allows (somaxconn) by default. */
  backlog?: number;
  /** Several sockets, of any threads and processes, share the port (SO_REUSEPORT, socket(7)). */
  reusePort?: boolean;
  /** Kernel buffers of the accepted connections, in bytes. */
  readBuffer?: number;
  writeBuffer?: number;
  /** Looks up a host name; the system's by default. */
  resolver?: Resolver;
  /** Changes the socket before it is bound; what it throws fails the listen. */
  control?: Control;
}

/** The kernel cuts it down to net.core.somaxconn (listen(2)). */
const LARGEST_BACKLOG = 65_535;

class StreamAttempt extends Attempt<Listener> {
  private readonly options: ListenOptions;

  constructor(rt: Runtime, network: StreamNetwork, address: string, options: ListenOptions) {
    super(rt, network, address, options.resolver);
    this.options = options;
  }

  protected async open(place: Place): Promise<Listener> {
    const { kernel } = this.runtime;
    const sysfd = kernel.socket(place.family, socketType(this.network), 0);
    if (sysfd < 0) throw this.fail(-sysfd);
    try {
      if (place.family === AF_UNIX) return await this.openUnix(sysfd, place);
      return await this.openTCP(sysfd, place);
    } catch (error) {
      kernel.close(sysfd);
      throw error;
    }
  }

  private async openTCP(sysfd: number, place: Place): Promise<Listener> {
    const { kernel } = this.runtime;
    const network = this.network as "tcp" | "tcp4" | "tcp6";
    // A port whose old connections are in TIME_WAIT can be listened on again at once (tcp(7)).
    this.set(sysfd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (this.options.reusePort === true) this.set(sysfd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (place.family === AF_INET6) this.set(sysfd, IPPROTO_IPV6, IPV6_V6ONLY, place.dual ? 0 : 1);
    applyTCPOptions(kernel, sysfd, this.options, (number) => this.fail(number));
    await this.listen(sysfd, place);
    return listenerOf(this.runtime, sysfd, network, undefined);
  }

  private async openUnix(sysfd: number, place: Place): Promise<Listener> {
    await this.listen(sysfd, place);
    const path = this.address.startsWith("@") ? undefined : new OwnedPath(this.address);
    return listenerOf(this.runtime, sysfd, this.network as StreamNetwork, path);
  }

  private async listen(sysfd: number, place: Place): Promise<void> {
    const { kernel } = this.runtime;
    const { readBuffer, writeBuffer, backlog, control } = this.options;
    // Before listen: the window scale of accepted connections follows from it (tcp(7)).
    if (readBuffer !== undefined) this.set(sysfd, SOL_SOCKET, SO_RCVBUF, readBuffer);
    if (writeBuffer !== undefined) this.set(sysfd, SOL_SOCKET, SO_SNDBUF, writeBuffer);
    if (control !== undefined) {
      callControl(control, kernel, sysfd, networkOf(this.network, place.family), this.address);
    }
    const bound = await kernel.bind(sysfd, place.sockaddr);
    if (bound < 0) throw this.fail(-bound);
    const listening = await kernel.listen(sysfd, backlog ?? LARGEST_BACKLOG);
    if (listening < 0) throw this.fail(-listening);
  }
}

/** A socket that listens, as a listener. */
export function listenerOf(
  rt: Runtime,
  sysfd: number,
  network: StreamNetwork,
  path: OwnedPath | undefined,
): Listener {
  const addr = addrOf(network, sockname(rt.kernel, sysfd));
  const origin = { network, addr };
  const Kind = kindOf(network);
  const adopt = (n: number, peer: string): SocketConn => {
    const conn = new Kind(socketFD(rt, n, network), origin, peer);
    if (observer.accepted !== null) observer.accepted(conn, origin);
    return conn;
  };
  return new Listener(socketFD(rt, sysfd, network), network, addr, adopt, path);
}

const NETWORKS = ["tcp", "tcp4", "tcp6", "unix", "unixpacket"];

/** Throws a TypeError for a network that a call does not know. */
export function checkNetwork(
  network: string,
  call: string,
  known: readonly string[] = NETWORKS,
): void {
  if (known.includes(network)) return;
  const packets = call === "listen" && isPacket(network) ? "; listenPacket takes datagrams" : "";
  throw new TypeError(
    `${call}: unknown network "${network}"; known: ${known.join(", ")}${packets}`,
  );
}

/**
 * Listens on an address.
 *
 * Networks: "tcp" (IPv6 and IPv4 for ":port"), "tcp4", "tcp6", "unix", "unixpacket". Port 0 lets the
 * kernel choose; `listener.addr` tells. Throws a NetError: EADDRINUSE, EACCES, EINVAL for an address
 * that can't be read, …
 *
 * @example
 * import { go, listen, dial, type Conn } from "coronet";
 *
 * async function echo(conn: Conn) {
 *   await using _ = conn;
 *   for await (const chunk of conn) await conn.write(chunk);
 * }
 *
 * const listener = await listen("tcp", "127.0.0.1:0");
 * go(async () => {
 *   for await (const conn of listener) go(echo, conn);
 * });
 *
 * await using conn = await dial("tcp", String(listener.addr));
 * await conn.write("hello");
 * const reply = new Uint8Array(5);
 * await conn.read(reply);
 * console.log(new TextDecoder().decode(reply)); // hello
 * await listener.close();
 */
export function listen(
  network: "tcp" | "tcp4" | "tcp6",
  address: string,
  options?: ListenOptions,
): Promise<Listener<TCPConn>>;
export function listen(
  network: "unix" | "unixpacket",
  address: string,
  options?: ListenOptions,
): Promise<Listener<UnixConn>>;
export function listen(
  network: StreamNetwork,
  address: string,
  options?: ListenOptions,
): Promise<Listener>;
export async function listen(
  network: StreamNetwork,
  address: string,
  options?: ListenOptions,
): Promise<Listener> {
  return await listenOn(runtime(), network, address, options);
}

/** As listen, on a given runtime. */
export async function listenOn(
  rt: Runtime,
  network: StreamNetwork,
  address: string,
  options: ListenOptions = {},
): Promise<Listener> {
  checkNetwork(network, "listen");
  const { backlog, readBuffer, writeBuffer } = options;
  checkPositive("listen", { backlog, readBuffer, writeBuffer });
  return await new StreamAttempt(rt, network, address, options).run();
}
