/**
 * memory.ts: memory that threads share, and how one thread wakes another that waits on it.
 *
 * The memory is a SharedArrayBuffer, laid out and worked on by the addon (native/shared*.c). In each
 * thread one object stands for one memory, however often its handle arrives: it holds the queues of
 * this thread's goroutines, and the memory has one bit for all of them.
 *
 *     thread 1                         memory                        thread 2
 *     goroutine ─ parks ─▶ queue ───▶ bit of thread 1
 *                                      message      ◀─── send ────── goroutine
 *                                      bit cleared, eventfd of thread 1 written
 *     poller ─▶ all that wait here: whose bit is cleared serves its queue
 *
 * Invariants
 *  - While a queue is not empty the thread's bit is set, or the thread has been woken and will look.
 *  - A goroutine in a queue keeps the process alive: another thread may wake it at any time.
 */
import { List, type ListEntry } from "../internal/list.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import type { Waiter } from "../runtime/sched.ts";
import { errorName } from "../syscall/errno.ts";
import type { SharedKernel } from "../syscall/kernel.ts";
import { nativeKernel } from "../syscall/native.ts";

/** What a memory is (native/shared.h). */
export const KIND_CHAN = 1;
export const KIND_ATOMIC = 2;
export const KIND_TABLE = 3;

/** Where the bits of those who wait begin, in words of 32 bits (native/shared_chan.c, shared.c). */
export const FIRST_BITS = 64 / 4;
export const SECOND_BITS = 128 / 4;

/** Something that goroutines of this thread wait on. */
export interface Wakeable {
  /** Looks whether it was woken, and serves who waits. */
  woken(): void;
}

class Thread implements Waiter {
  readonly kernel: SharedKernel;
  readonly runtime: Runtime;
  /** This thread's place in the bits of every memory. */
  readonly word: number;
  readonly bit: number;
  readonly waiting = new Set<Wakeable>();

  constructor() {
    const kernel = nativeKernel();
    const rt = runtime();
    const started = rt.start();
    const { fd, waking } = rt.poller.waker;
    const slot = started < 0 ? started : kernel.sharedJoin(fd, waking);
    if (slot < 0) {
      throw new Error(
        `coronet: this thread cannot wait on shared memory: ${errorName(-slot)} (256 threads at most)`,
      );
    }
    this.kernel = kernel;
    this.runtime = rt;
    this.word = slot >> 5;
    this.bit = 1 << (slot & 31);
    rt.poller.onWake = this;
  }

  ready(): void {
    for (const wakeable of this.waiting) wakeable.woken();
  }
}

let current: Thread | undefined;

/** This thread, as one that others can wake. */
export function thread(): Thread {
  current ??= new Thread();
  return current;
}

/** Goroutines that wait on shared memory. `left` is called when the last one has gone. */
export class WaitQueue<E extends ListEntry> extends List<E> {
  private readonly left: () => void;

  constructor(left: () => void) {
    super();
    this.left = left;
  }

  override push(entry: E): void {
    thread().runtime.hold();
    super.push(entry);
  }

  override remove(entry: E): boolean {
    if (!super.remove(entry)) return false;
    thread().runtime.release();
    if (this.length === 0) this.left();
    return true;
  }
}

const objects = new Map<number, WeakRef<object>>();

const unused = new FinalizationRegistry<number>((id) => {
  if (objects.get(id)?.deref() === undefined) objects.delete(id);
  thread().kernel.sharedClose(id);
});

/** The id of a memory in this thread. Throws a TypeError when it is not of that kind. */
export function openMemory(memory: unknown, kind: number): number {
  if (!(memory instanceof SharedArrayBuffer)) {
    throw new TypeError("not the handle of a shared object");
  }
  const id = thread().kernel.sharedOpen(new Uint8Array(memory), kind);
  if (id < 0) throw new Error(`coronet: no memory for a shared object: ${errorName(-id)}`);
  return id;
}

/** Makes an object the one that stands for the memory `id` in this thread. */
export function adopt(object: object, id: number): void {
  objects.set(id, new WeakRef(object));
  unused.register(object, id);
}

/** The object that stands for the memory `id`; the id is then one use less. */
export function adopted(id: number): object | undefined {
  const object = objects.get(id)?.deref();
  if (object !== undefined) thread().kernel.sharedClose(id);
  return object;
}

/** The memory of a handle. */
export function memoryOf(handle: unknown): unknown {
  return (handle as { memory?: unknown } | undefined | null)?.memory;
}
