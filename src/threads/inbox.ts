/**
 * inbox.ts: the connections that are placed on a thread: the packet socket in which they travel, and
 * whether the thread takes them.
 *
 * A packet is one byte of kind, and for a connection its peer's sockaddr; the connection's fd goes
 * along.
 *
 * The acceptor keeps the receiving end too. When the thread has taken nothing for STALL_MS although
 * something lies there, it counts as stalled, and the acceptor takes everything back and places it
 * elsewhere. A probe stays behind: when the thread takes that, it is well again.
 *
 * Invariants
 *  - A packet is received once: by the thread or by the acceptor. Both hold the lock in the shared
 *    counters while they receive. The acceptor leaves a probe after it has held it, so a thread that
 *    found it locked is woken again.
 *  - underway = sent - taken by the thread - taken back; it is never less than what lies there.
 */
import { EAGAIN } from "../syscall/errno.ts";
import { nativeKernel } from "../syscall/native.ts";
import type { Counters, ThreadStats } from "./counters.ts";
import { packet, packetPair, passedFd, sendPacket, takePacket } from "./packets.ts";
import type { Candidate } from "./placement.ts";
import type { Thread } from "./thread.ts";

/** A thread that has taken nothing for so long, in ms, is passed over. */
export const STALL_MS = 10;

const CONN = 0;
const PROBE = 1;
const probe = Uint8Array.of(PROBE);

/** A connection that has been accepted, and belongs to nobody yet. */
export interface Accepted {
  readonly sysfd: number;
  /** Its peer's sockaddr, packed. */
  readonly peer: string;
}

/** The packet of a connection. */
function packetOf(peer: string): Uint8Array {
  const bytes = new Uint8Array(1 + peer.length);
  bytes[0] = CONN;
  for (let i = 0; i < peer.length; i++) bytes[1 + i] = peer.charCodeAt(i);
  return bytes;
}

/** What was received last; undefined for a probe. */
function unpackAccepted(length: number): Accepted | undefined {
  const sysfd = passedFd();
  if (packet[0] !== CONN || sysfd === -1) return undefined;
  return { sysfd, peer: String.fromCharCode(...packet.subarray(1, length)) };
}

/**
 * The thread's side: takes one packet, as takePacket does, and gives a connection to `adopt`. While
 * the acceptor has the lock there is nothing to take.
 */
export function takeAccepted(
  sysfd: number,
  counters: Counters,
  adopt: (accepted: Accepted) => void,
): number {
  if (!counters.tryLock()) return -EAGAIN;
  const n = takePacket(sysfd);
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
export class Inbox implements Candidate {
  readonly thread: Thread;
  private readonly sending: number;
  private readonly receiving: number;
  private sent = 0;
  private takenBack = 0;
  private lastTaken = 0;
  /** Since when nothing was taken although something lies there. */
  private since = 0;
  private stuck = false;
  /** Nothing lies there but the probe. */
  private probed = false;

  constructor(thread: Thread) {
    this.thread = thread;
    const [sending, receiving] = packetPair();
    this.sending = sending;
    this.receiving = receiving;
  }

  /** The end that the thread receives from. */
  get fd(): number {
    return this.receiving;
  }

  get underway(): number {
    return this.sent - this.thread.counters.taken - this.takenBack;
  }

  get load(): number {
    return this.thread.counters.live + this.underway;
  }

  /** True when the thread takes nothing, or is in the middle of a turn that is long already. */
  get stalled(): boolean {
    const { busySince, taken } = this.thread.counters;
    if (this.stuck && taken === this.lastTaken) return true;
    return busySince !== 0 && Date.now() - busySince > STALL_MS;
  }

  get stats(): ThreadStats {
    return this.thread.stats;
  }

  /** True when connections lie there, or may. */
  get waiting(): boolean {
    return this.underway > (this.probed ? 1 : 0);
  }

  /** Sends a connection, which then is the thread's. False when there is no room. */
  send({ sysfd, peer }: Accepted): boolean {
    if (!this.put(packetOf(peer), sysfd)) return false;
    this.probed = false;
    nativeKernel().close(sysfd);
    return true;
  }

  private put(bytes: Uint8Array, passed: number): boolean {
    const wasEmpty = this.underway === 0;
    if (sendPacket(this.sending, bytes, passed) !== 0) return false;
    this.sent++;
    if (wasEmpty) this.since = performance.now();
    return true;
  }

  /** Looks whether the thread takes what it is sent. True when it does not. */
  look(now: number): boolean {
    const { taken } = this.thread.counters;
    if (this.underway === 0 || taken !== this.lastTaken) {
      this.lastTaken = taken;
      this.since = now;
      this.stuck = false;
    } else if (now - this.since >= STALL_MS) this.stuck = true;
    return this.stuck;
  }

  /** Takes back what the thread has not taken. Nothing while it is about to take some. */
  takeBack(): Accepted[] {
    const { counters, alive } = this.thread;
    if (alive && !counters.tryLock()) return [];
    const back: Accepted[] = [];
    while (takePacketTo(back, this.receiving)) this.takenBack++;
    if (alive) {
      counters.unlock();
      this.probed = this.put(probe, -1);
    }
    return back;
  }

  close(): void {
    const kernel = nativeKernel();
    kernel.close(this.sending);
    kernel.close(this.receiving);
  }
}

function takePacketTo(back: Accepted[], sysfd: number): boolean {
  const n = takePacket(sysfd);
  if (n <= 0) return false;
  const accepted = unpackAccepted(n);
  if (accepted !== undefined) back.push(accepted);
  return true;
}
