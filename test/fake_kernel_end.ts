/**
 * fake_kernel_end.ts: one end of a connection over the fake kernel, and a judge of all it does.
 *
 * Every operation goes through here. What was handed to write and what read gave is logged in the
 * order of the calls; how an operation ended is compared with what the kernel knows to be true:
 *  - EOF only after FIN, and after every byte before it; never for a reset;
 *  - a deadline or timeout that has passed, a signal that was aborted, an end that was closed, a
 *    connection that did break: an error without its cause is a defect;
 *  - a deadline that has passed when the call is made beats data that is ready.
 */
import { type Conn, NetError } from "../src/index.ts";
import type { FD } from "../src/poll/fd.ts";
import { READER, type Side, WRITER } from "../src/poll/op.ts";
import type { FakeSocket } from "../testing/fake_network.ts";
import type { World } from "./fake_kernel_world.ts";

/** An operation that has not settled. */
interface Pending {
  side: Side;
  /** How many operations of that side had been begun, this one included. */
  number: number;
  kind: string;
  begun: number;
  /** Its deadline had passed when it was called; has passed at some time since. */
  late: boolean;
  expired: boolean;
  /** No other operation of its side was under way when it began. */
  first: boolean;
  /** Writing had been ended before it was called. */
  afterEnd: boolean;
}

interface Written {
  data: Uint8Array;
  /** Bytes that the kernel has, by our account. */
  done: number;
}

const LOST = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH"]);

export class End {
  readonly world: World;
  readonly conn: Conn;
  readonly fd: FD;
  readonly socket: FakeSocket;
  readonly peer: FakeSocket | undefined;
  readonly written: Written[] = [];
  readonly received: (readonly number[] | Uint8Array)[] = [];
  readonly pending = new Set<Pending>();
  readonly name: string;
  closed = false;
  readShut = false;
  writeShut = false;
  /** EOF was read. */
  ended = false;
  private readonly until: [number, number] = [Infinity, Infinity];
  private readonly timeouts: { read: number; write: number; idle: number };
  private readonly begun: [number, number] = [0, 0];
  private fill: number;

  constructor(world: World, name: string, conn: Conn, fd: FD) {
    this.world = world;
    this.name = name;
    this.conn = conn;
    this.fd = fd;
    this.socket = world.kernel.socketOf(fd.sysfd);
    this.peer = this.socket.peer;
    this.fill = world.ends.length * 41;
    this.timeouts = { read: Infinity, write: Infinity, idle: Infinity };
    this.drawTimeouts();
  }

  private drawTimeouts(): void {
    const { random } = this.world;
    for (const kind of ["read", "write", "idle"] as const) {
      if (!random.chance(0.1)) continue;
      this.timeouts[kind] = 1 + random.below(60);
      this.conn.setTimeouts({ [kind]: this.timeouts[kind] });
    }
  }

  get now(): number {
    return this.world.clock.time;
  }

  /** Bytes that no other place of any stream has in this order. */
  bytes(n: number): Uint8Array {
    const data = new Uint8Array(n);
    for (let i = 0; i < n; i++, this.fill++) data[i] = (this.fill * 167 + (this.fill >> 8)) & 0xff;
    return data;
  }

  // ---- operations

  async read(size: number, signal?: AbortSignal): Promise<number | null> {
    const at = this.received.push([]) - 1;
    const buffer = new Uint8Array(size);
    const op = this.begin(READER, "read");
    const n = await this.settle(op, this.conn.read(buffer, { signal }), signal);
    if (n === null) this.sawEnd();
    else if (n < 1 || n > size) this.problem(`read of ${size} bytes resolved to ${n}`);
    else this.received[at] = buffer.subarray(0, n);
    return n;
  }

  async chunk(): Promise<Uint8Array | null> {
    const at = this.received.push([]) - 1;
    const op = this.begin(READER, "next");
    const { done, value } = await this.settle(op, this.conn[Symbol.asyncIterator]().next());
    if (done === true) {
      this.sawEnd();
      return null;
    }
    if (value.length === 0) this.problem("an empty chunk");
    // A copy: the chunk is ours now, and what we do to it is nobody's business.
    this.received[at] = value.slice();
    return value;
  }

  async waitReadable(signal?: AbortSignal): Promise<void> {
    const op = this.begin(READER, "waitReadable");
    await this.settle(op, this.conn.waitReadable({ signal }), signal);
  }

  async write(data: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.send([data], () => this.conn.write(data, { signal }), signal);
  }

  async writev(chunks: Uint8Array[], signal?: AbortSignal): Promise<void> {
    await this.send(chunks, () => this.conn.writev(chunks, { signal }), signal);
  }

  private async send(
    chunks: Uint8Array[],
    call: () => Promise<number>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const data = concat(chunks);
    const entry = { data, done: 0 };
    this.written.push(entry);
    const op = this.begin(WRITER, "write");
    try {
      entry.done = await this.settle(op, call(), signal);
      if (entry.done !== data.length) this.problem(`write of ${data.length} gave ${entry.done}`);
      // The buffer is ours again: what we put there now must not reach the peer.
      for (const chunk of chunks) chunk.fill(0xdd);
    } catch (error) {
      const { bytesWritten } = error as NetError;
      if (bytesWritten === undefined) this.problem(`a failed write does not say how far it came`);
      entry.done = bytesWritten ?? 0;
      throw error;
    }
  }

  async closeWrite(): Promise<void> {
    const op = this.begin(WRITER, "closeWrite");
    // It waits for the writes before it only: a deadline that has passed does not stop it.
    op.late = false;
    this.writeShut = true;
    await this.settle(op, this.conn.closeWrite());
  }

  async closeRead(): Promise<void> {
    this.readShut = true;
    await this.conn.closeRead();
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.conn.close();
  }

  /** Sets the deadlines of the sides, in ms from now; Infinity clears them. */
  setDeadline(sides: readonly Side[], ms: number): void {
    for (const side of sides) {
      this.noteExpired(side);
      this.until[side] = this.now + ms;
      this.noteExpired(side);
      const date = ms === Infinity ? null : new Date(this.world.clock.wall() + ms);
      if (side === READER) this.conn.setReadDeadline(date);
      else this.conn.setWriteDeadline(date);
    }
  }

  private noteExpired(side: Side): void {
    if (this.until[side] > this.now) return;
    for (const op of this.pending) if (op.side === side) op.expired = true;
  }

  // ---- judgement

  private begin(side: Side, kind: string): Pending {
    const late = this.until[side] <= this.now && !this.closed;
    const first = ![...this.pending].some((other) => other.side === side);
    const afterEnd = this.writeShut;
    const number = ++this.begun[side];
    const op = { side, number, kind, begun: this.now, late, expired: late, first, afterEnd };
    this.pending.add(op);
    return op;
  }

  private async settle<T>(op: Pending, promise: Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      const value = await promise;
      if (op.late) this.problem(`${op.kind} succeeded although its deadline had passed before`);
      return value;
    } catch (error) {
      const why = this.misjudged(op, error, signal);
      if (why !== undefined) this.problem(`${op.kind} failed with ${String(error)}: ${why}`);
      throw error;
    } finally {
      this.pending.delete(op);
    }
  }

  /** Why an operation should not have failed like this; undefined when it is right. */
  private misjudged(op: Pending, error: unknown, signal?: AbortSignal): string | undefined {
    if (!(error instanceof NetError)) return "not a NetError";
    const { code } = error;
    if (code === "ERR_CLOSED") return this.closed ? undefined : "nobody closed it";
    if (code === "ERR_CANCELED") return signal?.aborted ? undefined : "nobody canceled it";
    if (code === "ERR_DEADLINE") return this.mayTimeOut(op) ? undefined : "too early";
    if (code === "ENOMEM" || code === "ENOSPC") {
      return this.world.kernel.injected.has("refuseInterest") ? undefined : "no such fault";
    }
    if (code === "EPIPE" && op.side === WRITER && op.afterEnd) return undefined;
    if (!LOST.has(code)) return "no such error";
    return this.socket.state === "dead" ? undefined : "the connection stands";
  }

  private mayTimeOut(op: Pending): boolean {
    if (op.expired || this.until[op.side] <= this.now) return true;
    const { read, write, idle } = this.timeouts;
    const waited = this.now - op.begun;
    if (op.side === READER) return waited >= Math.min(read, idle);
    // Every byte that the kernel takes gives a write its whole time again. (A write that came behind
    // this one may have moved bytes by now.)
    const alone = op.first && this.begun[op.side] === op.number;
    const still = alone ? Math.min(waited, this.now - this.socket.sentAt) : waited;
    return still >= Math.min(write, idle);
  }

  private sawEnd(): void {
    this.ended = true;
    if (this.readShut) return;
    if (!this.socket.finReceived) this.problem("EOF without FIN");
    if (this.socket.unread > 0) this.problem("EOF before the last byte");
  }

  problem(what: string): void {
    this.world.problem(`${this.name}: ${what}`);
  }

  /** Nothing can happen any more unless time passes: is someone waiting who should not? */
  checkWaiting(): void {
    if (this.fd.closing) return;
    const { fd, socket } = this;
    if (fd.isWaiting(READER) && socket.readable) this.problem("lost wake-up of a reader");
    if (fd.isWaiting(WRITER) && socket.writable) this.problem("lost wake-up of a writer");
    for (const op of this.pending) {
      let until = this.until[op.side];
      // A timeout begins when the operation has its side to itself. The idle timeout is left out:
      // bytes of the other direction move it.
      if (op.first && op.side === READER) until = Math.min(until, op.begun + this.timeouts.read);
      // The host's timer has a resolution of 1 ms.
      if (this.now > until + 1) this.problem(`${op.kind}: its deadline passed unnoticed`);
    }
  }

  /** The connection is over: do the accounts of both ends agree? */
  checkAccounts(other: End | undefined): void {
    for (const op of this.pending) this.problem(`${op.kind} never settled`);
    const got = concat(this.received);
    const sent = concat(this.written.map(({ data, done }) => data.subarray(0, done)));
    if (got.length !== this.socket.delivered) {
      this.problem(`the kernel gave ${this.socket.delivered} bytes, reads gave ${got.length}`);
    }
    if (sent.length !== this.socket.accepted) {
      this.problem(`the kernel took ${this.socket.accepted} bytes, writes say ${sent.length}`);
    }
    if (other === undefined) return;
    const theirs = concat(other.written.map(({ data, done }) => data.subarray(0, done)));
    const wrong = got.findIndex((byte, i) => byte !== theirs[i]);
    if (wrong !== -1) this.problem(`byte ${wrong} of ${got.length} received is not what was sent`);
    if (this.ended && !this.readShut && got.length !== theirs.length) {
      this.problem(`EOF after ${got.length} of ${theirs.length} bytes`);
    }
  }
}

function concat(parts: readonly ArrayLike<number>[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
