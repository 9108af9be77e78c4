/**
 * pipe.ts: pipe(): two connected conns in memory.
 *
 * The pipe is a kernel of its own, as small as a stream socket's: two ends, each with a queue of
 * bytes that its peer fills. The fd above it is the same as on a socket (poll/fd.ts), so everything
 * that holds for a conn holds here: queues of readers and writers, deadlines, half-close, reset when
 * unread bytes are discarded.
 */
import { Ring } from "../internal/ring.ts";
import { FD } from "../poll/fd.ts";
import {
  ARMED,
  HANGUP,
  type PollDesc,
  type Poller,
  readyRead,
  readyWrite,
} from "../runtime/netpoll.ts";
import { type Device, type Runtime, runtime } from "../runtime/runtime.ts";
import type { Waiter } from "../runtime/sched.ts";
import { SHUT_WR } from "../syscall/constants.ts";
import { EAGAIN, EBADF, ECONNRESET, EPIPE } from "../syscall/errno.ts";
import type { StreamKernel } from "../syscall/kernel.ts";
import { scratch } from "../syscall/scratch.ts";
import type { Addr } from "./addr.ts";
import { BaseConn } from "./conn.ts";
import { NOBODY } from "./socket.ts";

/** Bytes that one direction holds before a writer has to wait. */
const CAPACITY = 65_536;

const EMPTY = new Uint8Array(0);

/** A queue of bytes. */
class ByteQueue {
  private readonly chunks = new Ring<Uint8Array>();
  /** The oldest chunk, and how much of it is gone already. */
  private head: Uint8Array = EMPTY;
  private offset = 0;
  length = 0;

  push(bytes: Uint8Array): void {
    this.chunks.push(bytes);
    this.length += bytes.length;
  }

  /** Moves bytes into `target`, as many as there are and fit. */
  shift(target: Uint8Array): number {
    let moved = 0;
    while (moved < target.length && this.length > 0) {
      if (this.offset === this.head.length) {
        this.head = this.chunks.shift() as Uint8Array;
        this.offset = 0;
      }
      const part = this.head.subarray(this.offset, this.offset + target.length - moved);
      target.set(part, moved);
      moved += part.length;
      this.offset += part.length;
      this.length -= part.length;
    }
    if (this.length === 0) {
      this.head = EMPTY;
      this.offset = 0;
    }
    return moved;
  }
}

/** An event of one end: delivered from the run queue, so that it never runs inside a call. */
class End implements Waiter {
  readonly incoming = new ByteQueue();
  peer!: End;
  pd: PollDesc | undefined;
  /** The peer will send no more; this end will send no more; this end will read no more. */
  ended = false;
  writeShut = false;
  readShut = false;
  closed = false;
  /** The peer closed with bytes unread: reads and writes fail once, as on a socket. */
  reset = false;
  private readable = false;
  private writable = false;
  private queued = false;
  private readonly rt: Runtime;

  constructor(rt: Runtime) {
    this.rt = rt;
  }

  notify(readable: boolean, writable: boolean): void {
    if (this.pd === undefined) return;
    this.readable ||= readable;
    this.writable ||= writable;
    if (this.queued) return;
    this.queued = true;
    this.rt.sched.enqueue(this);
  }

  ready(): void {
    const { pd, readable, writable } = this;
    this.readable = this.writable = this.queued = false;
    if (pd === undefined) return;
    const runnable: Waiter[] = [];
    if (readable) readyRead(pd, runnable);
    if (writable) readyWrite(pd, runnable);
    for (const waiter of runnable) waiter.ready();
  }
}

class PipeKernel implements StreamKernel {
  private readonly ends = new Map<number, End>();
  private last = 0;

  /** Two connected ends. */
  pair(rt: Runtime): [number, number] {
    const a = new End(rt);
    const b = new End(rt);
    a.peer = b;
    b.peer = a;
    this.ends.set(++this.last, a);
    this.ends.set(++this.last, b);
    return [this.last - 1, this.last];
  }

  recv(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    const { incoming } = end;
    const state = this.peek(fd);
    if (state === -ECONNRESET) end.reset = false;
    if (state <= 0) return state;
    const wasFull = incoming.length >= CAPACITY;
    const n = incoming.shift(buffer.subarray(offset, offset + length));
    if (wasFull) end.peer.notify(false, true);
    return n;
  }

  recvScratch(fd: number): number {
    return this.recv(fd, scratch, 0, scratch.length);
  }

  recvPacket(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    return this.recv(fd, buffer, offset, length);
  }

  peek(fd: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    if (end.incoming.length > 0) return 1;
    if (end.reset) return -ECONNRESET;
    return end.ended ? 0 : -EAGAIN;
  }

  send(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    const { peer } = end;
    if (end.reset) {
      end.reset = false;
      return -ECONNRESET;
    }
    if (end.writeShut || peer.closed || peer.readShut) return -EPIPE;
    const n = Math.min(length, CAPACITY - peer.incoming.length);
    if (n <= 0) return -EAGAIN;
    peer.incoming.push(buffer.slice(offset, offset + n));
    peer.notify(true, false);
    return n;
  }

  sendScratch(fd: number, length: number): number {
    return this.send(fd, scratch, 0, length);
  }

  writev(fd: number, chunks: readonly Uint8Array[], first: number, offset: number): number {
    let sent = 0;
    for (let i = first, skip = offset; i < chunks.length; i++, skip = 0) {
      const chunk = chunks[i] as Uint8Array;
      const length = chunk.length - skip;
      if (length === 0) continue;
      const n = this.send(fd, chunk, skip, length);
      if (n < 0) return sent > 0 ? sent : n;
      sent += n;
      if (n < length) break;
    }
    return sent;
  }

  shutdown(fd: number, how: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    if (how === SHUT_WR) {
      end.writeShut = true;
      this.hangUp(end.peer);
    } else {
      end.readShut = true;
      end.peer.notify(false, true);
    }
    return 0;
  }

  unsent(fd: number): number {
    return this.ends.get(fd)?.peer.incoming.length ?? 0;
  }

  close(fd: number): number {
    const end = this.ends.get(fd);
    if (end === undefined) return -EBADF;
    this.ends.delete(fd);
    end.closed = true;
    end.pd = undefined;
    // As tcp(7): closing with unread bytes resets the connection, so that the peer learns of it.
    if (end.incoming.length > 0 && !end.peer.closed) end.peer.reset = true;
    this.hangUp(end.peer);
    return 0;
  }

  private hangUp(end: End): void {
    end.ended = true;
    if (end.pd !== undefined) end.pd.flags |= HANGUP;
    end.notify(true, true);
  }

  /** Delivers the events of an end to a descriptor from now on. */
  watch(fd: number, pd: PollDesc): void {
    const end = this.ends.get(fd) as End;
    end.pd = pd;
    pd.flags |= end.ended ? ARMED | HANGUP : ARMED;
    // As epoll_ctl(2) does, what is ready already counts as an event.
    const readable = end.ended || end.reset || end.incoming.length > 0;
    if (readable) end.notify(true, end.ended || end.reset);
  }
}

/** Readiness comes from the other end's calls, through the run queue; there is nothing to ask. */
class PipePoller implements Poller {
  private readonly kernel: PipeKernel;

  constructor(kernel: PipeKernel) {
    this.kernel = kernel;
  }

  init(): number {
    return 0;
  }

  open(fd: number, pd: PollDesc): number {
    this.kernel.watch(fd, pd);
    return 0;
  }

  close(): void {}

  disarm(): void {}

  poll(): readonly Waiter[] {
    return [];
  }

  wake(): void {}

  isPollDescriptor(): boolean {
    return false;
  }
}

class PipeAddr implements Addr {
  readonly network = "pipe";

  toString(): string {
    return "pipe";
  }
}

const address = new PipeAddr();

/** One end of a pipe. */
export class PipeConn extends BaseConn {
  /** @internal */
  constructor(fd: FD) {
    super(fd);
  }

  get network(): string {
    return "pipe";
  }

  get localAddr(): Addr {
    return address;
  }

  get remoteAddr(): Addr {
    return address;
  }
}

let device: Device | undefined;
const kernel = new PipeKernel();

/**
 * Two connected conns in memory, for tests and for code that wants a Conn without a socket. Each
 * direction holds 64 KiB; beyond that writes wait.
 *
 * @example
 * import { pipe } from "coronet";
 * const [client, server] = pipe();
 * await client.write("question");
 * await client.closeWrite();
 * let text = "";
 * for await (const chunk of server) text += new TextDecoder().decode(chunk);
 * console.log(text); // question
 */
export function pipe(): [PipeConn, PipeConn] {
  const rt = runtime();
  device ??= { kernel, poller: new PipePoller(kernel), runtime: rt };
  const [a, b] = kernel.pair(rt);
  return [
    new PipeConn(new FD(device, a, NOBODY, false)),
    new PipeConn(new FD(device, b, NOBODY, false)),
  ];
}
