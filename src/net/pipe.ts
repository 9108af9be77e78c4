/**
 * pipe.ts: pipe(): two connected conns in memory.
 *
 * The pipe is a kernel of its own, as small as a stream socket's: two ends, each with a queue of
 * bytes that its peer fills. The fd above it is the same as on a socket (poll/fd.ts), so everything
 * that holds for a conn holds here: queues of readers and writers, deadlines, half-close, reset when
 * unread bytes are discarded.
 */
import { ByteQueue } from "../internal/byte_queue.ts";
import { FD } from "../poll/fd.ts";
import { StreamDevices } from "../runtime/netpoll_streams.ts";
import { runtime } from "../runtime/runtime.ts";
import { SHUT_WR } from "../syscall/constants.ts";
import { EAGAIN, EBADF, ECONNRESET, EPIPE } from "../syscall/errno.ts";
import type { Readiness, StreamSource } from "../syscall/kernel.ts";
import { scratch } from "../syscall/scratch.ts";
import type { Addr } from "./addr.ts";
import { BaseConn } from "./conn.ts";
import { NOBODY } from "./socket.ts";

/** Bytes that one direction holds before a writer has to wait. */
const CAPACITY = 65_536;

/** One end. */
class End {
  readonly incoming = new ByteQueue();
  peer!: End;
  readiness: Readiness | undefined;
  /** The peer will send no more; this end will send no more; this end will read no more. */
  ended = false;
  writeShut = false;
  readShut = false;
  closed = false;
  /** The peer closed with bytes unread: reads and writes fail once, as on a socket. */
  reset = false;
}

class PipeKernel implements StreamSource {
  private readonly ends = new Map<number, End>();
  private last = 0;

  /** Two connected ends. */
  pair(): [number, number] {
    const a = new End();
    const b = new End();
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
    if (wasFull) end.peer.readiness?.notify(false, true, false);
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
    peer.readiness?.notify(true, false, false);
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
      end.peer.readiness?.notify(false, true, false);
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
    end.readiness = undefined;
    // As tcp(7): closing with unread bytes resets the connection, so that the peer learns of it.
    if (end.incoming.length > 0 && !end.peer.closed) end.peer.reset = true;
    this.hangUp(end.peer);
    return 0;
  }

  private hangUp(end: End): void {
    end.ended = true;
    end.readiness?.notify(true, true, true);
  }

  watch(fd: number, readiness: Readiness): void {
    const end = this.ends.get(fd) as End;
    end.readiness = readiness;
    // As epoll_ctl(2) does, what is ready already counts as an event.
    const gone = end.ended || end.reset;
    if (gone || end.incoming.length > 0) readiness.notify(true, gone, end.ended);
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

const kernel = new PipeKernel();
const devices = new StreamDevices(kernel);

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
  const device = devices.on(runtime());
  const [a, b] = kernel.pair();
  return [
    new PipeConn(new FD(device, a, NOBODY, false)),
    new PipeConn(new FD(device, b, NOBODY, false)),
  ];
}
