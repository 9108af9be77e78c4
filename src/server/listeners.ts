/** listeners.ts: sockets that listen elsewhere, as listeners of this worker. */
import { addrOf, type StreamNetwork } from "../net/addr.ts";
import { Listener } from "../net/listener.ts";
import { type SocketConn, socketFD, sockname } from "../net/socket.ts";
import { TCPConn } from "../net/tcp.ts";
import { UnixConn } from "../net/unix.ts";
import { runtime } from "../runtime/runtime.ts";
import type { SocketBoot } from "./control.ts";

function listenerOf(sysfd: number, network: StreamNetwork): Listener {
  const rt = runtime();
  const addr = addrOf(network, sockname(rt.kernel, sysfd));
  const origin = { network, addr };
  const unix = network === "unix" || network === "unixpacket";
  const adopt = (n: number, peer: string): SocketConn => {
    const fd = socketFD(rt, n, network);
    return unix ? new UnixConn(fd, origin, peer) : new TCPConn(fd, origin, peer);
  };
  return new Listener<SocketConn>(socketFD(rt, sysfd, network), network, addr, adopt, undefined);
}

/** A socket that this process inherited. */
export function inheritedListener({ fd, network }: SocketBoot): Listener {
  return listenerOf(fd, network as StreamNetwork);
}

/** This thread's share in a socket that another thread listens on. */
export function sharedWithThread({ fd, network }: SocketBoot): Listener {
  return listenerOf(fd, network as StreamNetwork);
}
