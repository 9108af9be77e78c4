/**
 * placed.ts: the connections that the supervisor places on this worker.
 *
 * One is taken per turn: what a handler that holds the thread keeps from being taken can still be taken
 * back and placed elsewhere.
 */
import type { Addr, StreamNetwork } from "../net/addr.ts";
import { addrOfText } from "../net/addr.ts";
import { errorOf } from "../net/errors.ts";
import type { SocketConn } from "../net/socket.ts";
import type { FD } from "../poll/fd.ts";
import { awaited } from "../runtime/awaited.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import { nativeKernel } from "../syscall/native.ts";
import { takeAccepted } from "../threads/inbox.ts";
import { connOf, duplicate } from "../threads/listening.ts";
import { receiveOn } from "../threads/packets.ts";
import type { Boot, InboxBoot } from "./control.ts";
import { OwnProgress } from "./progress.ts";

export class PlacedConns {
  /** What the server listens on. */
  readonly addrs: readonly Addr[];
  private readonly networks: readonly StreamNetwork[];
  private readonly sysfd: number;
  private readonly progress: OwnProgress;
  private fd: FD | undefined;
  private taken: SocketConn[] = [];
  private waiting: Resolve<SocketConn | undefined> | undefined;
  private left = false;

  /** `sysfd` is this thread's own. */
  constructor(sysfd: number, { lock }: InboxBoot, { sockets }: Boot) {
    this.networks = sockets.map(({ network }) => network as StreamNetwork);
    this.addrs = sockets.map(({ addr }, i) => addrOfText(this.networkOf(i), addr));
    this.sysfd = sysfd;
    this.progress = new OwnProgress(sysfd, lock);
  }

  /** Begins to take connections. */
  open(): void {
    if (this.left) return;
    this.fd = receiveOn(runtime(), this.sysfd, () => this.take(), 1);
    // The supervisor keeps this end open too: the poller has to be told when this number is closed.
    this.fd.share();
  }

  /** The next connection; undefined once this worker has left. */
  next(): Promise<SocketConn | undefined> {
    const conn = this.taken.shift();
    if (conn !== undefined || this.left) return Promise.resolve(conn);
    const next = parked<SocketConn | undefined>();
    this.waiting = resolver();
    return awaited(next, "placed conn", this);
  }

  /** Takes what is there, and nothing more after that. */
  leave(): SocketConn[] {
    if (this.left) return [];
    this.left = true;
    while (this.take() > 0);
    this.progress.close();
    if (this.fd === undefined) nativeKernel().close(this.sysfd);
    else void this.fd.close();
    this.waiting?.(undefined);
    const { taken } = this;
    this.taken = [];
    return taken;
  }

  /** A connection is over. */
  onEnded(): void {
    this.progress.onEnded();
  }

  private networkOf(from: number): StreamNetwork {
    return this.networks[from] as StreamNetwork;
  }

  private take(): number {
    return takeAccepted(this.sysfd, this.progress, ({ sysfd, peer, from }) => {
      const origin = { network: this.networkOf(from), addr: this.addrs[from] };
      this.hand(connOf(runtime(), sysfd, origin, peer));
    });
  }

  private hand(conn: SocketConn): void {
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting === undefined || this.left) this.taken.push(conn);
    else waiting(conn);
  }
}

/** The inbox that this process inherited, if connections are placed on it. */
export function inheritedInbox(boot: Boot): PlacedConns | undefined {
  const { inbox } = boot;
  if (inbox === undefined) return undefined;
  const n = nativeKernel().adoptFd(inbox.fd);
  if (n < 0) throw errorOf(-n, { op: "adopt", network: "fd", address: String(inbox.fd) });
  return new PlacedConns(inbox.fd, inbox, boot);
}

/** The inbox that this thread's supervisor has made for it. */
export function inboxOfThread(boot: Boot): PlacedConns | undefined {
  const { inbox } = boot;
  return inbox && new PlacedConns(duplicate(inbox.fd), inbox, boot);
}
