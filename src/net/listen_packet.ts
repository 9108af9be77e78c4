/** listen_packet.ts: listenPacket(): a socket of datagrams bound to an address in text. */
import { type Runtime, runtime } from "../runtime/runtime.ts";
import {
  AF_INET6,
  AF_UNIX,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import { addrOf, type PacketNetwork } from "./addr.ts";
import { checkNetwork } from "./listen.ts";
import type { Resolver } from "./names.ts";
import { PacketConn } from "./packet_conn.ts";
import { Attempt, checkPositive, type Place } from "./place.ts";
import { type Control, callControl, networkOf } from "./raw_socket.ts";
import { AUTOBIND, datagramFD, socketType, sockname } from "./socket.ts";
import { OwnedPath } from "./unix.ts";

export interface ListenPacketOptions {
  /**
   * Several sockets, of any threads and processes, share the port (SO_REUSEPORT, socket(7)): each
   * sender stays with one of them, a group's datagrams reach them all.
   */
  reusePort?: boolean;
  /** Kernel buffers, in bytes: what arrives while the receive buffer is full is lost. */
  readBuffer?: number;
  writeBuffer?: number;
  /** Looks up a host name; the system's by default. */
  resolver?: Resolver;
  /** Changes the socket before it is bound; what it throws fails the call. */
  control?: Control;
}

class PacketAttempt extends Attempt<PacketConn> {
  private readonly options: ListenPacketOptions;

  constructor(rt: Runtime, network: PacketNetwork, address: string, options: ListenPacketOptions) {
    super(rt, network, address, options.resolver);
    this.options = options;
  }

  protected override unixName(): Uint8Array {
    return this.address === "" ? AUTOBIND : super.unixName();
  }

  protected async open(place: Place): Promise<PacketConn> {
    const { kernel } = this.runtime;
    const sysfd = kernel.socket(place.family, socketType(this.network), 0);
    if (sysfd < 0) throw this.fail(-sysfd);
    try {
      return await this.bind(sysfd, place);
    } catch (error) {
      kernel.close(sysfd);
      throw error;
    }
  }

  private async bind(sysfd: number, place: Place): Promise<PacketConn> {
    const { runtime: rt, address } = this;
    const network = this.network as PacketNetwork;
    const { reusePort, readBuffer, writeBuffer, control } = this.options;
    if (reusePort === true) this.set(sysfd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (place.family === AF_INET6) this.set(sysfd, IPPROTO_IPV6, IPV6_V6ONLY, place.dual ? 0 : 1);
    if (readBuffer !== undefined) this.set(sysfd, SOL_SOCKET, SO_RCVBUF, readBuffer);
    if (writeBuffer !== undefined) this.set(sysfd, SOL_SOCKET, SO_SNDBUF, writeBuffer);
    if (control !== undefined) {
      callControl(control, rt.kernel, sysfd, networkOf(network, place.family), address);
    }
    const bound = await rt.kernel.bind(sysfd, place.sockaddr);
    if (bound < 0) throw this.fail(-bound);
    const isFile = place.family === AF_UNIX && address !== "" && !address.startsWith("@");
    const path = isFile ? new OwnedPath(address) : undefined;
    const fd = datagramFD(rt, sysfd, network, false);
    return new PacketConn(fd, network, addrOf(network, sockname(rt.kernel, sysfd)), place, path);
  }
}

const NETWORKS = ["udp", "udp4", "udp6", "unixgram"];

/**
 * Opens a socket of datagrams on an address.
 *
 * Networks: "udp" (IPv6 and IPv4 for ":port"), "udp4", "udp6", "unixgram" (a path, an abstract "@name",
 * or "" for a name that the kernel chooses). Port 0 lets the kernel choose; `localAddr` tells. A path
 * that it made is removed again on close. Throws a NetError: EADDRINUSE, EACCES, EINVAL for an address
 * that can't be read, …
 *
 * @example
 * import { listenPacket } from "coronet";
 * await using a = await listenPacket("unixgram", "@coronet-listen-packet");
 * await using b = await listenPacket("unixgram", "");
 * await b.writeTo("one", a.localAddr);
 * await b.writeTo("two", "@coronet-listen-packet");
 * for (const { data } of await a.readBatch()) console.log(new TextDecoder().decode(data)); // one two
 */
export async function listenPacket(
  network: PacketNetwork,
  address: string,
  options?: ListenPacketOptions,
): Promise<PacketConn> {
  return await listenPacketOn(runtime(), network, address, options);
}

/** As listenPacket, on a given runtime. */
export async function listenPacketOn(
  rt: Runtime,
  network: PacketNetwork,
  address: string,
  options: ListenPacketOptions = {},
): Promise<PacketConn> {
  checkNetwork(network, "listenPacket", NETWORKS);
  const { readBuffer, writeBuffer } = options;
  checkPositive("listenPacket", { readBuffer, writeBuffer });
  return await new PacketAttempt(rt, network, address, options).run();
}
