/**
 * listen.ts: listen(): a listening socket for an address in text.
 */
import { isIPv4 } from "node:net";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import {
  AF_INET,
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
import { EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL } from "../syscall/errno.ts";
import {
  AddressError,
  addrOf,
  inetSockaddr,
  type StreamNetwork,
  splitHostPort,
  unixSockaddr,
} from "./addr.ts";
import { errorOf, NetError } from "./errors.ts";
import { Listener } from "./listener.ts";
import type { Resolver } from "./names.ts";
import { type Control, callControl, networkOf } from "./raw_socket.ts";
import { isNumeric, lookupHost, resolveError } from "./resolve.ts";
import { type SocketConn, setInt, socketFD, socketType, sockname } from "./socket.ts";
import { applyTCPOptions, TCPConn, type TCPOptions } from "./tcp.ts";
import { OwnedPath, UnixConn } from "./unix.ts";

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

/** Where to listen, ready for the kernel. */
interface Place {
  family: number;
  sockaddr: Uint8Array;
  /** Takes IPv4 connections on an IPv6 socket too. */
  dual: boolean;
}

class Attempt {
  readonly network: StreamNetwork;
  readonly address: string;
  readonly options: ListenOptions;
  readonly runtime: Runtime;

  constructor(network: StreamNetwork, address: string, options: ListenOptions, rt: Runtime) {
    this.network = network;
    this.address = address;
    this.options = options;
    this.runtime = rt;
  }

  fail(number: number, cause?: unknown): NetError {
    return errorOf(number, { op: "listen", network: this.network, address: this.address, cause });
  }

  malformed(cause: unknown): unknown {
    if (!(cause instanceof AddressError)) return cause;
    const { network, address } = this;
    return new NetError({ op: "listen", network, address, code: "EINVAL", text: cause.message });
  }

  open(place: Place): Listener {
    const { kernel } = this.runtime;
    const sysfd = kernel.socket(place.family, socketType(this.network), 0);
    if (sysfd < 0) throw this.fail(-sysfd);
    try {
      return place.family === AF_UNIX ? this.openUnix(sysfd, place) : this.openTCP(sysfd, place);
    } catch (error) {
      kernel.close(sysfd);
      throw error;
    }
  }

  private openTCP(sysfd: number, place: Place): Listener {
    const { kernel } = this.runtime;
    const network = this.network as "tcp" | "tcp4" | "tcp6";
    // A port whose old connections are in TIME_WAIT can be listened on again at once (tcp(7)).
    this.set(sysfd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (this.options.reusePort === true) this.set(sysfd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (place.family === AF_INET6) this.set(sysfd, IPPROTO_IPV6, IPV6_V6ONLY, place.dual ? 0 : 1);
    applyTCPOptions(kernel, sysfd, this.options, (number) => this.fail(number));
    this.listen(sysfd, place);
    return listenerOf(this.runtime, sysfd, network, undefined);
  }

  private openUnix(sysfd: number, place: Place): Listener {
    this.listen(sysfd, place);
    const path = this.address.startsWith("@") ? undefined : new OwnedPath(this.address);
    return listenerOf(this.runtime, sysfd, this.network, path);
  }

  private listen(sysfd: number, place: Place): void {
    const { kernel } = this.runtime;
    const { readBuffer, writeBuffer, backlog, control } = this.options;
    // Before listen: the window scale of accepted connections follows from it (tcp(7)).
    if (readBuffer !== undefined) this.set(sysfd, SOL_SOCKET, SO_RCVBUF, readBuffer);
    if (writeBuffer !== undefined) this.set(sysfd, SOL_SOCKET, SO_SNDBUF, writeBuffer);
    if (control !== undefined) {
      callControl(control, kernel, sysfd, networkOf(this.network, place.family), this.address);
    }
    const bound = kernel.bind(sysfd, place.sockaddr);
    if (bound < 0) throw this.fail(-bound);
    const listening = kernel.listen(sysfd, backlog ?? LARGEST_BACKLOG);
    if (listening < 0) throw this.fail(-listening);
  }

  private set(sysfd: number, level: number, option: number, value: number): void {
    const n = setInt(this.runtime.kernel, sysfd, level, option, value);
    if (n < 0) throw this.fail(-n);
  }

  /** Where an address points. */
  async places(): Promise<Place[]> {
    const { network, address } = this;
    if (network === "unix" || network === "unixpacket") {
      return [{ family: AF_UNIX, sockaddr: unixSockaddr(address), dual: false }];
    }
    const { host, zone, port } = splitHostPort(address);
    if (host === "") return this.everyInterface(port);
    const ips = isNumeric(host) ? [host] : await this.lookup(host);
    const wanted = ips.filter((ip) => network === "tcp" || isIPv4(ip) === (network === "tcp4"));
    // A name is listened on by IPv4 where it has it, as Go does.
    wanted.sort((a, b) => Number(isIPv4(b)) - Number(isIPv4(a)));
    if (wanted.length === 0) throw this.fail(EADDRNOTAVAIL);
    return wanted.slice(0, 1).map((ip) => ({
      family: isIPv4(ip) ? AF_INET : AF_INET6,
      sockaddr: inetSockaddr(ip, port, zone),
      dual: false,
    }));
  }

  private everyInterface(port: number): Place[] {
    const four = { family: AF_INET, sockaddr: inetSockaddr("0.0.0.0", port), dual: false };
    const six = { family: AF_INET6, sockaddr: inetSockaddr("::", port), dual: false };
    if (this.network === "tcp4") return [four];
    if (this.network === "tcp6") return [six];
    return [{ ...six, dual: true }, four];
  }

  private async lookup(host: string): Promise<string[]> {
    try {
      return await lookupHost(this.options.resolver, host, undefined);
    } catch (cause) {
      throw resolveError("listen", this.network, this.address, host, cause);
    }
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
  const Kind = network === "unix" || network === "unixpacket" ? UnixConn : TCPConn;
  const adopt = (n: number, peer: string): SocketConn =>
    new Kind(socketFD(rt, n, network), origin, peer);
  return new Listener(socketFD(rt, sysfd, network), network, addr, adopt, path);
}

const NETWORKS = new Set(["tcp", "tcp4", "tcp6", "unix", "unixpacket"]);

export function checkNetwork(network: string, call: string): void {
  if (NETWORKS.has(network)) return;
  throw new TypeError(`${call}: unknown network "${network}"; known: ${[...NETWORKS].join(", ")}`);
}

function checkOptions(options: ListenOptions): void {
  for (const key of ["backlog", "readBuffer", "writeBuffer"] as const) {
    const value = options[key];
    if (value === undefined || (Number.isInteger(value) && value > 0)) continue;
    throw new RangeError(`listen: ${key} must be a positive whole number, got ${value}`);
  }
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
  checkOptions(options);
  const attempt = new Attempt(network, address, options, rt);
  try {
    const [first, ...others] = await attempt.places();
    return openFirst(attempt, first as Place, others);
  } catch (error) {
    throw attempt.malformed(error);
  }
}

/** Opens a place, or the next when this machine lacks the family of the first. */
function openFirst(attempt: Attempt, first: Place, others: Place[]): Listener {
  try {
    return attempt.open(first);
  } catch (error) {
    const [next, ...rest] = others;
    const lacking = [EAFNOSUPPORT, EADDRNOTAVAIL, EINVAL].map((n) => attempt.fail(n).code);
    if (next === undefined || !(error instanceof NetError) || !lacking.includes(error.code)) {
      throw error;
    }
    return openFirst(attempt, next, rest);
  }
}
