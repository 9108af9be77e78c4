/**
 * addr.ts: addresses as values, and as text that can be dialled or listened on again.
 *
 *   tcp         "127.0.0.1:2333"  "[::1]:2333"  "[fe80::1%eth0]:2333"  "host:2333"  ":2333"
 *   udp         the same
 *   unix        "/run/x.sock"  "relative.sock"  "@abstract"
 */
import { isIPv4, isIPv6 } from "node:net";
import { formatIP, parseIPv4, parseIPv6, zoneIndex, zoneName } from "../internal/ip.ts";
import { AF_INET, AF_INET6 } from "../syscall/constants.ts";
import { Sockaddr } from "../syscall/slots.ts";
import {
  decodeBytes,
  encodeInet,
  encodeUnix,
  MAX_UNIX_PATH,
  type SocketAddress,
} from "../syscall/sockaddr.ts";

export type StreamNetwork = "tcp" | "tcp4" | "tcp6" | "unix" | "unixpacket";
/** Networks of datagrams. */
export type PacketNetwork = "udp" | "udp4" | "udp6" | "unixgram";
export type Network = StreamNetwork | PacketNetwork;
export type UnixNetwork = "unix" | "unixpacket" | "unixgram";

export function isUnix(network: string): network is UnixNetwork {
  return network.startsWith("unix");
}

export function isPacket(network: string): network is PacketNetwork {
  return network.startsWith("udp") || network === "unixgram";
}

/** Whether an IP address may be used on a network: "tcp4" and "udp6" take one family alone. */
export function belongs(ip: string, network: string): boolean {
  if (network.endsWith("4")) return isIPv4(ip);
  return !network.endsWith("6") || !isIPv4(ip);
}

/** An address of either end. `String(addr)` can be dialled or listened on again. */
export interface Addr {
  /** "tcp", "udp", "unix", "unixpacket", "unixgram", "pipe". */
  readonly network: string;
  toString(): string;
}

/** What the addresses of TCP and UDP have in common. */
abstract class IPAddr implements Addr {
  abstract readonly network: string;
  /** "127.0.0.1", "::1". An IPv4 address mapped into IPv6 is given as IPv4. */
  readonly ip: string;
  readonly port: number;
  /** Interface of a link-local IPv6 address, else "". */
  readonly zone: string;

  constructor(ip: string, port: number, zone = "") {
    this.ip = ip;
    this.port = port;
    this.zone = zone;
  }

  toString(): string {
    const zone = this.zone === "" ? "" : `%${this.zone}`;
    return this.ip.includes(":") ? `[${this.ip}${zone}]:${this.port}` : `${this.ip}:${this.port}`;
  }
}

/** An IP address and a port. */
export class TCPAddr extends IPAddr {
  readonly network = "tcp";
}

/** An IP address and a port, of UDP. */
export class UDPAddr extends IPAddr {
  readonly network = "udp";
  #sockaddr: Sockaddr | undefined;

  /** @internal The address that the kernel has told. */
  static received(sockaddr: Sockaddr): UDPAddr {
    const addr = addrOf("udp", decodeBytes(sockaddr.bytes)) as UDPAddr;
    addr.#sockaddr = sockaddr;
    return addr;
  }

  /** @internal What a socket of the family sends to. Throws an AddressError. */
  sockaddr(family: number): Sockaddr {
    if (this.#sockaddr?.family === family) return this.#sockaddr;
    if (family === AF_INET && !isIPv4(this.ip)) {
      throw new AddressError(`an IPv4 socket can't send to ${this}`);
    }
    const bytes = inetSockaddr(this.ip, this.port, this.zone, family === AF_INET6);
    this.#sockaddr = Sockaddr.of(bytes);
    return this.#sockaddr;
  }
}

/** A path, an abstract name ("@name"), or "" for a socket without a name. */
export class UnixAddr implements Addr {
  readonly network: UnixNetwork;
  readonly path: string;
  #sockaddr: Sockaddr | undefined;

  constructor(network: UnixNetwork, path: string) {
    this.network = network;
    this.path = path;
  }

  /** @internal The address that the kernel has told. */
  static received(sockaddr: Sockaddr): UnixAddr {
    const addr = addrOf("unixgram", decodeBytes(sockaddr.bytes)) as UnixAddr;
    addr.#sockaddr = sockaddr;
    return addr;
  }

  /** @internal What a socket sends to. Throws an AddressError. */
  sockaddr(): Sockaddr {
    if (this.#sockaddr !== undefined && this.path !== "") return this.#sockaddr;
    if (this.path === "") {
      throw new AddressError("the peer has no name: it must bind its socket to one to be answered");
    }
    this.#sockaddr = Sockaddr.of(unixSockaddr(this.path));
    return this.#sockaddr;
  }

  toString(): string {
    return this.path;
  }
}

/** A malformed address. The dial or listen that it was given to reports it. */
export class AddressError extends Error {}

/** The network that an address belongs to by its form: no "host:port" has a "/" in it. */
export function networkOf(address: string): "tcp" | "unix" {
  return address.startsWith("@") || address.includes("/") ? "unix" : "tcp";
}

export interface HostPort {
  /** "" when absent: every interface for listen, this machine for dial. */
  host: string;
  zone: string;
  port: number;
}

/** Splits "host:port", "[v6%zone]:port" or ":port". Throws an AddressError that says what is wrong. */
export function splitHostPort(address: string): HostPort {
  const bracketed = /^\[([^\]]*)\]:([^:]*)$/.exec(address);
  const plain = /^([^:[\]]*):([^:]*)$/.exec(address);
  const match = bracketed ?? plain;
  if (match === null) {
    const many = (address.match(/:/g) ?? []).length > 1 && !address.startsWith("[");
    const why = many
      ? "too many colons: put an IPv6 address in brackets"
      : "no port: write host:port";
    throw new AddressError(`malformed address "${address}": ${why}`);
  }
  const [host, zone] = splitZone(match[1] as string);
  if (bracketed !== null && !isIPv6(host)) {
    throw new AddressError(`malformed address "${address}": "${host}" is not an IPv6 address`);
  }
  return { host, zone, port: parsePort(match[2] as string, address) };
}

function splitZone(host: string): [host: string, zone: string] {
  const at = host.indexOf("%");
  return at === -1 ? [host, ""] : [host.slice(0, at), host.slice(at + 1)];
}

function parsePort(text: string, address: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < 0 || port > 65_535) {
    throw new AddressError(
      `malformed address "${address}": the port must be a number from 0 to 65535`,
    );
  }
  return port;
}

/**
 * The sockaddr of an IP address in text; a zone may be part of it. IPv4 is mapped into IPv6 when the
 * socket is IPv6.
 */
export function inetSockaddr(text: string, port: number, of = "", mapped = false): Uint8Array {
  const [ip, zone = of] = text.split("%") as [string, string?];
  const four = isIPv4(ip);
  if (four && !mapped) {
    return encodeInet({ family: AF_INET, ip: parseIPv4(ip), port, scope: 0 });
  }
  const bytes = parseIPv6(four ? `::ffff:${ip}` : ip);
  return encodeInet({ family: AF_INET6, ip: bytes, port, scope: scopeOf(zone) });
}

/** The sockaddr of a path or an abstract name. Throws an AddressError when it does not fit. */
export function unixSockaddr(path: string): Uint8Array {
  if (path === "")
    throw new AddressError("malformed address: a unix socket needs a path or a name");
  const bytes = Buffer.from(path);
  if (bytes.length > MAX_UNIX_PATH) {
    throw new AddressError(
      `the path "${path}" has ${bytes.length} bytes; a unix socket's has ${MAX_UNIX_PATH} at most`,
    );
  }
  if (path[0] === "@") bytes[0] = 0;
  else if (bytes.includes(0)) throw new AddressError("a unix socket's path has no NUL byte");
  return encodeUnix(bytes);
}

/** What the kernel reports, as an Addr. */
export function addrOf(network: Network, address: SocketAddress | undefined): Addr {
  if (isUnix(network)) {
    const path = address !== undefined && "path" in address ? address.path : new Uint8Array();
    return new UnixAddr(network, unixText(path));
  }
  const Kind = isPacket(network) ? UDPAddr : TCPAddr;
  if (address === undefined || "path" in address) return new Kind("0.0.0.0", 0);
  const text = formatIP(address.ip);
  return new Kind(text, address.port, text.includes(":") ? zoneName(address.scope) : "");
}

function unixText(path: Uint8Array): string {
  if (path.length === 0) return "";
  const text = Buffer.from(path).toString();
  return path[0] === 0 ? `@${text.slice(1)}` : text;
}

function scopeOf(zone: string): number {
  const index = zone === "" ? 0 : zoneIndex(zone);
  if (index > 0 || zone === "" || /^0+$/.test(zone)) return index;
  throw new AddressError(`no interface "${zone}" has a link-local IPv6 address`);
}

/** The address whose text another thread or process has sent. */
export function addrOfText(network: Network, text: string): Addr {
  if (isUnix(network)) return new UnixAddr(network, text);
  const { host, zone, port } = splitHostPort(text);
  const Kind = isPacket(network) ? UDPAddr : TCPAddr;
  return new Kind(host, port, zone);
}
