/**
 * send_file.ts: a part of a file goes to a socket, and what stands before it: sendfile(2).
 *
 * It is one operation of the write side from its first byte to its last: writes of other goroutines wait
 * behind it, and a deadline, a signal or close ends it in the middle. A kernel without sendfile, or a file
 * that cannot be mapped, is read a piece at a time, at the same places.
 *
 * Invariants
 *  - sendfile(2) and pread(2) wait for the disk where a page is not in memory, and the thread with them:
 *    so one turn sends at most PART, and then everybody else goes first.
 *  - Nothing of the file is held while the peer does not take it: a piece that did not fit is read again.
 *  - A file that is shorter than what was promised is an error. (Pages that the socket holds already and that
 *    are cut off the file arrive as zeros: sendfile(2) sends the pages themselves.)
 */
import { readSync } from "node:fs";
import { IOError } from "../io/io.ts";
import { DONE, type FileSource, NO, type Passed, type Transfer } from "../io/transfer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { EAGAIN, EINVAL, ENOSYS } from "../syscall/errno.ts";
import type { SpliceKernel } from "../syscall/kernel.ts";
import { SCRATCH_SIZE, scratch } from "../syscall/scratch.ts";
import type { FD } from "./fd.ts";
import { goOnLater, type OpName, SignalOp, WRITER } from "./op.ts";

/** What is sent of a file before others get their turn. */
const PART = 256 * 1024;

/** What is to be sent. */
export interface FilePart {
  /** Whose fd may become another number, -1, when it is closed meanwhile. */
  readonly file: FileSource;
  readonly position: number;
  /** Bytes of the file; Infinity for all that is there. */
  readonly length: number;
  /** Goes before the file, in the same packets where there is room. */
  readonly head: Uint8Array | undefined;
  /** The file has to have `length` bytes; else its end is the end. */
  readonly exact: boolean;
  /** Reads the file where it cannot be sent; else the operation ends there, and `refused` says so. */
  readonly reads: boolean;
  /** Bytes that were written before, for the error. */
  readonly before: number;
}

export class SendFileOp extends SignalOp<number> {
  private readonly part: FilePart;
  /** undefined: the file is read. */
  private kernel: SpliceKernel | undefined;
  private headSent = 0;
  /** Bytes of the file that were sent. */
  moved = 0;
  refused = false;
  succeeded = false;
  /** Nothing is left to be given to the fd. */
  private taken = false;

  constructor(fd: FD, resolve: Resolve<number>, signal: AbortSignal | undefined, part: FilePart) {
    super(fd, resolve, signal);
    this.part = part;
    const { kernel } = fd.device;
    const sends = "sendfile" in kernel && !fd.packets;
    this.kernel = sends ? (kernel as unknown as SpliceKernel) : undefined;
  }

  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "write";
  }

  override get progress(): number {
    return this.part.before + this.headSent + this.moved;
  }

  attempt(): boolean {
    try {
      if (!this.taken && !(this.sendHead() && this.sendPart())) return false;
      return this.settled || this.passOn();
    } catch (error) {
      // The file could not be read.
      this.failWith(Object.assign(error as Error, { bytesWritten: this.progress }));
      return true;
    }
  }

  /** False when it has to wait; true also when the operation has failed. */
  private sendHead(): boolean {
    const { fd, kernel, part } = this;
    const { head } = part;
    if (head === undefined) return true;
    while (this.headSent < head.length) {
      const at = this.headSent;
      const n =
        kernel === undefined || part.length === 0
          ? fd.trySend(head, at, head.length - at)
          : fd.trySendMore(kernel, head, at, head.length - at);
      if (n === -EAGAIN) return false;
      if (n < 0) {
        this.fail(-n);
        return true;
      }
      this.headSent += n;
    }
    return true;
  }

  private sendPart(): boolean {
    const { length } = this.part;
    const most = Math.min(length, this.moved + PART);
    while (!this.settled && !this.taken && this.moved < most) {
      const n = this.sendSome(most - this.moved);
      if (n > 0) this.moved += n;
      else if (n === -EAGAIN) return false;
      else this.stop(n);
    }
    if (this.settled || this.taken) return true;
    if (this.moved < length) {
      // What was sent counts against a timeout, although no event says so.
      this.fd.deadlines?.waiting(WRITER);
      goOnLater(this as never);
      return false;
    }
    this.taken = true;
    return true;
  }

  /** What a layer of the fd still holds has to leave, too. */
  private passOn(): boolean {
    const n = this.fd.flush();
    if (n === -EAGAIN) return false;
    if (n < 0) this.fail(-n);
    else this.succeed(this.progress);
    return true;
  }

  override succeed(sent: number): void {
    this.succeeded = true;
    super.succeed(sent);
  }

  /** One call: bytes sent, 0 at the end of the file, or a negative errno. */
  private sendSome(most: number): number {
    const { fd, kernel, moved } = this;
    const { file, position } = this.part;
    if (kernel !== undefined) return fd.trySendFile(kernel, file.fd, position + moved, most);
    const room = Math.min(most, SCRATCH_SIZE);
    const n = readSync(file.fd, scratch, 0, room, position + moved);
    return n === 0 ? 0 : fd.trySend(scratch, 0, n);
  }

  /** The file has ended, or a call has failed. */
  private stop(n: number): void {
    const { exact, length, reads } = this.part;
    if (n === 0) {
      if (!exact) this.taken = true;
      else this.failWith(this.tooShort(length));
    } else if (this.kernel === undefined || (n !== -EINVAL && n !== -ENOSYS)) this.fail(-n);
    else if (reads) this.kernel = undefined;
    else {
      this.refused = true;
      this.succeed(this.progress);
    }
  }

  private tooShort(length: number): IOError {
    const text = `sendFile: the file ended after ${this.moved} of ${length} bytes`;
    const error = new IOError("ERR_UNEXPECTED_EOF", text);
    return Object.assign(error, { bytesWritten: this.progress });
  }
}

/** Sends part of a file; resolves to the bytes that went out, its head's included. */
export function sendFilePart(
  fd: FD,
  part: FilePart,
  signal: AbortSignal | undefined,
): Promise<number> {
  const promise = parked<number>();
  const op = new SendFileOp(fd, resolver(), signal, part);
  fd.submit(op as never, signal);
  // The others' turns are not used up by files that go out at once.
  if (op.succeeded) return fd.device.runtime.sched.completeBytes(op.progress);
  return promise;
}

/** For copy: sends a file from `position` on, until it ends or the limit is reached. */
export async function sendFile(
  dst: FD,
  file: FileSource,
  position: number,
  transfer: Transfer,
): Promise<Passed> {
  if (!("sendfile" in dst.device.kernel)) return NO;
  const length = transfer.left;
  const before = transfer.written;
  const part = { file, position, length, head: undefined, exact: false, reads: false, before };
  const promise = parked<number>();
  const op = new SendFileOp(dst, resolver(), transfer.signal, part);
  try {
    dst.submit(op as never, transfer.signal);
    await promise;
  } finally {
    transfer.moved(op.moved);
  }
  if (op.refused) return NO;
  await dst.device.runtime.sched.complete(undefined, Math.min(op.moved, PART));
  return DONE;
}
