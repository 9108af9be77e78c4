/** listening.ts: one listening socket in several threads, and conns made of accepted fds. */

import type { Addr, StreamNetwork } from "../net/addr.ts";
import { errorOf } from "../net/errors.ts";
import { kindOf } from "../net/kinds.ts";
import { listenerOf } from "../net/listen.ts";
import type { Listener } from "../net/listener.ts";
import { type ConnOrigin, type SocketConn, socketFD } from "../net/socket.ts";
import type { FD } from "../poll/fd.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { nativeKernel } from "../syscall/native.ts";

/** The conn of an FD. */
export function connOn(fd: FD, origin: ConnOrigin, peer: string | Addr): SocketConn {
  return new (kindOf(origin.network))(fd, origin, peer);
}

/** The conn of an accepted fd; `peer` is packed or an address. */
export function connOf(
  rt: Runtime,
  sysfd: number,
  origin: ConnOrigin,
  peer: string | Addr,
): SocketConn {
  return connOn(socketFD(rt, sysfd, origin.network), origin, peer);
}

/** A number of this thread's own for another thread's fd. Throws a NetError when none is free. */
export function duplicate(theirs: number): number {
  const sysfd = nativeKernel().dupFd(theirs);
  if (sysfd >= 0) return sysfd;
  throw errorOf(-sysfd, { op: "listen", network: "threads" });
}

/** This thread's share in a socket that another thread listens on. */
export function sharedListener(rt: Runtime, theirs: number, origin: ConnOrigin): Listener {
  const listener = listenerOf(rt, duplicate(theirs), origin.network as StreamNetwork, undefined);
  listener.fd.shareAccepts();
  return listener;
}
