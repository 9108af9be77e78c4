/** portable_epoll.ts: epoll(7) in JavaScript, edge-triggered, for fds that tell their readiness. */
import { EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "./constants.ts";
import type { Readiness } from "./kernel.ts";

/** The interest in one fd. */
export class Interest implements Readiness {
  private readonly epoll: PortableEpoll;
  readonly slot: number;
  readonly sequence: number;
  bits = 0;

  constructor(epoll: PortableEpoll, slot: number, sequence: number) {
    this.epoll = epoll;
    this.slot = slot;
    this.sequence = sequence;
  }

  notify(readable: boolean, writable: boolean, hangup: boolean): void {
    const before = this.bits;
    if (readable) this.bits |= EPOLLIN;
    if (writable) this.bits |= EPOLLOUT;
    if (hangup) this.bits |= EPOLLRDHUP;
    if (before === 0) this.epoll.enqueue(this);
  }

  /** Its fd is closed: an event that was not delivered is none. */
  end(): void {
    this.bits = 0;
  }
}

export class PortableEpoll {
  /** Called when there is an event, once until they have been collected. */
  onReady: () => void = () => {};
  private queue: Interest[] = [];

  enqueue(interest: Interest): void {
    if (this.queue.push(interest) === 1) this.onReady();
  }

  /** Writes (slot, sequence, bits) per event; how many. */
  collect(events: Int32Array): number {
    const room = Math.floor(events.length / 3);
    const batch = this.queue;
    this.queue = [];
    let n = 0;
    for (const interest of batch) {
      if (interest.bits === 0) continue;
      if (n === room) {
        this.enqueue(interest);
        continue;
      }
      events[3 * n] = interest.slot;
      events[3 * n + 1] = interest.sequence;
      events[3 * n + 2] = interest.bits;
      interest.bits = 0;
      n++;
    }
    return n;
  }
}
