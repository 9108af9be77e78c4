/**
 * packet_conn.ts: PacketConn, a socket of datagrams without a peer of its own.
 *
 * Addresses in text are parsed once: what was sent to lately is remembered. An address that was
 * received carries the kernel's form of it, so answering parses nothing.
 */
import { isIP } from "node:net";
import type { ErrorDetails } from "../poll/fd.ts";
import { type Datagram, type DatagramFD, Outgoing, type ReceivedFrom } from "../poll/packet.ts";
import {
  AF_INET6,
  AF_UNIX,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_UNICAST_HOPS,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import type { DatagramKernel, Kernel } from "../syscall/kernel.ts";
import { SLOTS, type Sockaddr } from "../syscall/slots.ts";
import {
  type Addr,
  AddressError,
  type PacketNetwork,
  splitHostPort,
  UDPAddr,
  UnixAddr,
} from "./addr.ts";
import { bytesOf, describe, Endpoint, type OpOptions } from "./endpoint.ts";
import { errorOf, NetError, type NetOp } from "./errors.ts";
import { groupOption, interfaceValue } from "./multicast.ts";
import { setInt } from "./socket.ts";
import type { OwnedPath } from "./unix.ts";

/** A datagram to be sent. A received one can be sent back as it is. */
export interface Message {
  readonly data: Uint8Array | string;
  /** Where to: an address that was received, or one in text with a numeric host. */
  readonly addr: Addr | string;
}

/** Addresses in text that are remembered. */
const REMEMBERED = 1024;

class Remembered<A> extends Map<string, A> {
  remember(text: string, addr: A): A {
    if (this.size >= REMEMBERED) this.clear();
    this.set(text, addr);
    return addr;
  }
}

const udpAddrs = new Remembered<UDPAddr>();
const unixAddrs = new Remembered<UnixAddr>();

/** An address that needs no look-up. Throws an AddressError. */
function parseUDP(text: string): UDPAddr {
  const { host, zone, port } = splitHostPort(text);
  if (isIP(host) === 0) {
    const what = host === "" ? "there is no host" : `"${host}" is a name`;
    throw new AddressError(
      `can't send to "${text}": ${what}; resolve it once (node:dns/promises) and send to its address`,
    );
  }
  return new UDPAddr(host, port, zone);
}

class Datagrams implements AsyncIterator<Datagram, undefined> {
  private readonly fd: DatagramFD;

  constructor(fd: DatagramFD) {
    this.fd = fd;
  }

  next(): Promise<IteratorResult<Datagram, undefined>> {
    return this.fd.nextDatagram();
  }
}

/**
 * A socket of datagrams without a peer of its own: it receives from anybody and sends to anybody.
 *
 * Any number of goroutines may use it: reads queue behind reads, writes behind writes, each datagram
 * goes to one reader. Every method fails with a NetError. A datagram is never split and never joined
 * with another; over UDP it may get lost, come twice, or overtake another.
 *
 * @example
 * import { go, listenPacket } from "coronet";
 * await using server = await listenPacket("udp", "127.0.0.1:0");
 * go(async () => {
 *   for await (const { data, addr } of server) await server.writeTo(data, addr);
 * });
 *
 * await using client = await listenPacket("udp", "127.0.0.1:0");
 * await client.writeTo("ping", server.localAddr);
 * const buffer = new Uint8Array(1500);
 * const { n, addr } = await client.readFrom(buffer);
 * console.log(n, String(addr) === String(server.localAddr)); // 4 true
 */
export class PacketConn extends Endpoint implements AsyncDisposable, AsyncIterable<Datagram> {
  /** "udp", "udp4", "udp6", "unixgram". */
  readonly network: PacketNetwork;
  /** What it is bound to, with the port or name that the kernel chose. */
  readonly localAddr: Addr;
  private readonly datagrams: DatagramFD;
  private readonly family: number;
  /** An IPv6 socket that takes IPv4 too. */
  private readonly dual: boolean;
  private readonly path: OwnedPath | undefined;

  /** @internal */
  constructor(
    fd: DatagramFD,
    network: PacketNetwork,
    localAddr: Addr,
    place: { family: number; dual: boolean },
    path: OwnedPath | undefined,
  ) {
    super(fd);
    this.datagrams = fd;
    this.network = network;
    this.localAddr = localAddr;
    this.family = place.family;
    this.dual = place.dual;
    this.path = path;
  }

  // ---- reading

  /**
   * Takes one datagram into p. An empty one is n = 0. One that is larger than p is cut off: then
   * `truncated` is true and `size` tells how large it was. Until it settles, p is the conn's.
   */
  readFrom(p: Uint8Array, options?: OpOptions): Promise<ReceivedFrom> {
    if (!(p instanceof Uint8Array)) {
      return Promise.reject(new TypeError(`readFrom: expected a Uint8Array, got ${describe(p)}`));
    }
    return this.datagrams.readFrom(p, options?.signal);
  }

  /**
   * Waits for a datagram, then takes what is there, at most `max` (64), with one system call for
   * each 64. Each has memory of its own.
   */
  readBatch(max: number = SLOTS, options?: OpOptions): Promise<Datagram[]> {
    if (!Number.isInteger(max) || max <= 0) {
      const what = `readBatch: expected a positive whole number of datagrams, got ${max}`;
      return Promise.reject(new RangeError(what));
    }
    return this.datagrams.readBatch(max, options?.signal);
  }

  /**
   * Iterates over the datagrams that arrive, until the conn is closed. They are taken from the kernel
   * in batches; leaving the loop closes nothing and loses nothing.
   */
  [Symbol.asyncIterator](): AsyncIterator<Datagram, undefined> {
    return new Datagrams(this.datagrams);
  }

  // ---- writing

  /**
   * Sends p (a string as UTF-8) as one datagram. The address is one that was received, or text with a
   * numeric host; a name is EINVAL, because one look-up per datagram is never what is wanted. Resolves
   * to the number of bytes, when the kernel has it.
   */
  writeTo(p: Uint8Array | string, addr: Addr | string, options?: OpOptions): Promise<number> {
    try {
      return this.datagrams.writeTo(bytesOf(p, "writeTo"), this.resolve(addr), options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends many, in order, with one system call for each 64. Resolves to their number. When one can't
   * be sent it fails: the error's `messagesSent` tells how many were sent before that one.
   */
  writeBatch(messages: readonly Message[], options?: OpOptions): Promise<number> {
    try {
      if (!Array.isArray(messages)) {
        throw new TypeError(`writeBatch: expected an array, got ${describe(messages)}`);
      }
      const bytes: Uint8Array[] = [];
      const to: Sockaddr[] = [];
      for (const { data, addr } of messages as readonly Message[]) {
        bytes.push(bytesOf(data, "writeBatch"));
        to.push(this.resolve(addr));
      }
      return this.datagrams.writeBatch(new Outgoing(bytes, to), options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The kernel's form of an address. Throws a NetError. */
  private resolve(addr: Addr | string): Sockaddr {
    try {
      return this.family === AF_UNIX ? this.resolveUnix(addr) : this.resolveUDP(addr);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      const { network, localAddr } = this;
      const init = { op: "write" as const, network, source: String(localAddr) };
      throw new NetError({ ...init, address: String(addr), code: "EINVAL", text: error.message });
    }
  }

  private resolveUDP(addr: Addr | string): Sockaddr {
    const known =
      typeof addr === "string"
        ? (udpAddrs.get(addr) ?? udpAddrs.remember(addr, parseUDP(addr)))
        : addr;
    if (!(known instanceof UDPAddr)) throw wrongKind(addr, "UDPAddr");
    if (this.family === AF_INET6 && !this.dual && !known.ip.includes(":")) {
      throw new AddressError(`an IPv6 socket can't send to ${known}`);
    }
    return known.sockaddr(this.family);
  }

  private resolveUnix(addr: Addr | string): Sockaddr {
    const known =
      typeof addr === "string"
        ? (unixAddrs.get(addr) ?? unixAddrs.remember(addr, new UnixAddr("unixgram", addr)))
        : addr;
    if (!(known instanceof UnixAddr)) throw wrongKind(addr, "UnixAddr");
    return known.sockaddr();
  }

  // ---- the end

  /** Closes the socket; whoever waits fails with ERR_CLOSED. Twice is harmless. */
  async close(): Promise<void> {
    if (this.fd.closing) return;
    this.path?.unlink();
    await this.fd.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- options

  /** Sets the kernel's receive buffer (SO_RCVBUF, which Linux doubles; socket(7)). */
  setReadBuffer(bytes: number): this {
    return this.setInt(SOL_SOCKET, SO_RCVBUF, whole(bytes, "buffer size", 1, 2 ** 30));
  }

  /** Sets the kernel's send buffer (SO_SNDBUF, which Linux doubles; socket(7)). */
  setWriteBuffer(bytes: number): this {
    return this.setInt(SOL_SOCKET, SO_SNDBUF, whole(bytes, "buffer size", 1, 2 ** 30));
  }

  /** Allows to send to a broadcast address, which is EACCES otherwise (ip(7)). */
  setBroadcast(broadcast = true): this {
    return this.setInt(SOL_SOCKET, SO_BROADCAST, broadcast ? 1 : 0);
  }

  /** Hops that datagrams to one receiver may make (ip(7), ipv6(7)). */
  setTTL(hops: number): this {
    return this.setBoth(IP_TTL, IPV6_UNICAST_HOPS, whole(hops, "TTL", 1, 255));
  }

  /**
   * Receives what is sent to a multicast group as well, on the interface of that name, or on the one
   * that the kernel chooses. Several sockets of one port need `reusePort`.
   */
  joinGroup(group: string, iface?: string): this {
    return this.setGroup(group, iface, true);
  }

  /** Leaves a group that was joined on that interface. */
  leaveGroup(group: string, iface?: string): this {
    return this.setGroup(group, iface, false);
  }

  /** Hops that datagrams to groups may make: 1 (the default) stays in this network, 0 on this machine. */
  setMulticastTTL(hops: number): this {
    return this.setBoth(IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, whole(hops, "TTL", 0, 255));
  }

  /** Whether members of the group on this machine get what is sent here; they do by default. */
  setMulticastLoop(loop: boolean): this {
    return this.setBoth(IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, loop ? 1 : 0);
  }

  /** By which interface datagrams to groups leave. */
  setMulticastInterface(iface: string): this {
    const index = this.indexOf(iface);
    if (this.family === AF_INET6) this.setInt(IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
    if (this.family === AF_INET6 && !this.dual) return this;
    return this.setBytes(IPPROTO_IP, IP_MULTICAST_IF, interfaceValue(index));
  }

  private setGroup(group: string, iface: string | undefined, join: boolean): this {
    const option = groupOption(group, iface === undefined ? 0 : this.indexOf(iface), join);
    return this.setBytes(option.level, option.name, option.value);
  }

  private indexOf(iface: string): number {
    this.checkOpen("set");
    const n = this.kernel.ifNameToIndex(Buffer.from(iface));
    if (n > 0) return n;
    const { network, localAddr } = this;
    const text = `there is no interface "${iface}"`;
    throw new NetError({ op: "set", network, source: String(localAddr), code: "ENODEV", text });
  }

  /** Sets the option of each family that the socket has. */
  private setBoth(four: number, six: number, value: number): this {
    if (this.family === AF_INET6) this.setInt(IPPROTO_IPV6, six, value);
    return this.family === AF_INET6 && !this.dual ? this : this.setInt(IPPROTO_IP, four, value);
  }

  private setInt(level: number, option: number, value: number): this {
    this.checkOpen("set");
    const n = setInt(this.kernel, this.fd.sysfd, level, option, value);
    if (n < 0) throw this.errorFor("set", -n);
    return this;
  }

  private setBytes(level: number, option: number, value: Uint8Array): this {
    this.checkOpen("set");
    const n = this.kernel.setsockopt(this.fd.sysfd, level, option, value);
    if (n < 0) throw this.errorFor("set", -n);
    return this;
  }

  private get kernel(): Kernel & DatagramKernel {
    return this.fd.device.kernel as Kernel & DatagramKernel;
  }

  protected override errorFor(op: NetOp, number: number, details?: ErrorDetails): NetError {
    const { network, localAddr } = this;
    return errorOf(number, { op, network, source: String(localAddr), ...details });
  }
}

function wrongKind(addr: unknown, wanted: string): TypeError {
  return new TypeError(`expected a ${wanted} or its text, got ${describe(addr)}`);
}

function whole(value: number, name: string, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name}: expected a whole number from ${least} to ${most}, got ${value}`);
}
