/**
 * dial.ts: dial(): a connection to an address in text.
 *
 * The addresses of a name are tried in order. Network "tcp" splits them by family and races the two
 * lists (RFC 8305, "Happy Eyeballs"): the family of the first address begins, the other follows when
 * it has failed or after 300 ms. The first connection wins; every other socket is closed. If all
 * fail, the error is the first family's.
 */

import { isIPv4 } from "node:net";
import { connect } from "../poll/connect.ts";
import type { FD, Owner } from "../poll/fd.ts";
import { WRITER } from "../poll/op.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { traced } from "../runtime/traced.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import { CANCELED, DEADLINE, EADDRNOTAVAIL } from "../syscall/errno.ts";
import { unpack } from "../syscall/sockaddr.ts";
import {
  type Addr,
  AddressError,
  addrOf,
  belongs,
  inetSockaddr,
  isUnix,
  type Network,
  splitHostPort,
  UnixAddr,
  type UnixNetwork,
  unixSockaddr,
} from "./addr.ts";
import { type OpOptions, timeoutOf } from "./conn.ts";
import { errorOf, NetError } from "./errors.ts";
import { kindOf } from "./kinds.ts";
import { checkNetwork } from "./listen.ts";
import { LocalAddress } from "./local.ts";
import type { Resolver } from "./names.ts";
import { type Control, callControl, networkOf } from "./raw_socket.ts";
import { isNumeric, lookupHost, resolveError } from "./resolve.ts";
import { AUTOBIND, type SocketConn, setInt, socketFD, socketType } from "./socket.ts";
import { applyTCPOptions, TCPConn, type TCPOptions } from "./tcp.ts";
import type { UDPConn } from "./udp.ts";
import type { UnixConn } from "./unix.ts";

export interface DialOptions extends OpOptions, TCPOptions {
  /** How long the whole dial may take, names included, in ms; without limit by default. */
  timeout?: number | null;
  /** How long the first family may take before the other is tried beside it; 300 ms by default. */
  fallbackDelay?: number;
  /** Kernel buffers, in bytes. */
  readBuffer?: number;
  writeBuffer?: number;
  /** Looks up a host name; the system's by default. */
  resolver?: Resolver;
  /**
   * Where to connect from: "ip", "ip:port", "[v6]:port", ":port"; for unix a path, which is made
   * and not removed. Addresses of another family are not tried.
   */
  localAddress?: string;
  /** Changes each socket before it is bound and connected; what it throws fails that attempt. */
  control?: Control;
}

const NETWORKS = ["tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix", "unixpacket", "unixgram"];
const FALLBACK_DELAY_MS = 300;
/** A connection to itself is tried again so often. */
const SELF_CONNECT_RETRIES = 2;

/** One address to try. */
interface Target {
  family: number;
  sockaddr: Uint8Array;
  addr: Addr;
}

class Dial {
  readonly network: Network;
  readonly address: string;
  readonly options: DialOptions;
  readonly runtime: Runtime;
  /** When the dial as a whole must be over, by the runtime's clock. */
  readonly until: number;
  readonly fallbackDelay: number;
  readonly local: LocalAddress | undefined;

  constructor(network: Network, address: string, options: DialOptions, rt: Runtime) {
    this.network = network;
    this.address = address;
    this.options = options;
    this.runtime = rt;
    this.until = rt.clock.now() + timeoutOf(options.timeout ?? null, "dial");
    this.fallbackDelay = options.fallbackDelay ?? FALLBACK_DELAY_MS;
    if (typeof this.fallbackDelay !== "number" || !(this.fallbackDelay >= 0)) {
      throw new RangeError(`fallbackDelay: expected ms, 0 or more; got ${this.fallbackDelay}`);
    }
    const { localAddress } = options;
    this.local = localAddress === undefined ? undefined : new LocalAddress(network, localAddress);
  }

  fail(number: number, addr?: Addr, cause?: unknown, text?: string): NetError {
    const address = addr === undefined ? this.address : String(addr);
    const { network, local } = this;
    return errorOf(number, { op: "dial", network, source: local?.text, address, cause, text });
  }

  /** Connects to one address. No socket is left behind unless the connection is returned. */
  async one(target: Target, signal: AbortSignal | undefined, until: number): Promise<SocketConn> {
    for (let retries = SELF_CONNECT_RETRIES; ; retries--) {
      const conn = await this.attempt(target, signal, until);
      if (retries === 0 || !isSelfConnected(conn)) return conn;
      await conn.close();
    }
  }

  private async attempt(
    target: Target,
    signal: AbortSignal | undefined,
    until: number,
  ): Promise<SocketConn> {
    const { kernel } = this.runtime;
    const sysfd = kernel.socket(target.family, socketType(this.network), 0);
    if (sysfd < 0) throw this.fail(-sysfd, target.addr);
    const fd = socketFD(this.runtime, sysfd, this.network);
    fd.owner = this.ownerOf(target);
    try {
      if (this.network.startsWith("tcp")) {
        applyTCPOptions(kernel, sysfd, this.options, (number) => this.fail(number, target.addr));
      }
      // Without a name of its own the peer could not answer.
      if (this.network === "unixgram" && this.local === undefined) {
        this.check(await kernel.bind(sysfd, AUTOBIND), target);
      }
      this.setBuffers(sysfd, target);
      await this.prepare(sysfd, target);
      if (until !== Infinity) fd.limits().setUntil(WRITER, until);
      await connect(fd, kernel, target.sockaddr, signal);
      if (until !== Infinity) fd.limits().setUntil(WRITER, Infinity);
      return this.connOf(fd, target);
    } catch (error) {
      await fd.close();
      throw error;
    }
  }

  private connOf(fd: FD, target: Target): SocketConn {
    const { network } = this;
    const Kind = kindOf(network);
    return new Kind(fd, { network, addr: undefined }, target.addr);
  }

  private ownerOf({ addr }: Target): Owner {
    return { error: (_op, number, details) => this.fail(number, addr, details?.cause) };
  }

  /** What the caller wants of the socket before it connects. */
  private async prepare(sysfd: number, { family, addr }: Target): Promise<void> {
    const { kernel } = this.runtime;
    const { control } = this.options;
    if (control !== undefined) {
      callControl(control, kernel, sysfd, networkOf(this.network, family), String(addr));
    }
    const bound = (await this.local?.bind(kernel, sysfd, family)) ?? 0;
    if (bound < 0) throw this.fail(-bound, addr);
  }

  private setBuffers(sysfd: number, target: Target): void {
    const { readBuffer, writeBuffer } = this.options;
    for (const [option, bytes] of [
      [SO_RCVBUF, readBuffer],
      [SO_SNDBUF, writeBuffer],
    ] as const) {
      if (bytes === undefined) continue;
      this.check(setInt(this.runtime.kernel, sysfd, SOL_SOCKET, option, bytes), target);
    }
  }

  private check(n: number, target: Target): void {
    if (n < 0) throw this.fail(-n, target.addr);
  }

  /**
   * Tries addresses one after the other; each gets an equal part of the time that is left, but not
   * less than 2 s of it, so that the later ones get a chance (as Go's dialSerial).
   */
  async serial(targets: Target[], signal: AbortSignal | undefined): Promise<SocketConn> {
    let first: unknown;
    for (const [i, target] of targets.entries()) {
      const now = this.runtime.clock.now();
      const left = this.until - now;
      const share = Math.max(left / (targets.length - i), Math.min(left, 2000));
      try {
        return await this.one(target, signal, now + share);
      } catch (error) {
        first ??= error;
        if (signal?.aborted === true) break;
      }
    }
    throw first ?? this.fail(EADDRNOTAVAIL);
  }

  /** Races two lists of addresses. */
  async race(primaries: Target[], fallbacks: Target[]): Promise<SocketConn> {
    const { signal } = this.options;
    if (signal?.aborted === true) throw this.fail(CANCELED, undefined, signal.reason);
    if (fallbacks.length === 0) return this.serial(primaries, signal);
    const losers = new AbortController();
    const stop = (): void => losers.abort(signal?.reason);
    signal?.addEventListener("abort", stop, { once: true });
    const first = this.serial(primaries, losers.signal);
    const second = this.afterDelay(this.fallbackDelay, first, losers.signal).then(() =>
      this.serial(fallbacks, losers.signal),
    );
    try {
      return await firstOf(first, second);
    } finally {
      signal?.removeEventListener("abort", stop);
      losers.abort();
    }
  }

  /** Waits for the head start to pass or to fail; rejects when the race is over. */
  private async afterDelay(ms: number, first: Promise<unknown>, over: AbortSignal): Promise<void> {
    const failed = first.then(
      () => new Promise<never>(() => {}),
      () => undefined,
    );
    const stopped = new Promise<void>((resolve) => {
      over.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([failed, stopped, this.runtime.sleep(ms, over)]);
    over.throwIfAborted();
  }

  /** What to try: the addresses that the local one can reach. */
  async targets(): Promise<Target[]> {
    const all = await this.everyTarget();
    const { local } = this;
    if (local === undefined) return all;
    const reachable = all.filter(({ family }) => local.fits(family));
    if (reachable.length > 0) return reachable;
    const text = `no address of the peer is of the local address's family`;
    throw this.fail(EADDRNOTAVAIL, undefined, undefined, text);
  }

  private async everyTarget(): Promise<Target[]> {
    const { network, address } = this;
    if (isUnix(network)) {
      const sockaddr = unixSockaddr(address);
      return [{ family: AF_UNIX, sockaddr, addr: new UnixAddr(network, address) }];
    }
    const { host, zone, port } = splitHostPort(address);
    return (await this.addresses(host)).map((ip) => {
      const sockaddr = inetSockaddr(local(ip), port, zone);
      // From the bytes, so that an address reads the same however it was spelled.
      const addr = addrOf(network, unpack(String.fromCharCode(...sockaddr)));
      return { family: isIPv4(ip) ? AF_INET : AF_INET6, sockaddr, addr };
    });
  }

  /** The addresses of a host that belong to the network; no host means this machine. */
  private async addresses(host: string): Promise<string[]> {
    const { network } = this;
    let ips: string[];
    if (host === "") ips = network.endsWith("6") ? ["::1"] : ["127.0.0.1"];
    else if (isNumeric(host)) ips = [host];
    else ips = await this.lookup(host);
    const wanted = ips.filter((ip) => belongs(ip, network));
    if (wanted.length === 0) throw this.fail(EADDRNOTAVAIL);
    return wanted;
  }

  private async lookup(host: string): Promise<string[]> {
    const { options } = this;
    const limit = this.until === Infinity ? undefined : new AbortController();
    const signal = combine(options.signal, limit?.signal);
    const timer = limit && this.runtime.sleep(this.until - this.runtime.clock.now(), signal);
    void timer?.then(() => limit?.abort());
    try {
      return await lookupHost(options.resolver, host, signal);
    } catch (cause) {
      if (options.signal?.aborted === true) {
        throw this.fail(CANCELED, undefined, options.signal.reason);
      }
      if (limit?.signal.aborted === true) throw this.fail(DEADLINE);
      throw resolveError("dial", this.network, this.address, host, cause);
    } finally {
      limit?.abort();
    }
  }
}

/** The unspecified address means this machine (as in Go's Dial): so the peer's address is a real one. */
function local(ip: string): string {
  if (ip === "0.0.0.0") return "127.0.0.1";
  return /^[0:]+$/.test(ip) ? "::1" : ip;
}

function combine(a: AbortSignal | undefined, b: AbortSignal | undefined): AbortSignal | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return AbortSignal.any([a, b]);
}

/** The first success; the first promise's error when both fail. */
async function firstOf(
  first: Promise<SocketConn>,
  second: Promise<SocketConn>,
): Promise<SocketConn> {
  let won = false;
  const take = (conn: SocketConn): SocketConn => {
    // The loser may have connected in the same turn: it is closed, not leaked.
    if (won) void conn.close();
    won = true;
    return conn;
  };
  const one = first.then(take);
  const two = second.then(take);
  try {
    return await Promise.any([one, two]);
  } catch {
    return one;
  }
}

/**
 * A TCP connect to a port of this machine on which nobody listens can meet itself, when the kernel
 * gives the socket the very port it connects to (simultaneous open). It looks like success.
 */
function isSelfConnected(conn: SocketConn): boolean {
  return conn instanceof TCPConn && String(conn.localAddr) === String(conn.remoteAddr);
}

/**
 * Connects to an address. Over UDP and unixgram that sends nothing: it fixes the peer.
 *
 * A canceled or timed-out dial leaves no socket behind. Throws a NetError: ECONNREFUSED, ENOTFOUND
 * for a name that has no address, ERR_DEADLINE, ERR_CANCELED, …
 *
 * @example
 * import { dial, listen } from "coronet";
 * await using listener = await listen("unix", "@coronet-example");
 * await using conn = await dial("unix", String(listener.addr), { timeout: 1000 });
 * console.log(String(conn.remoteAddr)); // @coronet-example
 */
export function dial(
  network: "tcp" | "tcp4" | "tcp6",
  address: string,
  options?: DialOptions,
): Promise<TCPConn>;
export function dial(
  network: "udp" | "udp4" | "udp6",
  address: string,
  options?: DialOptions,
): Promise<UDPConn>;
export function dial(
  network: UnixNetwork,
  address: string,
  options?: DialOptions,
): Promise<UnixConn>;
export function dial(network: Network, address: string, options?: DialOptions): Promise<SocketConn>;
export async function dial(
  network: Network,
  address: string,
  options?: DialOptions,
): Promise<SocketConn> {
  return await dialOn(runtime(), network, address, options);
}

/** As dial, on a given runtime. */
export function dialOn(
  rt: Runtime,
  network: Network,
  address: string,
  options: DialOptions = {},
): Promise<SocketConn> {
  if (traced.connect === null) return connectOn(rt, network, address, options);
  const call = (): Promise<SocketConn> => connectOn(rt, network, address, options);
  return traced.connect({ network, address }, call);
}

async function connectOn(
  rt: Runtime,
  network: Network,
  address: string,
  options: DialOptions,
): Promise<SocketConn> {
  checkNetwork(network, "dial", NETWORKS);
  try {
    const attempt = new Dial(network, address, options, rt);
    if (options.signal?.aborted === true) {
      throw attempt.fail(CANCELED, undefined, options.signal.reason);
    }
    const targets = await attempt.targets();
    const primary = targets[0]?.family;
    return await attempt.race(
      targets.filter((target) => target.family === primary),
      targets.filter((target) => target.family !== primary),
    );
  } catch (error) {
    if (!(error instanceof AddressError)) {
      // Its stack tells how the attempts are nested; taken here it names who dialled.
      if (error instanceof NetError) Error.captureStackTrace(error);
      throw error;
    }
    throw new NetError({ op: "dial", network, address, code: "EINVAL", text: error.message });
  }
}
