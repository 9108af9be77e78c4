/** tcp.ts: connections over TCP, and their options. */
import type { FD } from "../poll/fd.ts";
import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_LINGER,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "../syscall/constants.ts";
import type { Kernel } from "../syscall/kernel.ts";
import type { Addr } from "./addr.ts";
import type { NetError } from "./errors.ts";
import { type ConnOrigin, SocketConn, setInt } from "./socket.ts";

/** How a silent peer is probed (tcp(7)): times in seconds. */
export interface KeepAlive {
  /** Silence before the first probe; 15 by default. */
  idle?: number;
  /** Between probes; 15 by default. */
  interval?: number;
  /** Unanswered probes until the connection fails with ETIMEDOUT; 9 by default. */
  count?: number;
}

/** Options that a listener gives to its connections, and a dial to its own. */
export interface TCPOptions {
  /** Send small writes at once (TCP_NODELAY); true by default. */
  noDelay?: boolean;
  /** Probe silent peers; on by default (15 s, 15 s, 9 probes). */
  keepAlive?: boolean | KeepAlive;
}

type Setter = (level: number, option: number, value: number) => void;

function seconds(value: number | undefined, name: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isInteger(value) || value < 1 || value > 32_767) {
    throw new RangeError(
      `keepAlive ${name}: expected a whole number from 1 to 32767, got ${value}`,
    );
  }
  return value;
}

function applyKeepAlive(set: Setter, keepAlive: boolean | KeepAlive): void {
  if (keepAlive === false) {
    set(SOL_SOCKET, SO_KEEPALIVE, 0);
    return;
  }
  const { idle, interval, count }: KeepAlive = keepAlive === true ? {} : keepAlive;
  set(IPPROTO_TCP, TCP_KEEPIDLE, seconds(idle, "idle", 15));
  set(IPPROTO_TCP, TCP_KEEPINTVL, seconds(interval, "interval", 15));
  set(IPPROTO_TCP, TCP_KEEPCNT, Math.min(seconds(count, "count", 9), 127));
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
}

/**
 * Applies the options to a socket that is being set up. On a listening socket they are inherited by
 * every accepted one, which saves five system calls per connection. Throws what `fail` makes.
 */
export function applyTCPOptions(
  kernel: Kernel,
  sysfd: number,
  options: TCPOptions,
  fail: (number: number) => NetError,
): void {
  const set: Setter = (level, option, value) => {
    const n = setInt(kernel, sysfd, level, option, value);
    if (n < 0) throw fail(-n);
  };
  set(IPPROTO_TCP, TCP_NODELAY, (options.noDelay ?? true) ? 1 : 0);
  applyKeepAlive(set, options.keepAlive ?? true);
}

/**
 * A TCP connection.
 *
 * @example
 * import { dial, listen, TCPConn } from "coronet";
 * await using listener = await listen("tcp", "127.0.0.1:0");
 * await using conn = await dial("tcp", String(listener.addr));
 * if (conn instanceof TCPConn) conn.setNoDelay(false).setKeepAlive({ idle: 60 });
 * console.log(String(conn.remoteAddr) === String(listener.addr)); // true
 */
export class TCPConn extends SocketConn {
  /** @internal */
  constructor(fd: FD, origin: ConnOrigin, peer: string | Addr) {
    super(fd, origin, peer);
  }

  /** Sends small writes at once (true, the default) or gathers them (Nagle's algorithm). */
  setNoDelay(noDelay = true): this {
    this.setOption(IPPROTO_TCP, TCP_NODELAY, noDelay ? 1 : 0);
    return this;
  }

  /** Probes a silent peer: true for 15 s, 15 s and 9 probes, false for never. */
  setKeepAlive(keepAlive: boolean | KeepAlive): this {
    applyKeepAlive((level, option, value) => this.setOption(level, option, value), keepAlive);
    return this;
  }

  /**
   * What close() does with bytes that the peer has not acknowledged yet:
   *   null   the kernel sends them in the background (the default)
   *   0      they are discarded and the peer sees a reset
   *   n      close() resolves when they are acknowledged, or after n seconds
   */
  setLinger(seconds: number | null): this {
    if (seconds !== null && !(Number.isFinite(seconds) && seconds >= 0)) {
      throw new RangeError(`linger: expected seconds, 0 or more, or null; got ${seconds}`);
    }
    this.checkOpen("set");
    // Only the reset is left to the kernel: it would block the thread in close(2) for the others.
    const linger = new Uint8Array(new Int32Array([seconds === 0 ? 1 : 0, 0]).buffer);
    const n = this.kernel.setsockopt(this.fd.sysfd, SOL_SOCKET, SO_LINGER, linger);
    if (n < 0) throw this.errorFor("set", -n);
    this.more().lingerMs = (seconds ?? 0) * 1000;
    return this;
  }
}
