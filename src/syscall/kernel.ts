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

/**
 * Memory that threads share (native/shared*.c): each operation is one call, so that the end of a thread
 * never interrupts it. They throw a TypeError when the memory was overwritten.
 */
export interface SharedKernel {
  /** This thread's slot among those that can be woken; a negative errno. */
  sharedJoin(wakeFd: number, waking: Int32Array): number;
  /** An id for laid out memory, the same one each time; a negative errno. */
  sharedOpen(memory: Uint8Array, kind: number): number;
  sharedClose(id: number): void;

  atomicFormat(memory: Uint8Array): void;
  /** Has this thread woken by the next atomicNotify. */
  atomicArm(id: number): number;
  atomicDisarm(id: number): void;
  atomicNotify(id: number): void;

  chanFormat(memory: Uint8Array, capacity: number): void;
  /**
   * 0 sent, 1 no room, 2 closed. `operation` is id * 16 + tag * 2 + wait: every argument costs. With
   * `wait` (1) this thread is woken when there may be room.
   */
  chanSend(operation: number, value: unknown): number;
  /**
   * length * 8 + tag of what is in the scratch buffer; -1 nothing, -2 the end, -16 - length: larger.
   * `operation` is id * 16 + wait.
   */
  chanReceive(operation: number): number;
  chanReceiveInto(id: number, buffer: Uint8Array, offset: number, length: number): number;
  /** Whether a receive (side 0) or a small send (side 1) would not wait. */
  chanReady(id: number, side: number): number;
  /** Has this thread woken when that side may be ready; whether it is ready now. */
  chanArm(id: number, side: number): number;
  chanLength(id: number): number;
  chanCapacity(id: number): number;
  chanLargest(id: number): number;
  /** 0, or 2 when it was closed before. */
  chanClose(id: number): number;
  /** Nobody in this thread waits on that side any more. */
  chanDisarm(id: number, side: number): void;

  tableBytes(rows: number, keyBytes: number, rowBytes: number): number;
  tableFormat(
    memory: Uint8Array,
    rows: number,
    keyBytes: number,
    rowBytes: number,
    seed: number,
  ): void;
  /** 0, or 2 when there is no row left. Pieces: offset, length, bytes rounded up to 4. */
  tableWrite(id: number, key: string, pieces: Uint8Array, offset: number, length: number): number;
  /** 0: that part of the row is in the scratch buffer; 1: no such key. */
  tableRead(id: number, key: string, offset: number, length: number): number;
  /** The sum, in an int32 (type 0) or a float64 (type 1); undefined when there is no row left. */
  tableAdd(id: number, key: string, offset: number, type: number, by: number): number | undefined;
  /** 0, or 1 when there is no such key. */
  tableDelete(id: number, key: string): number;
  /** Bytes that the keys of a bucket take, written as far as there is room. */
  tableKeys(id: number, bucket: number, out: Uint8Array, offset: number, length: number): number;
  tableBuckets(id: number): number;
  tableSize(id: number): number;
}

export interface NativeKernel extends Kernel, LoopKernel, SharedKernel {
  /** Tells the addon once where this thread's scratch buffer is. */
  setScratch(buffer: Uint8Array): void;
  readv(fd: number, buffers: readonly Uint8Array[], first: number, offset: number): number;
  socketpair(family: number, type: number, out: Int32Array): number;
}
