/**
 * portable_kernel.ts: the system calls of kernel.ts without the addon, on node:net.
 *
 * Where Node has no such thing the answer is -EOPNOTSUPP. Two calls are only nearly what they are
 * natively: listen() answers later, because Node binds and listens asynchronously; and accept4() takes
 * from the connections that Node has accepted already.
 */
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EPOLL_CTL_ADD,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./constants.ts";
import { EAGAIN, EBADF, EINVAL, ENOTCONN, EOPNOTSUPP } from "./errno.ts";
import type { Kernel, Readiness } from "./kernel.ts";
import { PortableDatagram } from "./portable_datagram.ts";
import { DatagramTable } from "./portable_datagrams.ts";
import { Interest, PortableEpoll } from "./portable_epoll.ts";
import { PortableListener } from "./portable_listener.ts";
import {
  isOutOfReach,
  localName,
  PortableSocket,
  peerName,
  SocketOptions,
  UNNAMED,
} from "./portable_socket.ts";
import { little, writeName } from "./sockaddr.ts";

/** The families that Node has of each type. */
const FAMILIES = new Map([
  [SOCK_STREAM, new Set([AF_UNIX, AF_INET, AF_INET6])],
  [SOCK_DGRAM, new Set([AF_INET, AF_INET6])],
]);

/** A counter that wakes the poller of its own thread; no other thread can reach it. */
class Eventfd {
  count = 0n;
  readiness: Readiness | undefined = undefined;
}

export class PortableKernel extends DatagramTable implements Kernel {
  /** Every socket by its fd; a connected one has its stream in `ends` as well. */
  private readonly sockets = new Map<number, PortableSocket>();
  private readonly listeners = new Map<number, PortableListener>();
  private readonly epolls = new Map<number, PortableEpoll>();
  private readonly eventfds = new Map<number, Eventfd>();
  private readonly interests = new Map<number, Interest>();

  // ---- sockets

  socket(family: number, type: number, _protocol: number): number {
    const known = FAMILIES.get(type);
    if (known === undefined || !known.has(family)) return -EOPNOTSUPP;
    const fd = this.newFd();
    this.sockets.set(fd, new PortableSocket(family, type, new SocketOptions()));
    return fd;
  }

  bind(fd: number, sockaddr: Uint8Array): number | Promise<number> {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    if (isOutOfReach(sockaddr)) return -EOPNOTSUPP;
    if (socket.type === SOCK_DGRAM) return this.datagram(fd, socket).bind(sockaddr);
    socket.local = sockaddr;
    return 0;
  }

  private datagram(fd: number, socket: PortableSocket): PortableDatagram {
    const made = this.datagrams.get(fd) ?? new PortableDatagram(socket);
    this.datagrams.set(fd, made);
    return made;
  }

  listen(fd: number, backlog: number): number | Promise<number> {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    if (socket.local === undefined) return -EINVAL;
    const listener = new PortableListener(socket);
    this.listeners.set(fd, listener);
    return listener.open(socket.local, backlog);
  }

  accept4(fd: number, out: Uint8Array): number {
    const listener = this.listeners.get(fd);
    if (listener === undefined) return -EBADF;
    const stream = listener.accept();
    if (stream === undefined) return -EAGAIN;
    const { family, options, local } = listener.socket;
    const accepted = new PortableSocket(family, SOCK_STREAM, options.copy());
    accepted.local = family === AF_UNIX ? local : localName(stream);
    accepted.peer = family === AF_UNIX ? UNNAMED : peerName(stream);
    const n = this.adopt(stream);
    this.sockets.set(n, accepted);
    writeName(out, accepted.peer);
    return n;
  }

  connect(fd: number, sockaddr: Uint8Array): number {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    if (isOutOfReach(sockaddr)) return -EOPNOTSUPP;
    if (socket.type === SOCK_DGRAM) return this.datagram(fd, socket).connect(sockaddr);
    return socket.connect(sockaddr, (stream) => this.adoptAs(fd, stream));
  }

  getsockname(fd: number, out: Uint8Array): number {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    writeName(out, socket.local ?? UNNAMED);
    return 0;
  }

  getpeername(fd: number, out: Uint8Array): number {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    if (socket.peer === undefined) return -ENOTCONN;
    writeName(out, socket.peer);
    return 0;
  }

  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const n = socket.options.set(level, option, view.getInt32(0, little), socket.type);
    const datagram = this.datagrams.get(fd);
    if (datagram !== undefined && n === 0) return datagram.set(level, option, value);
    const end = this.ends.get(fd);
    if (n === 0 && end !== undefined && !end.stream.destroyed) {
      socket.options.apply(level, option, end);
    }
    return n;
  }

  getsockopt(fd: number, level: number, option: number, out: Uint8Array): number {
    const socket = this.sockets.get(fd);
    if (socket === undefined) return -EBADF;
    const isError = level === SOL_SOCKET && option === SO_ERROR;
    const from = this.datagrams.get(fd) ?? socket;
    const value = isError ? from.takeError() : socket.options.get(level, option);
    new DataView(out.buffer, out.byteOffset, out.byteLength).setInt32(0, value, little);
    return 4;
  }

  override close(fd: number): number {
    this.interests.get(fd)?.end();
    this.interests.delete(fd);
    this.listeners.get(fd)?.close();
    this.listeners.delete(fd);
    this.datagrams.get(fd)?.close();
    this.datagrams.delete(fd);
    const socket = this.sockets.get(fd);
    socket?.close();
    this.sockets.delete(fd);
    const others = this.epolls.delete(fd) || this.eventfds.delete(fd) || socket !== undefined;
    return super.close(fd) === 0 || others ? 0 : -EBADF;
  }

  override watch(fd: number, readiness: Readiness): void {
    const end = this.ends.get(fd);
    const eventfd = this.eventfds.get(fd);
    if (end !== undefined) end.watch(readiness);
    else if (eventfd !== undefined) eventfd.readiness = readiness;
    else {
      const other = this.datagrams.get(fd) ?? this.listeners.get(fd) ?? this.sockets.get(fd);
      other?.watch(readiness);
    }
  }

  // ---- epoll

  epollCreate1(): number {
    const fd = this.newFd();
    this.epolls.set(fd, new PortableEpoll());
    return fd;
  }

  /** Calls back when an epoll has events, once until they have been collected. */
  onEvents(epfd: number, callback: () => void): void {
    const epoll = this.epolls.get(epfd);
    if (epoll !== undefined) epoll.onReady = callback;
  }

  /** Interest is taken once, in everything, for the life of an fd: that is all that a poller asks. */
  epollCtl(
    epfd: number,
    op: number,
    fd: number,
    _events: number,
    slot: number,
    sequence: number,
  ): number {
    const epoll = this.epolls.get(epfd);
    if (epoll === undefined) return -EBADF;
    if (op !== EPOLL_CTL_ADD) return -EINVAL;
    const interest = new Interest(epoll, slot, sequence);
    this.interests.set(fd, interest);
    this.watch(fd, interest);
    return 0;
  }

  /** What is there: nobody can wait in JavaScript. */
  epollWait(epfd: number, events: Int32Array, _timeout: number): number {
    return this.epolls.get(epfd)?.collect(events) ?? -EBADF;
  }

  eventfd(): number {
    const fd = this.newFd();
    this.eventfds.set(fd, new Eventfd());
    return fd;
  }

  read(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    const eventfd = this.eventfds.get(fd);
    if (eventfd === undefined) return -EBADF;
    if (eventfd.count === 0n) return -EAGAIN;
    new DataView(buffer.buffer, buffer.byteOffset + offset, length).setBigUint64(
      0,
      eventfd.count,
      little,
    );
    eventfd.count = 0n;
    return 8;
  }

  write(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    const eventfd = this.eventfds.get(fd);
    if (eventfd === undefined) return -EBADF;
    const view = new DataView(buffer.buffer, buffer.byteOffset + offset, length);
    eventfd.count += view.getBigUint64(0, little);
    eventfd.readiness?.notify(true, false, false);
    return 8;
  }
}
