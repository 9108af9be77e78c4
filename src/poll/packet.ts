/**
 * packet.ts: an fd of datagrams: with a peer (a Conn's) or without (a PacketConn's).
 *
 * It is an FD in everything but what moves: a read takes one datagram whole, a write sends one whole,
 * an empty one is a datagram and not the end. Its operations stand in the same queues and obey the
 * same deadlines, signals and close.
 *
 * Iteration and batches take as many as are there in one system call (recvmmsg(2)). What was taken
 * and not yet asked for stands in `ahead`; every read takes from there first, so nothing is lost or
 * overtaken when a loop is left.
 *
 * Invariants
 *  - A call that answered EAGAIN, or a batch that came back not full, has seen the queue empty: the
 *    reader parks, and what comes later makes a new edge. One datagram proves nothing.
 *  - An error is told once and is the next read's: also one that only waitReadable saw.
 *  - `ahead` never has an empty array with room before it: `first` is below its length, or both are 0.
 */
import { READY } from "../runtime/netpoll.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import type { Device } from "../runtime/runtime.ts";
import { Timer } from "../runtime/timers.ts";
import { CANCELED, CLOSED, DEADLINE, EAGAIN, EMSGSIZE } from "../syscall/errno.ts";
import type { DatagramKernel } from "../syscall/kernel.ts";
import { scratch } from "../syscall/scratch.ts";
import { SLOT_SIZE, SLOTS, type Slots, type Sockaddr, slotsFor } from "../syscall/slots.ts";
import { chunkOf, SENT_BY_SCRATCH } from "./buffers.ts";
import { type ErrorDetails, FD, MAX_VECTOR, type Owner } from "./fd.ts";
import { CLOSING, READ_SHUT } from "./fd_mutex.ts";
import { type OpName, READER, SignalOp, WRITER } from "./op.ts";
import type { PeerAddr, Peers } from "./peers.ts";
import { MOST_AT_ONCE } from "./write.ts";

/** A datagram that was received. It can be sent as it is: back to where it came from. */
export class Datagram {
  /** Its bytes, which belong to the receiver. */
  readonly data: Uint8Array;
  /** Who sent it. */
  readonly addr: PeerAddr;
  /** How many bytes were sent; more than `data` has when it was truncated. */
  readonly size: number;

  constructor(data: Uint8Array, addr: PeerAddr, size: number) {
    this.data = data;
    this.addr = addr;
    this.size = size;
  }

  /** It was larger than 64 KiB, which over UDP cannot be; the rest of it is lost. */
  get truncated(): boolean {
    return this.size > this.data.length;
  }
}

/** What was received into the caller's buffer. */
export class ReceivedFrom {
  /** Bytes that were put into the buffer; 0 for an empty datagram. */
  readonly n: number;
  /** Who sent it. */
  readonly addr: PeerAddr;
  /** How many bytes were sent; more than `n` when the buffer was too small. */
  readonly size: number;

  constructor(n: number, addr: PeerAddr, size: number) {
    this.n = n;
    this.addr = addr;
    this.size = size;
  }

  /** The buffer was too small; the rest of the datagram is lost. */
  get truncated(): boolean {
    return this.size > this.n;
  }
}

/** Datagrams to be sent, in order, and how many are. */
export class Outgoing {
  readonly bytes: Uint8Array[];
  readonly to: Sockaddr[];
  readonly total: number;
  sent = 0;

  /** Takes the arrays, which are of one length, over. */
  constructor(bytes: Uint8Array[], to: Sockaddr[]) {
    this.bytes = bytes;
    this.to = to;
    this.total = this.left;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** The sum of the lengths of those that are not sent. */
  get left(): number {
    let sum = 0;
    for (let i = this.sent; i < this.bytes.length; i++) sum += (this.bytes[i] as Uint8Array).length;
    return sum;
  }
}

const NONE: Datagram[] = [];

/** The sender of what was put back: only conns put back, and they know their peer. */
const PEER: PeerAddr = { network: "", toString: () => "" };

type Next<T> = IteratorResult<T, undefined>;

export class DatagramFD extends FD {
  /** Nothing tells when a receiver that this socket is not connected to has room (unix sockets). */
  readonly mustRetry: boolean;
  /** Datagrams of one length to one receiver may go through the kernel together. */
  private runs: boolean;
  /** The errno of the last try that came back with nothing. */
  failure = 0;
  private readonly calls: DatagramKernel;
  private readonly slots: Slots;
  private readonly peers: Peers;
  private ahead = NONE;
  private first = 0;
  /** Bytes of the last batch. */
  private taken = 0;
  /** An error that waitReadable has seen. */
  private kept = 0;

  constructor(
    device: Device,
    sysfd: number,
    owner: Owner,
    peers: Peers,
    kind: { mustRetry: boolean; runs: boolean },
  ) {
    super(device, sysfd, owner, true);
    this.mustRetry = kind.mustRetry;
    this.runs = kind.runs;
    this.calls = device.kernel as unknown as DatagramKernel;
    this.slots = slotsFor(this.calls);
    this.peers = peers;
  }

  // ---- reading without a peer

  /** Takes one datagram into a buffer. */
  readFrom(buffer: Uint8Array, signal: AbortSignal | undefined): Promise<ReceivedFrom> {
    const refused = this.readRefusal(signal);
    if (refused !== 0) return this.refuse("read", refused, signal);
    if (!this.isWaiting(READER)) {
      const got = this.tryReceive(buffer);
      if (got !== undefined) return this.device.runtime.sched.complete(got, got.n);
      if (this.failure !== EAGAIN) return this.refuse("read", this.failure, signal);
    }
    const promise = parked<ReceivedFrom>();
    this.wait(new ReceiveOp(this, resolver(), signal, buffer));
    return promise;
  }

  /** The next datagram, for iteration, which ends when the fd is closed. */
  nextDatagram(): Promise<Next<Datagram>> {
    if ((this.state & CLOSING) !== 0) return Promise.resolve({ done: true, value: undefined });
    if (this.expired(READER)) return this.refuse("read", DEADLINE, undefined);
    if (!this.isWaiting(READER)) {
      const { sched } = this.device.runtime;
      const { first } = this;
      const got = this.tryDatagram();
      if (got !== undefined) {
        const next = { done: false as const, value: got };
        // Only the first of a batch has cost a system call.
        return first > 0 ? sched.completeLight(next) : sched.complete(next, this.taken);
      }
      if (this.failure !== EAGAIN) return this.refuse("read", this.failure, undefined);
    }
    const promise = parked<Next<Datagram>>();
    this.wait(new DatagramOp(this, resolver(), undefined));
    return promise;
  }

  /** What is there, at least one datagram, at most so many. */
  readBatch(most: number, signal: AbortSignal | undefined): Promise<Datagram[]> {
    const refused = this.readRefusal(signal);
    if (refused !== 0) return this.refuse("read", refused, signal);
    if (!this.isWaiting(READER)) {
      const got = this.tryBatch(most);
      if (got !== undefined) return this.device.runtime.sched.complete(got, this.taken);
      if (this.failure !== EAGAIN) return this.refuse("read", this.failure, signal);
    }
    const promise = parked<Datagram[]>();
    this.wait(new BatchOp(this, resolver(), signal, most));
    return promise;
  }

  /** One datagram into a buffer; undefined when there is none (`failure` says why). */
  tryReceive(buffer: Uint8Array): ReceivedFrom | undefined {
    if (this.ahead.length > 0) {
      const { data, addr, size } = this.shift();
      return new ReceivedFrom(fill(buffer, data), addr, size);
    }
    if (!this.mayRead()) return undefined;
    const length = Math.min(buffer.length, MOST_AT_ONCE);
    const size = this.noteRead(this.calls.recvfrom(this.sysfd, buffer, 0, length));
    if (size < 0) return undefined;
    return new ReceivedFrom(Math.min(size, length), this.peers.sender(this.slots, 0), size);
  }

  /** One datagram; undefined when there is none. */
  tryDatagram(): Datagram | undefined {
    if (this.ahead.length === 0) {
      const batch = this.take(SLOTS);
      if (batch === undefined) return undefined;
      this.ahead = batch;
    }
    return this.shift();
  }

  /** What is there, at most so many; undefined when there is nothing. */
  tryBatch(most: number): Datagram[] | undefined {
    const { ahead, first } = this;
    if (ahead.length > 0) {
      this.taken = 0;
      if (first === 0 && ahead.length <= most) {
        this.ahead = NONE;
        return ahead;
      }
      const some = ahead.slice(first, first + most);
      this.first += some.length;
      this.forgetTaken();
      return some;
    }
    const batch = this.take(most);
    if (batch === undefined || batch.length < SLOTS) return batch;
    let bytes = this.taken;
    while (batch.length < most) {
      const more = this.take(most - batch.length);
      // An error is kept for the next read: these datagrams came before it.
      if (more === undefined) {
        if (this.failure !== EAGAIN) this.kept = this.failure;
        break;
      }
      bytes += this.taken;
      batch.push(...more);
    }
    this.taken = bytes;
    return batch;
  }

  private shift(): Datagram {
    const datagram = this.ahead[this.first++] as Datagram;
    this.forgetTaken();
    return datagram;
  }

  private forgetTaken(): void {
    if (this.first < this.ahead.length) return;
    this.ahead = NONE;
    this.first = 0;
  }

  /** Datagrams from the kernel, in one system call; undefined when there are none. */
  private take(most: number): Datagram[] | undefined {
    if (!this.mayRead()) return undefined;
    const { calls, slots, peers } = this;
    const asked = Math.min(most, SLOTS);
    const n = calls.recvmmsg(this.sysfd, asked);
    if (n < 0) {
      this.noteRead(n);
      return undefined;
    }
    if (n < asked) this.pd.rg = null;
    const batch: Datagram[] = [];
    let bytes = 0;
    for (let i = 0; i < n; i++) {
      const size = slots.size(i);
      const data = chunkOf(slots.memory, slots.at(i), Math.min(size, SLOT_SIZE));
      batch.push(new Datagram(data, peers.sender(slots, i), size));
      bytes += data.length;
    }
    this.taken = this.noteRead(bytes);
    return batch;
  }

  /** False when a read would find nothing; then `failure` says why. */
  private mayRead(): boolean {
    this.failure = this.kept !== 0 ? this.kept : EAGAIN;
    this.kept = 0;
    return this.failure === EAGAIN && this.pd.rg === READY;
  }

  /** Notes what a call that reads has answered. */
  private noteRead(n: number): number {
    if (n >= 0) {
      this.device.runtime.bytesRead += n;
      if (observer.moved !== null) observer.moved(this.owner, "read", n);
      this.rare?.deadlines?.active();
      return n;
    }
    this.failure = -n;
    if (n === -EAGAIN) this.pd.rg = null;
    return n;
  }

  private readRefusal(signal: AbortSignal | undefined): number {
    const refused = this.refusal(signal);
    return refused === 0 && this.expired(READER) ? DEADLINE : refused;
  }

  // ---- reading from the peer, as a Conn

  /** Reads one datagram: its bytes, or null when reading was ended here. */
  override read(buffer: Uint8Array, signal: AbortSignal | undefined): Promise<number | null> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("read", refused, signal);
    if (buffer.length === 0) return Promise.resolve(0);
    if (this.expired(READER)) return this.refuse("read", DEADLINE, signal);
    if (!this.isWaiting(READER)) {
      const n = this.tryReadWhole(buffer);
      if (n !== undefined) return this.device.runtime.sched.complete(n, n ?? 0);
      if (this.failure !== EAGAIN) return this.refuse("read", this.failure, signal);
    }
    const promise = parked<number | null>();
    this.wait(new ReadWholeOp(this, resolver(), signal, buffer));
    return promise;
  }

  /** The next datagram's bytes. */
  override next(): Promise<Next<Uint8Array>> {
    const refused = this.readRefusal(undefined);
    if (refused !== 0) return this.refuse("read", refused, undefined);
    if (!this.isWaiting(READER)) {
      const { first } = this;
      const next = this.tryNext();
      const { sched } = this.device.runtime;
      if (next !== undefined) {
        return first > 0 ? sched.completeLight(next) : sched.complete(next, this.taken);
      }
      if (this.failure !== EAGAIN) return this.refuse("read", this.failure, undefined);
    }
    const promise = parked<Next<Uint8Array>>();
    this.wait(new NextOp(this, resolver(), undefined));
    return promise;
  }

  /** One datagram into a buffer that must hold it; undefined when there is none. */
  tryReadWhole(buffer: Uint8Array): number | null | undefined {
    if ((this.state & READ_SHUT) !== 0) return null;
    const got = this.tryReceive(buffer);
    if (got === undefined || !got.truncated) return got?.n;
    this.failure = EMSGSIZE;
    return undefined;
  }

  /** One datagram as a step of an iteration; undefined when there is none. */
  tryNext(): Next<Uint8Array> | undefined {
    if ((this.state & READ_SHUT) !== 0) return { done: true, value: undefined };
    const got = this.tryDatagram();
    if (got === undefined) return undefined;
    if (!got.truncated) return { done: false, value: got.data };
    this.failure = EMSGSIZE;
    return undefined;
  }

  /** Puts one datagram back. */
  override unread(bytes: Uint8Array): void {
    if ((this.state & READ_SHUT) !== 0) return;
    const back = new Datagram(new Uint8Array(bytes), PEER, bytes.length);
    this.ahead = [back, ...this.ahead.slice(this.first)];
    this.first = 0;
    this.wakeReader();
  }

  override get leftover(): readonly Uint8Array[] {
    return this.ahead.slice(this.first).map(({ data }) => data);
  }

  override get unreadLength(): number {
    return this.leftover.reduce((sum, data) => sum + data.length, 0);
  }

  override takeUnread(): Uint8Array[] {
    const { leftover } = this;
    this.ahead = NONE;
    this.first = 0;
    return [...leftover];
  }

  override tryReadable(): boolean {
    if ((this.state & READ_SHUT) !== 0 || this.ahead.length > 0 || this.kept !== 0) return true;
    if (this.pd.rg !== READY) return false;
    const n = this.device.kernel.peek(this.sysfd);
    if (n === -EAGAIN) this.pd.rg = null;
    else if (n < 0) this.kept = -n;
    return n !== -EAGAIN;
  }

  // ---- writing

  /** Sends one datagram; to the peer without an address. */
  writeTo(
    buffer: Uint8Array,
    to: Sockaddr | undefined,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuseTo(refused, to, signal);
    if (this.expired(WRITER)) return this.refuseTo(DEADLINE, to, signal);
    if (!this.isWaiting(WRITER)) {
      const n = this.trySendTo(buffer, to);
      if (n >= 0) return this.device.runtime.sched.completeBytes(n);
      if (n !== -EAGAIN) return this.refuseTo(-n, to, signal);
    }
    const promise = parked<number>();
    this.enqueue(new SendOp(this, resolver(), signal, buffer, to));
    return promise;
  }

  override write(buffer: Uint8Array, signal: AbortSignal | undefined): Promise<number> {
    return this.writeTo(buffer, undefined, signal);
  }

  /** Sends all chunks as one datagram. Takes the array over. */
  override writev(chunks: Uint8Array[], signal: AbortSignal | undefined): Promise<number> {
    if (chunks.length > MAX_VECTOR) return this.write(Buffer.concat(chunks), signal);
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuseTo(refused, undefined, signal);
    if (this.expired(WRITER)) return this.refuseTo(DEADLINE, undefined, signal);
    if (!this.isWaiting(WRITER)) {
      const n = this.trySendChunks(chunks);
      if (n >= 0) return this.device.runtime.sched.completeBytes(n);
      if (n !== -EAGAIN) return this.refuseTo(-n, undefined, signal);
    }
    const promise = parked<number>();
    this.enqueue(new SendChunksOp(this, resolver(), signal, chunks));
    return promise;
  }

  /** Sends many, in order; resolves to their number. */
  writeBatch(out: Outgoing, signal: AbortSignal | undefined): Promise<number> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuseBatch(refused, out, signal);
    if (this.expired(WRITER)) return this.refuseBatch(DEADLINE, out, signal);
    if (!this.isWaiting(WRITER)) {
      const error = this.trySendBatch(out);
      if (error === 0) return this.device.runtime.sched.complete(out.length, out.total);
      if (error !== -EAGAIN) return this.refuseBatch(-error, out, signal);
    }
    const promise = parked<number>();
    this.enqueue(new SendBatchOp(this, resolver(), signal, out));
    return promise;
  }

  /** Sends one: its bytes, or a negative errno. */
  trySendTo(buffer: Uint8Array, to: Sockaddr | undefined): number {
    const { length } = buffer;
    if (length > MOST_AT_ONCE) return -EMSGSIZE;
    if (to !== undefined) this.slots.putName(0, to);
    const name = to === undefined ? 0 : to.length;
    if (length > SENT_BY_SCRATCH) {
      return this.noteWritten(this.calls.sendto(this.sysfd, buffer, 0, length, name));
    }
    scratch.set(buffer);
    return this.noteWritten(this.calls.sendScratchTo(this.sysfd, length, name));
  }

  trySendChunks(chunks: readonly Uint8Array[]): number {
    return this.noteWritten(this.device.kernel.writev(this.sysfd, chunks, 0, 0));
  }

  /** Sends on: 0 when all are sent, else a negative errno. */
  trySendBatch(out: Outgoing): number {
    while (out.sent < out.length) {
      const n = this.sendSome(out);
      if (n < 0) return n;
      out.sent += n;
    }
    return 0;
  }

  /** As many as one system call takes: how many went, or a negative errno. */
  private sendSome({ bytes, to, sent }: Outgoing): number {
    const first = bytes[sent] as Uint8Array;
    if (first.length > SLOT_SIZE) return Math.min(this.trySendTo(first, to[sent]), 1);
    const { slots } = this;
    let count = 0;
    for (; count < SLOTS && sent + count < bytes.length; count++) {
      const next = bytes[sent + count] as Uint8Array;
      if (next.length > SLOT_SIZE) break;
      slots.put(count, next, to[sent + count] as Sockaddr);
    }
    const n = this.sendSlots(count);
    let moved = 0;
    for (let i = 0; i < n; i++) moved += slots.size(i);
    this.noteWritten(n < 0 ? n : moved);
    return n;
  }

  private sendSlots(count: number): number {
    if (!this.runs) return this.calls.sendmmsg(this.sysfd, count, 0);
    const n = this.calls.sendmmsg(this.sysfd, count, 1);
    if (n >= 0 || n === -EAGAIN) return n;
    // Whose error it is shows when they go one by one. If they do go, it was the togetherness that the
    // route or the kernel can't do, and it is not tried again on this socket.
    const alone = this.calls.sendmmsg(this.sysfd, count, 0);
    if (alone > 0) this.runs = false;
    return alone;
  }

  /** Notes what a call that sends has answered. */
  private noteWritten(n: number): number {
    if (n >= 0) {
      this.device.runtime.bytesWritten += n;
      if (observer.moved !== null) observer.moved(this.owner, "write", n);
      this.rare?.deadlines?.active();
    } else if (n === -EAGAIN) this.pd.wg = null;
    return n;
  }

  /** An operation that found no room: it may have to arm its timer, so it tries once more. */
  private enqueue(op: SendSideOp): void {
    if (this.isWaiting(WRITER) || !op.attempt()) this.wait(op as never);
  }

  /** The operation that owns the write side waits on. */
  stayParked(op: SendSideOp): void {
    this.park(op as never);
  }

  /** It has sent a part. */
  writeAdvanced(): void {
    if (this.isWaiting(WRITER)) this.rare?.deadlines?.waiting(WRITER);
  }

  /** How an error names the receiver. */
  receiver(to: Sockaddr | undefined): ErrorDetails {
    return to === undefined ? {} : { address: String(this.peers.addrOf(to)) };
  }

  /** What the error of a batch tells: how far it came, and who did not get the next one. */
  batchDetails({ to, sent }: Outgoing, cause: unknown): ErrorDetails {
    return { messagesSent: sent, cause, ...this.receiver(to[sent]) };
  }

  private refuseTo(
    number: number,
    to: Sockaddr | undefined,
    signal: AbortSignal | undefined,
  ): Promise<never> {
    const cause = number === CANCELED ? signal?.reason : undefined;
    const details = { bytesWritten: 0, cause, ...this.receiver(to) };
    return Promise.reject(this.owner.error("write", number, details));
  }

  private refuseBatch(
    number: number,
    out: Outgoing,
    signal: AbortSignal | undefined,
  ): Promise<never> {
    const cause = number === CANCELED ? signal?.reason : undefined;
    return Promise.reject(this.owner.error("write", number, this.batchDetails(out, cause)));
  }
}

/** Copies what fits: how many bytes. */
function fill(buffer: Uint8Array, data: Uint8Array): number {
  const part = data.length > buffer.length ? data.subarray(0, buffer.length) : data;
  buffer.set(part);
  return part.length;
}

// ---- operations that wait

abstract class TakeOp<T> extends SignalOp<T> {
  declare readonly fd: DatagramFD;

  get side(): typeof READER {
    return READER;
  }

  get kind(): OpName {
    return "read";
  }

  protected abstract take(): T | undefined;

  attempt(): boolean {
    const got = this.take();
    if (got !== undefined) this.succeed(got);
    else if (this.fd.failure === EAGAIN) return false;
    else this.fail(this.fd.failure);
    return true;
  }
}

/** An operation that fills the caller's buffer. */
abstract class FillOp<T> extends TakeOp<T> {
  protected readonly buffer: Uint8Array;
  private readonly length: number;

  constructor(
    fd: DatagramFD,
    resolve: Resolve<T>,
    signal: AbortSignal | undefined,
    buffer: Uint8Array,
  ) {
    super(fd, resolve, signal);
    this.buffer = buffer;
    this.length = buffer.length;
  }

  override attempt(): boolean {
    if (this.buffer.length >= this.length) return super.attempt();
    this.failWith(new TypeError("read: the buffer was detached while the read waited"));
    return true;
  }
}

class ReceiveOp extends FillOp<ReceivedFrom> {
  protected take(): ReceivedFrom | undefined {
    return this.fd.tryReceive(this.buffer);
  }
}

class ReadWholeOp extends FillOp<number | null> {
  protected take(): number | null | undefined {
    return this.fd.tryReadWhole(this.buffer);
  }
}

class NextOp extends TakeOp<Next<Uint8Array>> {
  protected take(): Next<Uint8Array> | undefined {
    return this.fd.tryNext();
  }
}

class DatagramOp extends TakeOp<Next<Datagram>> {
  protected take(): Next<Datagram> | undefined {
    const got = this.fd.tryDatagram();
    return got === undefined ? undefined : { done: false, value: got };
  }

  override fail(number: number): void {
    if (number === CLOSED) this.succeed({ done: true, value: undefined });
    else super.fail(number);
  }
}

class BatchOp extends TakeOp<Datagram[]> {
  private readonly most: number;

  constructor(
    fd: DatagramFD,
    resolve: Resolve<Datagram[]>,
    signal: AbortSignal | undefined,
    most: number,
  ) {
    super(fd, resolve, signal);
    this.most = most;
  }

  protected take(): Datagram[] | undefined {
    return this.fd.tryBatch(this.most);
  }
}

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 50;

/** Tries a write again after a pause. */
class Retry extends Timer {
  private readonly op: SendSideOp;
  pause = FIRST_PAUSE_MS;

  constructor(op: SendSideOp) {
    super();
    this.op = op;
  }

  fire(): void {
    if (!this.op.settled) this.op.fd.retry(this.op as never);
  }
}

abstract class SendSideOp extends SignalOp<number> {
  declare readonly fd: DatagramFD;
  private again: Retry | undefined = undefined;

  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "write";
  }

  override get progress(): number {
    return 0;
  }

  /** The bytes that are left to send: fewer than at the call when memory was taken away. */
  protected abstract get intact(): boolean;
  /** Sends: what the operation answers with, or a negative errno. */
  protected abstract send(): number;

  attempt(): boolean {
    if (!this.intact) {
      this.failWith(new TypeError("write: a buffer was detached while the write waited"));
      return true;
    }
    const n = this.send();
    if (n === -EAGAIN) {
      if (this.fd.mustRetry) this.tryAgainSoon();
      return false;
    }
    if (n < 0) this.fail(-n);
    else this.succeed(n);
    return true;
  }

  // A try that fails gives its memory back, which is an event of its own: to heed it would be a busy
  // loop. On such a socket only the timer counts.
  override ready(): void {
    if (this.again !== undefined && this.again.index !== -1) this.fd.stayParked(this);
    else super.ready();
  }

  /** A part was sent: timeout and pause begin anew. */
  protected advanced(): void {
    if (this.again !== undefined) this.again.pause = FIRST_PAUSE_MS;
    this.fd.writeAdvanced();
  }

  private tryAgainSoon(): void {
    const { timers, clock } = this.fd.device.runtime;
    this.again ??= new Retry(this);
    timers.arm(this.again, clock.now() + this.again.pause);
    this.again.pause = Math.min(this.again.pause * 2, LONGEST_PAUSE_MS);
  }

  protected override detach(): Resolve<number> | undefined {
    if (this.again !== undefined) this.fd.device.runtime.timers.disarm(this.again);
    return super.detach();
  }
}

class SendOp extends SendSideOp {
  private readonly buffer: Uint8Array;
  private readonly length: number;
  private readonly to: Sockaddr | undefined;

  constructor(
    fd: DatagramFD,
    resolve: Resolve<number>,
    signal: AbortSignal | undefined,
    buffer: Uint8Array,
    to: Sockaddr | undefined,
  ) {
    super(fd, resolve, signal);
    this.buffer = buffer;
    this.length = buffer.length;
    this.to = to;
  }

  protected get intact(): boolean {
    return this.buffer.length >= this.length;
  }

  protected send(): number {
    return this.fd.trySendTo(this.buffer, this.to);
  }

  protected override details(cause: unknown): ErrorDetails {
    return { ...super.details(cause), ...this.fd.receiver(this.to) };
  }
}

class SendChunksOp extends SendSideOp {
  private readonly chunks: readonly Uint8Array[];
  private readonly length: number;

  constructor(
    fd: DatagramFD,
    resolve: Resolve<number>,
    signal: AbortSignal | undefined,
    chunks: readonly Uint8Array[],
  ) {
    super(fd, resolve, signal);
    this.chunks = chunks;
    this.length = sum(chunks);
  }

  protected get intact(): boolean {
    return sum(this.chunks) === this.length;
  }

  protected send(): number {
    return this.fd.trySendChunks(this.chunks);
  }
}

function sum(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((length, chunk) => length + chunk.length, 0);
}

class SendBatchOp extends SendSideOp {
  private readonly out: Outgoing;
  private left: number;

  constructor(
    fd: DatagramFD,
    resolve: Resolve<number>,
    signal: AbortSignal | undefined,
    out: Outgoing,
  ) {
    super(fd, resolve, signal);
    this.out = out;
    this.left = out.left;
  }

  protected get intact(): boolean {
    return this.out.left === this.left;
  }

  protected send(): number {
    const { sent } = this.out;
    const error = this.fd.trySendBatch(this.out);
    this.left = this.out.left;
    if (this.out.sent > sent) this.advanced();
    return error === 0 ? this.out.length : error;
  }

  protected override details(cause: unknown): ErrorDetails {
    return this.fd.batchDetails(this.out, cause);
  }
}
