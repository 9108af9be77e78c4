/** raw_socket.ts: a socket that is being set up, in the hands of the caller's control function. */
import { AF_INET } from "../syscall/constants.ts";
import { CLOSED } from "../syscall/errno.ts";
import type { Kernel } from "../syscall/kernel.ts";
import { errorOf, type NetError } from "./errors.ts";

/** What a `control` option is given. It can be used until the function returns. */
export interface RawSocket {
  /** The descriptor; it is the connection's or listener's to close. */
  readonly fd: number;
  /** "tcp4", "tcp6", "unix", "unixpacket", …: what kind of socket it is. */
  readonly network: string;
  /** Where it will connect to, or be bound to. */
  readonly address: string;
  /** setsockopt(2): a number is passed as an int. The constants are the system's (socket(7)). */
  setOption(level: number, name: number, value: number | Uint8Array): void;
  /** getsockopt(2): an int; with `length` the bytes that the kernel wrote, so many at most. */
  getOption(level: number, name: number): number;
  getOption(level: number, name: number, length: number): Uint8Array;
}

/** Changes a socket after socket(2), before it is bound, connected or listened on. */
export type Control = (socket: RawSocket) => void;

/** What kind of socket it is: "tcp" and "udp" are one of two. */
export function networkOf(network: string, family: number): string {
  if (network !== "tcp" && network !== "udp") return network;
  return family === AF_INET ? `${network}4` : `${network}6`;
}

class OpenSocket implements RawSocket {
  readonly network: string;
  readonly address: string;
  private readonly kernel: Kernel;
  private readonly sysfd: number;
  private usable = true;

  constructor(kernel: Kernel, sysfd: number, network: string, address: string) {
    this.kernel = kernel;
    this.sysfd = sysfd;
    this.network = network;
    this.address = address;
  }

  get fd(): number {
    if (!this.usable) throw this.fail(CLOSED, "the control function has returned");
    return this.sysfd;
  }

  setOption(level: number, name: number, value: number | Uint8Array): void {
    const bytes = typeof value === "number" ? new Uint8Array(Int32Array.of(value).buffer) : value;
    const n = this.kernel.setsockopt(this.fd, level, name, bytes);
    if (n < 0) throw this.fail(-n);
  }

  getOption(level: number, name: number): number;
  getOption(level: number, name: number, length: number): Uint8Array;
  getOption(level: number, name: number, length?: number): number | Uint8Array {
    const out = new Uint8Array(length ?? 4);
    const n = this.kernel.getsockopt(this.fd, level, name, out);
    if (n < 0) throw this.fail(-n);
    return length === undefined ? (new Int32Array(out.buffer)[0] as number) : out.subarray(0, n);
  }

  /** From now on the socket is not the caller's to change. */
  expire(): void {
    this.usable = false;
  }

  private fail(number: number, text?: string): NetError {
    return errorOf(number, { op: "set", network: this.network, address: this.address, text });
  }
}

/** Calls a control function. Throws what it throws, and when it answers with a promise. */
export function callControl(
  control: Control,
  kernel: Kernel,
  sysfd: number,
  network: string,
  address: string,
): void {
  const socket = new OpenSocket(kernel, sysfd, network, address);
  try {
    const result: unknown = control(socket);
    if (typeof (result as { then?: unknown } | undefined)?.then !== "function") return;
    // What it fails with later is its own affair.
    Promise.resolve(result).catch(() => {});
    throw new TypeError("control: the function must not be async: the socket is used right after");
  } finally {
    socket.expire();
  }
}
