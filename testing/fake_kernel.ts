/**
 * fake_kernel.ts: a Kernel in memory, with faults from a seed.
 *
 * It stands in for the addon under everything above src/syscall. What it answers is what Linux would
 * or might answer; how often it answers badly is set by FaultRates. fd numbers are given out lowest
 * first and reused at once, as POSIX asks, so that whoever holds on to a closed fd meets its next
 * owner.
 *
 * Misuse is recorded in `violations` and thrown: a call on an fd that is not open, a span outside of
 * its buffer, a call that makes no sense on that kind of file, an interest whose sequence number was
 * used before. `guard` gives a Kernel for one open
 * file; a call through it after the file was closed is misuse even if the number is in use again.
 *
 * @example
 * import { FakeKernel } from "./fake_kernel.ts";
 * import { Random } from "../src/internal/random.ts";
 * const kernel = new FakeKernel(new Random(1));
 * const [a, b] = kernel.pair();
 * kernel.send(a, new Uint8Array([7]), 0, 1);
 * while (kernel.network.step());
 * console.log(kernel.peek(b)); // 1
 */

import type { Random } from "../src/internal/random.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  SO_ERROR,
  SO_LINGER,
  SOCK_STREAM,
  SOL_SOCKET,
} from "../src/syscall/constants.ts";
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  ECONNABORTED,
  ECONNREFUSED,
  EINPROGRESS,
  EINTR,
  EINVAL,
  EISCONN,
  EMFILE,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOTCONN,
} from "../src/syscall/errno.ts";
import { type Kernel, NAME_BUFFER_SIZE } from "../src/syscall/kernel.ts";
import { scratch } from "../src/syscall/scratch.ts";
import { encodeInet } from "../src/syscall/sockaddr.ts";
import { CALM, type FaultRates } from "./fake_faults.ts";
import { FakeEpoll, FakeEventFd, type FakeFile } from "./fake_file.ts";
import { FakeNetwork, FakeSocket } from "./fake_network.ts";

const EEXIST = 17;
const ENOENT = 2;
const ENOSPC = 28;
const SHORTAGES = [EMFILE, ENFILE, ENOBUFS, ENOMEM] as const;
/** Numbers below belong to standard input, output and error. */
const FIRST_FD = 3;
const MAX_EVENTS = 1024;
const FAMILIES = new Set([AF_INET, AF_INET6, AF_UNIX]);

export interface FakeKernelOptions {
  faults?: Partial<FaultRates>;
  /** Bytes that each direction of a connection holds on either side. */
  sendBuffer?: number;
  receiveBuffer?: number;
  /** fds that may be open at once. */
  maxFds?: number;
  /** Passes time when epoll_wait is told to wait. */
  wait?: (ms: number) => void;
}

/** A misuse of the kernel: a defect of whoever called it. */
export class Misuse extends Error {}

export class FakeKernel implements Kernel {
  readonly random: Random;
  readonly faults: FaultRates;
  readonly network: FakeNetwork;
  /** Every misuse so far. */
  readonly violations: string[] = [];
  /** How often each kind of fault was injected. */
  readonly injected = new Map<string, number>();
  /** System calls made. */
  calls = 0;
  /** Told of every call and its result; for looking at one seed. */
  trace: ((line: string) => void) | undefined;
  private readonly files: (FakeFile | undefined)[] = [];
  private readonly sequences = new Set<number>();
  private readonly maxFds: number;
  private readonly wait: ((ms: number) => void) | undefined;
  private lastPort = 40_000;

  constructor(random: Random, options: FakeKernelOptions = {}) {
    this.random = random;
    this.faults = { ...CALM, ...options.faults };
    const { sendBuffer = 4096, receiveBuffer = 4096 } = options;
    this.network = new FakeNetwork(random, this.faults, sendBuffer, receiveBuffer);
    this.maxFds = options.maxFds ?? 1024;
    this.wait = options.wait;
  }

  // ---- for tests

  /** Numbers of the open fds. */
  openFds(): number[] {
    return [...this.files.keys()].filter((fd) => this.files[fd] !== undefined);
  }

  fileOf(fd: number): FakeFile | undefined {
    return this.files[fd];
  }

  socketOf(fd: number): FakeSocket {
    return this.get(fd, FakeSocket, "socketOf");
  }

  /** True while the interest with that sequence number belongs to an open file. */
  isWatched(sequence: number): boolean {
    for (const file of this.files) {
      if (file?.interests.some((interest) => interest.sequence === sequence)) return true;
    }
    return false;
  }

  /** Two connected stream sockets. */
  pair(): [number, number] {
    const a = new FakeSocket(this.network, AF_UNIX, Uint8Array.of(AF_UNIX, 0));
    const b = new FakeSocket(this.network, AF_UNIX, Uint8Array.of(AF_UNIX, 0));
    a.remote = b.local;
    b.remote = a.local;
    this.network.add(a);
    this.network.add(b);
    this.network.join(a, b);
    return [this.install(a), this.install(b)];
  }

  /** A kernel for one open file: see the head of this file. */
  guard(fd: number): Kernel {
    const file = this.files[fd];
    return new Proxy<Kernel>(this, {
      get: (_, name) => {
        if (this.files[fd] !== file)
          this.violate(`${String(name)} on fd ${fd}: it was closed before`);
        const method = this[name as keyof this] as (...args: unknown[]) => unknown;
        return method.bind(this);
      },
    });
  }

  /** Records a misuse and throws it. */
  violate(what: string): never {
    this.violations.push(what);
    throw new Misuse(what);
  }

  // ---- files

  private get<F extends FakeFile>(fd: number, kind: new (...args: never[]) => F, call: string): F {
    const file = this.files[fd];
    if (file === undefined) return this.violate(`${call} on fd ${fd}: not open`);
    if (!(file instanceof kind))
      return this.violate(`${call} on fd ${fd}: a ${file.constructor.name}`);
    return file;
  }

  private install(file: FakeFile): number {
    let fd = FIRST_FD;
    while (this.files[fd] !== undefined) fd++;
    this.files[fd] = file;
    file.fd = fd;
    return fd;
  }

  /** 0, or the reason why no fd can be had now. */
  private shortage(): number {
    if (this.openFds().length >= this.maxFds) return -EMFILE;
    if (!this.fault("shortage")) return 0;
    return -(SHORTAGES[this.random.below(SHORTAGES.length)] as number);
  }

  private fault(name: keyof FaultRates): boolean {
    if (!this.random.chance(this.faults[name])) return false;
    this.injected.set(name, (this.injected.get(name) ?? 0) + 1);
    return true;
  }

  /** The network moves on at the beginning of a call. */
  private begin(): void {
    this.calls++;
    if (!this.random.chance(this.faults.meanwhile)) return;
    for (let i = 1 + this.random.below(3); i > 0; i--) this.network.step();
  }

  private end(call: string, fd: number, result: number): number {
    if (this.trace !== undefined) this.trace(`${call}(${fd}) = ${result}`);
    return result;
  }

  private checkSpan(call: string, buffer: Uint8Array, offset: number, length: number): void {
    const whole = Number.isInteger(offset) && Number.isInteger(length);
    if (whole && offset >= 0 && length > 0 && offset + length <= buffer.length) return;
    this.violate(`${call}: ${length} bytes at ${offset} of a buffer of ${buffer.length}`);
  }

  close(fd: number): number {
    this.begin();
    const file = this.files[fd];
    if (file === undefined) return this.violate(`close of fd ${fd}: not open`);
    this.files[fd] = undefined;
    file.release();
    return this.end("close", fd, this.fault("interruptClose") ? -EINTR : 0);
  }

  // ---- bytes

  recv(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    this.begin();
    this.checkSpan("recv", buffer, offset, length);
    return this.end("recv", fd, this.get(fd, FakeSocket, "recv").recv(buffer, offset, length));
  }

  recvScratch(fd: number): number {
    return this.recv(fd, scratch, 0, scratch.length);
  }

  sendScratch(fd: number, length: number): number {
    return this.send(fd, scratch, 0, length);
  }

  recvPacket(fd: number): number {
    return this.violate(`recvPacket on fd ${fd}: the fake kernel has streams only`);
  }

  peek(fd: number): number {
    this.begin();
    return this.end("peek", fd, this.get(fd, FakeSocket, "peek").peek());
  }

  send(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    this.begin();
    this.checkSpan("send", buffer, offset, length);
    return this.end("send", fd, this.get(fd, FakeSocket, "send").send(buffer, offset, length));
  }

  writev(fd: number, chunks: readonly Uint8Array[], first: number, offset: number): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "writev");
    if (first < 0 || first >= chunks.length)
      this.violate(`writev: chunk ${first} of ${chunks.length}`);
    let sent = 0;
    for (let i = first, skip = offset; i < chunks.length; i++, skip = 0) {
      const chunk = chunks[i] as Uint8Array;
      if (chunk.length === 0) continue;
      this.checkSpan("writev", chunk, skip, chunk.length - skip);
      const n = socket.send(chunk, skip, chunk.length - skip);
      if (n < 0 && sent === 0) return this.end("writev", fd, n);
      if (n > 0) sent += n;
      if (n < chunk.length - skip) break;
    }
    return this.end("writev", fd, sent);
  }

  shutdown(fd: number, how: number): number {
    this.begin();
    return this.end("shutdown", fd, this.get(fd, FakeSocket, "shutdown").shutdown(how));
  }

  unsent(fd: number): number {
    this.begin();
    return this.get(fd, FakeSocket, "unsent").unsent;
  }

  read(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    this.begin();
    this.checkSpan("read", buffer, offset, length);
    return this.get(fd, FakeEventFd, "read").read(buffer, offset);
  }

  write(fd: number, buffer: Uint8Array, offset: number, length: number): number {
    this.begin();
    this.checkSpan("write", buffer, offset, length);
    return this.get(fd, FakeEventFd, "write").write(buffer, offset);
  }

  // ---- sockets

  socket(family: number, type: number): number {
    this.begin();
    if (!FAMILIES.has(family) || type !== SOCK_STREAM) return -EAFNOSUPPORT;
    const short = this.shortage();
    if (short !== 0) return this.end("socket", family, short);
    const unbound = family === AF_UNIX ? Uint8Array.of(AF_UNIX, 0) : inet(0, family);
    const socket = new FakeSocket(this.network, family, unbound);
    this.network.add(socket);
    return this.end("socket", family, this.install(socket));
  }

  bind(fd: number, sockaddr: Uint8Array): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "bind");
    let local: Uint8Array = Uint8Array.from(sockaddr);
    const port = new DataView(local.buffer, local.byteOffset).getUint16(2);
    if (socket.family !== AF_UNIX && port === 0) local = inet(++this.lastPort, socket.family);
    if (!this.network.bind(socket, String(local))) return -EADDRINUSE;
    socket.local = local;
    return 0;
  }

  listen(fd: number, backlog: number): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "listen");
    socket.state = "listening";
    socket.backlogLimit = Math.max(1, backlog);
    return 0;
  }

  accept4(fd: number, out: Uint8Array): number {
    this.begin();
    const listener = this.get(fd, FakeSocket, "accept4");
    if (listener.state !== "listening") return this.end("accept4", fd, -EINVAL);
    listener.short = false;
    listener.accepts++;
    if (listener.backlog.length === 0) return this.end("accept4", fd, -EAGAIN);
    if (this.fault("abort")) {
      listener.backlog.shift()?.abandon();
      return this.end("accept4", fd, -ECONNABORTED);
    }
    const short = this.shortage();
    listener.short = short !== 0;
    if (short !== 0) return this.end("accept4", fd, short);
    const socket = listener.backlog.shift() as FakeSocket;
    putName(out, socket.remote as Uint8Array);
    return this.end("accept4", fd, this.install(socket));
  }

  connect(fd: number, sockaddr: Uint8Array): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "connect");
    return this.end("connect", fd, this.startConnect(socket, Uint8Array.from(sockaddr)));
  }

  private startConnect(socket: FakeSocket, remote: Uint8Array): number {
    if (socket.state === "connecting") return -EALREADY;
    if (socket.state === "connected") return -EISCONN;
    if (this.fault("refuse")) return this.random.chance(0.5) ? -ENETUNREACH : -EADDRNOTAVAIL;
    if (socket.family === AF_UNIX) return this.connectUnix(socket, remote);
    socket.remote = remote;
    socket.local = inet(++this.lastPort, socket.family);
    socket.state = "connecting";
    socket.blackhole = this.fault("blackhole");
    return this.fault("interruptConnect") ? -EINTR : -EINPROGRESS;
  }

  private connectUnix(socket: FakeSocket, remote: Uint8Array): number {
    const listener = this.network.listenerAt(String(remote));
    if (listener === undefined) return -ECONNREFUSED;
    if (listener.backlog.length >= listener.backlogLimit) return -EAGAIN;
    socket.remote = remote;
    this.network.establish(socket, listener);
    return 0;
  }

  getsockname(fd: number, out: Uint8Array): number {
    this.begin();
    putName(out, this.get(fd, FakeSocket, "getsockname").local);
    return 0;
  }

  getpeername(fd: number, out: Uint8Array): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "getpeername");
    if (socket.state !== "connected" || socket.finished)
      return this.end("getpeername", fd, -ENOTCONN);
    putName(out, socket.remote as Uint8Array);
    return this.end("getpeername", fd, 0);
  }

  setsockopt(fd: number, level: number, option: number, value: Uint8Array): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "setsockopt");
    const kept = Uint8Array.from(value);
    socket.options.set(`${level}:${option}`, kept);
    if (level === SOL_SOCKET && option === SO_LINGER) {
      const [on, seconds] = new Int32Array(kept.buffer);
      socket.lingerZero = on !== 0 && seconds === 0;
    }
    return 0;
  }

  getsockopt(fd: number, level: number, option: number, out: Uint8Array): number {
    this.begin();
    const socket = this.get(fd, FakeSocket, "getsockopt");
    if (level === SOL_SOCKET && option === SO_ERROR) {
      out.set(new Uint8Array(new Int32Array([socket.takeError()]).buffer));
      return 4;
    }
    const value = socket.options.get(`${level}:${option}`) ?? new Uint8Array(4);
    out.set(value.subarray(0, out.length));
    return Math.min(value.length, out.length);
  }

  // ---- epoll

  epollCreate1(): number {
    this.begin();
    const short = this.shortage();
    return short !== 0 ? short : this.install(new FakeEpoll(this.random, this.faults));
  }

  eventfd(): number {
    this.begin();
    const short = this.shortage();
    return short !== 0 ? short : this.install(new FakeEventFd());
  }

  epollCtl(
    epfd: number,
    op: number,
    fd: number,
    events: number,
    slot: number,
    sequence: number,
  ): number {
    this.begin();
    const epoll = this.get(epfd, FakeEpoll, "epoll_ctl");
    const file = this.files[fd];
    if (file === undefined) return this.violate(`epoll_ctl for fd ${fd}: not open`);
    const present = epoll.watched.get(file);
    if (op === EPOLL_CTL_ADD) {
      if (present !== undefined)
        return this.violate(`epoll_ctl for fd ${fd}: added twice (${EEXIST})`);
      if (this.fault("refuseInterest")) return this.random.chance(0.5) ? -ENOMEM : -ENOSPC;
      if (this.sequences.has(sequence))
        this.violate(`epoll_ctl: sequence ${sequence} for a second time`);
      this.sequences.add(sequence);
      epoll.add(file, events, slot, sequence);
      return this.end("epoll_ctl", fd, 0);
    }
    if (present === undefined) return -ENOENT;
    epoll.remove(present);
    if (op !== EPOLL_CTL_DEL) epoll.add(file, events, slot, sequence);
    return 0;
  }

  epollWait(epfd: number, events: Int32Array, timeout: number): number {
    this.begin();
    const epoll = this.get(epfd, FakeEpoll, "epoll_wait");
    if (this.fault("interruptWait")) return -EINTR;
    let n = epoll.collect(events, MAX_EVENTS);
    if (n > 0 || timeout === 0) return n;
    // Whoever waits gives the network all the time that it needs.
    while (n === 0 && this.network.step()) n = epoll.collect(events, MAX_EVENTS);
    if (n === 0 && timeout < 0) return this.violate("epoll_wait: nothing will ever happen");
    if (n === 0) this.wait?.(timeout);
    return n;
  }
}

function inet(port: number, family: number): Uint8Array {
  if (family === AF_INET) {
    return encodeInet({ family: AF_INET, ip: Uint8Array.of(127, 0, 0, 1), port, scope: 0 });
  }
  const ip = new Uint8Array(16);
  ip[15] = 1;
  return encodeInet({ family: AF_INET6, ip, port, scope: 0 });
}

function putName(out: Uint8Array, sockaddr: Uint8Array): void {
  if (out.length < NAME_BUFFER_SIZE) throw new Misuse(`a name buffer of ${out.length} bytes`);
  out.set(new Uint8Array(new Uint32Array([sockaddr.length]).buffer));
  out.set(sockaddr, 4);
}
