/** listening.ts: one listening socket in several threads, and conns made of accepted fds. */
import { type Addr, type StreamNetwork, splitHostPort, TCPAddr, UnixAddr } from "../net/addr.ts";
import { errorOf } from "../net/errors.ts";
import { Listener } from "../net/listener.ts";
import { type ConnOrigin, type SocketConn, socketFD } from "../net/socket.ts";
import { TCPConn } from "../net/tcp.ts";
import { UnixConn } from "../net/unix.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { nativeKernel } from "../syscall/native.ts";

/** An address of this process's own making, from its text. */
export function addrOfText(network: StreamNetwork, text: string): Addr {
  if (network === "unix" || network === "unixpacket") return new UnixAddr(network, text);
  const { host, zone, port } = splitHostPort(text);
  return new TCPAddr(host, port, zone);
}

/** The conn of an accepted fd; `peer` is packed or an address. */
export function connOf(
  rt: Runtime,
  sysfd: number,
  origin: ConnOrigin,
  peer: string | Addr,
): SocketConn {
  const { network } = origin;
  const fd = socketFD(rt, sysfd, network);
  const unix = network === "unix" || network === "unixpacket";
  return unix ? new UnixConn(fd, origin, peer) : new TCPConn(fd, origin, peer);
}

/** A number of this thread's own for another thread's fd. Throws a NetError when there is none. */
export function duplicate(fd: number, origin: ConnOrigin): number {
  const sysfd = nativeKernel().dupFd(fd);
  if (sysfd >= 0) return sysfd;
  const { network, addr } = origin;
  throw errorOf(-sysfd, { op: "listen", network, address: String(addr) });
}

/** This thread's share in a socket that another thread listens on. */
export function sharedListener(rt: Runtime, theirs: number, origin: ConnOrigin): Listener {
  const { network } = origin;
  const fd = socketFD(rt, duplicate(theirs, origin), network);
  fd.shareAccepts();
  const adopt = (sysfd: number, peer: string): SocketConn => connOf(rt, sysfd, origin, peer);
  return new Listener<SocketConn>(fd, network, origin.addr as Addr, adopt, undefined);
}
