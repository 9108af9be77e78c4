/**
 * splice.ts: bytes from one socket to another that never come into this process: splice(2) by way of a
 * pipe. Files are send_file.ts's.
 *
 *     source ──SpliceIn──▶ pipe ──SpliceOut──▶ destination
 *
 * Each round is two ordinary operations, one on the source's read side and one on the destination's
 * write side, so they queue, wait, time out and fail as every read and write does.
 *
 * Invariants
 *  - A pipe is filled only when it is empty, so EAGAIN from a splice into it is the source's.
 *  - Who waits for the source holds no pipe. Pipes are kept while splices run, and closed after the
 *    last one.
 *  - A short splice proves nothing about the socket: both sides go on to EAGAIN before they park.
 *  - Bytes that the destination did not take are put back in front of the source; where the source is
 *    closed they are the error's `partial`. The pipe is empty before anybody else gets it.
 */
import { assert } from "../internal/assert.ts";
import { DONE, NO, type Passed, STUCK, type Transfer } from "../io/transfer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { EAGAIN, EINVAL, ENOSYS } from "../syscall/errno.ts";
import type { SpliceKernel, StreamKernel } from "../syscall/kernel.ts";
import type { FD } from "./fd.ts";
import { type Op, type OpName, READER, SignalOp, WRITER } from "./op.ts";

/** Capacity that is asked for; the kernel may grant less (pipe(7), pipe-user-pages-soft). */
const PIPE_SIZE = 512 * 1024;
const DEFAULT_PIPE_SIZE = 65_536;
/** Empty pipes that are kept while splices run. */
const KEPT = 16;

interface Pipe {
  readonly from: number;
  readonly to: number;
  readonly capacity: number;
}

/** The pipes of one kernel. */
class Pipes {
  readonly kernel: SpliceKernel;
  private readonly empty: Pipe[] = [];
  private readonly ends = new Int32Array(2);
  private users = 0;

  constructor(kernel: SpliceKernel) {
    this.kernel = kernel;
  }

  /** An empty pipe; undefined when there are no fds, or no memory, for one. */
  take(): Pipe | undefined {
    const kept = this.empty.pop();
    if (kept !== undefined) return kept;
    const { kernel, ends } = this;
    if (kernel.pipe2(ends) < 0) return undefined;
    const [from, to] = ends as unknown as [number, number];
    const granted = kernel.setPipeSize(to, PIPE_SIZE);
    return { from, to, capacity: granted < 0 ? DEFAULT_PIPE_SIZE : granted };
  }

  give(pipe: Pipe): void {
    if (this.empty.length < KEPT) this.empty.push(pipe);
    else this.close(pipe);
  }

  /** The bytes that are left in a pipe. */
  drain(pipe: Pipe, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let have = 0; have < length; ) {
      const n = this.kernel.read(pipe.from, bytes, have, length - have);
      assert(n > 0, "a pipe holds less than was put into it");
      have += n;
    }
    return bytes;
  }

  enter(): void {
    this.users++;
  }

  leave(): void {
    if (--this.users > 0) return;
    for (const pipe of this.empty.splice(0)) this.close(pipe);
  }

  private close(pipe: Pipe): void {
    this.kernel.close(pipe.from);
    this.kernel.close(pipe.to);
  }
}

const pipesOf = new WeakMap<StreamKernel, Pipes>();

/** The kernel's pipes; undefined when it cannot splice. */
function pipesFor(kernel: StreamKernel): Pipes | undefined {
  let pipes = pipesOf.get(kernel);
  if (pipes === undefined && "splice" in kernel) {
    pipes = new Pipes(kernel as unknown as SpliceKernel);
    pipesOf.set(kernel, pipes);
  }
  return pipes;
}

/** What a SpliceIn brought: bytes in a pipe, or why there are none. */
interface Taken {
  readonly pipe: Pipe | undefined;
  readonly length: number;
  readonly passed: Passed;
}

/** Moves what is there from a socket into a pipe. */
class SpliceIn extends SignalOp<Taken> {
  private readonly pipes: Pipes;
  private readonly most: number;

  constructor(
    fd: FD,
    resolve: Resolve<Taken>,
    signal: AbortSignal | undefined,
    pipes: Pipes,
    most: number,
  ) {
    super(fd, resolve, signal);
    this.pipes = pipes;
    this.most = most;
  }

  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "read";
  }

  attempt(): boolean {
    const { fd, pipes } = this;
    // Bytes that were put back come first, and they are no socket's.
    const pipe = fd.unreadLength > 0 ? undefined : pipes.take();
    if (pipe === undefined) {
      this.succeed({ pipe, length: 0, passed: STUCK });
      return true;
    }
    const n = fd.trySpliceInto(pipes.kernel, pipe.to, Math.min(this.most, pipe.capacity));
    if (n > 0) {
      this.succeed({ pipe, length: n, passed: DONE });
      return true;
    }
    pipes.give(pipe);
    if (n === -EAGAIN) return false;
    if (n === 0) this.succeed({ pipe: undefined, length: 0, passed: DONE });
    else if (cannot(n)) this.succeed({ pipe: undefined, length: 0, passed: NO });
    else this.fail(-n);
    return true;
  }
}

/** Moves all that is in a pipe into a socket. */
class SpliceOut extends SignalOp<Passed> {
  private readonly pipes: Pipes;
  private readonly pipe: Pipe;
  private readonly before: number;
  readonly length: number;
  moved = 0;

  constructor(
    fd: FD,
    resolve: Resolve<Passed>,
    transfer: Transfer,
    pipes: Pipes,
    pipe: Pipe,
    length: number,
  ) {
    super(fd, resolve, transfer.signal);
    this.before = transfer.written;
    this.pipes = pipes;
    this.pipe = pipe;
    this.length = length;
  }

  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "write";
  }

  override get progress(): number {
    return this.before + this.moved;
  }

  attempt(): boolean {
    const { fd, pipes, pipe } = this;
    while (this.moved < this.length) {
      const n = fd.trySpliceFrom(pipes.kernel, pipe.from, this.length - this.moved);
      if (n === -EAGAIN) return false;
      if (n < 0) {
        if (cannot(n)) this.succeed(NO);
        else this.fail(-n);
        return true;
      }
      assert(n > 0, "a splice from a filled pipe moved nothing");
      this.moved += n;
    }
    this.succeed(DONE);
    return true;
  }
}

/** These fds do not do such a call; others may. */
function cannot(n: number): boolean {
  return n === -EINVAL || n === -ENOSYS;
}

function run<T>(op: Op<T>, promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  op.fd.submit(op as never, signal);
  return promise;
}

/**
 * Moves bytes from one socket to another until the source ends or the limit is reached. Fails as the
 * read or the write that failed; what the destination did not take is put back.
 */
export async function spliceSockets(dst: FD, src: FD, transfer: Transfer): Promise<Passed> {
  const pipes = pipesFor(src.device.kernel);
  if (pipes === undefined || src.device.kernel !== dst.device.kernel) return NO;
  const { sched } = src.device.runtime;
  pipes.enter();
  try {
    while (transfer.left > 0) {
      const promise = parked<Taken>();
      const { signal } = transfer;
      const taken = await run(
        new SpliceIn(src, resolver(), signal, pipes, transfer.left),
        promise,
        signal,
      );
      const { pipe, length, passed } = taken;
      if (pipe === undefined) return passed;
      const sent = await spliceOut(dst, src, transfer, pipes, pipe, length);
      if (sent !== DONE) return sent;
      await sched.complete(undefined, length);
    }
    return DONE;
  } finally {
    pipes.leave();
  }
}

/** Empties the pipe into the destination, or back in front of the source. */
async function spliceOut(
  dst: FD,
  src: FD,
  transfer: Transfer,
  pipes: Pipes,
  pipe: Pipe,
  length: number,
): Promise<Passed> {
  const promise = parked<Passed>();
  const op = new SpliceOut(dst, resolver(), transfer, pipes, pipe, length);
  let failure: unknown;
  try {
    return await run(op, promise, transfer.signal);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    transfer.moved(op.moved);
    if (op.moved < length) putBack(src, pipes.drain(pipe, length - op.moved), failure);
    pipes.give(pipe);
  }
}

function putBack(src: FD, bytes: Uint8Array, failure: unknown): void {
  if (!src.closing) src.unread(bytes);
  else if (failure instanceof Error) (failure as { partial?: Uint8Array }).partial = bytes;
}
