/** local.ts: the local address that a dial was asked to use, and binding a socket to it. */
import { isIP, isIPv4 } from "node:net";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  SO_REUSEADDR,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import type { Kernel } from "../syscall/kernel.ts";
import { AddressError, inetSockaddr, splitHostPort, unixSockaddr } from "./addr.ts";
import { setInt } from "./socket.ts";

/**
 * Where a socket is bound before it connects: "ip", "ip:port", "[v6]:port", ":port", or a unix path.
 * Throws an AddressError for what can't be read.
 */
export class LocalAddress {
  readonly text: string;
  private readonly unix: boolean;
  /** "" for any address of the socket's family. */
  private readonly ip: string = "";
  private readonly zone: string = "";
  private readonly port: number = 0;

  constructor(network: string, text: string) {
    if (typeof text !== "string") {
      throw new TypeError(`localAddress: expected an address in text, got ${String(text)}`);
    }
    this.text = text;
    this.unix = network.startsWith("unix");
    if (this.unix) return;
    if (isIP(text) !== 0) {
      [this.ip, this.zone] = text.split("%") as [string, string];
      this.zone ??= "";
      return;
    }
    const { host, zone, port } = splitHostPort(text);
    if (host !== "" && isIP(host) === 0) {
      throw new AddressError(`malformed local address "${text}": it needs an IP address, no name`);
    }
    this.ip = host;
    this.zone = zone;
    this.port = port;
  }

  /** Whether a socket of the family can be bound to it. */
  fits(family: number): boolean {
    if (this.unix) return family === AF_UNIX;
    return this.ip === "" || family === (isIPv4(this.ip) ? AF_INET : AF_INET6);
  }

  /** Binds a socket of a family that fits: 0 or a negative errno. */
  bind(kernel: Kernel, sysfd: number, family: number): number {
    if (this.unix) return kernel.bind(sysfd, unixSockaddr(this.text));
    const any = family === AF_INET ? "0.0.0.0" : "::";
    if (this.port === 0) {
      // The port is chosen when the peer is known: it may be one that leads to another peer, too.
      setInt(kernel, sysfd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    } else {
      // An earlier connection from this port may still be in TIME_WAIT (tcp(7)).
      setInt(kernel, sysfd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    return kernel.bind(sysfd, inetSockaddr(this.ip || any, this.port, this.zone));
  }
}
