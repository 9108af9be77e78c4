/**
 * packets.ts: the packet sockets between threads: connections travel in them as SCM_RIGHTS messages.
 *
 * The kernel owns what is under way. When both ends are closed it closes the connections inside, so
 * nothing leaks when a thread is terminated; as long as one end is open they can be taken out again.
 */
import { errorOf, type NetOp } from "../net/errors.ts";
import { FD, type Owner } from "../poll/fd.ts";
import { goOnLater, type OpName, READER, SignalOp, WRITER } from "../poll/op.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { Timer } from "../runtime/timers.ts";
import { AF_UNIX, SO_SNDBUF, SOCK_SEQPACKET, SOL_SOCKET } from "../syscall/constants.ts";
import { EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETOOMANYREFS } from "../syscall/errno.ts";
import { nativeKernel } from "../syscall/native.ts";

/** Bytes of the largest packet: well below what a socket's buffer takes by default. */
export const MAX_PACKET = 32_768;

/** The kernel cuts it down to net.core.wmem_max, and doubles it (socket(7)). */
const BUFFER_SIZE = 1 << 20;

/** Packets that a thread takes before others get a turn. */
const PACKETS_PER_TURN = 64;

const PAUSE_MS = 5;

/** Nothing tells when there is room again: wait a little. */
const SHORT = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM, ETOOMANYREFS].map((n) => -n));

/** Owner of the sockets between threads: their errors reach no user. */
export const THREADS: Owner = {
  error: (op, number) => errorOf(number, { op: op as NetOp, network: "threads" }),
};

/** Both ends of a packet socket, as fds of this thread's. Throws when there are none. */
export function packetPair(): [sending: number, receiving: number] {
  const kernel = nativeKernel();
  const pair = new Int32Array(2);
  const n = kernel.socketpair(AF_UNIX, SOCK_SEQPACKET, pair);
  if (n < 0) throw errorOf(-n, { op: "listen", network: "threads" });
  const [a, b] = pair as unknown as [number, number];
  kernel.setsockopt(a, SOL_SOCKET, SO_SNDBUF, new Uint8Array(new Int32Array([BUFFER_SIZE]).buffer));
  return [a, b];
}

const NONE = new Int32Array(0);
const one = new Int32Array(1);

/** Sends a packet, with an fd unless that is -1: 0, or a negative errno; -EAGAIN when there is no room. */
export function sendPacket(sysfd: number, packet: Uint8Array, passed: number): number {
  one[0] = passed;
  const fds = passed === -1 ? NONE : one;
  const n = nativeKernel().sendmsgFds(sysfd, packet, 0, packet.length, fds);
  return SHORT.has(n) ? -EAGAIN : Math.min(n, 0);
}

/** Where packets are received: its content is nobody's. */
export const packet = new Uint8Array(MAX_PACKET);

/** The fd that came with the packet received last; -1 when none did. */
export function passedFd(): number {
  return one[0] as number;
}

/** Receives a packet: its length, 0 at the end, or a negative errno. */
export function takePacket(sysfd: number): number {
  return nativeKernel().takeFd(sysfd, packet, 0, MAX_PACKET, one);
}

/** How many fds arrived, whether the kernel dropped some, and the fd. */
const arrived = new Int32Array(3);

/**
 * As takePacket, where others may take from the same socket at any time: a single call receives the
 * packet and its fd. The kernel drops an fd for which there is no number, so one is tried for first.
 */
export function takePacketBesideOthers(sysfd: number): number {
  const kernel = nativeKernel();
  const spare = kernel.dupFd(sysfd);
  if (spare < 0) return spare;
  kernel.close(spare);
  const n = kernel.recvmsgFds(sysfd, packet, 0, MAX_PACKET, arrived);
  one[0] = n > 0 && arrived[0] === 1 ? (arrived[2] as number) : -1;
  return n;
}

/** Tries an operation again after a pause. */
class Retry extends Timer {
  private readonly op: SignalOp<never>;

  constructor(op: SignalOp<never>) {
    super();
    this.op = op;
  }

  fire(): void {
    if (!this.op.settled) this.op.fd.retry(this.op);
  }
}

abstract class PacketOp<T> extends SignalOp<T> {
  private pause: Retry | undefined;

  protected tryAgainSoon(): void {
    const { timers, clock } = this.fd.device.runtime;
    this.pause ??= new Retry(this as never);
    timers.arm(this.pause, clock.now() + PAUSE_MS);
  }

  protected override detach(): Resolve<T> | undefined {
    if (this.pause !== undefined) this.fd.device.runtime.timers.disarm(this.pause);
    return super.detach();
  }
}

/** Sends packets one after the other; the fd goes with the last: until then it has gone nowhere. */
export class SendOp extends PacketOp<void> {
  private readonly packets: readonly Uint8Array[];
  private readonly passed: number;
  private readonly sent: () => void;
  private next = 0;

  /** `sent` is called when the last packet has left, at once. */
  constructor(
    fd: FD,
    resolve: Resolve<void>,
    signal: AbortSignal | undefined,
    packets: readonly Uint8Array[],
    passed: number,
    sent: () => void,
  ) {
    super(fd, resolve, signal);
    this.packets = packets;
    this.passed = passed;
    this.sent = sent;
  }

  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "pass";
  }

  attempt(): boolean {
    for (; this.next < this.packets.length; this.next++) {
      const last = this.next === this.packets.length - 1;
      one[0] = this.passed;
      const bytes = this.packets[this.next] as Uint8Array;
      const fds = last && this.passed !== -1 ? one : NONE;
      const n = nativeKernel().sendmsgFds(this.fd.sysfd, bytes, 0, bytes.length, fds);
      if (SHORT.has(n)) this.tryAgainSoon();
      if (n === -EAGAIN || SHORT.has(n)) return false;
      if (n < 0) {
        this.fail(-n);
        return true;
      }
    }
    this.sent();
    this.succeed(undefined);
    return true;
  }
}

/** Takes packets as they come, as one operation, until the other end or this one is closed. */
export class ReceiveOp extends PacketOp<void> {
  private readonly take: () => number;
  private readonly perTurn: number;

  /**
   * `take` takes one packet and does with it what is to be done: it returns as takePacket does. It
   * runs in the poller's callback and must neither throw nor run user code.
   */
  constructor(fd: FD, resolve: Resolve<void>, take: () => number, perTurn: number) {
    super(fd, resolve, undefined);
    this.take = take;
    this.perTurn = perTurn;
  }

  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "receive";
  }

  attempt(): boolean {
    for (let taken = 0; taken < this.perTurn; taken++) {
      const n = this.take();
      if (n === -EAGAIN) return false;
      if (SHORT.has(n)) {
        this.tryAgainSoon();
        return false;
      }
      if (n <= 0) {
        if (n < 0) this.fail(-n);
        else this.succeed(undefined);
        return true;
      }
    }
    goOnLater(this as never);
    return false;
  }
}

/** Receives on an fd of this thread's until it is closed; waiting there keeps nothing alive. */
export function receiveOn(
  rt: Runtime,
  sysfd: number,
  take: () => number,
  perTurn = PACKETS_PER_TURN,
): FD {
  const fd = new FD(rt, sysfd, THREADS, true);
  fd.setReferenced(false);
  const over = parked<void>();
  fd.submit(new ReceiveOp(fd, resolver(), take, perTurn) as never);
  // It ends by close, or because nobody is left to send.
  over.catch(() => {});
  return fd;
}
