/**
 * fd.ts: an open fd: every call is "try; if it would block, park; try again".
 *
 * An FD joins a kernel fd, its poll descriptor, and the locks that let concurrent readers and writers
 * queue (fd_mutex.ts has the layout of the state word). Reads and writes are tried at once; only an
 * operation that would block makes an Op (op.ts).
 *
 * Invariants
 *  - At most one operation owns each side. The owner of a side that waits is what pd.rg or pd.wg
 *    holds; operations behind it stand in `queues`.
 *  - After a short read on a stream nothing is left, so the reader parks without asking for EAGAIN:
 *    the next byte makes a new edge. Except after a hangup (data and FIN can share one edge), after
 *    urgent data (a read stops at the mark), on unix sockets (control messages end a read), and never
 *    for packets.
 *  - close() marks the fd, fails whoever waits, and gives back the open fd's reference; the last
 *    reference closes the kernel's fd, once, and never again on EINTR.
 *  - A failure that the kernel reports only once (ECONNRESET) is kept: whichever operation saw it
 *    first, a later read must not take the silence after it for EOF.
 */
import { assert } from "../internal/assert.ts";
import {
  ARMED,
  EXCLUSIVE,
  HANGUP,
  type PollDesc,
  parkRead,
  parkWrite,
  READY,
  SHARED,
  URGENT,
} from "../runtime/netpoll.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import type { Device } from "../runtime/runtime.ts";
import { SHUT_RD, SHUT_WR } from "../syscall/constants.ts";
import {
  CANCELED,
  CLOSED,
  DEADLINE,
  EAGAIN,
  ECONNABORTED,
  ECONNRESET,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETDOWN,
  ENETUNREACH,
  ENONET,
  ENOPROTOOPT,
  ENOTCONN,
  EPROTO,
  ETIMEDOUT,
} from "../syscall/errno.ts";
import type { PassingKernel, SpliceKernel } from "../syscall/kernel.ts";
import { SCRATCH_SIZE, scratch } from "../syscall/scratch.ts";
import { CHUNK_SIZE, chunkOfBulk, chunkOfScratch, newBulk, SENT_BY_SCRATCH } from "./buffers.ts";
import { Deadlines } from "./deadline.ts";
import {
  BULK,
  CLOSING,
  FAILED_MASK,
  FAILED_SHIFT,
  ONE_REF,
  PACKETS,
  type Queue,
  Queues,
  READ_LOCK,
  READ_SHUT,
  REFS_MASK,
  UNFLUSHED,
  UNREAD,
  UNREF,
  WATCHED,
  WRITE_LOCK,
} from "./fd_mutex.ts";
import { Leftover } from "./leftover.ts";
import { type Op, type OpName, READER, type Side, WRITER } from "./op.ts";
import { ChunkOp, ReadChunkOp, ReadOp, ReadyOp, WaitReadableOp, type Watch } from "./read.ts";
import { MOST_AT_ONCE, ShutdownOp, VectorRest, WriteOp, WritevOp } from "./write.ts";

/** Details that an error carries beside its number. */
export interface ErrorDetails {
  bytesWritten?: number | undefined;
  /** Of a batch of datagrams. */
  messagesSent?: number | undefined;
  /** Where a datagram was to go, on a socket that has no peer. */
  address?: string | undefined;
  cause?: unknown;
  /** What happened, where the number says too little. */
  text?: string | undefined;
}

/** Who an fd belongs to: makes the error that the user sees. */
export interface Owner {
  error(op: OpName, number: number, details?: ErrorDetails): Error;
}

const sides = [READ_LOCK, WRITE_LOCK] as const;

/** Buffers that one write takes at most (IOV_MAX, sysconf(3)). */
export const MAX_VECTOR = 1024;

/** With these a stream has ended for good: reset, no answer, or what ICMP said while there was none. */
const FATAL = new Set([
  ECONNRESET,
  ECONNABORTED,
  ETIMEDOUT,
  EHOSTUNREACH,
  ENETUNREACH,
  EHOSTDOWN,
  ENETDOWN,
  ENONET,
  ENOPROTOOPT,
  EPROTO,
]);

/** Counts what one fd has moved, for whoever watches it. */
export interface Meter {
  bytesIn: number;
  bytesOut: number;
  /** Who has counted here before, and goes on counting; addMeter() puts it here. */
  nextMeter: Meter | undefined;
}
/** The scratch buffer, for text. */
const scratchText = Buffer.from(scratch.buffer as unknown as ArrayBuffer) as Buffer & {
  /** What write(text, "latin1") comes to, without the choice between encodings. */
  latin1Write(text: string, at: number, length: number): number;
};

class Rare {
  deadlines: Deadlines | undefined = undefined;
  queues: Queues | undefined = undefined;
  leftover: Leftover | undefined = undefined;
  /** What an interrupted operation has received so far. */
  incoming: Incoming | undefined = undefined;
  meter: Meter | undefined = undefined;
  /** Who waits until the fd is closed. */
  closers: Resolve<void>[] | undefined = undefined;

  moved(bytesIn: number, bytesOut: number): void {
    this.deadlines?.active();
    for (let meter = this.meter; meter !== undefined; meter = meter.nextMeter) {
      meter.bytesIn += bytesIn;
      meter.bytesOut += bytesOut;
    }
  }
}

/** Something that is received in several steps, and may hold fds meanwhile. */
export interface Incoming {
  discard(): void;
}

export class FD implements AsyncIterator<Uint8Array, undefined> {
  readonly device: Device;
  /** The kernel's fd; -1 while the open file is under way to another thread. */
  sysfd: number;
  owner: Owner;
  protected readonly pd: PollDesc;
  protected state: number;
  /** What few fds need: deadlines, operations that queue, bytes that were put back. */
  protected rare: Rare | undefined = undefined;

  /** Takes an open, non-blocking fd over; `packets` when it keeps message boundaries. */
  constructor(device: Device, sysfd: number, owner: Owner, packets: boolean) {
    this.device = device;
    this.sysfd = sysfd;
    this.owner = owner;
    this.pd = device.runtime.cache.alloc();
    this.state = packets ? ONE_REF | PACKETS : ONE_REF;
  }

  get closing(): boolean {
    return (this.state & CLOSING) !== 0;
  }

  /** True when it keeps message boundaries. */
  get packets(): boolean {
    return (this.state & PACKETS) !== 0;
  }

  // ---- reading

  /** Reads at least one byte, at most buffer.length: how many, or null at EOF. */
  read(buffer: Uint8Array, signal: AbortSignal | undefined): Promise<number | null> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("read", refused, signal);
    if (buffer.length === 0) return Promise.resolve(0);
    if ((this.state & READ_LOCK) === 0) {
      if (this.expired(READER)) return this.refuse("read", DEADLINE, signal);
      const n = this.tryRead(buffer);
      if (n >= 0) return this.device.runtime.sched.complete(n === 0 ? null : n, n);
      if (n !== -EAGAIN) return this.refuse("read", -n, signal);
    }
    const promise = parked<number | null>();
    this.wait(new ReadOp(this, resolver(), signal, buffer));
    return promise;
  }

  /** The next chunk, of at most CHUNK_SIZE bytes; holds no buffer while it waits. */
  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if ((this.state & CLOSING) !== 0) return this.refuse("read", CLOSED, undefined);
    if ((this.state & READ_LOCK) === 0) {
      if (this.expired(READER)) return this.refuse("read", DEADLINE, undefined);
      const chunk = this.tryChunk();
      const { sched } = this.device.runtime;
      if (typeof chunk !== "number") {
        return sched.complete({ done: false, value: chunk }, chunk.length);
      }
      if (chunk === 0) return sched.complete({ done: true, value: undefined }, 0);
      if (chunk !== -EAGAIN) return this.refuse("read", -chunk, undefined);
    }
    const promise = parked<IteratorResult<Uint8Array, undefined>>();
    this.wait(new ChunkOp(this, resolver()));
    return promise;
  }

  /** As next, for one chunk, null at EOF; a signal may cancel it. */
  readChunk(signal: AbortSignal | undefined): Promise<Uint8Array | null> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("read", refused, signal);
    if ((this.state & READ_LOCK) === 0) {
      if (this.expired(READER)) return this.refuse("read", DEADLINE, signal);
      const chunk = this.tryChunk();
      const { sched } = this.device.runtime;
      if (typeof chunk !== "number") return sched.complete(chunk, chunk.length);
      if (chunk === 0) return sched.complete(null, 0);
      if (chunk !== -EAGAIN) return this.refuse("read", -chunk, signal);
    }
    const promise = parked<Uint8Array | null>();
    this.wait(new ReadChunkOp(this, resolver(), signal));
    return promise;
  }

  /**
   * As read, for whoever has a buffer only while it runs: how many bytes, 0 at EOF, or a negative errno.
   * After -EAGAIN `waitReady` is due. It draws on the turn's budget but never asks whether there is any:
   * its caller pays with the next operation that it waits for. Would it be refused, then a neighbour
   * whose operations use up whole turns would be served in each of them, and this goroutine in none.
   */
  readNow(buffer: Uint8Array): number {
    if ((this.state & CLOSING) !== 0) return -CLOSED;
    if ((this.state & READ_LOCK) !== 0) return -EAGAIN;
    if (this.expired(READER)) return -DEADLINE;
    const n = this.tryRead(buffer);
    if (n > 0) this.device.runtime.sched.charge(n);
    return n;
  }

  /** Waits until it is worth while to try readNow again. */
  waitReady(): Promise<void> {
    if ((this.state & CLOSING) !== 0) return this.refuse("read", CLOSED, undefined);
    if ((this.state & READ_LOCK) === 0) {
      if (this.expired(READER)) return this.refuse("read", DEADLINE, undefined);
      if (this.pd.rg === READY || (this.state & (READ_SHUT | UNREAD)) !== 0) {
        return this.device.runtime.sched.complete(undefined, 0);
      }
    }
    const promise = parked<void>();
    this.wait(new ReadyOp(this, resolver()));
    return promise;
  }

  /** Waits until a read would not wait: data, EOF or an error is there. */
  waitReadable(signal: AbortSignal | undefined): Promise<void> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("wait", refused, signal);
    if ((this.state & READ_LOCK) === 0) {
      if (this.expired(READER)) return this.refuse("wait", DEADLINE, signal);
      if (this.tryReadable()) return this.device.runtime.sched.complete(undefined, 0);
    }
    const promise = parked<void>();
    this.wait(new WaitReadableOp(this, resolver(), signal));
    return promise;
  }

  /** One read: bytes, 0 at EOF, or a negative errno. */
  tryRead(buffer: Uint8Array): number {
    const { pd, state } = this;
    if ((state & (READ_SHUT | UNREAD)) !== 0) return this.readLeftover(buffer);
    if (pd.rg !== READY) return -EAGAIN;
    const { kernel } = this.device;
    if (buffer === scratch && (state & PACKETS) === 0) {
      return this.received(kernel.recvScratch(this.sysfd), SCRATCH_SIZE);
    }
    const length = Math.min(buffer.length, MOST_AT_ONCE);
    const n =
      (state & PACKETS) === 0
        ? kernel.recv(this.sysfd, buffer, 0, length)
        : kernel.recvPacket(this.sysfd, buffer, 0, length);
    return this.received(n, length);
  }

  /** One read into memory that is nobody's yet: a chunk, 0 at EOF, or a negative errno. */
  tryChunk(): Uint8Array | number {
    if ((this.state & (BULK | PACKETS | READ_SHUT | UNREAD)) !== 0) return this.tryBulk();
    if (this.pd.rg !== READY) return -EAGAIN;
    const n = this.received(this.device.kernel.recvScratch(this.sysfd), SCRATCH_SIZE);
    if (n <= 0) return n;
    if (n >= CHUNK_SIZE / 2) this.state |= BULK;
    return chunkOfScratch(n);
  }

  private tryBulk(): Uint8Array | number {
    const { state } = this;
    if ((state & READ_SHUT) !== 0) return 0;
    if ((state & (UNREAD | PACKETS)) === UNREAD) return this.leftoverChunk();
    const buffer = newBulk();
    const n = this.tryRead(buffer);
    if (n <= 0) return n;
    if (n < CHUNK_SIZE / 2) this.state &= ~BULK;
    return chunkOfBulk(buffer, n);
  }

  /** On this fd a read may end before the data does: never park on a short one alone. */
  distrustShortReads(): void {
    this.pd.flags |= URGENT;
  }

  /**
   * Other threads accept from this open file too: the poller watches it only while an accept waits
   * here, so that a thread that is busy with other things takes no wake-up from those that wait.
   */
  shareAccepts(): void {
    this.pd.flags |= EXCLUSIVE;
  }

  /** True when a read would not wait. */
  tryReadable(): boolean {
    if ((this.state & (READ_SHUT | UNREAD)) !== 0) return true;
    if (this.pd.rg !== READY) return false;
    const n = this.device.kernel.peek(this.sysfd);
    if (n === -EAGAIN) {
      this.pd.rg = null;
      return false;
    }
    // The kernel tells an error once: it is kept for the read that follows.
    if (n < 0) this.keepFailure(-n);
    return true;
  }

  // ---- bytes that were put back

  /** Puts bytes in front of what the kernel has; a reader that waits gets them. */
  unread(bytes: Uint8Array): void {
    if ((this.state & READ_SHUT) !== 0 || bytes.length === 0) return;
    this.rare ??= new Rare();
    this.rare.leftover ??= new Leftover();
    this.rare.leftover.push(bytes);
    this.state |= UNREAD;
    this.wakeReader();
  }

  /** Bytes that were put back and not read again. */
  get unreadLength(): number {
    return this.rare?.leftover?.length ?? 0;
  }

  /** What was put back and not read again, in the order of reading. */
  get leftover(): readonly Uint8Array[] {
    return this.rare?.leftover?.all() ?? [];
  }

  /** Takes out what was put back and not read again, in the order of reading. */
  takeUnread(): Uint8Array[] {
    this.state &= ~UNREAD;
    return this.rare?.leftover?.takeAll() ?? [];
  }

  private readLeftover(buffer: Uint8Array): number {
    if ((this.state & READ_SHUT) !== 0) return 0;
    const leftover = this.rare?.leftover as Leftover;
    const n = (this.state & PACKETS) === 0 ? leftover.shift(buffer) : leftover.shiftPacket(buffer);
    if (leftover.length === 0) this.state &= ~UNREAD;
    return n;
  }

  private leftoverChunk(): Uint8Array {
    const leftover = this.rare?.leftover as Leftover;
    const chunk = leftover.shiftChunk(CHUNK_SIZE);
    if (leftover.length === 0) this.state &= ~UNREAD;
    return chunk;
  }

  protected wakeReader(): void {
    const op = this.pd.rg;
    if (op === null || op === READY) return;
    this.pd.rg = READY;
    op.ready();
  }

  protected received(n: number, length: number): number {
    const { pd, state } = this;
    if (n > 0) {
      if ((state & PACKETS) !== 0) {
        if (n > length) return -EMSGSIZE;
      } else if (n < length && (pd.flags & (HANGUP | URGENT)) === 0) pd.rg = null;
      this.device.runtime.bytesRead += n;
      if (this.rare !== undefined) this.rare.moved(n, 0);
      if (observer.moved !== null) observer.moved(this.owner, "read", n);
      return n;
    }
    if (n === -EAGAIN) {
      pd.rg = null;
      return n;
    }
    if (n < 0) this.keepFailure(-n);
    else if (observer.moved !== null) observer.moved(this.owner, "read", 0);
    const failed = (this.state & FAILED_MASK) >> FAILED_SHIFT;
    return failed === 0 ? n : -failed;
  }

  // ---- file descriptors that travel with bytes (unix(7))

  /** As one write, with fds that go along with its first byte. */
  trySendFds(buffer: Uint8Array, offset: number, length: number, fds: Int32Array): number {
    const kernel = this.device.kernel as unknown as PassingKernel;
    return this.sent(kernel.sendmsgFds(this.sysfd, buffer, offset, length, fds), length);
  }

  /** As one read of a stream; what fds came is told in `out` (PassingKernel.recvmsgFds). */
  tryReceiveFds(buffer: Uint8Array, offset: number, length: number, out: Int32Array): number {
    const { pd, state } = this;
    out[0] = out[1] = 0;
    if ((state & (READ_SHUT | UNREAD)) !== 0) {
      return this.readLeftover(buffer.subarray(offset, offset + length));
    }
    if (pd.rg !== READY) return -EAGAIN;
    const kernel = this.device.kernel as unknown as PassingKernel;
    return this.received(kernel.recvmsgFds(this.sysfd, buffer, offset, length, out), length);
  }

  /** What is received in several steps, kept between the operations that do it. */
  incoming<T extends Incoming>(make: () => T): T {
    this.rare ??= new Rare();
    this.rare.incoming ??= make();
    return this.rare.incoming as T;
  }

  // ---- passing the fd itself to another process

  /** Someone else has this open file too: the poller must not count on close(2). */
  share(): void {
    this.pd.flags |= SHARED;
  }

  /** Takes both sides, so that whoever comes has to wait; false when someone waits already. */
  reserve(): boolean {
    if ((this.state & (READ_LOCK | WRITE_LOCK)) !== 0) return false;
    this.state = (this.state | READ_LOCK | WRITE_LOCK) + ONE_REF;
    for (const _ of sides) this.device.runtime.hold((this.state & UNREF) === 0);
    return true;
  }

  /** Gives both sides back to whoever waits for them. */
  unreserve(): void {
    this.state &= ~(READ_LOCK | WRITE_LOCK);
    for (const _ of sides) this.device.runtime.release((this.state & UNREF) === 0);
    this.startQueued(READER);
    this.startQueued(WRITER);
    this.decref();
  }

  /** True between reserve and unreserve: the read side is taken, and nobody waits there. */
  get reserved(): boolean {
    return (this.state & READ_LOCK) !== 0 && this.parkedOn(READER) === undefined;
  }

  /**
   * Makes ready, between reserve and depart, what this process knows of the open file beside the kernel, for
   * the thread that receives at `inbox`: a number to find it by there, 0 for nothing, or a negative errno.
   */
  pack(_inbox: number): number {
    return 0;
  }

  /** The fd does not depart after all. */
  unpack(): void {}

  /** Gives the kernel's fd up, between reserve and unreserve: the open file goes on elsewhere. */
  depart(): void {
    const { device, pd, sysfd } = this;
    this.sysfd = -1;
    this.rare?.deadlines?.stop();
    device.poller.disarm(sysfd, pd);
    device.kernel.close(sysfd);
  }

  /** The open file has come back, between reserve and unreserve. */
  comeBack(sysfd: number): void {
    this.sysfd = sysfd;
    this.pd.rg = this.pd.wg = READY;
  }

  /** Forgets an fd that someone else closes, and fails whoever waits. */
  abandon(): void {
    this.device.poller.disarm(this.sysfd, this.pd);
    this.sysfd = -1;
    void this.close();
  }

  /** The deadlines and timeouts that are set, if any are. */
  get deadlines(): Deadlines | undefined {
    return this.rare?.deadlines;
  }

  get referenced(): boolean {
    return (this.state & UNREF) === 0;
  }

  /** Whether reads answer EOF, and the failure that the socket stays in or 0: for another FD. */
  get condition(): [readShut: boolean, failed: number] {
    return [(this.state & READ_SHUT) !== 0, (this.state & FAILED_MASK) >> FAILED_SHIFT];
  }

  /** Takes over what another FD knew of this open file. */
  setCondition(readShut: boolean, failed: number): void {
    if (readShut) this.state |= READ_SHUT;
    if (FATAL.has(failed)) this.keepFailure(failed);
  }

  // ---- writing

  /** Writes every byte; resolves to their number. */
  write(buffer: Uint8Array, signal: AbortSignal | undefined): Promise<number> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("write", refused, signal);
    const { length } = buffer;
    if (length === 0) return Promise.resolve(0);
    let written = 0;
    if ((this.state & WRITE_LOCK) === 0) {
      if (this.expired(WRITER)) return this.refuse("write", DEADLINE, signal);
      if (length > MOST_AT_ONCE) return this.writeLarge(buffer, signal);
      const n = this.trySendFirst(buffer, length);
      if (n === length && (this.state & UNFLUSHED) === 0) {
        return this.device.runtime.sched.completeBytes(n);
      }
      if (n < 0 && n !== -EAGAIN) return this.refuse("write", -n, signal);
      if (n > 0) written = n;
    }
    const promise = parked<number>();
    this.wait(new WriteOp(this, resolver(), signal, buffer, written));
    return promise;
  }

  /**
   * As write, of a text of characters up to U+00FF, a byte each. Undefined when every byte is in the
   * kernel and the caller may go on at once.
   */
  writeLatin1(text: string): Promise<number> | undefined {
    const { length } = text;
    const busy = (this.state & (WRITE_LOCK | CLOSING)) !== 0;
    if (busy || length > SCRATCH_SIZE || length === 0 || this.expired(WRITER)) {
      return this.write(Buffer.from(text, "latin1"), undefined);
    }
    scratchText.latin1Write(text, 0, length);
    const n = this.sent(this.device.kernel.sendScratch(this.sysfd, length), length);
    if (n === length && (this.state & UNFLUSHED) === 0) {
      const { sched } = this.device.runtime;
      return sched.charge(n) ? undefined : sched.defer(n);
    }
    if (n < 0 && n !== -EAGAIN) return this.refuse("write", -n, undefined);
    // The scratch buffer is everybody's: what is left waits in memory of its own.
    const rest = Buffer.from(text, "latin1");
    const promise = parked<number>();
    this.wait(new WriteOp(this, resolver(), undefined, rest, Math.max(n, 0)));
    return promise;
  }

  /** A write that no single call can do. */
  private writeLarge(buffer: Uint8Array, signal: AbortSignal | undefined): Promise<number> {
    const promise = parked<number>();
    const op = new WriteOp(this, resolver(), signal, buffer, 0);
    if (!op.attempt()) this.wait(op);
    return promise;
  }

  /** Writes every byte of every chunk, in order; resolves to their number. Takes the array over. */
  writev(chunks: Uint8Array[], signal: AbortSignal | undefined): Promise<number> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("write", refused, signal);
    // More than one system call takes would become several packets.
    if ((this.state & PACKETS) !== 0 && chunks.length > MAX_VECTOR) {
      return this.write(Buffer.concat(chunks), signal);
    }
    const rest = new VectorRest(chunks);
    if ((this.state & WRITE_LOCK) === 0) {
      if (this.expired(WRITER)) return this.refuse("write", DEADLINE, signal);
      const error = rest.send(this) || this.flush();
      if (error === 0) return this.device.runtime.sched.complete(rest.written, rest.written);
      if (error !== -EAGAIN) return this.refuse("write", -error, signal, rest.written);
    }
    const promise = parked<number>();
    this.wait(new WritevOp(this, resolver(), signal, rest));
    return promise;
  }

  /** One write: bytes taken, or a negative errno. */
  trySend(buffer: Uint8Array, offset: number, length: number): number {
    return this.sent(this.device.kernel.send(this.sysfd, buffer, offset, length), length);
  }

  /** The first try of a write. */
  protected trySendFirst(buffer: Uint8Array, length: number): number {
    if (length > SENT_BY_SCRATCH) return this.trySend(buffer, 0, length);
    scratch.set(buffer);
    return this.sent(this.device.kernel.sendScratch(this.sysfd, length), length);
  }

  /** One write of several buffers: bytes taken, or a negative errno. */
  trySendVector(chunks: readonly Uint8Array[], first: number, offset: number): number {
    return this.sent(this.device.kernel.writev(this.sysfd, chunks, first, offset), 0);
  }

  /** Passes on what a layer of this fd took and still holds: 0, -EAGAIN, or a negative errno. */
  flush(): number {
    return (this.state & UNFLUSHED) === 0 ? 0 : this.tryFlush();
  }

  /** A socket holds nothing back. */
  protected tryFlush(): number {
    return 0;
  }

  // ---- bytes that do not come into this process (splice.ts, send_file.ts)

  /** One splice into a pipe: bytes, 0 at EOF, or a negative errno. Bytes put back are passed over. */
  trySpliceInto(kernel: SpliceKernel, pipe: number, length: number): number {
    if ((this.state & READ_SHUT) !== 0) return 0;
    if (this.pd.rg !== READY) return -EAGAIN;
    return this.received(kernel.splice(this.sysfd, pipe, length), 0);
  }

  /** One splice out of a pipe: bytes taken, or a negative errno. */
  trySpliceFrom(kernel: SpliceKernel, pipe: number, length: number): number {
    return this.sent(kernel.splice(pipe, this.sysfd, length), 0);
  }

  /** One part of a file: bytes taken, 0 at its end, or a negative errno. */
  trySendFile(kernel: SpliceKernel, file: number, position: number, length: number): number {
    return this.sent(kernel.sendfile(this.sysfd, file, position, length), 0);
  }

  /** One write of what more follows at once: bytes taken, or a negative errno. */
  trySendMore(kernel: SpliceKernel, buffer: Uint8Array, offset: number, length: number): number {
    return this.sent(kernel.sendMore(this.sysfd, buffer, offset, length), length);
  }

  protected sent(n: number, length: number): number {
    if (n < length) {
      // Full, or broken. Whatever made the socket writable before now no longer counts.
      if (n === -EAGAIN || n > 0) this.pd.wg = null;
      else if (n < 0) this.keepFailure(-n);
    }
    if (n > 0) {
      this.device.runtime.bytesWritten += n;
      if (this.rare !== undefined) this.rare.moved(0, n);
      if (observer.moved !== null) observer.moved(this.owner, "write", n);
    }
    return n;
  }

  // ---- half-close and close

  /** Ends the write direction once every write before it is done: the peer reads EOF. */
  closeWrite(): Promise<void> {
    if ((this.state & CLOSING) !== 0) return this.refuse("close", CLOSED, undefined);
    const promise = parked<void>();
    const op = new ShutdownOp(this, resolver(), undefined);
    // It waits for nothing but the writes before it, so a deadline that has passed does not stop it.
    if (this.isWaiting(WRITER) || !op.attempt()) this.wait(op);
    return promise;
  }

  shutWrite(): number {
    const n = this.device.kernel.shutdown(this.sysfd, SHUT_WR);
    // Not connected any more: there is no direction left to end.
    return n === -ENOTCONN ? 0 : n;
  }

  /** Ends the read direction: reads answer EOF, also those that wait. */
  closeRead(): Promise<void> {
    if ((this.state & CLOSING) !== 0) return this.refuse("close", CLOSED, undefined);
    this.state |= READ_SHUT;
    this.takeUnread();
    this.device.kernel.shutdown(this.sysfd, SHUT_RD);
    this.wakeReader();
    return Promise.resolve();
  }

  /**
   * Fails whoever waits with CLOSED and closes the fd. With `lingerMs` the fd stays open until the
   * peer has acknowledged what was written, at most so long. Harmless when closed already.
   */
  async close(lingerMs = 0): Promise<void> {
    if ((this.state & CLOSING) !== 0) return;
    this.state |= CLOSING;
    if (observer.closed !== null) observer.closed(this.owner);
    this.evictAll(READER, CLOSED);
    this.evictAll(WRITER, CLOSED);
    for (const wake of this.rare?.closers ?? []) wake();
    try {
      if (lingerMs > 0) await this.linger(lingerMs);
    } finally {
      this.decref();
    }
  }

  /** Resolves when somebody closes it. Keeps no process alive. */
  whenClosed(): Promise<void> {
    if ((this.state & CLOSING) !== 0) return Promise.resolve();
    this.rare ??= new Rare();
    this.rare.closers ??= [];
    const closed = parked<void>();
    this.rare.closers.push(resolver());
    return closed;
  }

  /** Keeps the fd open across an await; to be followed by decref. */
  incref(): void {
    this.state += ONE_REF;
  }

  decref(): void {
    assert((this.state & REFS_MASK) !== 0, "an fd was given back more often than it was taken");
    this.state -= ONE_REF;
    if ((this.state & REFS_MASK) === 0) this.destroy();
  }

  private destroy(): void {
    this.rare?.deadlines?.stop();
    this.rare?.incoming?.discard();
    const { device, pd } = this;
    device.poller.close(this.sysfd, pd);
    device.runtime.cache.free(pd);
    if (this.sysfd !== -1) device.kernel.close(this.sysfd);
  }

  // SO_LINGER would block the thread inside close(2), also for a non-blocking socket (socket(7)): the
  // end of writing is sent, then the send queue is looked at until it is empty.
  private async linger(ms: number): Promise<void> {
    const { kernel, runtime } = this.device;
    if (kernel.shutdown(this.sysfd, SHUT_WR) < 0) return;
    const until = runtime.clock.now() + ms;
    for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
      const left = until - runtime.clock.now();
      if (left <= 0 || kernel.unsent(this.sysfd) <= 0) return;
      await runtime.sleep(Math.min(pause, left));
    }
  }

  /** Counts the bytes of this fd from now on, beside the meters that do so already. */
  addMeter(meter: Meter): void {
    this.rare ??= new Rare();
    meter.nextMeter = this.rare.meter;
    this.rare.meter = meter;
  }

  /** The meters of another FD of this open file count here from now on. */
  takeMeters(other: FD): void {
    if (other.rare?.meter === undefined) return;
    this.rare ??= new Rare();
    this.rare.meter = other.rare.meter;
    other.rare.meter = undefined;
  }

  /** True when bytes, the end or an error wait that nobody has read. */
  hasUnread(): boolean {
    if (this.closing) return false;
    const n = this.device.kernel.peek(this.sysfd);
    if (n === -EAGAIN) return false;
    if (n < 0) this.keepFailure(-n);
    return true;
  }

  // ---- deadlines and liveness

  /** The deadlines of this fd, made when they are first needed. */
  limits(): Deadlines {
    this.rare ??= new Rare();
    this.rare.deadlines ??= new Deadlines(this);
    return this.rare.deadlines;
  }

  /** Whether waiting on this fd keeps the process alive (it does by default). */
  setReferenced(referenced: boolean): void {
    if (referenced === ((this.state & UNREF) === 0)) return;
    const { runtime } = this.device;
    for (const side of [READER, WRITER] as const) {
      if ((this.state & sides[side]) === 0) continue;
      runtime.release(!referenced);
      runtime.hold(referenced);
    }
    this.state ^= UNREF;
  }

  /** True while an operation owns the side, that is, waits. */
  isWaiting(side: Side): boolean {
    return (this.state & sides[side]) !== 0;
  }

  protected expired(side: Side): boolean {
    return this.rare?.deadlines?.expired(side) ?? false;
  }

  // ---- an fd that nobody uses for a while

  /** True while no operation waits on either side, or stands in a queue for one. */
  get isIdle(): boolean {
    return (this.state & (READ_LOCK | WRITE_LOCK)) === 0;
  }

  /** True when the last read has emptied the socket and the poller has not seen anything come since. */
  get isEmptied(): boolean {
    return this.pd.rg === null && (this.state & FAILED_MASK) === 0;
  }

  /** What a read would find, asked of the kernel: 1 for data, 0 for EOF, or a negative errno. */
  probe(): number {
    const failed = (this.state & FAILED_MASK) >> FAILED_SHIFT;
    if (failed !== 0) return -failed;
    this.pd.rg = READY;
    const n = this.device.kernel.peek(this.sysfd);
    if (n === -EAGAIN) this.pd.rg = null;
    else if (n < 0) this.keepFailure(-n);
    return n;
  }

  /** Forgets the deadlines, the timeouts and the unref() of whoever used the fd. */
  forgetLimits(): void {
    this.rare?.deadlines?.clear();
    this.setReferenced(true);
  }

  /**
   * Puts a watch on an fd that is idle and has nothing to read. A watch is no goroutine's wait: it
   * keeps no process alive and stands in no report.
   */
  beginWatch(watch: Watch): void {
    this.state |= WATCHED;
    this.submit(watch as never);
  }

  /** The fd is used again. A watch that is still parked says that nothing has come since it was put there. */
  endWatch(watch: Watch): void {
    const isEmpty = this.parkedOn(READER) === (watch as never);
    this.cancel(watch as never);
    if (isEmpty) this.pd.rg = null;
    this.state &= ~WATCHED;
  }

  // ---- the life of an operation that waits

  /** Runs an operation: tries it, parks it, or queues it behind the one that owns its side. */
  submit(op: Op<never>, signal?: AbortSignal): void {
    const refused = this.refusal(signal);
    if (refused !== 0) op.fail(refused);
    else if (this.isWaiting(op.side)) this.wait(op);
    else if (this.expired(op.side)) op.fail(DEADLINE);
    else if (!op.attempt()) this.wait(op);
  }

  /** True when nothing stands against trying an operation of this side at once. */
  mayTry(side: Side): boolean {
    if ((this.state & (CLOSING | sides[side])) !== 0 || this.expired(side)) return false;
    return true;
  }

  /** A parked operation wants to try again although no event came. */
  retry(op: Op<never>): void {
    if (this.parkedOn(op.side) !== op) return;
    this.unpark(op.side);
    // Not onReady: without progress a timeout does not start anew.
    if (op.attempt()) this.finish(op);
    else this.park(op);
  }

  /** From the poller: the operation that owned the side and was parked there goes on. */
  onReady(op: Op<never>): void {
    if (op.attempt()) this.finish(op);
    else {
      this.park(op);
      if (op.side !== READER) this.rare?.deadlines?.waiting(op.side);
    }
  }

  /** An operation's signal was aborted: it ends, others go on. */
  cancel(op: Op<never>): void {
    if (op.settled) return;
    const owns = this.parkedOn(op.side) === op;
    op.fail(CANCELED);
    if (owns) this.evicted(op);
    else this.queueOf(op.side)?.onCanceled();
  }

  /** Fails the operation that owns a side. */
  evictOwner(side: Side, number: number): void {
    const op = this.parkedOn(side);
    if (op === undefined) return;
    op.fail(number);
    this.evicted(op);
  }

  /** Fails the operation that owns a side and all that are queued behind it. */
  evictAll(side: Side, number: number): void {
    const queued = this.queueOf(side)?.shiftAll() ?? [];
    this.evictOwner(side, number);
    for (const op of queued) op.fail(number);
  }

  /** Gives an operation that would block the side it needs, or a place in the queue for it. */
  protected wait(op: Op<never>): void {
    if (observer.parked !== null && (this.state & WATCHED) === 0) {
      observer.parked(op, op.kind, this.owner);
    }
    this.waitTurn(op);
  }

  private waitTurn(op: Op<never>): void {
    const lock = sides[op.side];
    if ((this.state & lock) !== 0) {
      // The owner's timer may be late: who comes after the deadline has missed it all the same.
      if (this.expired(op.side)) {
        op.fail(DEADLINE);
        return;
      }
      this.rare ??= new Rare();
      this.rare.queues ??= new Queues();
      (op.side === READER ? this.rare.queues.readers : this.rare.queues.writers).push(op);
      return;
    }
    const armed = this.arm();
    if (armed < 0) {
      op.fail(-armed);
      return;
    }
    this.state = (this.state | lock) + ONE_REF;
    this.park(op);
    if ((this.state & WATCHED) !== 0) return;
    this.device.runtime.hold((this.state & UNREF) === 0);
    this.rare?.deadlines?.waiting(op.side);
  }

  private arm(): number {
    if ((this.pd.flags & ARMED) !== 0) return 0;
    return this.device.runtime.start() || this.device.poller.open(this.sysfd, this.pd);
  }

  protected park(op: Op<never>): void {
    if (op.side === READER) parkRead(this.pd, op);
    else parkWrite(this.pd, op);
  }

  protected parkedOn(side: Side): Op<never> | undefined {
    const waiter = side === READER ? this.pd.rg : this.pd.wg;
    return waiter === null || waiter === READY ? undefined : (waiter as Op<never>);
  }

  private queueOf(side: Side): Queue | undefined {
    return side === READER ? this.rare?.queues?.readers : this.rare?.queues?.writers;
  }

  /** The owner of a side was failed from outside: nothing is known of the fd's readiness now. */
  private evicted(op: Op<never>): void {
    this.unpark(op.side);
    this.finish(op);
  }

  protected unpark(side: Side): void {
    if (side === READER) this.pd.rg = READY;
    else this.pd.wg = READY;
  }

  /** An operation that owned its side has settled: the next in the queue takes over. */
  private finish(op: Op<never>): void {
    const { side } = op;
    this.state &= ~sides[side];
    if ((this.state & WATCHED) === 0) this.device.runtime.release((this.state & UNREF) === 0);
    if ((this.pd.flags & EXCLUSIVE) !== 0) this.device.poller.disarm(this.sysfd, this.pd);
    if (this.rare?.queues !== undefined) this.startQueued(side);
    this.decref();
  }

  private startQueued(side: Side): void {
    const queue = this.queueOf(side);
    while ((this.state & sides[side]) === 0) {
      const next = queue?.shift();
      if (next === undefined) return;
      if (!next.attempt()) this.waitTurn(next);
    }
  }

  // ---- errors

  protected refusal(signal: AbortSignal | undefined): number {
    if ((this.state & CLOSING) !== 0) return CLOSED;
    return signal?.aborted === true ? CANCELED : 0;
  }

  /** An operation that fails before it waits; the error has the caller's stack as it is. */
  protected refuse(
    op: OpName,
    number: number,
    signal: AbortSignal | undefined,
    bytesWritten?: number,
  ): Promise<never> {
    const cause = number === CANCELED ? signal?.reason : undefined;
    const written = bytesWritten ?? (op === "write" ? 0 : undefined);
    return Promise.reject(this.owner.error(op, number, { bytesWritten: written, cause }));
  }

  protected keepFailure(number: number): void {
    if (!FATAL.has(number)) return;
    // What the network says about one datagram is no failure of the socket.
    if ((this.state & PACKETS) !== 0 && number !== ECONNRESET) return;
    if ((this.state & FAILED_MASK) === 0) this.state |= number << FAILED_SHIFT;
  }
}
