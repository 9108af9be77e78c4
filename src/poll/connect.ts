/**
 * connect.ts: a non-blocking connect(2), until the connection stands or has failed.
 *
 * Writable means that the attempt is over, not that it succeeded: SO_ERROR tells. Both can be
 * misleading for a moment (a spurious wake-up), so getpeername(2) has the last word: without a peer
 * the operation parks again. The same order as Go's internal/poll and D. J. Bernstein's notes on
 * non-blocking connect.
 */
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { Timer } from "../runtime/timers.ts";
import { SO_ERROR, SOL_SOCKET } from "../syscall/constants.ts";
import { EAGAIN, EALREADY, EINPROGRESS, EINTR, EISCONN, ENOTCONN } from "../syscall/errno.ts";
import { NAME_BUFFER_SIZE, type SocketKernel } from "../syscall/kernel.ts";
import type { FD } from "./fd.ts";
import { type OpName, SignalOp, WRITER } from "./op.ts";

const name = new Uint8Array(NAME_BUFFER_SIZE);
const error = new Int32Array(1);
const errorBytes = new Uint8Array(error.buffer);

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 50;

class Retry extends Timer {
  private readonly op: ConnectOp;
  pause = FIRST_PAUSE_MS;

  constructor(op: ConnectOp) {
    super();
    this.op = op;
  }

  fire(): void {
    if (!this.op.settled) this.op.fd.retry(this.op as never);
  }
}

class ConnectOp extends SignalOp<void> {
  private readonly kernel: SocketKernel;
  private readonly sockaddr: Uint8Array;
  private begun = false;
  private backlog: Retry | undefined;

  constructor(
    fd: FD,
    resolve: Resolve<void>,
    signal: AbortSignal | undefined,
    kernel: SocketKernel,
    sockaddr: Uint8Array,
  ) {
    super(fd, resolve, signal);
    this.kernel = kernel;
    this.sockaddr = sockaddr;
  }

  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "connect";
  }

  attempt(): boolean {
    const state = this.begun ? this.outcome() : this.begin();
    if (state === -EAGAIN) return false;
    this.end();
    if (state === 0) this.succeed(undefined);
    else this.fail(-state);
    return true;
  }

  /** Starts the attempt: 0 when it stands at once, -EAGAIN when it is under way. */
  private begin(): number {
    const n = this.kernel.connect(this.fd.sysfd, this.sockaddr);
    if (n === -EAGAIN) {
      // A unix listener's backlog is full, and nothing tells when it has room (connect(2)).
      this.tryAgainSoon();
      return n;
    }
    this.begun = true;
    if (n === 0 || n === -EISCONN) return 0;
    // Interrupted is under way too: the attempt goes on by itself.
    return n === -EINPROGRESS || n === -EALREADY || n === -EINTR ? -EAGAIN : n;
  }

  private outcome(): number {
    const { kernel } = this;
    const { sysfd } = this.fd;
    const n = kernel.getsockopt(sysfd, SOL_SOCKET, SO_ERROR, errorBytes);
    if (n < 0) return n;
    const pending = error[0] as number;
    if (pending === EINPROGRESS || pending === EALREADY || pending === EINTR) return -EAGAIN;
    if (pending !== 0 && pending !== EISCONN) return -pending;
    const peer = kernel.getpeername(sysfd, name);
    return peer === -ENOTCONN ? -EAGAIN : Math.min(peer, 0);
  }

  private tryAgainSoon(): void {
    const { timers, clock } = this.fd.device.runtime;
    this.backlog ??= new Retry(this);
    timers.arm(this.backlog, clock.now() + this.backlog.pause);
    this.backlog.pause = Math.min(this.backlog.pause * 2, LONGEST_PAUSE_MS);
  }

  private end(): void {
    if (this.backlog !== undefined) this.fd.device.runtime.timers.disarm(this.backlog);
  }

  override fail(number: number): void {
    this.end();
    super.fail(number);
  }
}

/** Connects a socket. Its deadline is the fd's write deadline. */
export function connect(
  fd: FD,
  kernel: SocketKernel,
  sockaddr: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const promise = parked<void>();
  fd.submit(new ConnectOp(fd, resolver(), signal, kernel, sockaddr) as never, signal);
  return promise;
}
