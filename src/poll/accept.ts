/**
 * accept.ts: taking connections from a listening socket.
 *
 * What accept4(2) reports is sorted as its man page asks:
 *  - ECONNABORTED, EPROTO and the network errors of a connection that is gone already: the next one
 *    is tried;
 *  - EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the kernel's backlog; the accept waits
 *    a little and tries again (no new edge tells when fds are free again);
 *  - anything else fails the accept.
 */
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { Timer } from "../runtime/timers.ts";
import {
  EAGAIN,
  ECONNABORTED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENONET,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
} from "../syscall/errno.ts";
import { NAME_BUFFER_SIZE, type SocketKernel } from "../syscall/kernel.ts";
import { pack } from "../syscall/sockaddr.ts";
import type { FD } from "./fd.ts";
import { type OpName, READER, SignalOp } from "./op.ts";

/** The connection is gone before it was taken: try the next one. */
const GONE = new Set(
  [
    ECONNABORTED,
    EPROTO,
    ENETDOWN,
    ENOPROTOOPT,
    EHOSTDOWN,
    ENONET,
    EHOSTUNREACH,
    EOPNOTSUPP,
    ENETUNREACH,
  ].map((n) => -n),
);
/** The system is short of something: wait. */
const SHORT = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM].map((n) => -n));

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;

/** Makes the conn of an accepted fd, given its peer's packed sockaddr. Must not throw. */
export type Adopt<C> = (sysfd: number, peer: string) => C;

const name = new Uint8Array(NAME_BUFFER_SIZE);

/** Takes one connection: its fd, or a negative errno. Its peer's sockaddr is in `name`. */
function tryAccept(kernel: SocketKernel, sysfd: number): number {
  for (;;) {
    const n = kernel.accept4(sysfd, name);
    if (n >= 0 || !GONE.has(n)) return n;
  }
}

/** Tries an accept again after a pause. */
class Retry extends Timer {
  private readonly op: AcceptOp<unknown>;
  private pause = FIRST_PAUSE_MS;

  constructor(op: AcceptOp<unknown>) {
    super();
    this.op = op;
  }

  next(now: number): number {
    const { pause } = this;
    this.pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    return now + pause;
  }

  fire(): void {
    if (!this.op.settled) this.op.fd.retry(this.op as never);
  }
}

class AcceptOp<C> extends SignalOp<C> {
  private readonly kernel: SocketKernel;
  private readonly adopt: Adopt<C>;
  private retry: Retry | undefined;

  constructor(
    fd: FD,
    resolve: Resolve<C>,
    signal: AbortSignal | undefined,
    kernel: SocketKernel,
    adopt: Adopt<C>,
  ) {
    super(fd, resolve, signal);
    this.kernel = kernel;
    this.adopt = adopt;
  }

  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "accept";
  }

  attempt(): boolean {
    const { fd } = this;
    const result = tryAccept(this.kernel, fd.sysfd);
    if (result >= 0) {
      this.end();
      this.succeed(this.adopt(result, pack(name)));
      return true;
    }
    if (SHORT.has(result)) this.pauseThenRetry();
    else if (result !== -EAGAIN) {
      this.end();
      this.fail(-result);
      return true;
    }
    return false;
  }

  private pauseThenRetry(): void {
    const { timers, clock } = this.fd.device.runtime;
    this.retry ??= new Retry(this as AcceptOp<unknown>);
    timers.arm(this.retry, this.retry.next(clock.now()));
  }

  private end(): void {
    if (this.retry !== undefined) this.fd.device.runtime.timers.disarm(this.retry);
  }

  override fail(number: number): void {
    this.end();
    super.fail(number);
  }
}

/** Takes a connection that waits already; undefined when there is none. Does not wait. */
export function acceptNow<C>(fd: FD, kernel: SocketKernel, adopt: Adopt<C>): C | undefined {
  if (fd.closing) return undefined;
  const result = tryAccept(kernel, fd.sysfd);
  return result < 0 ? undefined : adopt(result, pack(name));
}

/** Takes the next connection of a listening fd. */
export function accept<C>(
  fd: FD,
  kernel: SocketKernel,
  signal: AbortSignal | undefined,
  adopt: Adopt<C>,
): Promise<C> {
  if (signal === undefined && fd.mayTry(READER)) {
    const result = tryAccept(kernel, fd.sysfd);
    if (result >= 0) return fd.device.runtime.sched.complete(adopt(result, pack(name)), 0);
  }
  const promise = parked<C>();
  fd.submit(new AcceptOp(fd, resolver(), signal, kernel, adopt) as never, signal);
  return promise;
}
