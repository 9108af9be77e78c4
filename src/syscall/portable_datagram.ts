/**
 * portable_datagram.ts: a socket of node:dgram behind the calls of socket(2).
 *
 * Node takes datagrams from the kernel as they come. They wait here, up to the size of a receive
 * buffer; what comes beyond that is lost, as it would be in the kernel. What Node tells about a
 * datagram after it was sent is the error of the next call, as ICMP's is.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { formatIP } from "../internal/ip.ts";
import { Ring } from "../internal/ring.ts";
import {
  AF_INET,
  AF_INET6,
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_JOIN_GROUP,
  IPV6_LEAVE_GROUP,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_SOCKET,
} from "./constants.ts";
import { errnoOf } from "./duplex_end.ts";
import {
  EACCES,
  EAGAIN,
  EINPROGRESS,
  EINVAL,
  EMSGSIZE,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPIPE,
} from "./errno.ts";
import type { Readiness } from "./kernel.ts";
import { inetName, type PortableSocket, scopeOf, whereOf } from "./portable_socket.ts";
import { Sockaddr } from "./slots.ts";
import { little } from "./sockaddr.ts";

/** Bytes that wait to be read at most, each datagram with its overhead (net.core.rmem_default). */
const RECEIVE_BUFFER = 212_992;
const OVERHEAD = 768;
/** Datagrams that Node has taken and not yet passed on. */
const UNSENT = 64;
/** Largest payloads: 65,535 less the headers; that of IPv6 does not count its own (RFC 8200). */
const LARGEST = { [AF_INET]: 65_507, [AF_INET6]: 65_527 };
/** Senders whose sockaddr is remembered. */
const REMEMBERED = 1024;

export interface Received {
  readonly bytes: Uint8Array;
  readonly from: Sockaddr;
}

/** A receiver in Node's words. */
interface To {
  host: string;
  port: number;
}

/** An IP address is its own answer, at once: so that a datagram leaves within the call. */
function lookup(
  host: string,
  _options: unknown,
  done: (error: null, ip: string, family: number) => void,
): void {
  done(null, host, isIPv4(host) ? 4 : 6);
}

/** The interfaces by the numbers that they are given here: their place in this list, plus one. */
const interfaces: string[] = [];

export function interfaceIndex(name: string): number {
  if (networkInterfaces()[name] === undefined) return 0;
  if (!interfaces.includes(name)) interfaces.push(name);
  return interfaces.indexOf(name) + 1;
}

/** What Node calls an interface; undefined lets the kernel choose. */
function interfaceOf(index: number, four: boolean): string | undefined {
  const name = interfaces[index - 1];
  if (name === undefined) return undefined;
  if (!four) return `::%${name}`;
  return networkInterfaces()[name]?.find(({ family }) => family === "IPv4")?.address;
}

export class PortableDatagram {
  private readonly socket: PortableSocket;
  private readonly node: Socket;
  private readonly received = new Ring<Received>();
  private readonly senders = new Map<string, Sockaddr>();
  private waiting = 0;
  private unsent = 0;
  private error = 0;
  private full = false;
  private writeShut = false;
  private readiness: Readiness | undefined = undefined;

  constructor(socket: PortableSocket) {
    this.socket = socket;
    const { options, family } = socket;
    const [receive, send] = [
      options.get(SOL_SOCKET, SO_RCVBUF),
      options.get(SOL_SOCKET, SO_SNDBUF),
    ];
    this.node = createSocket({
      type: family === AF_INET ? "udp4" : "udp6",
      ipv6Only: options.get(IPPROTO_IPV6, IPV6_V6ONLY) !== 0,
      ...(options.get(SOL_SOCKET, SO_REUSEPORT) !== 0 && { reusePort: true }),
      ...(receive > 0 && { recvBufferSize: receive }),
      ...(send > 0 && { sendBufferSize: send }),
      lookup: lookup as never,
    });
    this.node.unref();
    this.node.on("message", this.onMessage);
    this.node.on("error", (error) => this.failed(error));
  }

  /** Binds: 0 or a negative errno. */
  bind(sockaddr: Uint8Array): Promise<number> {
    const { node } = this;
    const { host, port } = whereOf(sockaddr) as To;
    return new Promise((resolve) => {
      const failed = (error: Error): void => {
        this.error = 0;
        resolve(-errnoOf(error));
      };
      node.once("error", failed);
      // A cluster's worker binds for itself, as every socket of Coronet's does.
      node.bind({ address: host, port, exclusive: true }, () => {
        node.off("error", failed);
        this.named();
        resolve(0);
      });
    });
  }

  /** Gives it a peer: writable once it has, or an error. */
  connect(sockaddr: Uint8Array): number {
    const { host, port } = whereOf(sockaddr) as To;
    if (port === 0) return -EINVAL;
    this.node.connect(port, host, (error?: Error | null) => {
      if (error) {
        this.failed(error);
        return;
      }
      this.socket.peer = sockaddr;
      this.named();
      this.readiness?.notify(false, true, false);
    });
    return -EINPROGRESS;
  }

  private named(): void {
    const { address, port } = this.node.address();
    this.socket.local = inetName(address, port);
  }

  watch(readiness: Readiness): void {
    this.readiness = readiness;
    const failed = this.error !== 0;
    if (failed || this.received.length > 0) readiness.notify(true, failed, false);
  }

  private failed(error: Error): void {
    this.error = errnoOf(error);
    this.readiness?.notify(true, true, false);
  }

  /** What the last call left to be told; told once. */
  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  // ---- reading

  private readonly onMessage = (bytes: Uint8Array, from: RemoteInfo): void => {
    const size = bytes.length + OVERHEAD;
    const room = this.socket.options.get(SOL_SOCKET, SO_RCVBUF) || RECEIVE_BUFFER;
    if (this.waiting > 0 && this.waiting + size > room) return;
    this.waiting += size;
    this.received.push({ bytes, from: this.sender(from) });
    this.readiness?.notify(true, false, false);
  };

  private sender({ address, port }: RemoteInfo): Sockaddr {
    const key = `${address} ${port}`;
    let known = this.senders.get(key);
    if (known === undefined) {
      known = Sockaddr.of(inetName(address, port, scopeOf(address)));
      if (this.senders.size === REMEMBERED) this.senders.clear();
      this.senders.set(key, known);
    }
    return known;
  }

  /** The oldest datagram, or a negative errno. */
  receive(): Received | number {
    if (this.error !== 0) return -this.takeError();
    const oldest = this.received.shift();
    if (oldest === undefined) return -EAGAIN;
    this.waiting -= oldest.bytes.length + OVERHEAD;
    return oldest;
  }

  peek(): number {
    if (this.error !== 0) return -this.takeError();
    return this.received.length > 0 ? 1 : -EAGAIN;
  }

  // ---- writing

  /** Sends bytes that nobody else will change; to the peer without an address. */
  send(bytes: Uint8Array, to?: Uint8Array): number {
    if (this.error !== 0) return -this.takeError();
    const refused = this.refusal(bytes, to);
    if (refused !== 0) return -refused;
    if (this.unsent >= UNSENT) {
      this.full = true;
      return -EAGAIN;
    }
    this.unsent++;
    if (to === undefined) this.node.send(bytes, this.onSent);
    else {
      const { host, port } = this.receiver(to);
      this.node.send(bytes, port, host, this.onSent);
    }
    return bytes.length;
  }

  private receiver(to: Uint8Array): To {
    const where = whereOf(to) as To;
    const four = to.length === 16;
    return four && this.socket.family === AF_INET6
      ? { ...where, host: `::ffff:${where.host}` }
      : where;
  }

  /** What the kernel would refuse at once, and Node only tells later. */
  private refusal(bytes: Uint8Array, to: Uint8Array | undefined): number {
    const { family, options } = this.socket;
    if (this.writeShut) return EPIPE;
    if (bytes.length > LARGEST[family as typeof AF_INET]) return EMSGSIZE;
    if (to === undefined) return 0;
    const { host, port } = whereOf(to) as To;
    if (port === 0) return EINVAL;
    const broadcast = host === "255.255.255.255" || isBroadcast(host);
    return broadcast && options.get(SOL_SOCKET, SO_BROADCAST) === 0 ? EACCES : 0;
  }

  private readonly onSent = (error: Error | null): void => {
    this.unsent--;
    if (error !== null) this.failed(error);
    if (!this.full || this.unsent > UNSENT / 2) return;
    this.full = false;
    this.readiness?.notify(false, true, false);
  };

  shutWrite(): void {
    this.writeShut = true;
  }

  close(): void {
    this.readiness = undefined;
    this.node.off("message", this.onMessage);
    this.node.close();
  }

  // ---- options

  /** Puts an option into effect: 0 or a negative errno. */
  set(level: number, option: number, value: Uint8Array): number {
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    try {
      return this.apply(level, option, view);
    } catch (error) {
      return -errnoOf(error);
    }
  }

  private apply(level: number, option: number, view: DataView): number {
    const { node } = this;
    const value = view.getInt32(0, little);
    if (level === SOL_SOCKET) return this.applyToSocket(option, value);
    const four = level === IPPROTO_IP;
    const isGroup = option === IP_ADD_MEMBERSHIP || option === IP_DROP_MEMBERSHIP;
    // Node sets the options of a socket's own family alone.
    if (four && this.socket.family === AF_INET6 && !isGroup) return -EOPNOTSUPP;
    if (option === (four ? IP_TTL : IPV6_UNICAST_HOPS)) node.setTTL(value);
    else if (option === (four ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS)) {
      node.setMulticastTTL(value);
    } else if (option === (four ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP)) {
      node.setMulticastLoopback(value !== 0);
    } else if (option === (four ? IP_MULTICAST_IF : IPV6_MULTICAST_IF)) {
      const face = interfaceOf(view.getInt32(four ? 8 : 0, little), four);
      node.setMulticastInterface(face ?? (four ? "0.0.0.0" : "::0"));
    } else return this.applyGroup(four, option, view);
    return 0;
  }

  private applyToSocket(option: number, value: number): number {
    const { node } = this;
    if (option === SO_BROADCAST) node.setBroadcast(value !== 0);
    else if (option === SO_RCVBUF) node.setRecvBufferSize(value);
    else if (option === SO_SNDBUF) node.setSendBufferSize(value);
    else return -ENOPROTOOPT;
    return 0;
  }

  private applyGroup(four: boolean, option: number, view: DataView): number {
    const length = four ? 4 : 16;
    const group = formatIP(new Uint8Array(view.buffer, view.byteOffset, length));
    const face = interfaceOf(view.getInt32(four ? 8 : 16, little), four);
    if (option === (four ? IP_ADD_MEMBERSHIP : IPV6_JOIN_GROUP)) {
      this.node.addMembership(group, face);
    } else if (option === (four ? IP_DROP_MEMBERSHIP : IPV6_LEAVE_GROUP)) {
      this.node.dropMembership(group, face);
    } else return -ENOPROTOOPT;
    return 0;
  }
}

/** Whether an address is the broadcast address of a network that this machine is in. */
function isBroadcast(host: string): boolean {
  // Those that are none, nearly always, are told without asking for the interfaces.
  if (!host.endsWith(".255") || host.startsWith("127.")) return false;
  const faces = Object.values(networkInterfaces()).flat();
  return faces.some((face) => face?.family === "IPv4" && broadcastOf(face) === host);
}

function broadcastOf({ address, netmask }: { address: string; netmask: string }): string {
  const mask = netmask.split(".").map(Number);
  return address
    .split(".")
    .map((byte, i) => Number(byte) | (~(mask[i] as number) & 0xff))
    .join(".");
}
