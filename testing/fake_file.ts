/**
 * fake_file.ts: what an fd of the fake kernel names, epoll instances and eventfds.
 *
 * Edge-triggered epoll as Linux has it (fs/eventpoll.c): a change of a file puts its interests on the
 * ready list of their epoll instance; epoll_wait takes them off, asks each file what is true *now*,
 * and reports that, or nothing. So one event can stand for several changes (data and FIN), and an
 * event may say what was not yet true at the change that caused it.
 *
 * Invariants
 *  - An interest stands on the ready list at most once.
 *  - Closing a file removes its interests: nothing here duplicates an fd. (Ghosts are a fault.)
 */
import type { Random } from "../src/internal/random.ts";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN } from "../src/syscall/constants.ts";
import { EAGAIN } from "../src/syscall/errno.ts";
import type { FaultRates } from "./fake_faults.ts";

/** Reported whether asked for or not (epoll_ctl(2)). */
const ALWAYS = EPOLLERR | EPOLLHUP;

/** Every event bit: a change of state that concerns whoever waits for anything. */
export const ANY_CHANGE = 0xffff;

export abstract class FakeFile {
  /** Its number, for as long as it is open. */
  fd = -1;
  closed = false;
  readonly interests: Interest[] = [];

  /** The events that are true now. */
  abstract poll(): number;

  /** Something has changed: whoever is interested is told. */
  changed(bits: number): void {
    for (const interest of this.interests) interest.epoll.notify(interest, bits);
  }

  /** The fd was closed. */
  release(): void {
    this.closed = true;
    for (const interest of this.interests) interest.epoll.forget(interest);
    this.interests.length = 0;
  }
}

export class Interest {
  readonly epoll: FakeEpoll;
  readonly file: FakeFile;
  readonly events: number;
  readonly slot: number;
  readonly sequence: number;
  queued = false;

  constructor(epoll: FakeEpoll, file: FakeFile, events: number, slot: number, sequence: number) {
    this.epoll = epoll;
    this.file = file;
    this.events = events;
    this.slot = slot;
    this.sequence = sequence;
  }
}

export class FakeEpoll extends FakeFile {
  readonly watched = new Map<FakeFile, Interest>();
  private ready: Interest[] = [];
  /** Interests of files that are closed, of which events may still come. */
  private readonly ghosts: Interest[] = [];
  private readonly random: Random;
  private readonly faults: FaultRates;

  constructor(random: Random, faults: FaultRates) {
    super();
    this.random = random;
    this.faults = faults;
  }

  poll(): number {
    return this.ready.length > 0 ? EPOLLIN : 0;
  }

  /** True when epoll_wait might report something. */
  get pending(): boolean {
    return this.ready.length > 0;
  }

  add(file: FakeFile, events: number, slot: number, sequence: number): void {
    const interest = new Interest(this, file, events, slot, sequence);
    this.watched.set(file, interest);
    file.interests.push(interest);
    // ADD reports what is true already (epoll(7)).
    this.notify(interest, file.poll());
  }

  remove(interest: Interest): void {
    const { interests } = interest.file;
    interests.splice(interests.indexOf(interest), 1);
    this.unlist(interest);
  }

  forget(interest: Interest): void {
    this.unlist(interest);
    if (this.random.chance(this.faults.ghost)) this.ghosts.push(interest);
  }

  private unlist(interest: Interest): void {
    this.watched.delete(interest.file);
    if (interest.queued) this.ready.splice(this.ready.indexOf(interest), 1);
    interest.queued = false;
  }

  notify(interest: Interest, bits: number): void {
    if (interest.queued || (bits & (interest.events | ALWAYS)) === 0) return;
    interest.queued = true;
    this.ready.push(interest);
    this.changed(EPOLLIN);
  }

  /** Writes at most `max` events; how many. */
  collect(out: Int32Array, max: number): number {
    const { random, faults } = this;
    if (random.chance(faults.reorder)) this.shuffle();
    let most = Math.min(max, out.length / 3);
    if (random.chance(faults.cutBatch)) most = Math.min(most, 1 + random.below(3));
    const taken = this.ready;
    this.ready = [];
    let n = 0;
    for (const interest of taken) {
      if (n === most) {
        this.ready.push(interest);
        continue;
      }
      interest.queued = false;
      const bits = interest.file.poll() & (interest.events | ALWAYS);
      if (bits === 0) continue;
      this.put(out, n++, interest, bits);
      const again = (interest.events & EPOLLET) === 0 || random.chance(faults.duplicate);
      if (again) this.notify(interest, bits);
    }
    if (n < most) n += this.haunt(out, n);
    return n;
  }

  private haunt(out: Int32Array, at: number): number {
    const { random, ghosts } = this;
    if (ghosts.length === 0 || !random.chance(this.faults.ghost)) return 0;
    const ghost = ghosts[random.below(ghosts.length)] as Interest;
    const bits = random.next() & (ghost.events | ALWAYS) & ANY_CHANGE;
    this.put(out, at, ghost, bits | EPOLLIN);
    return 1;
  }

  private put(out: Int32Array, at: number, { slot, sequence }: Interest, bits: number): void {
    out[at * 3] = slot;
    out[at * 3 + 1] = sequence;
    out[at * 3 + 2] = bits;
  }

  private shuffle(): void {
    const list = this.ready;
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.random.below(i + 1);
      const other = list[j] as Interest;
      list[j] = list[i] as Interest;
      list[i] = other;
    }
  }
}

/** eventfd(2), counting mode. */
export class FakeEventFd extends FakeFile {
  private count = 0n;

  poll(): number {
    return this.count > 0n ? EPOLLIN : 0;
  }

  read(buffer: Uint8Array, offset: number): number {
    if (this.count === 0n) return -EAGAIN;
    view(buffer).setBigUint64(offset, this.count, true);
    this.count = 0n;
    return 8;
  }

  write(buffer: Uint8Array, offset: number): number {
    this.count += view(buffer).getBigUint64(offset, true);
    this.changed(EPOLLIN);
    return 8;
  }
}

function view({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
