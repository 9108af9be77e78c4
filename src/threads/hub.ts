/**
 * hub.ts: the inboxes for transfers of all threads of a set, kept by the one that started them.
 *
 * Each inbox is a packet socket. The thread has a number of its own for the receiving end; all others
 * borrow the sending end. Both ends stay open here until the thread has ended, so what it had not
 * taken can be sent back.
 */
import { nativeKernel } from "../syscall/native.ts";
import { Exchange, takeStranded } from "./exchange.ts";
import { packetPair } from "./packets.ts";
import { PARENT } from "./protocol.ts";
import type { Thread } from "./thread.ts";

/** A thread's inbox. */
export class Line {
  readonly sending: number;
  readonly receiving: number;
  /** Who may use the number of the sending end. */
  readonly borrowers = new Set<Thread>();
  joined = false;
  over = false;

  constructor() {
    const [sending, receiving] = packetPair();
    this.sending = sending;
    this.receiving = receiving;
  }

  /** The thread has ended: its inbox is closed when nobody uses it any more. */
  end(): void {
    this.over = true;
    nativeKernel().close(this.receiving);
    this.closeIfUnused();
  }

  returned(by: Thread): void {
    if (this.borrowers.delete(by)) this.closeIfUnused();
  }

  private closeIfUnused(): void {
    if (this.over && this.borrowers.size === 0) nativeKernel().close(this.sending);
  }
}

export class Hub {
  readonly exchange: Exchange;
  /** Transfers whose both ends had ended: their connections are closed. */
  lost = 0;
  private readonly own: number;
  /** Of all threads that have joined; those that ended stay while their number is borrowed. */
  private readonly lines = new Map<Thread, Line>();

  constructor() {
    const [sending, receiving] = packetPair();
    this.own = sending;
    // Nobody transfers to the one that started the threads; it only transfers to them.
    const refuse = (conn: { close(): Promise<void> }): void => void conn.close();
    this.exchange = new Exchange(PARENT, receiving, refuse, () => {});
    this.exchange.open();
  }

  /** Makes the inbox of a thread. */
  open(thread: Thread, line: Line): void {
    this.lines.set(thread, line);
  }

  /** A thread is ready: all others learn of it, and it of them. */
  join(thread: Thread): void {
    const line = this.lines.get(thread);
    // It has ended meanwhile.
    if (line === undefined || line.over) return;
    line.joined = true;
    this.exchange.add(thread.id, line.sending);
    thread.tell({ type: "peer", id: PARENT, index: PARENT, fd: this.own });
    for (const [other, its] of this.lines) {
      if (other === thread || !its.joined || !other.alive) continue;
      this.introduce(thread, other, its);
      this.introduce(other, thread, line);
    }
    // Last: when it has heard of itself it knows everybody, and receives.
    this.introduce(thread, thread, line);
  }

  private introduce(to: Thread, thread: Thread, line: Line): void {
    line.borrowers.add(to);
    const { id, index, counters } = thread;
    to.tell({ type: "peer", id, index, fd: line.sending, counters: counters.memory });
  }

  /** A thread has given the number of another one up. */
  left(by: Thread, id: number): void {
    for (const [thread, line] of this.lines) if (thread.id === id) line.returned(by);
    this.forget();
  }

  /** A thread has ended: what lay in its inbox goes back to where it came from. */
  ended(thread: Thread): void {
    const line = this.lines.get(thread);
    if (line === undefined) return;
    for (const each of this.lines.values()) each.returned(thread);
    const alive = [...this.lines].filter(([other, its]) => its.joined && other.alive);
    for (;;) {
      const stranded = takeStranded(line.receiving);
      if (stranded === undefined) break;
      if (stranded !== null && !this.exchange.sendBack(stranded)) this.lost++;
    }
    if (line.joined) {
      for (const [other] of alive) this.exchange.tellGone(other.id, thread.id);
      this.exchange.leave(thread.id);
    }
    // What it did not take of TLS, and nobody will have back, is freed.
    nativeKernel().tlsStranded(line.sending);
    line.end();
    this.forget();
  }

  private forget(): void {
    for (const [thread, line] of this.lines) {
      if (line.over && line.borrowers.size === 0) this.lines.delete(thread);
    }
  }

  /** All threads have ended. */
  end(): void {
    this.exchange.end();
    nativeKernel().close(this.own);
  }
}
