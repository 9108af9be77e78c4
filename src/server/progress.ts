/**
 * progress.ts: how far a worker is with the connections that are placed on it: what it has taken, and how
 * many it serves.
 *
 * The worker writes both numbers into its end of the inbox after every turn in which they changed, so
 * the supervisor knows them together; the last packet counts. A worker that is in the middle of a long
 * turn says nothing, and that is how it is known to be stalled.
 */
import { EAGAIN } from "../syscall/errno.ts";
import { nativeKernel } from "../syscall/native.ts";
import type { Progress, Taker } from "../threads/inbox.ts";
import { sendPacket, takePacket, takePacketBesideOthers } from "../threads/packets.ts";

const AGAIN_MS = 5;
/** Two numbers, uint32: taken, live. */
const LENGTH = 8;

/** What a thread and its supervisor lock while they receive. */
export function newLock(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** Receives from an inbox in turns with another thread, or at the same time as another process. */
class Turns {
  private readonly word: Int32Array | undefined;

  constructor(lock: SharedArrayBuffer | undefined) {
    this.word = lock === undefined ? undefined : new Int32Array(lock);
  }

  tryLock(): boolean {
    return this.word === undefined || Atomics.compareExchange(this.word, 0, 0, 1) === 0;
  }

  unlock(): void {
    if (this.word !== undefined) Atomics.store(this.word, 0, 0);
  }

  take(sysfd: number): number {
    return this.word === undefined ? takePacketBesideOthers(sysfd) : takePacket(sysfd);
  }
}

/** The supervisor's side. */
export class ReportedProgress extends Turns implements Progress {
  taken = 0;
  live = 0;
  readonly busySince = 0;
  /** Where the worker's packets arrive. */
  from = -1;
  private readonly bytes = new Uint8Array(LENGTH);
  private readonly numbers = new Uint32Array(this.bytes.buffer);

  /** Receives one packet, if there is one: as recv. */
  receive(): number {
    const n = nativeKernel().recv(this.from, this.bytes, 0, LENGTH);
    if (n === LENGTH) {
      [this.taken, this.live] = this.numbers as unknown as [number, number];
    }
    return n;
  }

  refresh(): void {
    while (this.receive() > 0);
  }
}

/** The worker's side. */
export class OwnProgress extends Turns implements Taker {
  private readonly sysfd: number;
  private readonly bytes = new Uint8Array(LENGTH);
  private readonly numbers = new Uint32Array(this.bytes.buffer);
  private timer: NodeJS.Timeout | undefined;
  private scheduled = false;
  private closed = false;

  constructor(sysfd: number, lock: SharedArrayBuffer | undefined) {
    super(lock);
    this.sysfd = sysfd;
  }

  onTaken(): void {
    (this.numbers[0] as number)++;
    this.reportSoon();
  }

  onAccepted(): void {
    (this.numbers[1] as number)++;
  }

  onEnded(): void {
    (this.numbers[1] as number)--;
    this.reportSoon();
  }

  /** Tells it for the last time: the fd is about to be closed. */
  close(): void {
    this.report();
    this.closed = true;
    clearTimeout(this.timer);
  }

  private reportSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.report);
  }

  private readonly report = (): void => {
    this.scheduled = false;
    if (this.closed || sendPacket(this.sysfd, this.bytes, -1) !== -EAGAIN) return;
    // The supervisor has much to read: it will do with the last of them.
    this.scheduled = true;
    this.timer = setTimeout(this.report, AGAIN_MS);
    this.timer.unref();
  };
}
