/**
 * exchange.ts: one thread's place in the traffic of connections between threads.
 *
 * Every thread has one inbox for transfers; every other thread sends into it. A transfer is a row of
 * packets from one sender; the connection's fd goes with the last.
 *
 *     source                            target
 *       │ reserve the conn                │
 *       │ ── PIECE … ── CONN + fd ──────▶ │ make the conn, start its handler
 *       │ close the own number            │
 *       │ ◀─────────── TAKEN ──────────── │
 *       │ the old object is dead
 *
 * When the target ends first, the one that started it takes what lies in its inbox out again, sends
 * it back to where it came from (BACK + fd), and after that says that the target is gone (GONE).
 *
 * Invariants
 *  - From reserve on nobody moves bytes at the source. An operation that is begun meanwhile waits: it
 *    fails when the connection has been taken, and goes on when it has come back.
 *  - The open file is at the source, in the inbox or at the target, and in one of these only.
 *  - Packets of one sender arrive in order, those of several may alternate: pieces are put together
 *    by sender.
 *  - The sockets that lead to others are borrowed: their numbers belong to the one that started the
 *    threads, who closes them when every borrower has given them up or has ended.
 */
import type { NetError } from "../net/errors.ts";
import { FD } from "../poll/fd.ts";
import { awaited } from "../runtime/awaited.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { BUSY, CANCELED, CLOSED, THREAD_GONE } from "../syscall/errno.ts";
import { nativeKernel } from "../syscall/native.ts";
import { MAX_PACKET, packet, passedFd, receiveOn, SendOp, THREADS, takePacket } from "./packets.ts";
import { admit, issue, type Movable } from "./passport.ts";

const PIECE = 0;
const CONN = 1;
const TAKEN = 2;
const BACK = 3;
const GONE = 4;

/** kind (1), sender (int32), number of the transfer (uint32). */
const HEADER = 9;

const header = new DataView(packet.buffer, packet.byteOffset, HEADER);

function packetOf(kind: number, from: number, number: number, payload?: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + (payload?.length ?? 0));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind);
  view.setInt32(1, from);
  view.setUint32(5, number);
  if (payload !== undefined) bytes.set(payload, HEADER);
  return bytes;
}

/** The packets of a transfer. */
function packetsOf(from: number, number: number, passport: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  const most = MAX_PACKET - HEADER;
  let at = 0;
  for (; passport.length - at > most; at += most) {
    packets.push(packetOf(PIECE, from, number, passport.subarray(at, at + most)));
  }
  packets.push(packetOf(CONN, from, number, passport.subarray(at)));
  return packets;
}

/** A transfer that the target has not taken yet. */
interface Underway {
  readonly conn: Movable;
  readonly target: number;
  /** It has left: nobody but the target, or the one that started it, can say what becomes of it. */
  sent: boolean;
  /** True when it was taken, false when it has come back. */
  readonly settle: Resolve<boolean>;
}

/** What another thread's exchange is told of a connection that arrives. */
export type Receiver = (conn: Movable, from: number, message: unknown) => void;

/** What was found in the inbox of a thread that has ended. */
export interface Stranded {
  readonly from: number;
  readonly number: number;
  readonly sysfd: number;
}

/** A packet of a dead thread's inbox: a connection on its way, null for others, undefined at the end. */
export function takeStranded(sysfd: number): Stranded | null | undefined {
  if (takePacket(sysfd) <= 0) return undefined;
  const passed = passedFd();
  if (passed === -1) return null;
  return { from: header.getInt32(1), number: header.getUint32(5), sysfd: passed };
}

export class Exchange {
  readonly id: number;
  /** Told how a transfer ended: true when the target has taken the connection. */
  onSettled: (taken: boolean) => void = () => {};
  private readonly runtime: Runtime = runtime();
  private readonly sysfd: number;
  private inbox: FD | undefined;
  private readonly receiver: Receiver;
  private readonly others = new Map<number, FD>();
  /** Threads that were gone before this one had heard of them. */
  private readonly early = new Set<number>();
  /** What is to be said to threads that this one has not heard of yet. */
  private readonly unsaid = new Map<number, Uint8Array[]>();
  private readonly underway = new Map<number, Underway>();
  /** Pieces of what each sender is sending. */
  private readonly pieces = new Map<number, { number: number; parts: Uint8Array[] }>();
  private readonly onGone: (id: number) => void;
  private last = 0;

  /** Will receive on `sysfd`, which becomes its own. `onGone` is told when an id's fd is given up. */
  constructor(id: number, sysfd: number, receiver: Receiver, onGone: (id: number) => void) {
    this.id = id;
    this.receiver = receiver;
    this.onGone = onGone;
    this.sysfd = sysfd;
  }

  /** Receives from now on: this thread knows the others. What was sent before lies there. */
  open(): void {
    const { sysfd } = this;
    this.inbox = receiveOn(this.runtime, sysfd, () => this.take(sysfd));
  }

  /**
   * Another thread can be sent to, through an fd that is only borrowed. False when it is gone again
   * already: one hears of threads on one way and from them on another, so either may come first.
   */
  add(id: number, sysfd: number): boolean {
    if (this.early.delete(id)) {
      this.onGone(id);
      return false;
    }
    this.others.set(id, new FD(this.runtime, sysfd, THREADS, true));
    for (const each of this.unsaid.get(id) ?? []) this.sayPacket(id, each);
    this.unsaid.delete(id);
    return true;
  }

  /** Transfers that have not been settled. */
  get size(): number {
    return this.underway.size;
  }

  /** Receives nothing more: what comes goes back when this thread has ended. */
  close(): void {
    void this.inbox?.close();
  }

  /** Gives up everything, without a word to the others. */
  end(): void {
    this.close();
    for (const id of [...this.others.keys()]) this.leave(id);
  }

  // ---- sending

  /** Moves a connection to another thread. Fails with the connection as it was. */
  async transfer(
    conn: Movable,
    target: number,
    message: unknown,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { fd } = conn;
    if (fd.closing) throw conn.failed("transfer", CLOSED);
    if (signal?.aborted === true) throw conn.failed("transfer", CANCELED, "", signal.reason);
    const to = this.others.get(target);
    if (to === undefined) throw this.gone(conn, target);
    if (!fd.reserve()) {
      const text = "operations wait on the connection: end them first";
      throw conn.failed("transfer", BUSY, text);
    }
    try {
      const passport = this.pack(conn, to, message);
      const taken = await this.send(conn, to, target, passport, signal);
      if (!taken) throw this.gone(conn, target);
      conn.transferred();
      if (observer.transferred !== null) observer.transferred(conn, "out");
    } finally {
      fd.unreserve();
    }
  }

  /** What goes with the packets; the conn is on its way from then on. */
  private pack(conn: Movable, to: FD, message: unknown): Uint8Array {
    const number = conn.fd.pack(to.sysfd);
    if (number < 0) throw conn.failed("transfer", -number);
    try {
      return issue(conn, number, message);
    } catch (error) {
      conn.fd.unpack();
      throw error;
    }
  }

  private gone(conn: Movable, target: number): NetError {
    return conn.failed("transfer", THREAD_GONE, `there is no thread ${target} any more`);
  }

  private async send(
    conn: Movable,
    to: FD,
    target: number,
    passport: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    this.last = (this.last + 1) >>> 0;
    const number = this.last;
    const settled = parked<boolean>();
    const underway: Underway = { conn, target, sent: false, settle: resolver() };
    this.underway.set(number, underway);
    // Whoever waits for a transfer keeps the process alive.
    this.runtime.hold();
    const packets = packetsOf(this.id, number, passport);
    try {
      await this.post(to, packets, conn.fd.sysfd, signal, () => {
        underway.sent = true;
        conn.fd.depart();
      });
    } catch (cause) {
      this.settle(number, false);
      conn.fd.unpack();
      if (signal?.aborted === true) throw conn.failed("transfer", CANCELED, "", signal.reason);
      throw conn.failed("transfer", THREAD_GONE, `thread ${target} takes nothing any more`, cause);
    }
    return await awaited(settled, "transfer", conn);
  }

  private post(
    to: FD,
    packets: readonly Uint8Array[],
    passed: number,
    signal: AbortSignal | undefined,
    sent: () => void,
  ): Promise<void> {
    const promise = parked<void>();
    to.submit(new SendOp(to, resolver(), signal, packets, passed, sent) as never, signal);
    return promise;
  }

  private settle(number: number, taken: boolean): void {
    const underway = this.underway.get(number);
    if (underway === undefined) return;
    this.underway.delete(number);
    this.runtime.release();
    underway.settle(taken);
    this.onSettled(taken);
  }

  /** Sends a packet that nobody waits for. */
  private say(to: number, kind: number, number: number): void {
    const bytes = packetOf(kind, this.id, number);
    if (this.others.has(to)) this.sayPacket(to, bytes);
    else this.unsaid.set(to, [...(this.unsaid.get(to) ?? []), bytes]);
  }

  private sayPacket(to: number, bytes: Uint8Array): void {
    // It fails when the other one has ended, and then there is nobody to tell.
    this.post(this.others.get(to) as FD, [bytes], -1, undefined, () => {}).catch(() => {});
  }

  /** Sends a connection back to where it came from, as its target has ended; false if that has too. */
  sendBack({ from, number, sysfd }: Stranded): boolean {
    if (from === this.id) {
      this.cameBack(number, sysfd);
      return true;
    }
    const fd = this.others.get(from);
    const close = (): void => {
      nativeKernel().close(sysfd);
    };
    if (fd === undefined) close();
    else {
      this.post(fd, [packetOf(BACK, this.id, number)], sysfd, undefined, close).catch(close);
    }
    return fd !== undefined;
  }

  /** Tells a thread that another one has ended. */
  tellGone(to: number, id: number): void {
    this.say(to, GONE, id);
  }

  /** Another thread has ended, and everything that came back from it is here. */
  leave(id: number): void {
    // What has not come back was taken.
    for (const [number, { target, sent }] of [...this.underway]) {
      if (target === id && sent) this.settle(number, true);
    }
    this.pieces.delete(id);
    this.unsaid.delete(id);
    const fd = this.others.get(id);
    if (fd === undefined) {
      this.early.add(id);
      return;
    }
    this.others.delete(id);
    fd.abandon();
    this.onGone(id);
  }

  // ---- receiving

  private take(sysfd: number): number {
    const n = takePacket(sysfd);
    if (n < HEADER) return n;
    const kind = header.getUint8(0);
    const from = header.getInt32(1);
    const number = header.getUint32(5);
    if (kind === TAKEN) this.settle(number, true);
    else if (kind === BACK) this.cameBack(number, passedFd());
    else if (kind === GONE) this.leave(number);
    else this.arrived(kind, from, number, packet.slice(HEADER, n));
    return n;
  }

  private cameBack(number: number, sysfd: number): void {
    const underway = this.underway.get(number);
    if (underway === undefined) nativeKernel().close(sysfd);
    else underway.conn.fd.comeBack(sysfd);
    this.settle(number, false);
  }

  private arrived(kind: number, from: number, number: number, payload: Uint8Array): void {
    let whole = payload;
    const begun = this.pieces.get(from);
    if (begun !== undefined && begun.number !== number) this.pieces.delete(from);
    else if (begun !== undefined) begun.parts.push(payload);
    if (kind === PIECE) {
      if (!this.pieces.has(from)) this.pieces.set(from, { number, parts: [payload] });
      return;
    }
    if (begun !== undefined && begun.number === number) {
      whole = Buffer.concat(begun.parts);
      this.pieces.delete(from);
    }
    const { conn, message } = admit(this.runtime, passedFd(), whole);
    if (observer.transferred !== null) observer.transferred(conn, "in");
    this.say(from, TAKEN, number);
    this.receiver(conn, from, message);
  }
}
