/**
 * kernel.ts: the system calls that Coronet makes, as one typed interface.
 *
 * This is the test seam: everything above takes a Kernel, so that a fake one can stand in for the
 * addon and inject faults. Every function returns the call's result, or a negative errno.
 */

/** Receives a sockaddr: its length as a native-order uint32, then the sockaddr itself. */
export const NAME_BUFFER_SIZE = 132;

/** The calls that move bytes on a connection; kernels of streams implement these alone. */
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

/** Who is told when an fd of a kernel in JavaScript has become ready. May be told too often. */
export interface Readiness {
  notify(readable: boolean, writable: boolean, hangup: boolean): void;
}

/** A kernel whose streams live in JavaScript: it says by itself when one of them is ready. */
export interface StreamSource extends StreamKernel {
  /** Tells `readiness` from now on, also at once if something is ready already. */
  watch(fd: number, readiness: Readiness): void;
}

export interface SocketKernel extends StreamKernel {
  socket(family: number, type: number, protocol: number): number;
  /** The addon answers at once; for datagrams Node's answer comes later. */
  bind(fd: number, sockaddr: Uint8Array): number | Promise<number>;
  /** The addon answers at once; where Node binds and listens, the answer comes later. */
  listen(fd: number, backlog: number): number | Promise<number>;
  accept4(fd: number, out: Uint8Array): number;
  connect(fd: number, sockaddr: Uint8Array): number;
  getsockname(fd: number, out: Uint8Array): number;
  getpeername(fd: number, out: Uint8Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number;
  getsockopt(fd: number, level: number, option: number, out: Uint8Array): number;
}

/** The calls for datagrams; bytes and addresses pass through the thread's slots (slots.ts). */
export interface DatagramKernel {
  /** Tells the addon once where this thread's slots are. */
  setSlots(memory: Uint8Array): void;
  /** The whole length of the datagram, even when the buffer was smaller; its sender is in slot 0. */
  recvfrom(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /** Takes what is there, at most `count` datagrams, into the slots from 0 on: how many. */
  recvmmsg(fd: number, count: number): number;
  /** To the address in slot 0. */
  sendto(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    nameLength: number,
  ): number;
  /** As sendto, of the first `length` bytes of the thread's scratch buffer. */
  sendScratchTo(fd: number, length: number, nameLength: number): number;
  /**
   * Sends the first `count` slots: how many went; the next call tells why one did not. With `runs` 1,
   * those of one length to one receiver go through the kernel together, which it may refuse.
   */
  sendmmsg(fd: number, count: number, runs: number): number;
  /** The number of the interface with that name. */
  ifNameToIndex(name: Uint8Array): number;
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

export interface NativeKernel extends Kernel, DatagramKernel, LoopKernel {
  /** Tells the addon once where this thread's scratch buffer is. */
  setScratch(buffer: Uint8Array): void;
  readv(fd: number, buffers: readonly Uint8Array[], first: number, offset: number): number;
  socketpair(family: number, type: number, out: Int32Array): number;
}
