/**
 * inbox.ts: the connections that are placed on a thread, or on a worker process: the packet socket in
 * which they travel, and whether the thread takes them.
 *
 * A packet is one byte of kind, and for a connection the number of the listener that it came from (one
 * byte) and its peer's sockaddr; the connection's fd goes along.
 *
 * The acceptor keeps the receiving end too. When the thread has taken nothing for STALL_MS although
 * something lies there, it counts as stalled, and the acceptor takes everything back and places it
 * elsewhere. A probe stays behind: when the thread takes that, it is well again.
 *
 * Invariants
 *  - A packet is received once: by the thread or by the acceptor. Threads hold a lock in
 *    shared memory while they receive. The acceptor leaves a probe after it has held it, so a thread
 *    that found it locked is woken again. Processes share no memory: they receive in a single call.
 *  - underway = sent - taken by the thread - taken back, without the probe; it is never less than what
 *    lies there. Packets leave in the order in which they were sent.
 */
import { EAGAIN } from "../syscall/errno.ts";
import { nativeKernel } from "../syscall/native.ts";
import { packet, packetPair, passedFd, sendPacket } from "./packets.ts";
import type { Candidate } from "./placement.ts";

/** A thread that has taken nothing for so long, in ms, is passed over. */
export const STALL_MS = 10;

const CONN = 0;
const PROBE = 1;
const probe = Uint8Array.of(PROBE);
/** Kind and listener. */
const HEADER = 2;

/** A connection that has been accepted, and belongs to nobody yet. */
export interface Accepted {
  readonly sysfd: number;
  /** Its peer's sockaddr, packed. */
  readonly peer: string;
  /** Which of the acceptor's listeners it came from. */
  readonly from: number;
}

/** How far a recipient is, as the acceptor sees it; it may also receive from the inbox. */
export interface Progress {
  /** Connections that it serves, and packets that it has taken so far. */
  readonly live: number;
  readonly taken: number;
  /** Since when its turn lasts, in ms since the epoch; 0 when that is not known. */
  readonly busySince: number;
  tryLock(): boolean;
  unlock(): void;
  /** Receives a packet, between tryLock and unlock, as takePacket does. */
  take(sysfd: number): number;
  /** Brings the numbers up to date, where they have to be received. */
  refresh(): void;
}

/** The recipient's own side of it. */
export interface Taker extends Pick<Progress, "tryLock" | "unlock" | "take"> {
  onAccepted(): void;
  onTaken(): void;
}

/** Whom connections are placed on. `S` is what policies are told about it. */
export interface Recipient<S> {
  readonly index: number;
  readonly alive: boolean;
  readonly counters: Progress;
  readonly stats: S;
}

/** The packet of a connection. */
function packetOf({ peer, from }: Accepted): Uint8Array {
  const bytes = new Uint8Array(HEADER + peer.length);
  bytes[0] = CONN;
  bytes[1] = from;
  for (let i = 0; i < peer.length; i++) bytes[HEADER + i] = peer.charCodeAt(i);
  return bytes;
}

/** What was received last; undefined for a probe. */
function unpackAccepted(length: number): Accepted | undefined {
  const sysfd = passedFd();
  if (packet[0] !== CONN || sysfd === -1) return undefined;
  const peer = String.fromCharCode(...packet.subarray(HEADER, length));
  return { sysfd, peer, from: packet[1] as number };
}

/**
 * The thread's side: takes one packet, as takePacket does, and gives a connection to `adopt`. While
 * the acceptor has the lock there is nothing to take.
 */
export function takeAccepted(
  sysfd: number,
  counters: Taker,
  adopt: (accepted: Accepted) => void,
): number {
  if (!counters.tryLock()) return -EAGAIN;
  const n = counters.take(sysfd);
  counters.unlock();
  if (n <= 0) return n;
  const accepted = unpackAccepted(n);
  if (accepted !== undefined) {
    counters.onAccepted();
    adopt(accepted);
  }
  counters.onTaken();
  return n;
}

/** The acceptor's side. */
export class Inbox<S, R extends Recipient<S>> implements Candidate<S> {
  readonly recipient: R;
  private readonly sticky: boolean;
  private readonly sending: number;
  private readonly receiving: number;
  private sent = 0;
  private takenBack = 0;
  private lastTaken = 0;
  /** Since when nothing was taken although something lies there. */
  private since = 0;
  private stuck = false;
  /** Which of the packets was the last probe: there is one at most at a time. */
  private probe = 0;

  /** A sticky one's connections wait for it however long it takes: it never counts as stalled. */
  constructor(recipient: R, sticky = false) {
    this.recipient = recipient;
    this.sticky = sticky;
    const [sending, receiving] = packetPair();
    this.sending = sending;
    this.receiving = receiving;
  }

  /** The end that the thread receives from. */
  get fd(): number {
    return this.receiving;
  }

  /** The end that connections are sent into; what the thread sends back arrives there. */
  get near(): number {
    return this.sending;
  }

  /** Connections that lie there, or may. */
  get underway(): number {
    return this.sent - this.gone - (this.probe > this.gone ? 1 : 0);
  }

  /** Packets that have left. */
  private get gone(): number {
    return this.recipient.counters.taken + this.takenBack;
  }

  get load(): number {
    return this.recipient.counters.live + this.underway;
  }

  /** True when the thread takes nothing, or is in the middle of a turn that is long already. */
  get stalled(): boolean {
    if (this.sticky) return false;
    const { busySince, taken } = this.recipient.counters;
    if (this.stuck && taken === this.lastTaken) return true;
    return busySince !== 0 && Date.now() - busySince > STALL_MS;
  }

  get stats(): S {
    return this.recipient.stats;
  }

  /** Sends a connection, which then is the thread's. False when there is no room. */
  send(accepted: Accepted): boolean {
    if (!this.put(packetOf(accepted), accepted.sysfd)) return false;
    nativeKernel().close(accepted.sysfd);
    return true;
  }

  private put(bytes: Uint8Array, passed: number): boolean {
    const wasEmpty = this.sent === this.gone;
    if (sendPacket(this.sending, bytes, passed) !== 0) return false;
    this.sent++;
    if (wasEmpty) this.since = performance.now();
    return true;
  }

  /** Looks whether the thread takes what it is sent. True when it does not. */
  look(now: number): boolean {
    // Whoever was busy here himself has not seen yet what was taken meanwhile.
    this.recipient.counters.refresh();
    const { taken } = this.recipient.counters;
    if (this.sent === this.gone || taken !== this.lastTaken) {
      this.lastTaken = taken;
      this.since = now;
      this.stuck = false;
    } else if (now - this.since >= STALL_MS) this.stuck = true;
    return this.stuck;
  }

  /** Takes back what the thread has not taken. Nothing while it is about to take some. */
  takeBack(): Accepted[] {
    const { counters, alive } = this.recipient;
    if (alive && !counters.tryLock()) return [];
    const back: Accepted[] = [];
    while (takePacketTo(back, counters.take(this.receiving))) this.takenBack++;
    if (alive) {
      counters.unlock();
      if (this.put(probe, -1)) this.probe = this.sent;
    }
    return back;
  }

  close(): void {
    const kernel = nativeKernel();
    kernel.close(this.sending);
    kernel.close(this.receiving);
  }
}

function takePacketTo(back: Accepted[], n: number): boolean {
  if (n <= 0) return false;
  const accepted = unpackAccepted(n);
  if (accepted !== undefined) back.push(accepted);
  return true;
}
