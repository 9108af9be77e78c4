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
  /** As send; what follows at once may share a packet with it (MSG_MORE). */
  sendMore(fd: number, buffer: Uint8Array, offset: number, length: number): number;
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

/** A configuration of TLS inside the addon; opaque outside. */
export type TlsContextHandle = { readonly tlsContext: unique symbol };

/** [code, library, reason, result of verifying the peer (X509_V_…), that in words]. */
export type TlsFailure = [
  code: number,
  library: string | undefined,
  reason: string | undefined,
  verifyResult: number,
  verifyText: string | undefined,
];

/** [version, cipher, its name in OpenSSL, ALPN, server name, resumed, verify result, in words]. */
export type TlsFacts = [
  version: string,
  cipher: string | undefined,
  name: string | undefined,
  alpn: string | undefined,
  serverName: string | undefined,
  resumed: number,
  verifyResult: number,
  verifyText: string,
];

/**
 * TLS on sockets (native/tls*.c), with the OpenSSL that Node exports. A connection is named by its fd.
 * What moves bytes returns as a StreamKernel's functions do, or -TLS_FAILED or -TLS_TRUNCATED; it leaves
 * bits about the fd in the status word (tls/tls_kernel.ts).
 */
export interface TlsNative {
  /** 0: TLS can be used; 1: this runtime exports no OpenSSL; 2: another version of it than 3. */
  tlsInit(status: Int32Array): number;

  /** Sets the process's root certificates once; tells whether they are set. */
  tlsRoots(pem: Uint8Array): boolean;
  tlsContext(): TlsContextHandle;
  /** Adds a part; false when it is refused, and tlsContextFailure tells why. */
  tlsContextUse(
    context: TlsContextHandle,
    part: number,
    bytes: Uint8Array,
    passphrase: Uint8Array,
  ): boolean;
  tlsContextLimits(
    context: TlsContextHandle,
    lowest: number,
    highest: number,
    serverOrder: number,
    ticketSeconds: number,
    tickets: number,
  ): boolean;
  tlsContextFailure(): TlsFailure;

  tlsOpen(
    fd: number,
    context: TlsContextHandle,
    server: number,
    verify: number,
    asksHello: number,
    leftover: Uint8Array,
  ): number;
  /** Forgets the connection; the fd stays open. */
  tlsClose(fd: number): number;
  tlsHandshake(fd: number): number;
  /** Answers the client's hello: another context, null for the same one, undefined to refuse. */
  tlsChoose(fd: number, context: TlsContextHandle | null | undefined): number;
  tlsRecv(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  tlsRecvScratch(fd: number): number;
  tlsPeek(fd: number): number;
  tlsSend(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  tlsSendScratch(fd: number, length: number): number;
  tlsWritev(fd: number, chunks: readonly Uint8Array[], first: number, offset: number): number;
  tlsFlush(fd: number): number;
  tlsShutdown(fd: number): number;

  tlsFacts(fd: number): TlsFacts;
  /** The name that the client asks for. */
  tlsHello(fd: number): string | undefined;
  tlsFailure(fd: number): TlsFailure;
  tlsPeerCertificates(fd: number): Buffer[];
  tlsStaple(fd: number): Buffer | undefined;
  tlsSession(fd: number): Buffer | undefined;
  tlsResume(fd: number, session: Uint8Array): boolean;
  tlsAsk(fd: number, what: number, text: string): boolean;
  tlsKeylog(fd: number): string | undefined;

  /** Takes a connection off its fd for another thread (native/tls_transfer.c): its number, or -errno. */
  tlsPark(fd: number, inbox: number): number;
  tlsUnpark(fd: number, number: number): number;
  tlsDiscard(number: number): number;
  /** The thread with that inbox has ended; how many connections are still on their way. */
  tlsStranded(inbox: number): number;
}

export interface NativeKernel
  extends Kernel,
    DatagramKernel,
    LoopKernel,
    PassingKernel,
    SharedKernel,
    SpliceKernel,
    ThreadsKernel,
    TlsNative {
  /** Tells the addon once where this thread's scratch buffer is. */
  setScratch(buffer: Uint8Array): void;
  readv(fd: number, buffers: readonly Uint8Array[], first: number, offset: number): number;
  socketpair(family: number, type: number, out: Int32Array): number;
}
