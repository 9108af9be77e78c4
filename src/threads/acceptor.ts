/**
 * acceptor.ts: one thread accepts and places connections on others, or on worker processes.
 *
 * Invariants
 *  - An accepted connection is in one place: here in `homeless`, or in one inbox, or with a recipient.
 *  - While anything is under way, every inbox is looked at each LOOK_MS.
 *  - It accepts only while there is nothing homeless and no limit is reached: what nobody can take
 *    stays in the kernel's backlog.
 */
import type { Addr, StreamNetwork } from "../net/addr.ts";
import { addrOf } from "../net/addr.ts";
import type { Listener } from "../net/listener.ts";
import { type Adopt, accept, acceptNow } from "../poll/accept.ts";
import { awaited } from "../runtime/awaited.ts";
import { go } from "../runtime/goroutine.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { Timer } from "../runtime/timers.ts";
import type { Kernel } from "../syscall/kernel.ts";
import { nativeKernel } from "../syscall/native.ts";
import { unpack } from "../syscall/sockaddr.ts";
import { type Accepted, Inbox, type Recipient } from "./inbox.ts";
import { type Candidate, type Chooser, leastBusy } from "./placement.ts";

const LOOK_MS = 5;
/** Connections that are taken at most from a socket that is about to be left. */
const LAST_ACCEPTS = 1000;

class Looker extends Timer {
  private readonly look: () => void;

  constructor(look: () => void) {
    super();
    this.look = look;
  }

  fire(): void {
    this.look();
  }
}

/** A place that connections can be sent to. */
interface Place<S> extends Candidate<S> {
  /** False when there is no room. */
  send(accepted: Accepted): boolean;
}

/** A numbered place where nobody is at the moment. */
class Vacant<S> implements Place<S> {
  readonly load = Infinity;
  readonly stalled = true;
  readonly stats: S;

  constructor(stats: S) {
    this.stats = stats;
  }

  send(): boolean {
    return false;
  }
}

export interface AcceptorOptions<S> {
  /** Connections at once, on all recipients together. */
  max?: number;
  /**
   * The places are numbered: one where nobody is at the moment is passed over, and the others keep
   * their numbers. These are the statistics of vacant ones.
   */
  vacant?: readonly S[];
  /** Connections wait for the recipient that the policy chose, unless that has ended. */
  sticky?: boolean;
  /** Told of what a policy throws; a goroutine's panic by default. */
  onDefect?: (error: unknown) => void;
}

export class Acceptor<S, R extends Recipient<S>> {
  /** Connections that were closed instead of served. */
  refused = 0;
  private readonly listeners: readonly Listener[];
  private readonly choose: Chooser<S>;
  private readonly options: AcceptorOptions<S>;
  private readonly vacant: readonly Vacant<S>[] | undefined;
  private readonly runtime: Runtime = runtime();
  private readonly timer = new Looker(() => this.look());
  /** Of every recipient that has not ended. */
  private readonly inboxes = new Map<R, Inbox<S, R>>();
  /** Those that connections are placed on, by index; and the same with the vacant places. */
  private targets: Inbox<S, R>[] = [];
  private places: readonly Place<S>[] = [];
  private homeless: Accepted[] = [];
  private max: number;
  /** Who waits until it may accept. */
  private waiting: Resolve<void>[] = [];
  private accepting = false;
  private closed = false;

  constructor(
    listeners: readonly Listener[],
    choose: Chooser<S>,
    options: AcceptorOptions<S> = {},
  ) {
    this.listeners = listeners;
    this.choose = choose;
    this.options = options;
    this.max = options.max ?? Infinity;
    this.vacant = options.vacant?.map((stats) => new Vacant(stats));
  }

  /** Makes the inbox of a recipient. */
  open(recipient: R): Inbox<S, R> {
    const inbox = new Inbox<S, R>(recipient, this.options.sticky);
    this.inboxes.set(recipient, inbox);
    return inbox;
  }

  /** A recipient serves: connections are placed on it from now on. */
  add(recipient: R): void {
    this.targets.push(this.inboxes.get(recipient) as Inbox<S, R>);
    this.targets.sort((a, b) => a.recipient.index - b.recipient.index);
    this.rearrange();
    this.settle([]);
    if (this.accepting) return;
    this.accepting = true;
    for (const from of this.listeners.keys()) go(() => this.acceptFrom(from));
  }

  /** Nothing more is placed on a recipient. */
  leave(recipient: R): void {
    this.targets = this.targets.filter((inbox) => inbox.recipient !== recipient);
    this.rearrange();
  }

  /** A recipient has ended: what it had not taken goes to others. */
  ended(recipient: R): void {
    this.leave(recipient);
    const inbox = this.inboxes.get(recipient);
    if (inbox === undefined) return;
    this.inboxes.delete(recipient);
    const back = inbox.takeBack();
    inbox.close();
    this.settle(back);
  }

  /** A recipient has taken something, or something that it served is over. */
  progressed(): void {
    if (this.homeless.length > 0) this.settle([]);
    else if (this.waiting.length > 0 && !this.full) this.wake();
  }

  /** Accepts no more. What is in the inboxes is the recipients' still. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all(this.listeners.map((listener) => listener.close()));
    this.settle([]);
  }

  /**
   * Places what waits in the sockets, up to the limit, and accepts no more. Whoever calls it closes the
   * sockets at once, and lets the recipients leave after that.
   */
  finish(): void {
    this.closed = true;
    for (const [from, { fd }] of this.listeners.entries()) {
      for (let n = 0; n < LAST_ACCEPTS && this.targets.length > 0 && !this.full; n++) {
        const one = acceptNow(fd, fd.device.kernel as Kernel, this.adopter(from));
        if (one === undefined) break;
        this.settle([]);
      }
    }
    // Those that were accepted already wait for no limit.
    this.max = Infinity;
    this.settle([]);
    this.wake();
  }

  private rearrange(): void {
    const { targets, vacant } = this;
    this.places =
      vacant?.map((each, i) => targets.find(({ recipient }) => recipient.index === i) ?? each) ??
      targets;
  }

  private get full(): boolean {
    if (this.max === Infinity) return false;
    return this.targets.reduce((sum, inbox) => sum + inbox.load, 0) >= this.max;
  }

  /** An accepted connection belongs here at once: who waited for it may come too late to place it. */
  private adopter(from: number): Adopt<true> {
    return (sysfd, peer) => {
      this.homeless.push({ sysfd, peer, from });
      return true;
    };
  }

  private async acceptFrom(from: number): Promise<void> {
    const { fd } = this.listeners[from] as Listener;
    const adopt = this.adopter(from);
    while (!this.closed) {
      if (this.homeless.length > 0 || this.full) await this.room();
      else if (await this.acceptOne(fd, adopt)) this.settle([]);
    }
  }

  private async acceptOne(fd: Listener["fd"], adopt: Adopt<true>): Promise<boolean> {
    try {
      return await accept(fd, fd.device.kernel as Kernel, undefined, adopt);
    } catch (error) {
      if (this.closed) return false;
      throw error;
    }
  }

  private room(): Promise<void> {
    const room = parked<void>();
    this.waiting.push(resolver());
    return awaited(room, "accept room", this);
  }

  private wake(): void {
    const { waiting } = this;
    if (waiting.length === 0) return;
    this.waiting = [];
    for (const wake of waiting) wake();
  }

  private peerOf({ peer, from }: Accepted): Addr {
    const { network } = this.listeners[from] as Listener;
    return addrOf(network as StreamNetwork, unpack(peer));
  }

  private refuse({ sysfd }: Accepted): void {
    this.refused++;
    nativeKernel().close(sysfd);
  }

  /** Places connections, with those that have no place yet, wherever there is room. */
  private settle(back: readonly Accepted[]): void {
    const all = [...back, ...this.homeless];
    this.homeless = [];
    for (const accepted of all) if (!this.place(accepted)) this.homeless.push(accepted);
    this.watch();
    if (this.homeless.length === 0) this.wake();
  }

  /** Sends a connection where the policy says, or refuses it. False when there is no room for it. */
  private place(accepted: Accepted): boolean {
    if (this.targets.length === 0) {
      if (this.closed) this.refuse(accepted);
      return this.closed;
    }
    if (this.full) return false;
    let chosen: Place<S> | undefined;
    try {
      chosen = this.choose(() => this.peerOf(accepted), this.places);
    } catch (error) {
      this.refuse(accepted);
      this.onDefect(error);
      return true;
    }
    if (chosen === undefined) {
      this.refuse(accepted);
      return true;
    }
    return chosen.send(accepted) || (this.options.sticky !== true && this.sendAnywhere(accepted));
  }

  private onDefect(error: unknown): void {
    const { onDefect } = this.options;
    // A defect of the policy is nobody's connection's fault: accepting goes on where panics do.
    if (onDefect === undefined) go(() => Promise.reject(error));
    else onDefect(error);
  }

  private sendAnywhere(accepted: Accepted): boolean {
    const left = new Set(this.targets);
    while (left.size > 0) {
      const best = leastBusy([...left], 0);
      if (best.send(accepted)) return true;
      left.delete(best);
    }
    return false;
  }

  private watch(): void {
    if (this.timer.index !== -1) return;
    const underway = this.homeless.length > 0 || this.someUnderway();
    if (underway) this.runtime.timers.arm(this.timer, this.runtime.clock.now() + LOOK_MS);
  }

  private someUnderway(): boolean {
    for (const inbox of this.inboxes.values()) if (inbox.underway > 0) return true;
    return false;
  }

  /** Whoever does not take what it was sent loses it to another who does. */
  private look(): void {
    const now = performance.now();
    const stuck = [...this.inboxes.values()].filter((inbox) => inbox.look(now));
    const others = this.targets.some((inbox) => !inbox.stalled);
    // Where all are busy, whoever is free first takes its own.
    const full = stuck.filter((inbox) => inbox.underway > 0);
    const taken = others && this.options.sticky !== true;
    this.settle(taken ? full.flatMap((inbox) => inbox.takeBack()) : []);
  }
}
