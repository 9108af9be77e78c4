/**
 * rwmutex.ts: many readers or one writer.
 *
 * Who goes first
 *  - A reader gets in while no writer holds the lock and none waits for it.
 *  - A writer gets in when the readers that were there before it have left.
 *  - A writer that leaves lets in all readers that wait, and then the next writer waits for them.
 * So neither side starves the other. It also means that a goroutine that holds a read lock must not
 * ask for another one: a writer in between waits for the first, and the second waits for the writer.
 *
 * Invariants
 *  - `writer` is set or `readers` is above 0, never both.
 *  - A writer waits only while the lock is held; a reader only while a writer holds it or waits.
 *  - A guard ends its own lease and no other. `guarded` counts the read leases that a guard stands
 *    for (its Symbol.dispose was read, see mutex.ts): runlock() cannot end one of those.
 */
import { List } from "../internal/list.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import { SyncError } from "./errors.ts";
import { refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

/** Holds the write side of an RWMutex until the end of its scope. */
export class WriteGuard implements Disposable {
  private readonly mutex: RWMutex;

  /** @internal */
  constructor(mutex: RWMutex) {
    this.mutex = mutex;
  }

  /** Unlocks. Harmless when the lease it was made for is over. */
  [Symbol.dispose](): void {
    this.mutex.releaseBy(this);
  }
}

const FRESH = 0;
const BOUND = 1;
const OVER = 2;

/** Holds the read side of an RWMutex until the end of its scope. */
export class ReadGuard implements Disposable {
  private readonly mutex: RWMutex;
  /** Whether it stands for a lease: FRESH while nobody has looked, BOUND, OVER. */
  private state: number;
  /** @internal Resolved with this guard; made when it is first needed. */
  taken: Promise<ReadGuard> | undefined;

  /** @internal */
  constructor(mutex: RWMutex) {
    this.mutex = mutex;
    this.state = FRESH;
    this.taken = undefined;
  }

  /** Unlocks. Harmless when the lease it was made for is over. */
  get [Symbol.dispose](): () => void {
    if (this.state === FRESH) this.state = this.mutex.bind(this) ? BOUND : OVER;
    return this.release;
  }

  private release(): void {
    if (this.state !== BOUND) return;
    this.state = OVER;
    this.mutex.releaseGuarded();
  }
}

class ReadWaiter extends SyncWaiter<ReadGuard> {
  get kind(): string {
    return "rwmutex rlock";
  }
}

class WriteWaiter extends SyncWaiter<WriteGuard> {
  get kind(): string {
    return "rwmutex lock";
  }
}

/**
 * A lock that any number of readers or one writer holds.
 *
 * @example
 * import { RWMutex } from "coronet";
 * const mu = new RWMutex();
 * const settings = new Map<string, string>();
 * async function get(key: string) {
 *   using _ = await mu.rlock();
 *   return settings.get(key);
 * }
 * async function set(key: string, value: string) {
 *   using _ = await mu.lock();
 *   settings.set(key, value);
 * }
 * await set("color", "green");
 * console.log(await get("color")); // green
 */
export class RWMutex {
  private writer: WriteGuard | undefined;
  private readers: number;
  private guarded: number;
  private spare: ReadGuard | undefined;
  private readonly waitingReaders: List<ReadWaiter>;
  private readonly waitingWriters: List<WriteWaiter>;

  constructor() {
    this.writer = undefined;
    this.readers = 0;
    this.guarded = 0;
    this.spare = undefined;
    this.waitingReaders = new List<ReadWaiter>();
    this.waitingWriters = new List<WriteWaiter>();
  }

  // ---- writing

  /**
   * Waits until nobody holds the lock and takes it. Dispose of the guard or call unlock(), once.
   * Rejects with CanceledError when `signal` is aborted first; readers that it held back go on.
   */
  lock(options?: WaitOptions): Promise<WriteGuard> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("rwmutex lock", signal);
    const guard = this.tryLock();
    if (guard !== undefined) return runtime().sched.completeLight(guard);
    const promise = parked<WriteGuard>();
    const resolve: Resolve<WriteGuard> = resolver();
    this.waitingWriters.push(new WriteWaiter(this, resolve, signal));
    return promise;
  }

  /** Takes the lock if nobody holds it, else gives undefined. */
  tryLock(): WriteGuard | undefined {
    if (this.writer !== undefined || this.readers > 0) return undefined;
    this.writer = new WriteGuard(this);
    if (observer.acquired !== null) observer.acquired(this, "write");
    return this.writer;
  }

  /** Lets the readers in that wait, or else the next writer. Throws when no writer holds the lock. */
  unlock(): void {
    if (this.writer === undefined) throw new SyncError("unlock of unlocked RWMutex");
    this.writer = undefined;
    if (observer.released !== null) observer.released(this, "write");
    if (this.waitingReaders.length > 0) this.admitReaders();
    else this.admitWriter();
  }

  // ---- reading

  /**
   * Waits until no writer holds the lock or waits for it, and takes a share of it. Dispose of the
   * guard or call runlock(), once. Rejects with CanceledError when `signal` is aborted first.
   */
  rlock(options?: WaitOptions): Promise<ReadGuard> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("rwmutex rlock", signal);
    if (!this.readable) return this.parkReader(signal);
    const guard = this.admitReader(undefined);
    const { sched } = runtime();
    if (!sched.spend()) return sched.defer(guard);
    guard.taken ??= Promise.resolve(guard);
    return guard.taken;
  }

  /** Takes a share of the lock if that needs no wait, else gives undefined. */
  tryRLock(): ReadGuard | undefined {
    return this.readable ? this.admitReader(undefined) : undefined;
  }

  /**
   * Gives a share back. Throws when no reader holds the lock, or when a guard stands for each of the
   * shares: dispose of the guard then.
   */
  runlock(): void {
    if (this.readers === 0) throw new SyncError("runlock of unlocked RWMutex");
    if (this.readers === this.guarded) {
      throw new SyncError("runlock of an RWMutex whose readers all hold it by their guards");
    }
    this.leave();
  }

  // ---- for guards

  /** @internal */
  releaseBy(guard: WriteGuard): void {
    if (this.writer === guard) this.unlock();
  }

  /** @internal From now on this guard stands for one of the read leases; false if there is none. */
  bind(guard: ReadGuard): boolean {
    if (this.spare === guard) this.spare = undefined;
    if (this.readers === this.guarded) return false;
    this.guarded++;
    return true;
  }

  /** @internal */
  releaseGuarded(): void {
    this.guarded--;
    this.leave();
  }

  // ---- who goes next

  /** @internal The last writer that waited may have gone: readers that it held back go on. */
  gaveUp(): void {
    if (this.readable) this.admitReaders();
  }

  private get readable(): boolean {
    return this.writer === undefined && this.waitingWriters.length === 0;
  }

  // With no reader inside, every earlier lease is over and nobody can tell the spare guard from a new
  // one. Two readers at once need two guards.
  private admitReader(waiter: ReadWaiter | undefined): ReadGuard {
    if (observer.acquired !== null) observer.acquired(this, "read", waiter);
    if (this.readers++ > 0) return new ReadGuard(this);
    this.spare ??= new ReadGuard(this);
    return this.spare;
  }

  private admitReaders(): void {
    const { waitingReaders } = this;
    for (let next = waitingReaders.shift(); next !== undefined; next = waitingReaders.shift()) {
      next.wake(this.admitReader(next));
    }
  }

  private admitWriter(): void {
    const next = this.waitingWriters.shift();
    if (next === undefined) return;
    this.writer = new WriteGuard(this);
    if (observer.acquired !== null) observer.acquired(this, "write", next);
    next.wake(this.writer);
  }

  private leave(): void {
    if (observer.released !== null) observer.released(this, "read");
    if (--this.readers === 0) this.admitWriter();
  }

  private parkReader(signal: AbortSignal | undefined): Promise<ReadGuard> {
    const promise = parked<ReadGuard>();
    const resolve: Resolve<ReadGuard> = resolver();
    this.waitingReaders.push(new ReadWaiter(this, resolve, signal));
    return promise;
  }
}
