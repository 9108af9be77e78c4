/** listeners.ts: sockets that listen elsewhere, as listeners of this worker. */

import type { Addr, StreamNetwork } from "../net/addr.ts";
import { addrOfText } from "../net/addr.ts";
import { adoptListener } from "../net/adopt.ts";
import type { Listener } from "../net/listener.ts";
import { runtime } from "../runtime/runtime.ts";
import { sharedListener } from "../threads/listening.ts";
import type { SocketBoot } from "./control.ts";

/** A socket that this process inherited; other processes accept from it too. */
export function inheritedListener({ fd }: SocketBoot): Listener {
  const listener = adoptListener(fd);
  listener.fd.shareAccepts();
  return listener;
}

/** This thread's share in a socket that another thread listens on. */
export function sharedWithThread({ fd, network, addr }: SocketBoot): Listener {
  const origin: { network: StreamNetwork; addr: Addr } = {
    network: network as StreamNetwork,
    addr: addrOfText(network as StreamNetwork, addr),
  };
  return sharedListener(runtime(), fd, origin);
}
