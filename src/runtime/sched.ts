/**
 * sched.ts: turns, the run queue and the run budget.
 *
 * A turn is one entry from the host: a batch of events, or the run queue. Goroutines that it wakes
 * run to completion in the microtask queue that follows. An operation that completes without parking
 * would keep its goroutine in that queue for ever, so it draws on the turn's budget; when that is
 * used up, the goroutine goes to the back of the run queue, and the poller, the host's timers and
 * everybody else get a turn first.
 *
 *   budget of a turn = BASE + PER_GOROUTINE × goroutines woken
 *   cost of an operation on an fd = 1 + bytes / 1024
 *   cost of an operation in memory (a channel's, a lock's) = 1 / 16: it makes no system call
 *
 * Whoever is sent there by a large operation, a HEAVY one, will do another one like it. Those are woken few
 * at a time: as many as do QUEUE_TURN's worth of work, judged by the last ones, and at least a sixteenth of
 * them; the poller is asked in between. Otherwise somebody who asks for little would wait for a thousand
 * large writes of others. Everybody else who stands there is woken in the next turn.
 *
 * BASE bounds what a firehose may do before its neighbours are looked at (about two reads of 64 KiB);
 * the part per goroutine lets a large batch answer its requests without queueing.
 */
import type { Host } from "./host.ts";
import { observer } from "./observer.ts";
import { parked, type Resolve, resolver } from "./park.ts";

/** The budget is counted in what an operation in memory costs. */
const UNIT = 16;
const BYTES_SHIFT = 10 - 4;
const BASE = 128 * UNIT;
const PER_GOROUTINE = 8 * UNIT;
/** About 2 MiB, and the bytes that make an operation heavy. */
const QUEUE_TURN = 2048 * UNIT;
const HEAVY = 16_384;
/** In so many turns at most all heavy ones are woken that wait. */
const TURNS = 16;

/** Something that can be made runnable: what a PollDesc's rg and wg hold. */
export interface Waiter {
  /** Goes on. Runs no user code itself: it settles promises. Must not throw. */
  ready(): void;
}

/** A goroutine whose operation is complete but which must wait for its next turn. */
class Yielded<T> implements Waiter {
  private readonly resolve: Resolve<T>;
  private readonly value: T;

  constructor(resolve: Resolve<T>, value: T) {
    this.resolve = resolve;
    this.value = value;
  }

  ready(): void {
    if (observer.dequeued !== null) observer.dequeued(this);
    this.resolve(this.value);
  }
}

export class Scheduler {
  private readonly host: Host;
  private queue: Waiter[] = [];
  private heavy: Waiter[] = [];
  private scheduled = false;
  private budget = BASE;
  /** What the turn began with. */
  private granted = BASE;
  /** How many heavy ones the last turn has woken, while what they cost is not known; and what each cost. */
  private heavyWoken = 0;
  private heavyCost = 0;
  private lastBytes = 0;
  private lastPromise = Promise.resolve(0);
  /** Turns so far, goroutines woken in them, and operations that had to wait for a further turn. */
  turns = 0;
  woken = 0;
  exhausted = 0;
  /** Told at the beginning of each turn; must not throw. Free while nobody looks. */
  onTurn: (() => void) | null = null;

  constructor(host: Host) {
    this.host = host;
  }

  /** Goroutines in the run queue. */
  get length(): number {
    return this.queue.length + this.heavy.length;
  }

  /** Opens a turn that wakes so many goroutines. */
  beginTurn(woken: number): void {
    this.turns++;
    this.woken += woken;
    if (this.onTurn !== null) this.onTurn();
    this.settle();
    this.budget = this.granted = BASE + PER_GOROUTINE * woken;
  }

  /** The result of an operation on an fd that completed at once: now, or in a later turn. */
  complete<T>(value: T, bytes: number): Promise<T> {
    this.budget -= UNIT + (bytes >> BYTES_SHIFT);
    return this.budget >= 0 ? Promise.resolve(value) : this.defer(value, bytes);
  }

  /**
   * As complete, for a number of bytes. Servers answer with messages of like size, so the promise of
   * the last number often serves again; on a settled promise nobody can tell.
   */
  completeBytes(n: number): Promise<number> {
    this.budget -= UNIT + (n >> BYTES_SHIFT);
    if (this.budget < 0) return this.defer(n, n);
    if (n !== this.lastBytes) {
      this.lastBytes = n;
      this.lastPromise = Promise.resolve(n);
    }
    return this.lastPromise;
  }

  /** The bytes of an operation that completeBytes has just answered for; undefined when they are to come. */
  completed(promise: Promise<number>): number | undefined {
    return promise === this.lastPromise ? this.lastBytes : undefined;
  }

  /** Draws the cost of an operation on an fd; false when its goroutine has to `defer`. */
  charge(bytes: number): boolean {
    this.budget -= UNIT + (bytes >> BYTES_SHIFT);
    return this.budget >= 0;
  }

  /** The result of an operation in memory that completed at once: now, or in a later turn. */
  completeLight<T>(value: T): Promise<T> {
    return this.spend() ? Promise.resolve(value) : this.defer(value);
  }

  /**
   * Wakes a goroutine that is parked: now, or in a later turn when the budget is used up. Were it woken
   * all the same, it could start another one that wakes it again, and the turn would never end.
   */
  wake<T>(resolve: Resolve<T>, value: T): void {
    if (this.budget > 0) resolve(value);
    else this.yielded(new Yielded(resolve, value), false, this.queue);
  }

  /** Draws the cost of an operation in memory; false when its goroutine has to `defer`. */
  spend(): boolean {
    return --this.budget >= 0;
  }

  /** A result that its goroutine sees in a later turn, because the budget is used up, by so many bytes of its. */
  defer<T>(value: T, bytes = 0): Promise<T> {
    this.exhausted++;
    if (observer.exhausted !== null) observer.exhausted();
    return this.later(value, bytes);
  }

  /** Puts the calling goroutine at the back of the run queue. */
  later<T>(value: T, bytes = 0): Promise<T> {
    const promise = parked<T>();
    const waiter = new Yielded(resolver<T>(), value);
    this.yielded(waiter, true, bytes < HEAVY ? this.queue : this.heavy);
    return promise;
  }

  private yielded(waiter: Waiter, own: boolean, queue: Waiter[]): void {
    if (observer.queued !== null) observer.queued(waiter, own);
    queue.push(waiter);
    this.schedule();
  }

  /** Puts a waiter at the back of the run queue. */
  enqueue(waiter: Waiter): void {
    this.queue.push(waiter);
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.host.soon(this.runQueue);
  }

  private readonly runQueue = (): void => {
    this.scheduled = false;
    this.settle();
    const { queue } = this;
    this.queue = [];
    const heavy = this.takeHeavy();
    const woken = queue.length + heavy.length;
    if (observer.turn !== null) observer.turn("queue", woken);
    this.beginTurn(woken);
    this.heavyWoken = heavy.length;
    for (const waiter of queue) waiter.ready();
    for (const waiter of heavy) waiter.ready();
  };

  private takeHeavy(): Waiter[] {
    const { heavy } = this;
    const affordable = Math.floor(QUEUE_TURN / this.heavyCost);
    const most = Math.max(affordable, Math.ceil(heavy.length / TURNS));
    if (heavy.length > most) {
      this.schedule();
      return heavy.splice(0, most);
    }
    if (heavy.length > 0) this.heavy = [];
    return heavy;
  }

  /** Looks at what those have done whom the last turn has woken. */
  private settle(): void {
    if (this.heavyWoken === 0) return;
    this.heavyCost = (this.granted - this.budget) / this.heavyWoken;
    this.heavyWoken = 0;
  }
}
