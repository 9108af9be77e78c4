/**
 * portable_socket.ts: a socket of node:net behind the calls of socket(2), until it is a stream.
 *
 * Node does not hand out the calls one by one: connecting and listening take the addresses and the
 * options all at once. So they are kept here until then.
 */
import { createConnection, type Socket } from "node:net";
import { formatIP, parseIPv4, parseIPv6, zoneIndex, zoneName } from "../internal/ip.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_KEEPIDLE,
  TCP_NODELAY,
} from "./constants.ts";
import { type DuplexEnd, errnoOf } from "./duplex_end.ts";
import { EAGAIN, EINPROGRESS, EOPNOTSUPP } from "./errno.ts";
import type { Readiness } from "./kernel.ts";
import { encodeInet, encodeUnix, type SocketAddress, unpack } from "./sockaddr.ts";

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 50;
/** Which Nodes take `reusePort`: 23.1 and later. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
export const HAS_REUSE_PORT = major > 23 || (major === 23 && minor >= 1);

/** Node 20 pads an abstract name with zeros: to everybody else that is another name (unix(7)). */
export const HAS_ABSTRACT_NAMES = major >= 22;

/** The name of a unix socket that has none. */
export const UNNAMED = encodeUnix(new Uint8Array()).subarray(0, 2);

export function socketAddress(sockaddr: Uint8Array): SocketAddress | undefined {
  return unpack(String.fromCharCode(...sockaddr));
}

/** Where to connect or listen, in Node's words. */
export type Where = { path: string } | { host: string; port: number };

export function whereOf(sockaddr: Uint8Array): Where {
  const address = socketAddress(sockaddr);
  if (address === undefined) return { host: "", port: 0 };
  if (address.family === AF_UNIX) return { path: Buffer.from(address.path).toString() };
  const zone = zoneName(address.scope);
  const host = address.ip.length === 4 ? address.ip.join(".") : formatIPv6(address.ip);
  return { host: zone === "" ? host : `${host}%${zone}`, port: address.port };
}

/** As formatIP, but a mapped IPv4 address stays an IPv6 address: the socket's family is given. */
function formatIPv6(ip: Uint8Array): string {
  const text = formatIP(ip);
  return text.includes(":") ? text : `::ffff:${text}`;
}

/** True for an address that Node cannot express. */
export function isOutOfReach(sockaddr: Uint8Array): boolean {
  const address = socketAddress(sockaddr);
  return address?.family === AF_UNIX && address.path[0] === 0 && !HAS_ABSTRACT_NAMES;
}

/** The sockaddr of what Node tells about an end; `scope` of a link-local one. */
export function inetName(address = "0.0.0.0", port = 0, scope = 0): Uint8Array {
  const [ip = ""] = address.split("%");
  return ip.includes(":")
    ? encodeInet({ family: AF_INET6, ip: parseIPv6(ip), port, scope })
    : encodeInet({ family: AF_INET, ip: parseIPv4(ip), port, scope: 0 });
}

/** Options by level and number, as the calls gave them. */
export class SocketOptions {
  private readonly values: Map<number, number>;

  constructor(values: ReadonlyMap<number, number> = new Map()) {
    this.values = new Map(values);
  }

  /** Options that an accepted socket inherits. */
  copy(): SocketOptions {
    return new SocketOptions(this.values);
  }

  get(level: number, option: number): number {
    return this.values.get(keyOf(level, option)) ?? 0;
  }

  /** Remembers an option: 0, or -EOPNOTSUPP for one that Node has no way to set. */
  set(level: number, option: number, value: number, type: number): number {
    const isSize = level === SOL_SOCKET && (option === SO_RCVBUF || option === SO_SNDBUF);
    if (isSize && type === SOCK_STREAM) return -EOPNOTSUPP;
    if (level === SOL_SOCKET && option === SO_REUSEPORT && !HAS_REUSE_PORT) return -EOPNOTSUPP;
    this.values.set(keyOf(level, option), value);
    return 0;
  }

  /** For connect and listen. Node sets the probes' interval and count by itself. */
  get forNode(): { noDelay: boolean; keepAlive: boolean; keepAliveInitialDelay: number } {
    return {
      noDelay: this.get(IPPROTO_TCP, TCP_NODELAY) !== 0,
      keepAlive: this.get(SOL_SOCKET, SO_KEEPALIVE) !== 0,
      keepAliveInitialDelay: this.get(IPPROTO_TCP, TCP_KEEPIDLE) * 1000,
    };
  }

  /** Puts a changed option into effect on a socket that is connected. */
  apply(level: number, option: number, end: DuplexEnd): void {
    const { noDelay, keepAlive, keepAliveInitialDelay } = this.forNode;
    const socket = end.stream as Socket;
    if (level === IPPROTO_TCP && option === TCP_NODELAY) socket.setNoDelay(noDelay);
    else if (level === SOL_SOCKET && option === SO_KEEPALIVE) {
      socket.setKeepAlive(keepAlive, keepAliveInitialDelay);
    } else if (level === SOL_SOCKET && option === SO_LINGER) {
      end.abortive = this.get(level, option) !== 0;
    }
  }
}

function keyOf(level: number, option: number): number {
  return level * 0x1_0000 + option;
}

/** A socket that is not, or not yet, a stream. */
export class PortableSocket {
  readonly family: number;
  readonly type: number;
  readonly options: SocketOptions;
  /** What it was bound to; what it is connected to. */
  local: Uint8Array | undefined = undefined;
  peer: Uint8Array | undefined = undefined;
  /** What SO_ERROR tells, once. */
  private error = 0;
  private stream: Socket | undefined = undefined;
  private again: NodeJS.Timeout | undefined = undefined;
  private pause = FIRST_PAUSE_MS;
  private readiness: Readiness | undefined = undefined;

  constructor(family: number, type: number, options: SocketOptions) {
    this.family = family;
    this.type = type;
    this.options = options;
  }

  watch(readiness: Readiness): void {
    this.readiness = readiness;
    if (this.error !== 0) readiness.notify(true, true, true);
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  /** Starts to connect; hands the stream over once it is connected. */
  connect(sockaddr: Uint8Array, connected: (stream: Socket) => DuplexEnd): number {
    const stream = createConnection({
      ...whereOf(sockaddr),
      ...this.options.forNode,
      ...this.from(),
      allowHalfOpen: true,
    });
    this.stream = stream;
    stream.on("error", (error) => {
      if (this.stream === stream) this.failed(errnoOf(error), sockaddr, connected);
    });
    stream.once("connect", () => {
      if (this.stream !== stream) return;
      this.peer = sockaddr;
      this.local = this.family === AF_UNIX ? (this.local ?? UNNAMED) : localName(stream);
      const end = connected(stream);
      this.stream = undefined;
      if (this.readiness === undefined) return;
      end.watch(this.readiness);
      this.readiness.notify(false, true, false);
    });
    return -EINPROGRESS;
  }

  private from(): { localAddress?: string; localPort?: number } {
    const where = this.local === undefined ? undefined : whereOf(this.local);
    if (where === undefined || "path" in where) return {};
    return { localAddress: where.host, ...(where.port > 0 && { localPort: where.port }) };
  }

  private failed(
    number: number,
    sockaddr: Uint8Array,
    connected: (stream: Socket) => DuplexEnd,
  ): void {
    if (number === EAGAIN && this.family === AF_UNIX) {
      // The listener's backlog is full, and nothing tells when it has room (connect(2)).
      this.again = setTimeout(() => this.connect(sockaddr, connected), this.pause);
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
      return;
    }
    this.error = number;
    this.readiness?.notify(true, true, true);
  }

  close(): void {
    clearTimeout(this.again);
    const { stream } = this;
    this.stream = this.readiness = undefined;
    stream?.destroy();
  }
}

/** Asked for when it is connected: a socket that is gone does not know any more. */
export function localName(socket: Socket): Uint8Array {
  return inetName(socket.localAddress, socket.localPort, scopeOf(socket.localAddress));
}

export function peerName(socket: Socket): Uint8Array {
  return inetName(socket.remoteAddress, socket.remotePort, scopeOf(socket.remoteAddress));
}

/** The index of the interface that Node names in a link-local address. */
export function scopeOf(address: string | undefined): number {
  const zone = address?.split("%")[1];
  return zone === undefined ? 0 : zoneIndex(zone);
}
