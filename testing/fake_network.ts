/**
 * fake_network.ts: stream sockets in memory, and the network between them.
 *
 * A byte goes from send() into its socket's send queue, from there, when the network steps, into the
 * peer's receive queue, and from there to recv(). FIN follows the last byte, RST overtakes it. The
 * network steps between and during system calls, so anything may arrive at any moment. What a socket
 * answers, and the events that it has, follow Linux's net/ipv4/tcp.c.
 *
 * Invariants
 *  - Whatever makes a socket readable or writable causes an edge; a fault that hides data or room
 *    (`owed`) causes one later. When the network is idle, no edge is owed.
 *  - finReceived is set only after every byte has arrived, and never after a reset.
 */
import type { Random } from "../src/internal/random.ts";
import {
  AF_UNIX,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  SHUT_WR,
} from "../src/syscall/constants.ts";
import {
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTUNREACH,
  ENOTCONN,
  EPIPE,
  ETIMEDOUT,
} from "../src/syscall/errno.ts";
import type { FaultRates } from "./fake_faults.ts";
import { ANY_CHANGE, FakeFile } from "./fake_file.ts";

const BREAKS = [ECONNRESET, ETIMEDOUT, EHOSTUNREACH] as const;
const REFUSALS = [ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH] as const;

/** A queue of bytes with a fixed capacity. */
class ByteRing {
  readonly capacity: number;
  private readonly memory: Uint8Array;
  private head = 0;
  length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.memory = new Uint8Array(capacity);
  }

  get room(): number {
    return this.capacity - this.length;
  }

  push(source: Uint8Array, offset: number, n: number): void {
    const { memory, capacity } = this;
    let at = this.head + this.length;
    for (let i = 0; i < n; i++, at++) memory[at % capacity] = source[offset + i] as number;
    this.length += n;
  }

  pull(target: Uint8Array, offset: number, n: number): void {
    const { memory, capacity, head } = this;
    for (let i = 0; i < n; i++) target[offset + i] = memory[(head + i) % capacity] as number;
    this.head = (head + n) % capacity;
    this.length -= n;
  }

  clear(): void {
    this.length = 0;
  }
}

const between = new Uint8Array(65_536);

type State = "fresh" | "listening" | "connecting" | "connected" | "dead";

export class FakeSocket extends FakeFile {
  readonly network: FakeNetwork;
  readonly family: number;
  state: State = "fresh";
  peer: FakeSocket | undefined;
  /** Sockaddrs as they were given or made up. */
  local: Uint8Array;
  remote: Uint8Array | undefined;
  readonly options = new Map<string, Uint8Array>();
  error = 0;
  /** Listening: connections that wait. */
  readonly backlog: FakeSocket[] = [];
  backlogLimit = 0;
  /** Connecting: the network will never answer. */
  blackhole = false;
  /** This end has ended writing; that has reached the peer; the peer's has reached this end. */
  finQueued = false;
  finSent = false;
  finReceived = false;
  readShut = false;
  lingerZero = false;
  /** Bytes that send took and that recv gave, ever. */
  accepted = 0;
  delivered = 0;
  /** When send last took a byte. */
  sentAt = 0;
  /** Calls of accept4, and whether the last one answered with a shortage: no edge will follow then. */
  accepts = 0;
  short = false;
  private incoming: ByteRing;
  private outgoing: ByteRing;
  /** Urgent mark, as an offset into the stream that arrives; -1 without one. */
  private mark = -1;
  /** Where a read ends although more bytes stand behind, and nothing tells; -1 for nowhere. */
  private barrier = -1;
  /** A sender was told that there is no room: it is told when there is. */
  private noSpace = false;
  /** Edges that must follow. */
  private owed = 0;
  /** Events that are reported once although they are not true. */
  private lie = 0;

  constructor(network: FakeNetwork, family: number, local: Uint8Array) {
    super();
    this.network = network;
    this.family = family;
    this.local = local;
    this.incoming = new ByteRing(network.receiveBuffer);
    this.outgoing = new ByteRing(network.sendBuffer);
  }

  get unread(): number {
    return this.incoming.length;
  }

  get unsent(): number {
    return this.outgoing.length;
  }

  /** Both directions have ended: for the kernel there is no connection any more (TCP_CLOSE). */
  get finished(): boolean {
    return this.state === "dead" || (this.finSent && this.finReceived);
  }

  /** A recv would not answer EAGAIN. */
  get readable(): boolean {
    return this.unread > 0 || this.readShut || this.finReceived || this.state === "dead";
  }

  /** The kernel calls the socket writable (sk_stream_is_writeable). */
  get writable(): boolean {
    return (
      this.finQueued ||
      this.state === "dead" ||
      this.outgoing.length * 3 <= this.outgoing.capacity * 2
    );
  }

  poll(): number {
    const bits = this.lie;
    this.lie = 0;
    if (this.state === "listening") return this.backlog.length > 0 ? EPOLLIN : 0;
    if (this.state === "fresh") return EPOLLHUP | EPOLLOUT;
    if (this.state === "connecting") return bits;
    return bits | this.truth();
  }

  private truth(): number {
    const dead = this.state === "dead";
    const noMoreIn = dead || this.finReceived || this.readShut;
    let bits = 0;
    if (noMoreIn) bits |= EPOLLIN | EPOLLRDHUP;
    if (noMoreIn && (dead || this.finQueued)) bits |= EPOLLHUP;
    if (this.unread > 0) bits |= EPOLLIN;
    if (this.mark >= 0) bits |= EPOLLPRI;
    if (this.writable) bits |= EPOLLOUT;
    else this.noSpace = true;
    if (this.error !== 0) bits |= EPOLLERR;
    return bits;
  }

  // ---- system calls

  recv(buffer: Uint8Array, offset: number, length: number): number {
    const { random, faults } = this.network;
    if (this.unread === 0) return this.nothingToRead();
    if (random.chance(faults.again)) {
      this.owed |= EPOLLIN;
      return -EAGAIN;
    }
    if (this.mark === this.delivered) this.mark = -1;
    let n = Math.min(length, this.unread);
    if (this.mark >= 0) n = Math.min(n, this.mark - this.delivered);
    if (this.barrier > this.delivered) n = Math.min(n, this.barrier - this.delivered);
    if (n > 1 && random.chance(faults.shortReceive)) {
      n = 1 + random.below(n - 1);
      this.owed |= EPOLLIN;
    }
    this.incoming.pull(buffer, offset, n);
    this.delivered += n;
    return n;
  }

  peek(): number {
    return this.unread > 0 ? 1 : this.nothingToRead();
  }

  // The order of tcp_recvmsg: FIN, then the error, once, then the end.
  private nothingToRead(): number {
    if (this.finReceived) return 0;
    const error = this.takeError();
    if (error !== 0) return -error;
    if (this.readShut || this.state === "dead") return 0;
    return this.state === "connected" ? -EAGAIN : -ENOTCONN;
  }

  send(buffer: Uint8Array, offset: number, length: number): number {
    const { random, faults } = this.network;
    if (this.state !== "connected" || this.finQueued) {
      const error = this.takeError();
      return error === 0 ? -EPIPE : -error;
    }
    let n = Math.min(length, this.outgoing.room);
    if (n > 1 && random.chance(faults.shortSend)) n = 1 + random.below(n - 1);
    if (random.chance(faults.again)) n = 0;
    if (n < length) this.noSpace = true;
    if (n === 0) return -EAGAIN;
    this.outgoing.push(buffer, offset, n);
    this.accepted += n;
    this.sentAt = this.network.now();
    return n;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  shutdown(how: number): number {
    if (this.state !== "connected" || this.finished) return -ENOTCONN;
    if (how === SHUT_WR) this.finQueued = true;
    else this.readShut = true;
    this.changed(ANY_CHANGE);
    return 0;
  }

  override release(): void {
    super.release();
    this.network.unbind(this);
    for (const waiting of this.backlog.splice(0)) waiting.abandon();
    if (this.state === "connecting" || this.state === "fresh") this.state = "dead";
    if (this.state !== "connected" || this.finished) return;
    // tcp_close: unread bytes mean a reset, else what was written goes out and FIN after it.
    if (this.unread > 0 || this.lingerZero) this.abandon();
    else this.finQueued = true;
  }

  /** Ends with a reset of the peer. */
  abandon(): void {
    const { peer } = this;
    this.state = "dead";
    this.outgoing.clear();
    this.peer = undefined;
    peer?.die(ECONNRESET);
  }

  /** The connection is over: the peer's reset has come, or nothing has for too long. */
  die(errno: number): void {
    if (this.state === "dead") return;
    // tcp_reset: after FIN the reader has its end, only a writer can still fail.
    this.error = this.finReceived && errno === ECONNRESET ? EPIPE : errno;
    this.state = "dead";
    this.outgoing.clear();
    this.peer = undefined;
    this.changed(ANY_CHANGE);
  }

  // ---- what the network does

  /** One thing that concerns this socket happens. False when there is nothing. */
  step(): boolean {
    if (this.state === "connecting") return this.network.answer(this);
    const edges = this.owedEdges();
    if (edges !== 0) {
      this.changed(edges);
      return true;
    }
    const { peer } = this;
    if (this.state !== "connected" || peer === undefined) return false;
    if (this.outgoing.length > 0) return this.deliver(peer);
    if (!this.finQueued || this.finSent) return false;
    this.finSent = true;
    peer.finReceived = true;
    peer.changed(ANY_CHANGE);
    return true;
  }

  private owedEdges(): number {
    let edges = this.owed;
    this.owed = 0;
    if (this.noSpace && this.writable) {
      this.noSpace = false;
      edges |= EPOLLOUT;
    }
    return edges;
  }

  private deliver(peer: FakeSocket): boolean {
    if (peer.closed || (peer.readShut && peer.finSent)) {
      // Nobody can read it any more: the peer's kernel answers with a reset (tcp_rcv_state_process).
      peer.die(ECONNRESET);
      this.die(ECONNRESET);
      return true;
    }
    const { random, faults } = this.network;
    const most = Math.min(this.outgoing.length, peer.incoming.room);
    if (most === 0) return false;
    const n = 1 + random.below(most);
    this.outgoing.pull(between, 0, n);
    peer.incoming.push(between, 0, n);
    if (random.chance(faults.urgent)) peer.mark = peer.delivered + peer.unread;
    if (this.family === AF_UNIX && random.chance(faults.control)) {
      peer.barrier = peer.delivered + peer.unread;
    }
    peer.changed(peer.mark >= 0 ? EPOLLIN | EPOLLPRI : EPOLLIN);
    return true;
  }

  /** Reports events that are not true, once. */
  deceive(bits: number): void {
    this.lie |= bits;
    this.changed(bits);
  }

  /** Nothing will ever happen here again. */
  get over(): boolean {
    return this.closed && (this.state === "dead" || (this.finSent && this.outgoing.length === 0));
  }
}

export class FakeNetwork {
  readonly random: Random;
  readonly faults: FaultRates;
  readonly sendBuffer: number;
  readonly receiveBuffer: number;
  /** The time, where there is one. */
  now: () => number = () => 0;
  private readonly sockets: FakeSocket[] = [];
  private readonly listeners = new Map<string, FakeSocket>();

  constructor(random: Random, faults: FaultRates, sendBuffer: number, receiveBuffer: number) {
    this.random = random;
    this.faults = faults;
    this.sendBuffer = sendBuffer;
    this.receiveBuffer = receiveBuffer;
  }

  add(socket: FakeSocket): void {
    this.sockets.push(socket);
  }

  /** False when the address is taken. */
  bind(socket: FakeSocket, key: string): boolean {
    if (this.listeners.has(key)) return false;
    this.listeners.set(key, socket);
    return true;
  }

  unbind(socket: FakeSocket): void {
    for (const [key, other] of this.listeners) {
      if (other === socket) this.listeners.delete(key);
    }
  }

  listenerAt(key: string): FakeSocket | undefined {
    const socket = this.listeners.get(key);
    return socket?.state === "listening" ? socket : undefined;
  }

  /** One thing happens somewhere. False when the network is idle. */
  step(): boolean {
    const { sockets, random, faults } = this;
    if (sockets.length === 0) return false;
    const start = random.below(sockets.length);
    this.misbehave(sockets[start] as FakeSocket);
    for (let i = 0; i < sockets.length; i++) {
      const socket = sockets[(start + i) % sockets.length] as FakeSocket;
      if (socket.step()) {
        if (random.chance(faults.reset)) this.breakConnection();
        return true;
      }
    }
    this.sweep();
    return false;
  }

  private sweep(): void {
    const { sockets } = this;
    for (let i = sockets.length - 1; i >= 0; i--) {
      if ((sockets[i] as FakeSocket).over) sockets.splice(i, 1);
    }
  }

  private misbehave(socket: FakeSocket): void {
    const { random, faults } = this;
    if (socket.state === "connected" && random.chance(faults.spuriousEvent)) {
      socket.deceive(random.chance(0.5) ? EPOLLIN : EPOLLOUT | EPOLLIN);
    }
    if (socket.state === "connecting" && random.chance(faults.spuriousConnect)) {
      socket.deceive(EPOLLOUT);
    }
  }

  /** Some connection breaks: both ends learn of it, each in its own way. */
  private breakConnection(): void {
    const { sockets, random } = this;
    const socket = sockets[random.below(sockets.length)] as FakeSocket;
    const { peer } = socket;
    if (socket.state !== "connected" || peer === undefined) return;
    socket.die(BREAKS[random.below(BREAKS.length)] as number);
    peer.die(BREAKS[random.below(BREAKS.length)] as number);
  }

  /** The network answers a connecting socket, or does not yet. */
  answer(socket: FakeSocket): boolean {
    if (socket.blackhole || socket.remote === undefined) return false;
    if (this.random.chance(this.faults.slowAnswer)) return false;
    const listener = this.listenerAt(String(socket.remote));
    if (listener === undefined || this.random.chance(this.faults.refuse)) {
      const { random } = this;
      socket.die(listener === undefined ? ECONNREFUSED : (REFUSALS[random.below(3)] as number));
      return true;
    }
    if (listener.backlog.length >= listener.backlogLimit) return false;
    this.establish(socket, listener);
    return true;
  }

  /** Connects a socket to a new one in the listener's backlog. */
  establish(socket: FakeSocket, listener: FakeSocket): void {
    const other = new FakeSocket(this, socket.family, listener.local);
    this.join(socket, other);
    other.remote = socket.local;
    this.add(other);
    listener.backlog.push(other);
    listener.changed(EPOLLIN);
  }

  join(a: FakeSocket, b: FakeSocket): void {
    a.state = b.state = "connected";
    a.peer = b;
    b.peer = a;
    a.changed(EPOLLOUT);
    b.changed(EPOLLOUT);
  }
}
