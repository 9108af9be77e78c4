/**
 * listener.ts: a socket that listens.
 *
 * A listener accepts only when it is asked. A consumer that is slow, or at its limit, leaves
 * connections in the kernel's backlog instead of piling them up here.
 */
import { type Adopt, accept, acceptNow } from "../poll/accept.ts";
import type { ErrorDetails, FD, Owner } from "../poll/fd.ts";
import { type OpName, READER } from "../poll/op.ts";
import { observer } from "../runtime/observer.ts";
import { traced } from "../runtime/traced.ts";
import { CLOSED } from "../syscall/errno.ts";
import type { Kernel } from "../syscall/kernel.ts";
import type { Addr, StreamNetwork } from "./addr.ts";
import { type OpOptions, untilOf } from "./conn.ts";
import { errorOf, NetError } from "./errors.ts";
import type { SocketConn } from "./socket.ts";
import type { OwnedPath } from "./unix.ts";

/**
 * Accepts connections.
 *
 * @example
 * import { dial, listen } from "coronet";
 * await using listener = await listen("tcp", "127.0.0.1:0");
 * const [client, server] = await Promise.all([dial("tcp", String(listener.addr)), listener.accept()]);
 * await client.write("hi");
 * for await (const chunk of server) {
 *   console.log(new TextDecoder().decode(chunk)); // hi
 *   break;
 * }
 * await client.close();
 * await server.close();
 */
export class Listener<C extends SocketConn = SocketConn> implements AsyncDisposable, Owner {
  /** "tcp", "tcp4", "tcp6", "unix", "unixpacket". */
  readonly network: StreamNetwork;
  /** What it listens on, with the port that the kernel chose when 0 was asked for. */
  readonly addr: Addr;
  /** @internal */
  readonly fd: FD;
  private readonly adopt: Adopt<C>;
  private path: OwnedPath | undefined;

  /** @internal */
  constructor(
    fd: FD,
    network: StreamNetwork,
    addr: Addr,
    adopt: Adopt<C>,
    path: OwnedPath | undefined,
  ) {
    this.fd = fd;
    this.network = network;
    this.addr = addr;
    this.adopt = adopt;
    this.path = path;
    fd.owner = this;
    if (observer.opened !== null) observer.opened(this);
  }

  /**
   * The next connection. Fails with ERR_CLOSED once the listener is closed, ERR_DEADLINE after its
   * deadline. Out of file descriptors or memory it waits until there are some.
   */
  accept(options?: OpOptions): Promise<C> {
    const kernel = this.fd.device.kernel as Kernel;
    if (traced.accept !== null) {
      const call = (): Promise<C> => accept(this.fd, kernel, options?.signal, this.adopt);
      return traced.accept({ listener: this }, call);
    }
    return accept(this.fd, kernel, options?.signal, this.adopt);
  }

  /** @internal A connection that waits already; undefined when there is none. */
  acceptNow(): C | undefined {
    return acceptNow(this.fd, this.fd.device.kernel as Kernel, this.adopt);
  }

  /** Iterates over the connections that arrive; ends when the listener is closed. */
  [Symbol.asyncIterator](): AsyncIterator<C, undefined> {
    return { next: () => this.accept().then(present, endWhenClosed) };
  }

  /** Stops listening; whoever waits in accept fails with ERR_CLOSED. Twice is harmless. */
  async close(): Promise<void> {
    if (this.fd.closing) return;
    this.path?.unlink();
    await this.fd.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Sets the deadline of accepts; null clears it. */
  setDeadline(t: Date | null): void {
    if (this.fd.closing) throw this.error("accept", CLOSED);
    this.fd.limits().setUntil(READER, untilOf(this.fd, t));
  }

  /** An accept that waits keeps the process alive (the default), or does not. */
  ref(): this {
    this.fd.setReferenced(true);
    return this;
  }

  unref(): this {
    this.fd.setReferenced(false);
    return this;
  }

  /** @internal The path that it removes when it is closed. */
  get ownedPath(): OwnedPath | undefined {
    return this.path;
  }

  /** @internal Another process accepts from now on: whoever waits here fails, the path stays. */
  async passed(): Promise<void> {
    this.path = undefined;
    await this.fd.close();
  }

  /** @internal The fd's errors are made here. */
  error(op: OpName, number: number, details?: ErrorDetails): NetError {
    return errorOf(number, { op, network: this.network, address: String(this.addr), ...details });
  }
}

function present<C>(value: C): IteratorResult<C, undefined> {
  return { done: false, value };
}

function endWhenClosed(error: unknown): IteratorResult<never, undefined> {
  if (error instanceof NetError && error.code === "ERR_CLOSED") {
    return { done: true, value: undefined };
  }
  throw error;
}
