/**
 * kernel.ts: the system calls that Coronet makes, as one typed interface.
 *
 * This is the test seam: everything above takes a Kernel, so that a fake one can stand in for the
 * addon and inject faults. Every function returns the call's result, or a negative errno.
 */

/** Receives a sockaddr: its length as a native-order uint32, then the sockaddr itself. */
export const NAME_BUFFER_SIZE = 132;

/** The calls that move bytes on a connection; the in-memory pipe implements these alone. */
export interface StreamKernel {
  recv(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /** As recv, into the thread's scratch buffer (scratch.ts). */
  recvScratch(fd: number): number;
  /** As recv, but returns the whole length of the packet even when the buffer was smaller. */
  recvPacket(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /** 1 when a byte waits, 0 at the end of the stream; consumes nothing. */
  peek(fd: number): number;
  send(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /** As send, of the first `length` bytes of the thread's scratch buffer. */
  sendScratch(fd: number, length: number): number;
  /** Sends chunks[first] from `offset` on and the chunks after it. */
  writev(fd: number, chunks: readonly Uint8Array[], first: number, offset: number): number;
  shutdown(fd: number, how: number): number;
  /** Bytes that the peer has not acknowledged yet. */
  unsent(fd: number): number;
  close(fd: number): number;
}

export interface SocketKernel extends StreamKernel {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, sockaddr: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, out: Uint8Array): number;
  connect(fd: number, sockaddr: Uint8Array): number;
  getsockname(fd: number, out: Uint8Array): number;
  getpeername(fd: number, out: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  getsockopt(fd: number, level: number, option: number, out: Uint8Array): number;
}

export interface EpollKernel {
  epollCreate1(): number;
  epollCtl(
    epfd: number,
    op: number,
    fd: number,
    events: number,
    slot: number,
    sequence: number,
  ): number;
  /** Writes (slot, sequence, event bits) per event; `timeout` in ms, -1 waits. */
  epollWait(epfd: number, events: Int32Array, timeout: number): number;
  eventfd(): number;
  read(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  write(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  close(fd: number): number;
}

/** Bytes from fd to fd without a detour through this process. */
export interface SpliceKernel {
  /** Fills in a pipe's end to read from and its end to write to. */
  pipe2(out: Int32Array): number;
  /** Sets a pipe's capacity: the bytes it has then. */
  setPipeSize(fd: number, bytes: number): number;
  /** Moves bytes between two fds of which one is a pipe. */
  splice(from: number, to: number, length: number): number;
  /** Sends from a place in a file on; the file's own position stays where it is. */
  sendfile(to: number, file: number, position: number, length: number): number;
  read(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  close(fd: number): number;
}

export interface Kernel extends SocketKernel, EpollKernel {}

/** The poll handle that joins an epoll fd to Node's loop; opaque outside the addon. */
export type PollHandle = { readonly pollHandle: unique symbol };

/** What the addon offers beside system calls: its place in the host's loop. */
export interface LoopKernel {
  /** Calls `onBatch(n)` with n events in `events` whenever epfd is readable. */
  pollOpen(
    epfd: number,
    events: Int32Array,
    counters: Int32Array,
    rounds: number,
    onBatch: (n: number) => void,
  ): PollHandle | number;
  /** Makes the handle keep the process alive until `counters[0]` is 0 again. */
  pollRef(handle: PollHandle): void;
  pollClose(handle: PollHandle): void;
}

/** What passing connections between the threads of one process needs. */
export interface ThreadsKernel {
  /** Another number for the same open file, which may be another thread's. */
  dupFd(fd: number): number;
  /**
   * Receives a message of a packet socket and the fd that it carries, named in out[0], else -1.
   * -EMFILE when no number is free for the fd: the message stays in the queue.
   */
  takeFd(fd: number, buffer: Uint8Array, offset: number, length: number, out: Int32Array): number;
}

/** File descriptors that come from elsewhere or go there. */
export interface PassingKernel {
  /** As send; the fds go along with the first byte (SCM_RIGHTS, unix(7)), 253 at most. */
  sendmsgFds(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    fds: Int32Array,
  ): number;
  /**
   * As recv. out[0]: how many fds came; out[1]: 1 when the kernel dropped some, as none was free;
   * out[2] …: the fds, this environment's own from now on, as many as fit; the others are closed.
   */
  recvmsgFds(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    out: Int32Array,
  ): number;
  /** Takes an inherited fd over: close-on-exec, non-blocking, closed with the environment. */
  adoptFd(fd: number): number;
  /** Forgets an fd without closing it: it is someone else's now. */
  releaseFd(fd: number): number;
}

export interface NativeKernel
  extends Kernel,
    LoopKernel,
    PassingKernel,
    SpliceKernel,
    ThreadsKernel {
  /** Tells the addon once where this thread's scratch buffer is. */
  setScratch(buffer: Uint8Array): void;
  readv(fd: number, buffers: readonly Uint8Array[], first: number, offset: number): number;
  socketpair(family: number, type: number, out: Int32Array): number;
}
