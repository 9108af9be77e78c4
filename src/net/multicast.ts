/** multicast.ts: groups and interfaces as the socket options of ip(7) and ipv6(7) want them. */
import { isIP, isIPv4 } from "node:net";
import {
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_JOIN_GROUP,
  IPV6_LEAVE_GROUP,
} from "../syscall/constants.ts";
import { inetSockaddr } from "./addr.ts";

/** A socket option, ready for the kernel. */
export interface GroupOption {
  level: number;
  name: number;
  value: Uint8Array;
}

/** An interface, as struct ip_mreqn: no group, no address, its number. */
export function interfaceValue(index: number): Uint8Array {
  return new Uint8Array(new Int32Array([0, 0, index]).buffer);
}

/** Joining or leaving a group; interface 0 lets the kernel choose. Throws a RangeError. */
export function groupOption(group: string, index: number, join: boolean): GroupOption {
  if (isIP(group) === 0) {
    throw new RangeError(`${join ? "joinGroup" : "leaveGroup"}: "${group}" is no IP address`);
  }
  const sockaddr = inetSockaddr(group, 0);
  if (isIPv4(group)) {
    const value = interfaceValue(index);
    value.set(sockaddr.subarray(4, 8));
    return { level: IPPROTO_IP, name: join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, value };
  }
  const value = new Uint8Array(20);
  value.set(sockaddr.subarray(8, 24));
  value.set(new Uint8Array(new Int32Array([index]).buffer), 16);
  return { level: IPPROTO_IPV6, name: join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, value };
}
