/**
 * acceptor.ts: one thread accepts and places connections on the others.
 *
 * Invariants
 *  - An accepted connection is in one place: here in `homeless`, or in one inbox, or with a thread.
 *  - While anything is under way, every inbox is looked at each LOOK_MS.
 *  - It accepts only while there is nothing homeless: what no thread can take stays in the kernel's
 *    backlog.
 */
import type { Addr, StreamNetwork } from "../net/addr.ts";
import { addrOf } from "../net/addr.ts";
import type { Listener } from "../net/listener.ts";
import { accept } from "../poll/accept.ts";
import { go } from "../runtime/goroutine.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { Timer } from "../runtime/timers.ts";
import type { Kernel } from "../syscall/kernel.ts";
import { nativeKernel } from "../syscall/native.ts";
import { unpack } from "../syscall/sockaddr.ts";
import { type Accepted, Inbox } from "./inbox.ts";
import { type Chooser, leastBusy } from "./placement.ts";
import type { Thread } from "./thread.ts";

const LOOK_MS = 5;

const adopt = (sysfd: number, peer: string): Accepted => ({ sysfd, peer });

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

export class Acceptor {
  /** Connections that were closed instead of served. */
  refused = 0;
  private readonly listener: Listener;
  private readonly choose: Chooser;
  private readonly runtime: Runtime = runtime();
  private readonly timer = new Looker(() => this.look());
  /** Of every thread that has not ended. */
  private readonly inboxes = new Map<Thread, Inbox>();
  /** Those that connections are placed on, by index. */
  private targets: Inbox[] = [];
  private homeless: Accepted[] = [];
  private accepting = false;
  private closed = false;

  constructor(listener: Listener, choose: Chooser) {
    this.listener = listener;
    this.choose = choose;
  }

  /** Makes the inbox of a thread. */
  open(thread: Thread): Inbox {
    const inbox = new Inbox(thread);
    this.inboxes.set(thread, inbox);
    thread.inbox = inbox;
    return inbox;
  }

  inboxOf(thread: Thread): Inbox | undefined {
    return this.inboxes.get(thread);
  }

  /** A thread serves: connections are placed on it from now on. */
  add(thread: Thread): void {
    this.targets.push(this.inboxes.get(thread) as Inbox);
    this.targets.sort((a, b) => a.thread.index - b.thread.index);
    this.settle([]);
    if (this.accepting) return;
    this.accepting = true;
    go(() => this.acceptAll());
  }

  /** Nothing more is placed on a thread. */
  leave(thread: Thread): void {
    this.targets = this.targets.filter((inbox) => inbox.thread !== thread);
  }

  /** A thread has ended: what it had not taken goes to others. */
  ended(thread: Thread): void {
    this.leave(thread);
    const inbox = this.inboxes.get(thread);
    if (inbox === undefined) return;
    this.inboxes.delete(thread);
    const back = inbox.takeBack();
    inbox.close();
    this.settle(back);
  }

  /** Accepts no more. What is in the inboxes is the threads' still. */
  async close(): Promise<void> {
    this.closed = true;
    await this.listener.close();
    this.settle([]);
  }

  private async acceptAll(): Promise<never> {
    const { fd } = this.listener;
    for (;;) {
      const accepted = await accept(fd, fd.device.kernel as Kernel, undefined, adopt);
      this.place(accepted);
      // What no thread has room for now waits here, and what comes after it in the backlog.
      while (this.homeless.length > 0 && !this.closed) await this.runtime.sleep(LOOK_MS);
    }
  }

  private place(accepted: Accepted): void {
    if (this.targets.length === 0) {
      this.settle([accepted]);
      return;
    }
    let chosen: Inbox | undefined;
    try {
      chosen = this.choose(() => this.peerOf(accepted), this.targets);
    } catch (error) {
      this.refuse(accepted);
      // A defect of the policy is nobody's connection's fault: accepting goes on where panics do.
      go(() => Promise.reject(error));
      return;
    }
    if (chosen === undefined) this.refuse(accepted);
    else if (!chosen.send(accepted)) this.settle([accepted]);
    else this.watch();
  }

  private peerOf({ peer }: Accepted): Addr {
    return addrOf(this.listener.network as StreamNetwork, unpack(peer));
  }

  private refuse({ sysfd }: Accepted): void {
    this.refused++;
    nativeKernel().close(sysfd);
  }

  /** Places connections again, with those that have no place yet, wherever there is room. */
  private settle(back: readonly Accepted[]): void {
    const all = [...back, ...this.homeless];
    this.homeless = [];
    for (const accepted of all) {
      if (this.targets.length === 0 && this.closed) this.refuse(accepted);
      else if (!this.sendAnywhere(accepted)) this.homeless.push(accepted);
    }
    this.watch();
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
    for (const inbox of this.inboxes.values()) if (inbox.waiting) return true;
    return false;
  }

  /** Whoever does not take what it was sent loses it to another who does. */
  private look(): void {
    const now = performance.now();
    const stuck = [...this.inboxes.values()].filter((inbox) => inbox.look(now));
    const others = this.targets.some((inbox) => !inbox.stalled);
    // Where all are busy, whoever is free first takes its own.
    const full = stuck.filter((inbox) => inbox.waiting);
    const back = others ? full.flatMap((inbox) => inbox.takeBack()) : [];
    this.settle(back);
  }
}
