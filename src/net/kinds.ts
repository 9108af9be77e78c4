/** kinds.ts: which class a connection of a network is. */
import { isPacket, isUnix, type Network } from "./addr.ts";
import { TCPConn } from "./tcp.ts";
import { UDPConn } from "./udp.ts";
import { UnixConn } from "./unix.ts";

export function kindOf(network: Network): typeof TCPConn | typeof UDPConn | typeof UnixConn {
  if (isUnix(network)) return UnixConn;
  return isPacket(network) ? UDPConn : TCPConn;
}
