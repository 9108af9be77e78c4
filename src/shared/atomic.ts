/**
 * atomic.ts: numbers that threads share.
 *
 * The arithmetic is JavaScript's Atomics. What is added is a wait that parks a goroutine instead of the
 * thread: it ends when the value is another one than expected, looked at when notify() says so
 * (as std::atomic's wait and notify, C++20; and Linux's futex(2)).
 */
import { Cancel, type WaitOptions } from "../chan/waiter.ts";
import { ListEntry } from "../internal/list.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import type { SharedKernel } from "../syscall/kernel.ts";
import {
  adopt,
  adopted,
  FIRST_BITS,
  KIND_ATOMIC,
  memoryOf,
  openMemory,
  thread,
  WaitQueue,
  type Wakeable,
} from "./memory.ts";

/** Where the value is (native/shared.c), and how large all of it. */
const VALUE_AT = 128;
const MEMORY_BYTES = 136;

/** What another thread makes its counter of; goes through postMessage and workerData. */
export interface AtomicHandle<N extends number | bigint> {
  readonly memory: SharedArrayBuffer;
  readonly type: N extends number ? "int32" : "int64";
}

class Opened {
  readonly memory: SharedArrayBuffer;
  readonly id: number;

  constructor(memory: SharedArrayBuffer, id: number) {
    this.memory = memory;
    this.id = id;
  }
}

/** Parked in wait(). */
class AtomicWaiter<N> extends ListEntry {
  readonly expected: N;
  resolve: Resolve<N>;
  private cancel: Cancel | undefined;

  constructor(expected: N, resolve: Resolve<N>) {
    super();
    this.expected = expected;
    this.resolve = resolve;
    this.cancel = undefined;
  }

  cancelBy(signal: AbortSignal): void {
    this.cancel = new Cancel(signal, this, "atomic wait");
  }

  changed(value: N): void {
    if (this.cancel !== undefined) this.cancel.remove();
    if (observer.resumed !== null) observer.resumed(this);
    thread().runtime.sched.wake(this.resolve, value);
  }
}

/** The atomics of one array type, as if it were the only one. */
interface Cells<N> {
  load(cells: unknown, index: number): N;
  store(cells: unknown, index: number, value: N): N;
  add(cells: unknown, index: number, value: N): N;
  sub(cells: unknown, index: number, value: N): N;
  exchange(cells: unknown, index: number, value: N): N;
  compareExchange(cells: unknown, index: number, expected: N, replacement: N): N;
}

/** What AtomicInt32 and AtomicInt64 have in common. */
export abstract class SharedAtomic<N extends number | bigint> implements Wakeable {
  private readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly cells: Int32Array | BigInt64Array;
  private readonly atomics: Cells<N>;
  private readonly id: number;
  private readonly kernel: SharedKernel;
  private readonly waiters: WaitQueue<AtomicWaiter<N>>;

  constructor(initial: N | Opened) {
    const kernel = thread().kernel;
    const opened = initial instanceof Opened ? initial : create(kernel);
    this.kernel = kernel;
    this.memory = opened.memory;
    this.words = new Int32Array(opened.memory);
    this.cells = this.view(opened.memory, VALUE_AT);
    this.atomics = Atomics as unknown as Cells<N>;
    this.id = opened.id;
    this.waiters = new WaitQueue(() => this.left());
    if (!(initial instanceof Opened)) this.store(initial);
    adopt(this, opened.id);
  }

  /** @internal */
  protected abstract view(memory: SharedArrayBuffer, at: number): Int32Array | BigInt64Array;
  /** @internal Throws when a value is of another type or does not fit. */
  protected abstract check(value: N): N;
  /** @internal */
  protected abstract get type(): AtomicHandle<N>["type"];

  /** What another thread makes its counter of: for workerData and postMessage. */
  get handle(): AtomicHandle<N> {
    return { memory: this.memory, type: this.type };
  }

  /** The value. */
  load(): N {
    if (observer.acquired !== null) observer.acquired(this, "shared");
    return this.atomics.load(this.cells, 0);
  }

  /** Sets the value. */
  store(value: N): void {
    if (observer.released !== null) observer.released(this, "shared");
    this.atomics.store(this.cells, 0, this.check(value));
  }

  /** Adds, and gives the sum. Beyond its range it begins again at the other end. */
  add(by: N): N {
    this.noteChange();
    return this.sum(this.atomics.add(this.cells, 0, this.check(by)), by);
  }

  /** Subtracts, and gives the difference. */
  sub(by: N): N {
    this.noteChange();
    return this.difference(this.atomics.sub(this.cells, 0, this.check(by)), by);
  }

  /** Sets the value, and gives the one before. */
  exchange(value: N): N {
    this.noteChange();
    return this.atomics.exchange(this.cells, 0, this.check(value));
  }

  /** Sets the value if it is `expected`; says whether it did. */
  compareAndSwap(expected: N, replacement: N): boolean {
    if (observer.acquired !== null) observer.acquired(this, "shared");
    const { atomics, cells } = this;
    const before = this.check(expected);
    if (atomics.compareExchange(cells, 0, before, this.check(replacement)) !== before) return false;
    if (observer.released !== null) observer.released(this, "shared");
    return true;
  }

  /**
   * Waits until the value is another one than `expected`, and gives it: at once when it is already, else
   * when a notify() finds it so. Rejects with CanceledError when `signal` is aborted first. Whoever
   * waits keeps the process alive.
   */
  wait(expected: N, options?: WaitOptions): Promise<N> {
    const signal = options?.signal;
    if (signal?.aborted === true) {
      return Promise.reject(new CanceledError("atomic wait", signal.reason));
    }
    try {
      const value = this.load();
      if (value !== this.check(expected)) return thread().runtime.sched.completeLight(value);
      return this.park(expected, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Has everybody who waits look at the value again, in every thread. */
  notify(): void {
    this.kernel.atomicNotify(this.id);
  }

  /** @internal */
  protected abstract sum(before: N, by: N): N;
  /** @internal */
  protected abstract difference(before: N, by: N): N;

  private park(expected: N, signal: AbortSignal | undefined): Promise<N> {
    const promise = parked<N>();
    const waiter = new AtomicWaiter<N>(expected, resolver());
    if (signal !== undefined) waiter.cancelBy(signal);
    this.waiters.push(waiter);
    thread().waiting.add(this);
    if (observer.parked !== null) observer.parked(waiter, "atomic wait", this);
    this.serve();
    return promise;
  }

  /** A change comes after every change before it. */
  private noteChange(): void {
    if (observer.acquired !== null) observer.acquired(this, "shared");
    if (observer.released !== null) observer.released(this, "shared");
  }

  /** @internal Called by the poller after a wake-up. */
  woken(): void {
    const { word, bit } = thread();
    if ((Atomics.load(this.words, FIRST_BITS + word) & bit) === 0) this.serve();
  }

  /** First the mark that this thread waits, then the look at the value. */
  private serve(): void {
    this.kernel.atomicArm(this.id);
    const value = this.load();
    let waiter = this.waiters.peek();
    for (let left = this.waiters.length; left > 0; left--) {
      const next = waiter?.newer as AtomicWaiter<N> | undefined;
      if (waiter !== undefined && waiter.expected !== value) {
        this.waiters.remove(waiter);
        if (observer.acquired !== null) observer.acquired(this, "shared", waiter);
        waiter.changed(value);
      }
      waiter = next;
    }
  }

  private left(): void {
    this.kernel.atomicDisarm(this.id);
    thread().waiting.delete(this);
  }
}

function create(kernel: SharedKernel): Opened {
  const memory = new SharedArrayBuffer(MEMORY_BYTES);
  kernel.atomicFormat(new Uint8Array(memory));
  return new Opened(memory, openMemory(memory, KIND_ATOMIC));
}

function open(handle: unknown, type: string): Opened | object {
  const memory = memoryOf(handle);
  if ((handle as { type?: unknown } | undefined)?.type !== type) {
    throw new TypeError(`not the handle of an atomic ${type}`);
  }
  const id = openMemory(memory, KIND_ATOMIC);
  return adopted(id) ?? new Opened(memory as SharedArrayBuffer, id);
}

/**
 * A whole number of 32 bits that threads share. Every operation is atomic; beyond 2^31 - 1 it goes on at
 * -2^31.
 *
 * @example
 * import { AtomicInt32, go } from "coronet";
 * const served = new AtomicInt32(0);
 * const same = AtomicInt32.from(structuredClone(served.handle)); // as in another thread
 * go(async () => {
 *   console.log(same.add(2)); // 2
 *   same.notify();
 * });
 * console.log(await served.wait(0)); // 2
 */
export class AtomicInt32 extends SharedAtomic<number> {
  constructor(initial?: number);
  constructor(initial: number | Opened = 0) {
    super(initial);
  }

  /** The counter of a handle that came from another thread. Throws a TypeError when it is none. */
  static from(handle: AtomicHandle<number>): AtomicInt32 {
    const opened = open(handle, "int32");
    return opened instanceof AtomicInt32 ? opened : new AtomicInt32(opened as unknown as number);
  }

  protected view(memory: SharedArrayBuffer, at: number): Int32Array {
    return new Int32Array(memory, at, 1);
  }

  protected get type(): "int32" {
    return "int32";
  }

  protected check(value: number): number {
    if (typeof value !== "number") throw new TypeError(`expected a number, got ${typeof value}`);
    if ((value | 0) === value) return value;
    throw new RangeError(`expected a whole number of 32 bits, got ${value}`);
  }

  protected sum(before: number, by: number): number {
    return (before + by) | 0;
  }

  protected difference(before: number, by: number): number {
    return (before - by) | 0;
  }
}

/**
 * A whole number of 64 bits that threads share, as a bigint. Every operation is atomic; beyond 2^63 - 1
 * it goes on at -2^63.
 *
 * @example
 * import { AtomicInt64 } from "coronet";
 * const bytes = new AtomicInt64(2n ** 53n);
 * console.log(bytes.add(1n)); // 9007199254740993n
 * console.log(bytes.compareAndSwap(0n, 1n)); // false
 */
export class AtomicInt64 extends SharedAtomic<bigint> {
  constructor(initial?: bigint);
  constructor(initial: bigint | Opened = 0n) {
    super(initial);
  }

  /** The counter of a handle that came from another thread. Throws a TypeError when it is none. */
  static from(handle: AtomicHandle<bigint>): AtomicInt64 {
    const opened = open(handle, "int64");
    return opened instanceof AtomicInt64 ? opened : new AtomicInt64(opened as unknown as bigint);
  }

  protected view(memory: SharedArrayBuffer, at: number): BigInt64Array {
    return new BigInt64Array(memory, at, 1);
  }

  protected get type(): "int64" {
    return "int64";
  }

  protected check(value: bigint): bigint {
    if (typeof value !== "bigint") throw new TypeError(`expected a bigint, got ${typeof value}`);
    if (BigInt.asIntN(64, value) === value) return value;
    throw new RangeError(`expected a whole number of 64 bits, got ${value}`);
  }

  protected sum(before: bigint, by: bigint): bigint {
    return BigInt.asIntN(64, before + by);
  }

  protected difference(before: bigint, by: bigint): bigint {
    return BigInt.asIntN(64, before - by);
  }
}
