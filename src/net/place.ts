/**
 * place.ts: where to listen: an address in text, as sockets that may be opened for it.
 *
 * ":port" of a network with both families is one IPv6 socket that takes IPv4 too, or an IPv4 socket
 * where this machine has no IPv6. A name is its first address, IPv4 before IPv6, as in Go.
 */
import { isIPv4 } from "node:net";
import type { Runtime } from "../runtime/runtime.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "../syscall/constants.ts";
import { EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, errorName } from "../syscall/errno.ts";
import {
  AddressError,
  belongs,
  inetSockaddr,
  isUnix,
  type Network,
  splitHostPort,
  unixSockaddr,
} from "./addr.ts";
import { errorOf, NetError } from "./errors.ts";
import type { Resolver } from "./names.ts";
import { isNumeric, lookupHost, resolveError } from "./resolve.ts";
import { setInt } from "./socket.ts";

/** Where to listen, ready for the kernel. */
export interface Place {
  family: number;
  sockaddr: Uint8Array;
  /** Takes IPv4 on an IPv6 socket too. */
  dual: boolean;
}

/** With these the machine lacks the family of a place: the next one may do. */
const LACKING = new Set([EAFNOSUPPORT, EADDRNOTAVAIL, EINVAL].map(errorName));

/** One call of listen or listenPacket. */
export abstract class Attempt<R> {
  readonly network: Network;
  readonly address: string;
  readonly runtime: Runtime;
  private readonly resolver: Resolver | undefined;

  constructor(rt: Runtime, network: Network, address: string, resolver: Resolver | undefined) {
    this.runtime = rt;
    this.network = network;
    this.address = address;
    this.resolver = resolver;
  }

  /** Opens a socket there. Throws a NetError and leaves nothing behind. */
  protected abstract open(place: Place): Promise<R>;

  /** The sockaddr of a unix address; a network may allow none. */
  protected unixName(): Uint8Array {
    return unixSockaddr(this.address);
  }

  /** Opens the first place that this machine has. */
  async run(): Promise<R> {
    try {
      const [first, ...others] = await this.places();
      return await this.openFirst(first as Place, others);
    } catch (error) {
      throw this.malformed(error);
    }
  }

  private async openFirst(first: Place, [next, ...rest]: Place[]): Promise<R> {
    try {
      return await this.open(first);
    } catch (error) {
      if (next === undefined || !(error instanceof NetError) || !LACKING.has(error.code)) {
        throw error;
      }
      return this.openFirst(next, rest);
    }
  }

  protected fail(number: number, cause?: unknown): NetError {
    return errorOf(number, { op: "listen", network: this.network, address: this.address, cause });
  }

  private malformed(cause: unknown): unknown {
    if (!(cause instanceof AddressError)) return cause;
    const { network, address } = this;
    return new NetError({ op: "listen", network, address, code: "EINVAL", text: cause.message });
  }

  protected set(sysfd: number, level: number, option: number, value: number): void {
    const n = setInt(this.runtime.kernel, sysfd, level, option, value);
    if (n < 0) throw this.fail(-n);
  }

  private async places(): Promise<Place[]> {
    const { network, address } = this;
    if (isUnix(network)) return [{ family: AF_UNIX, sockaddr: this.unixName(), dual: false }];
    const { host, zone, port } = splitHostPort(address);
    if (host === "") return this.everyInterface(port);
    const ips = isNumeric(host) ? [host] : await this.lookup(host);
    const wanted = ips.filter((ip) => belongs(ip, network));
    // A name is listened on by IPv4 where it has it, as Go does.
    wanted.sort((a, b) => Number(isIPv4(b)) - Number(isIPv4(a)));
    if (wanted.length === 0) throw this.fail(EADDRNOTAVAIL);
    return wanted.slice(0, 1).map((ip) => ({
      family: isIPv4(ip) ? AF_INET : AF_INET6,
      sockaddr: inetSockaddr(ip, port, zone),
      dual: false,
    }));
  }

  private everyInterface(port: number): Place[] {
    const four = { family: AF_INET, sockaddr: inetSockaddr("0.0.0.0", port), dual: false };
    const six = { family: AF_INET6, sockaddr: inetSockaddr("::", port), dual: false };
    if (this.network.endsWith("4")) return [four];
    if (this.network.endsWith("6")) return [six];
    return [{ ...six, dual: true }, four];
  }

  private async lookup(host: string): Promise<string[]> {
    try {
      return await lookupHost(this.resolver, host, undefined);
    } catch (cause) {
      throw resolveError("listen", this.network, this.address, host, cause);
    }
  }
}

/** Throws a RangeError for an option that is no positive whole number. */
export function checkPositive(call: string, options: Record<string, number | undefined>): void {
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || (Number.isInteger(value) && value > 0)) continue;
    throw new RangeError(`${call}: ${key} must be a positive whole number, got ${value}`);
  }
}
