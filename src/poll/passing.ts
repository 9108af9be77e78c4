/**
 * passing.ts: the operations that send and receive a file descriptor over a unix stream socket.
 *
 * They take their side of the channel as any write and read do, so they queue, park, and end by close,
 * deadline and signal alike. What the bytes mean is decided above (net/handle_wire.ts).
 */
import type { Resolve } from "../runtime/park.ts";
import { Timer } from "../runtime/timers.ts";
import { EAGAIN, ETOOMANYREFS } from "../syscall/errno.ts";
import type { FD, Incoming } from "./fd.ts";
import { goOnLater, type OpName, READER, SignalOp, WRITER } from "./op.ts";

/** Frames that an operation moves before others get a turn. */
const FRAMES_PER_TURN = 64;

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;

/** Tries again after a pause: nothing tells when fewer descriptors are in flight. */
class Retry extends Timer {
  private readonly op: SendFdOp;
  private pause = FIRST_PAUSE_MS;

  constructor(op: SendFdOp) {
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

/**
 * Sends frames; a file descriptor goes along with the first byte of the last one. Until then it has
 * gone nowhere, so a failure before leaves everything as it was.
 */
export class SendFdOp extends SignalOp<void> {
  private readonly frames: readonly Uint8Array[];
  private readonly fds: Int32Array;
  private next = 0;
  /** How much of the next frame is sent: more than 0 only where the kernel cuts small messages. */
  private offset = 0;
  private pause: Retry | undefined;

  constructor(
    fd: FD,
    resolve: Resolve<void>,
    signal: AbortSignal | undefined,
    frames: readonly Uint8Array[],
    sysfd: number,
  ) {
    super(fd, resolve, signal);
    this.frames = frames;
    this.fds = Int32Array.of(sysfd);
  }

  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "pass";
  }

  attempt(): boolean {
    for (let calls = 0; this.next < this.frames.length; calls++) {
      if (calls === FRAMES_PER_TURN) {
        goOnLater(this as never);
        return false;
      }
      const n = this.send();
      if (n === -EAGAIN) return false;
      if (n === -ETOOMANYREFS) {
        this.pauseThenRetry();
        return false;
      }
      if (n < 0) {
        this.fail(-n);
        return true;
      }
    }
    this.end();
    this.succeed(undefined);
    return true;
  }

  private send(): number {
    const { fd, offset } = this;
    const frame = this.frames[this.next] as Uint8Array;
    const withFd = offset === 0 && this.next === this.frames.length - 1;
    const n = withFd
      ? fd.trySendFds(frame, 0, frame.length, this.fds)
      : fd.trySend(frame, offset, frame.length - offset);
    if (n < 0) return n;
    this.offset += n;
    if (this.offset === frame.length) {
      this.next++;
      this.offset = 0;
    }
    return n;
  }

  private pauseThenRetry(): void {
    const { timers, clock } = this.fd.device.runtime;
    this.pause ??= new Retry(this);
    timers.arm(this.pause, this.pause.next(clock.now()));
  }

  private end(): void {
    if (this.pause !== undefined) this.fd.device.runtime.timers.disarm(this.pause);
  }

  override fail(number: number): void {
    this.end();
    // Half a frame is on its way: the receiver must take what follows for its end, not for its rest.
    if (this.offset > 0 && !this.settled) this.fd.shutWrite();
    super.fail(number);
  }
}

/** Why something could not be received. */
export interface Refused {
  readonly number: number;
  readonly text: string;
}

/** Puts together what is received; what is missing when an operation ends is left to the next one. */
export interface Assembly<T> extends Incoming {
  /** Where the next bytes go: `want` more of them, at least one. */
  readonly buffer: Uint8Array;
  readonly have: number;
  readonly want: number;
  /** Takes n bytes that are in the buffer now, and the fds that came with them. */
  received(n: number, fds: Int32Array): Refused | undefined;
  /** The stream has ended here. */
  ended(): Refused | null;
  /** Takes out what is complete, if it is of that kind; undefined as long as nothing is. */
  take(kind: string): T | Refused | undefined;
}

/** What came with one read: how many fds, whether some were dropped, and the first of them. */
const out = new Int32Array(3);

/** Receives what an assembly puts together, or null at the end of the stream. */
export class ReceiveFdOp<T extends object> extends SignalOp<T | null> {
  private readonly assembly: Assembly<T>;
  private readonly wanted: string;

  constructor(
    fd: FD,
    resolve: Resolve<T | null>,
    signal: AbortSignal | undefined,
    assembly: Assembly<T>,
    wanted: string,
  ) {
    super(fd, resolve, signal);
    this.assembly = assembly;
    this.wanted = wanted;
  }

  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "receive";
  }

  attempt(): boolean {
    const { fd, assembly } = this;
    for (let calls = 0; ; calls++) {
      const complete = assembly.take(this.wanted);
      if (complete !== undefined) return this.settle(complete);
      if (calls === FRAMES_PER_TURN) {
        goOnLater(this as never);
        return false;
      }
      const n = fd.tryReceiveFds(assembly.buffer, assembly.have, assembly.want, out);
      if (n === -EAGAIN) return false;
      if (n < 0) {
        this.fail(-n);
        return true;
      }
      const refused = n === 0 ? assembly.ended() : assembly.received(n, out);
      if (refused !== undefined) return this.settle(refused);
    }
  }

  private settle(outcome: T | Refused | null): boolean {
    if (outcome !== null && "number" in outcome) this.fail(outcome.number, outcome.text);
    else this.succeed(outcome);
    return true;
  }
}
