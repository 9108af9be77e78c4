/**
 * adopt.ts: sockets that this process has from elsewhere: inherited from its parent, or handed over by
 * a service manager. What they are is asked of the kernel.
 */

import { type Runtime, runtime } from "../runtime/runtime.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import { EEXIST, EINVAL, ENOTSOCK, EOPNOTSUPP } from "../syscall/errno.ts";
import type { PassingKernel } from "../syscall/kernel.ts";
import { type Addr, addrOf, type StreamNetwork } from "./addr.ts";
import { errorOf, type NetError } from "./errors.ts";
import { kindOf } from "./kinds.ts";
import { listenerOf } from "./listen.ts";
import type { Listener } from "./listener.ts";
import { getInt, peername, type SocketConn, socketFD } from "./socket.ts";
import { applyTCPOptions } from "./tcp.ts";

/** What a descriptor is. */
interface Identity {
  network: "tcp" | "unix" | "unixpacket";
  listening: boolean;
}

/** Asks the kernel what a descriptor is: a negative errno when it is no stream socket of ours. */
export function identify({ kernel }: Runtime, sysfd: number): Identity | number {
  const domain = getInt(kernel, sysfd, SOL_SOCKET, SO_DOMAIN);
  if (domain < 0) return domain;
  const type = getInt(kernel, sysfd, SOL_SOCKET, SO_TYPE);
  const listening = getInt(kernel, sysfd, SOL_SOCKET, SO_ACCEPTCONN) === 1;
  if ((domain === AF_INET || domain === AF_INET6) && type === SOCK_STREAM) {
    return { network: "tcp", listening };
  }
  if (domain === AF_UNIX && type === SOCK_STREAM) return { network: "unix", listening };
  if (domain === AF_UNIX && type === SOCK_SEQPACKET) return { network: "unixpacket", listening };
  return -EOPNOTSUPP;
}

/** A connected socket that is this environment's already, as a conn. */
export function connFromFd(
  rt: Runtime,
  sysfd: number,
  network: StreamNetwork,
  remote: Addr,
): SocketConn {
  const fd = socketFD(rt, sysfd, network);
  fd.share();
  const origin = { network, addr: undefined };
  return new (kindOf(network))(fd, origin, remote);
}

/** A socket that listens and is this environment's already, as a listener. */
export function listenerFromFd(
  rt: Runtime,
  sysfd: number,
  network: StreamNetwork,
  path: Parameters<typeof listenerOf>[3],
): Listener {
  const listener = listenerOf(rt, sysfd, network, path);
  listener.fd.share();
  return listener;
}

const HINTS = new Map([
  [ENOTSOCK, "the descriptor is no socket"],
  [EOPNOTSUPP, "the descriptor is neither a TCP nor a unix stream or packet socket"],
  [EEXIST, "the descriptor belongs to a connection or listener of this thread already"],
]);

class Adoption {
  readonly runtime: Runtime;
  readonly sysfd: number;

  constructor(rt: Runtime, sysfd: number, call: string) {
    if (!Number.isInteger(sysfd) || sysfd < 0 || sysfd > 0x7fff_ffff) {
      throw new TypeError(`${call}: expected the number of a file descriptor, got ${sysfd}`);
    }
    this.runtime = rt;
    this.sysfd = sysfd;
  }

  fail(number: number, text = HINTS.get(number)): NetError {
    return errorOf(number, { op: "adopt", network: "fd", address: String(this.sysfd), text });
  }

  /** What the descriptor is, if it is what is wanted. Nothing has been changed yet. */
  identify(listening: boolean): Identity {
    const identity = identify(this.runtime, this.sysfd);
    if (typeof identity === "number") throw this.fail(-identity);
    if (identity.listening === listening) return identity;
    const [is, call] = listening ? ["does not listen", "adoptConn"] : ["listens", "adoptListener"];
    throw this.fail(EINVAL, `the socket ${is}: use ${call}`);
  }

  /** Makes the descriptor ours: non-blocking, close-on-exec, closed when this thread ends. */
  take({ network }: Identity): void {
    const kernel = this.runtime.kernel as unknown as PassingKernel;
    const n = kernel.adoptFd(this.sysfd);
    if (n < 0) throw this.fail(-n);
    if (network !== "tcp") return;
    try {
      applyTCPOptions(this.runtime.kernel, this.sysfd, {}, (number) => this.fail(number));
    } catch (error) {
      kernel.releaseFd(this.sysfd);
      throw error;
    }
  }
}

/**
 * Makes a connection of an open descriptor that this process has from elsewhere, a connected TCP or
 * unix socket. The descriptor is the connection's from now on, and is closed with it. A TCP socket
 * gets what a dialled one has: TCP_NODELAY and keep-alive.
 *
 * Throws a NetError: EBADF, ENOTSOCK, ENOTCONN, EINVAL for one that listens, EOPNOTSUPP for
 * another kind of socket, EEXIST for one that is a connection of this thread already.
 *
 * @example
 * import { adoptConn } from "coronet";
 * if (process.env.HAS_CONN === undefined) {
 *   // Started by hand: no connection was inherited, which the error tells.
 *   try {
 *     adoptConn(999_999);
 *   } catch (error) {
 *     console.log((error as { code: string }).code); // EBADF
 *   }
 * } else {
 *   await using conn = adoptConn(3);
 *   await conn.write("hello");
 * }
 */
export function adoptConn(fd: number): SocketConn {
  const rt = runtime();
  const adoption = new Adoption(rt, fd, "adoptConn");
  const identity = adoption.identify(false);
  const peer = peername(rt.kernel, fd);
  if (typeof peer === "number") throw adoption.fail(-peer);
  adoption.take(identity);
  return connFromFd(rt, fd, identity.network, addrOf(identity.network, peer));
}

/**
 * Makes a listener of an open descriptor that this process has from elsewhere, a TCP or unix socket
 * that listens: of systemd's socket activation (descriptor 3 and so on, sd_listen_fds(3)), or of a
 * parent process. A unix socket's path is left to whoever made it.
 *
 * Throws a NetError: EBADF, ENOTSOCK, EINVAL for one that does not listen, EOPNOTSUPP for
 * another kind of socket, EEXIST for one that is a
 * listener of this thread already.
 *
 * @example
 * import { adoptListener, listen } from "coronet";
 * const activated = Number(process.env.LISTEN_FDS ?? 0) > 0;
 * await using listener = activated ? adoptListener(3) : await listen("tcp", "127.0.0.1:0");
 * console.log(listener.addr.network); // tcp
 */
export function adoptListener(fd: number): Listener {
  const rt = runtime();
  const adoption = new Adoption(rt, fd, "adoptListener");
  const identity = adoption.identify(true);
  adoption.take(identity);
  return listenerFromFd(rt, fd, identity.network, undefined);
}
