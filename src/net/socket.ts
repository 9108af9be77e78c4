/**
 * socket.ts: what every connection on a kernel socket has: addresses that are looked up when asked
 * for, and socket options.
 */
import type { Reader } from "../io/io.ts";
import {
  type FileSource,
  isFile,
  NO,
  type Passed,
  type ReaderFrom,
  readFrom,
  type Transfer,
} from "../io/transfer.ts";
import { FD, type Owner } from "../poll/fd.ts";
import { DatagramFD } from "../poll/packet.ts";
import { Peers } from "../poll/peers.ts";
import { sendFile } from "../poll/send_file.ts";
import { spliceSockets } from "../poll/splice.ts";
import type { Runtime } from "../runtime/runtime.ts";
import {
  AF_UNIX,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import { CLOSED } from "../syscall/errno.ts";
import { type Kernel, NAME_BUFFER_SIZE } from "../syscall/kernel.ts";
import { decode, type SocketAddress, unpack } from "../syscall/sockaddr.ts";
import {
  type Addr,
  addrOf,
  isPacket,
  type Network,
  type PacketNetwork,
  UDPAddr,
  UnixAddr,
} from "./addr.ts";
import { BaseConn } from "./conn.ts";
import { errorOf, type NetOp } from "./errors.ts";

const name = new Uint8Array(NAME_BUFFER_SIZE);
const int = new Int32Array(1);
const intBytes = new Uint8Array(int.buffer);

/** Owner of an fd between its creation and that of the conn or listener that takes it over. */
export const NOBODY: Owner = {
  error: (op, number) => errorOf(number, { op: op as NetOp, network: "tcp" }),
};

/** Binds a unix socket to an abstract name that the kernel chooses (unix(7)). */
export const AUTOBIND = new Uint8Array(Uint16Array.of(AF_UNIX).buffer);

const udpPeers = new Peers(UDPAddr.received);
const unixPeers = new Peers(UnixAddr.received);

/** An open socket of datagrams, owned by nobody yet. */
export function datagramFD(
  runtime: Runtime,
  sysfd: number,
  network: PacketNetwork,
  connected: boolean,
): DatagramFD {
  const unix = network === "unixgram";
  const kind = { mustRetry: unix && !connected, runs: !unix };
  return new DatagramFD(runtime, sysfd, NOBODY, unix ? unixPeers : udpPeers, kind);
}

/** An open socket of a network, that has a peer or listens; owned by nobody yet. */
export function socketFD(runtime: Runtime, sysfd: number, network: Network): FD {
  if (isPacket(network)) return datagramFD(runtime, sysfd, network, true);
  const fd = new FD(runtime, sysfd, NOBODY, network === "unixpacket");
  // A message with file descriptors in it ends a read, though more bytes stand behind it (unix(7)).
  if (network === "unix") fd.distrustShortReads();
  return fd;
}

export function socketType(network: Network): number {
  if (isPacket(network)) return SOCK_DGRAM;
  return network === "unixpacket" ? SOCK_SEQPACKET : SOCK_STREAM;
}

/** Sets an integer option: 0 or a negative errno. */
export function setInt(
  kernel: Kernel,
  sysfd: number,
  level: number,
  option: number,
  value: number,
): number {
  int[0] = value;
  return kernel.setsockopt(sysfd, level, option, intBytes);
}

/** The value of an integer option, or a negative errno. */
export function getInt(kernel: Kernel, sysfd: number, level: number, option: number): number {
  const n = kernel.getsockopt(sysfd, level, option, intBytes);
  return n < 0 ? n : (int[0] as number);
}

/** What the socket is bound to. */
export function sockname(kernel: Kernel, sysfd: number): SocketAddress | undefined {
  return kernel.getsockname(sysfd, name) === 0 ? decode(name) : undefined;
}

/** Whom the socket is connected to, or a negative errno. */
export function peername(kernel: Kernel, sysfd: number): SocketAddress | undefined | number {
  const n = kernel.getpeername(sysfd, name);
  return n < 0 ? n : decode(name);
}

/** What all connections of one listener, or of one dial, have in common. */
export interface ConnOrigin {
  readonly network: Network;
  /** What the listener listened on; undefined for a dialled connection. */
  readonly addr: Addr | undefined;
}

/** What makes a conn of its open file, in plain values. */
export interface ConnDescription {
  readonly network: Network;
  /** What the listener listened on; "" when it was dialled. */
  readonly listened: string;
  /** The peer: a packed sockaddr, or an address in text. */
  readonly peer: string;
  readonly packed: boolean;
  readonly lingerMs: number | undefined;
}

export abstract class SocketConn extends BaseConn implements ReaderFrom {
  private readonly origin: ConnOrigin;
  private remote: Addr | string;

  /** `peer` may be a packed sockaddr: it is decoded when someone asks. */
  constructor(fd: FD, origin: ConnOrigin, peer: string | Addr) {
    super(fd);
    this.origin = origin;
    this.remote = peer;
  }

  get network(): Network {
    return this.origin.network;
  }

  /** This end. After close: what was known before, at least what the listener listened on. */
  get localAddr(): Addr {
    const known = this.extra?.local;
    if (known !== undefined) return known;
    if (this.fd.closing || this.fd.sysfd === -1) {
      return this.origin.addr ?? addrOf(this.network, undefined);
    }
    const local = addrOf(this.network, sockname(this.kernel, this.fd.sysfd));
    this.more().local = local;
    return local;
  }

  /** The other end. */
  get remoteAddr(): Addr {
    if (typeof this.remote === "string") this.remote = addrOf(this.network, unpack(this.remote));
    return this.remote;
  }

  /** @internal For copy: takes from files and other sockets without a buffer. */
  async [readFrom](src: Reader | FileSource, transfer: Transfer): Promise<Passed> {
    // Message boundaries would be lost.
    if (this.fd.packets) return NO;
    if (isFile(src)) return await sendFile(this.fd, src, src.offset ?? 0, transfer);
    if (!(src instanceof SocketConn && !src.fd.packets)) return NO;
    return await spliceSockets(this.fd, src.fd, transfer);
  }

  /** @internal */
  get description(): ConnDescription {
    const { network, addr } = this.origin;
    const packed = typeof this.remote === "string";
    const listened = addr === undefined ? "" : String(addr);
    const { lingerMs } = this.extra ?? {};
    return {
      network,
      listened,
      peer: String(this.remote),
      packed,
      lingerMs,
    };
  }

  /** @internal What close() does with bytes that are not acknowledged: see TCPConn.setLinger. */
  restoreLinger(ms: number): void {
    this.more().lingerMs = ms;
  }

  /** Sets the kernel's receive buffer (SO_RCVBUF, which Linux doubles; socket(7)). */
  setReadBuffer(bytes: number): void {
    this.setBuffer(SO_RCVBUF, bytes);
  }

  /** Sets the kernel's send buffer (SO_SNDBUF, which Linux doubles; socket(7)). */
  setWriteBuffer(bytes: number): void {
    this.setBuffer(SO_SNDBUF, bytes);
  }

  private setBuffer(option: number, bytes: number): void {
    if (!Number.isInteger(bytes) || bytes <= 0) {
      throw new RangeError(`buffer size: expected a positive number of bytes, got ${bytes}`);
    }
    this.setOption(SOL_SOCKET, option, bytes);
  }

  /** @internal The same connection on another FD. */
  onFD(fd: FD): SocketConn {
    const Kind = this.constructor as new (fd: FD, origin: ConnOrigin, peer: string | Addr) => this;
    return new Kind(fd, this.origin, this.remote);
  }

  /** The socket's own kernel: what moves bytes may be a layer on it (TLS). */
  protected get kernel(): Kernel {
    return this.fd.device.runtime.kernel;
  }

  protected setOption(level: number, option: number, value: number): void {
    if (this.fd.closing) throw this.errorFor("set", CLOSED);
    const n = setInt(this.kernel, this.fd.sysfd, level, option, value);
    if (n < 0) throw this.errorFor("set", -n);
  }
}
