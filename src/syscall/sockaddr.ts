/**
 * sockaddr.ts: struct sockaddr in bytes, to and from values.
 *
 * Layouts (ip(7), ipv6(7), unix(7)); the family is a native-order uint16, ports and addresses are
 * in network order:
 *   AF_INET   family port(2) address(4) zero(8)                     16 bytes
 *   AF_INET6  family port(2) flow(4) address(16) scope(4, native)   28 bytes
 *   AF_UNIX   family path, ended by NUL or by the length; abstract when its first byte is NUL
 *
 * A connection keeps its peer's address packed in a string, one character per byte (24 bytes of
 * heap for IPv4): an idle connection must stay small and few handlers ever look at it.
 */
import { endianness } from "node:os";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.ts";

/** Whether this machine's integers begin with their lowest byte. */
export const little = endianness() === "LE";

export interface InetAddress {
  family: typeof AF_INET | typeof AF_INET6;
  /** 4 or 16 bytes, network order. */
  ip: Uint8Array;
  port: number;
  /** Interface index of a link-local address, else 0. */
  scope: number;
}

export interface UnixAddress {
  family: typeof AF_UNIX;
  /** Empty when unnamed; an abstract name begins with NUL. */
  path: Uint8Array;
}

export type SocketAddress = InetAddress | UnixAddress;

/** Longest path in bytes: sun_path has 108, one of which ends it (unix(7)). */
export const MAX_UNIX_PATH = 107;

export function encodeInet(address: InetAddress): Uint8Array {
  const six = address.family === AF_INET6;
  const out = new Uint8Array(six ? 28 : 16);
  const view = new DataView(out.buffer);
  view.setUint16(0, address.family, little);
  view.setUint16(2, address.port);
  out.set(address.ip, six ? 8 : 4);
  if (six) view.setUint32(24, address.scope, little);
  return out;
}

export function encodeUnix(path: Uint8Array): Uint8Array {
  const abstract = path[0] === 0;
  const out = new Uint8Array(2 + path.length + (abstract ? 0 : 1));
  new DataView(out.buffer).setUint16(0, AF_UNIX, little);
  out.set(path, 2);
  return out;
}

/** Decodes the sockaddr of a name buffer (see NAME_BUFFER_SIZE), or undefined when unknown. */
export function decode(buffer: Uint8Array): SocketAddress | undefined {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const length = view.getUint32(0, little);
  if (length < 2) return undefined;
  const family = view.getUint16(4, little);
  if (family === AF_INET) {
    return { family, ip: buffer.slice(8, 12), port: view.getUint16(6), scope: 0 };
  }
  if (family === AF_INET6) {
    const ip = buffer.slice(12, 28);
    return { family, ip, port: view.getUint16(6), scope: view.getUint32(28, little) };
  }
  if (family === AF_UNIX) return { family, path: unixPath(buffer.subarray(6, 4 + length)) };
  return undefined;
}

function unixPath(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0 || bytes[0] === 0) return bytes.slice();
  const end = bytes.indexOf(0);
  return bytes.slice(0, end === -1 ? bytes.length : end);
}

/** Puts a sockaddr into a name buffer, as the kernel does. */
export function writeName(buffer: Uint8Array, sockaddr: Uint8Array): void {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  view.setUint32(0, sockaddr.length, little);
  buffer.set(sockaddr, 4);
}

/** A name buffer's sockaddr as a string, one character per byte. */
export function pack(buffer: Uint8Array): string {
  const length = (buffer[0] as number) | ((buffer[1] as number) << 8);
  const bytes = little ? length : (buffer[3] as number) | ((buffer[2] as number) << 8);
  if (bytes === 16 && buffer[little ? 4 : 5] === AF_INET) {
    // The common case without a loop: family, port, address.
    return String.fromCharCode(
      buffer[4] as number,
      buffer[5] as number,
      buffer[6] as number,
      buffer[7] as number,
      buffer[8] as number,
      buffer[9] as number,
      buffer[10] as number,
      buffer[11] as number,
    );
  }
  let out = "";
  for (let i = 4; i < 4 + bytes; i++) out += String.fromCharCode(buffer[i] as number);
  return out;
}

/** A sockaddr in bytes, without a name buffer around it. */
export function decodeBytes(sockaddr: Uint8Array): SocketAddress | undefined {
  const buffer = new Uint8Array(4 + sockaddr.length);
  new DataView(buffer.buffer).setUint32(0, sockaddr.length, little);
  buffer.set(sockaddr, 4);
  return decode(buffer);
}

/** What pack packed. */
export function unpack(packed: string): SocketAddress | undefined {
  const buffer = new Uint8Array(4 + packed.length);
  new DataView(buffer.buffer).setUint32(0, packed.length, little);
  for (let i = 0; i < packed.length; i++) buffer[4 + i] = packed.charCodeAt(i);
  return decode(buffer);
}
