/**
 * placing.ts: the supervisor accepts, and places connections on its workers.
 *
 * Each worker has an inbox (threads/inbox.ts), a packet socket both ends of which the supervisor keeps.
 * A worker writes back how far it is (progress.ts).
 *
 * Invariants
 *  - A worker is known here from before it starts until it has ended; connections are placed on it from
 *    `add` to `leave`. What it has not taken when it ends is placed on others.
 *  - A place keeps its number while nobody has it, so hashes and keys lead everybody else's peers to
 *    the same workers as before.
 */
import type { Listener } from "../net/listener.ts";
import type { FD } from "../poll/fd.ts";
import { runtime } from "../runtime/runtime.ts";
import { Acceptor } from "../threads/acceptor.ts";
import type { Inbox, Recipient } from "../threads/inbox.ts";
import { duplicate } from "../threads/listening.ts";
import { receiveOn } from "../threads/packets.ts";
import { chooserOf, isKeyed } from "../threads/placement.ts";
import type { InboxBoot } from "./control.ts";
import type { ServerPlacement, Settings, WorkerLoad } from "./options.ts";
import { newLock, ReportedProgress } from "./progress.ts";

/** A worker, as connections are placed on it. */
class Seat implements Recipient<WorkerLoad> {
  readonly id: number;
  readonly index: number;
  readonly counters: ReportedProgress;
  alive = true;
  inbox: Inbox<WorkerLoad, Seat> | undefined;
  /** Where the worker's reports arrive. */
  reports: FD | undefined;

  constructor(id: number, index: number, lock: SharedArrayBuffer | undefined) {
    this.id = id;
    this.index = index;
    this.counters = new ReportedProgress(lock);
  }

  get stats(): WorkerLoad {
    const { id, index, inbox } = this;
    const { live } = this.counters;
    return { id, index, live, underway: inbox?.underway ?? 0, stalled: inbox?.stalled ?? false };
  }
}

export class Placing {
  private readonly acceptor: Acceptor<WorkerLoad, Seat>;
  private readonly threads: boolean;
  private readonly seats = new Map<number, Seat>();

  constructor(settings: Settings, listeners: readonly Listener[]) {
    const { workers, maxConnections, log } = settings;
    const placement = settings.placement as ServerPlacement;
    this.threads = settings.model === "thread";
    const vacant = Array.from({ length: workers }, (_, index) => {
      return { id: -1, index, live: 0, underway: 0, stalled: true };
    });
    this.acceptor = new Acceptor(listeners, chooserOf(placement, "createServer"), {
      max: maxConnections,
      vacant,
      sticky: isKeyed(placement),
      onDefect: (error) => log(`placement failed, a connection was refused: ${error}`),
    });
  }

  /** Connections that were closed instead of placed. */
  get refused(): number {
    return this.acceptor.refused;
  }

  /** Makes the inbox of a worker that is to start. */
  open(id: number, index: number): InboxBoot {
    const lock = this.threads ? newLock() : undefined;
    const seat = new Seat(id, index, lock);
    const inbox = this.acceptor.open(seat);
    seat.inbox = inbox;
    seat.counters.from = inbox.near;
    seat.reports = receiveOn(runtime(), duplicate(inbox.near), () => {
      const n = seat.counters.receive();
      if (n > 0) this.acceptor.progressed();
      return n;
    });
    this.seats.set(id, seat);
    return { fd: inbox.fd, lock };
  }

  /** A worker serves. */
  add(id: number): void {
    const seat = this.seats.get(id);
    if (seat !== undefined) this.acceptor.add(seat);
  }

  /** A worker is to end: everything that was sent to it is its own still. */
  leave(id: number): void {
    const seat = this.seats.get(id);
    if (seat !== undefined) this.acceptor.leave(seat);
  }

  /** A worker has ended. */
  ended(id: number): void {
    const seat = this.seats.get(id);
    if (seat === undefined) return;
    this.seats.delete(id);
    seat.alive = false;
    void seat.reports?.close();
    this.acceptor.ended(seat);
  }

  /** Places what waits in the sockets, which the caller closes at once, and leaves every worker. */
  finish(): void {
    this.acceptor.finish();
    for (const id of this.seats.keys()) this.leave(id);
  }
}
