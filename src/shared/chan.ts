/**
 * chan.ts: a channel between the threads of one process.
 *
 * The ring of messages and its locks are native/shared_chan.c's; here are this thread's goroutines that
 * wait for it. A receive or a send is one native call; when it has to wait, the same call has marked
 * this thread in the memory, and whoever changes something wakes it (memory.ts).
 *
 * Invariants
 *  - A goroutine that comes while others of this thread wait stands behind them.
 *  - A message is taken out when a goroutine receives it, not before: a thread that ends, or leaves its
 *    loop, takes nothing with it that it has not received.
 */
import type { SelectableChan } from "../chan/cases.ts";
import type { ReceiveChan, SendChan } from "../chan/chan.ts";
import {
  ChanError,
  PairReceiver,
  ParkedSender,
  type Received,
  type Receiver,
  SEND_ON_CLOSED,
  type Sender,
  StepReceiver,
  type WaitOptions,
} from "../chan/waiter.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { parked, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import type { SharedKernel } from "../syscall/kernel.ts";
import {
  adopt,
  adopted,
  FIRST_BITS,
  KIND_CHAN,
  memoryOf,
  openMemory,
  SECOND_BITS,
  thread,
  WaitQueue,
  type Wakeable,
} from "./memory.ts";
import { decode, decodeScratch, encode, payloadOf, sizeOf, tagOf } from "./message.ts";

/** What stands before the ring (native/shared_chan.c). */
const HEADER_BYTES = 512;
const MOST_BYTES = 2 ** 27;
const LEAST_BYTES = 64;
/** When `bytes` is not given: so many for each message, and no less than that. */
const BYTES_PER_MESSAGE = 256;
const USUAL_BYTES = 65_536;

const SENT = 0;
const FULL = 1;
const CLOSED = 2;
const NONE = -1;
const END = -2;
/** A message of n bytes that needs a buffer is announced as LARGE - n. */
const LARGE = -16;

const RECEIVERS = 0;
const SENDERS = 1;

export interface SharedChanOptions {
  /** How many messages wait inside before a sender has to; at least 1. */
  capacity: number;
  /**
   * Bytes of the ring that holds the messages: a power of two, or it is rounded up to one; at most
   * 128 MiB. Each message takes 8 bytes more than its content, rounded up to a multiple of 8. By
   * default 256 for each message, and at least 64 KiB.
   */
  bytes?: number | undefined;
}

/** What another thread makes its SharedChan of; goes through postMessage and workerData. */
export interface SharedChanHandle<T> {
  readonly memory: SharedArrayBuffer;
  /** Only for the compiler: what the channel carries. */
  readonly carries?: T | undefined;
}

class Opened {
  readonly memory: SharedArrayBuffer;
  readonly id: number;

  constructor(memory: SharedArrayBuffer, id: number) {
    this.memory = memory;
    this.id = id;
  }
}

function create({ capacity, bytes }: SharedChanOptions): Opened {
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > 0x7fff_ffff) {
    throw new RangeError(`a shared channel's capacity is a whole number from 1, not ${capacity}`);
  }
  const wanted = bytes ?? Math.min(MOST_BYTES, Math.max(USUAL_BYTES, capacity * BYTES_PER_MESSAGE));
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > MOST_BYTES) {
    throw new RangeError(`a shared channel's ring has 1 to ${MOST_BYTES} bytes, not ${wanted}`);
  }
  const ring = 2 ** Math.ceil(Math.log2(Math.max(LEAST_BYTES, wanted)));
  const memory = new SharedArrayBuffer(HEADER_BYTES + ring);
  thread().kernel.chanFormat(new Uint8Array(memory), capacity);
  return new Opened(memory, openMemory(memory, KIND_CHAN));
}

/**
 * A channel between threads: as Chan, with goroutines of any thread at both ends. Values are copied: a
 * Uint8Array, a string and a number as they are, anything else as v8.serialize can write it (what
 * structuredClone takes, except shared memory, ports and what is transferred).
 *
 * Values come out in the order in which they went in. Each goes to one receiver, in whichever thread;
 * those who wait are served in order within their thread. Whoever waits keeps its process alive.
 *
 * When a thread ends, what it had received is gone with it, and what it had not goes to others.
 *
 * @example
 * import { Worker } from "node:worker_threads";
 * import { SharedChan } from "coronet";
 * const jobs = new SharedChan<number>({ capacity: 8 });
 * const results = new SharedChan<string>({ capacity: 8 });
 * const body = `
 *   const { workerData } = require("node:worker_threads");
 *   import(workerData.coronet).then(async ({ SharedChan }) => {
 *     const results = SharedChan.from(workerData.results);
 *     for await (const n of SharedChan.from(workerData.jobs)) await results.send(n + " squared is " + n * n);
 *     results.close();
 *   });
 * `;
 * const coronet = import.meta.resolve("coronet");
 * new Worker(body, {
 *   eval: true,
 *   workerData: { coronet, jobs: jobs.handle, results: results.handle },
 * });
 * for (let n = 1; n <= 3; n++) await jobs.send(n);
 * jobs.close();
 * for await (const line of results) console.log(line); // 1 squared is 1 …
 */
export class SharedChan<in out T> implements SendChan<T>, ReceiveChan<T>, SelectableChan, Wakeable {
  /** How many messages wait inside before a sender has to. */
  readonly capacity: number;
  private readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly id: number;
  /** The id as chanSend and chanReceive take it. */
  private readonly operation: number;
  private readonly kernel: SharedKernel;
  private readonly largest: number;
  private readonly receivers: WaitQueue<Receiver<unknown>>;
  private readonly senders: WaitQueue<Sender<unknown>>;

  constructor(options: SharedChanOptions);
  constructor(options: SharedChanOptions | Opened) {
    const { memory, id } = options instanceof Opened ? options : create(options);
    this.kernel = thread().kernel;
    this.memory = memory;
    this.words = new Int32Array(memory);
    this.id = id;
    this.operation = id * 16;
    this.capacity = this.kernel.chanCapacity(id);
    this.largest = this.kernel.chanLargest(id);
    this.receivers = new WaitQueue(() => this.left(RECEIVERS));
    this.senders = new WaitQueue(() => this.left(SENDERS));
    adopt(this, id);
  }

  /**
   * The channel of a handle that came from another thread. In one thread the same channel is the same
   * object, however often its handle comes. Throws a TypeError when it is no such handle.
   *
   * @example
   * import { SharedChan } from "coronet";
   * const ch = new SharedChan<string>({ capacity: 1 });
   * console.log(SharedChan.from(structuredClone(ch.handle)) === ch); // true
   */
  static from<T>(handle: SharedChanHandle<T>): SharedChan<T> {
    const memory = memoryOf(handle);
    const id = openMemory(memory, KIND_CHAN);
    const here = adopted(id) as SharedChan<T> | undefined;
    if (here !== undefined) return here;
    const opened = new Opened(memory as SharedArrayBuffer, id);
    return new SharedChan<T>(opened as unknown as SharedChanOptions);
  }

  /** What another thread makes its SharedChan of: for workerData and postMessage. */
  get handle(): SharedChanHandle<T> {
    return { memory: this.memory };
  }

  /** How many messages wait inside. */
  get length(): number {
    return this.kernel.chanLength(this.id);
  }

  /**
   * Sends a value; resolves when it is in the ring. Rejects with ChanError when the channel is closed,
   * also while it waits; with CanceledError when `signal` is aborted first: the value was not sent
   * then; with a RangeError when it is larger than the ring, and with a TypeError when it cannot be
   * cloned. A Uint8Array must not be changed until the send has resolved.
   */
  send(value: T, options?: WaitOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted === true) return canceled("shared chan send", signal);
    try {
      const message = this.encode(value);
      const result = this.senders.length > 0 ? FULL : this.post(message, 1);
      if (result === SENT) {
        this.noteSent(undefined);
        return completed();
      }
      if (result === CLOSED) throw new ChanError(SEND_ON_CLOSED);
      return this.parkSender(message, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Receives the oldest value: `[value, true]`. When the channel is closed and drained:
   * `[undefined, false]`. Rejects with CanceledError when `signal` is aborted first: no value is lost.
   */
  receive(options?: WaitOptions): Promise<Received<T>> {
    const signal = options?.signal;
    if (signal?.aborted === true) return canceled("shared chan receive", signal);
    try {
      const n = this.receivers.length > 0 ? NONE : this.kernel.chanReceive(this.operation + 1);
      if (n >= 0) {
        this.noteReceived(undefined);
        // Written out, so that the compiler sees the array and needs not look for a `then` in it.
        const value = decodeScratch(n & 7, n >> 3) as T;
        const { sched } = runtime();
        return sched.spend() ? Promise.resolve([value, true]) : sched.defer([value, true]);
      }
      const got = n === NONE ? undefined : this.taken(n, 1);
      if (got !== undefined) {
        this.noteReceived(undefined);
        return runtime().sched.completeLight(got as Received<T>);
      }
      return this.parkReceiver(signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends if that needs no wait, and says whether it did. Throws when the channel is closed, and what
   * send() rejects with.
   */
  trySend(value: T): boolean {
    const message = this.encode(value);
    if (this.senders.length > 0) this.serveSenders();
    if (this.senders.length > 0) return false;
    const result = this.post(message, 0);
    if (result === CLOSED) throw new ChanError(SEND_ON_CLOSED);
    if (result !== SENT) return false;
    this.noteSent(undefined);
    return true;
  }

  /** Receives if that needs no wait; `undefined` when it would have to. */
  tryReceive(): Received<T> | undefined {
    if (this.receivers.length > 0) this.serveReceivers();
    const got = this.receivers.length > 0 ? undefined : this.take(0);
    if (got !== undefined) this.noteReceived(undefined);
    return got as Received<T> | undefined;
  }

  /**
   * Says that no more values will come, to every thread: what is inside can still be received, then
   * receivers get `[undefined, false]`. Senders that wait fail. Throws when it was closed before.
   */
  close(): void {
    if (this.kernel.chanClose(this.id) === CLOSED) throw new ChanError("close of closed channel");
    this.noteSent(undefined);
    this.serve();
  }

  /**
   * Receives until the channel is closed and drained. Leaving the loop closes nothing and loses
   * nothing: the next receive, in whichever thread, goes on where it stopped.
   */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.step() };
  }

  // ---- for select

  /** @internal A receive would not wait. */
  get canReceive(): boolean {
    return this.receivers.length === 0 && this.kernel.chanReady(this.id, RECEIVERS) === 1;
  }

  /** @internal A send of something small would not wait; it may throw. */
  get canSend(): boolean {
    return this.senders.length === 0 && this.kernel.chanReady(this.id, SENDERS) === 1;
  }

  /** @internal The form in which a value is sent. */
  encode(value: unknown): unknown {
    const message = encode(value);
    // Most are small, and a string's bytes need counting only when its units might be too many.
    const most = typeof message === "string" ? message.length * 3 : sizeOf(message);
    if (most > this.largest && sizeOf(message) > this.largest) {
      throw new RangeError(
        `a message of ${sizeOf(message)} bytes is too large for a shared channel whose ring takes ${this.largest}: give it more bytes`,
      );
    }
    return message;
  }

  /** @internal */
  enqueueReceiver(receiver: Receiver<unknown>): void {
    this.queue(this.receivers, receiver, RECEIVERS);
  }

  /** @internal */
  enqueueSender(sender: Sender<unknown>): void {
    this.queue(this.senders, sender, SENDERS);
  }

  /** The select is not parked yet, so what is ready by now is served right after it. */
  private queue<E extends Receiver<unknown> | Sender<unknown>>(
    queue: WaitQueue<E>,
    entry: E,
    side: number,
  ): void {
    const first = queue.length === 0;
    queue.push(entry);
    thread().waiting.add(this);
    if (first && this.kernel.chanArm(this.id, side) === 1) void settled.then(this.serveSoon);
  }

  private readonly serveSoon = (): void => this.serve();

  // ---- the ring

  private post(message: unknown, wait: number): number {
    return this.kernel.chanSend(this.operation + tagOf(message) * 2 + wait, payloadOf(message));
  }

  /** The oldest value; undefined when there is none: with `wait` this thread is woken for the next. */
  private take(wait: number): Received<unknown> | undefined {
    return this.taken(this.kernel.chanReceive(this.operation + wait), wait);
  }

  private taken(n: number, wait: number): Received<unknown> | undefined {
    if (n >= 0) return [decodeScratch(n & 7, n >> 3), true];
    if (n === NONE) return undefined;
    return n === END ? [undefined, false] : this.takeLarge(n, wait);
  }

  /** Another thread may take the message meanwhile: then the next one decides. */
  private takeLarge(announced: number, wait: number): Received<unknown> | undefined {
    const buffer = new Uint8Array(LARGE - announced);
    const n = this.kernel.chanReceiveInto(this.id, buffer, 0, buffer.length);
    if (n < 0) return n <= LARGE ? this.takeLarge(n, wait) : this.take(wait);
    const length = n >> 3;
    return [decode(n & 7, length === buffer.length ? buffer : buffer.slice(0, length)), true];
  }

  private step(): Promise<IteratorResult<T, undefined>> {
    try {
      const n = this.receivers.length > 0 ? NONE : this.kernel.chanReceive(this.operation + 1);
      if (n >= 0) {
        this.noteReceived(undefined);
        const value = decodeScratch(n & 7, n >> 3) as T;
        const { sched } = runtime();
        return sched.spend()
          ? Promise.resolve({ value, done: false })
          : sched.defer({ value, done: false });
      }
      const got = n === NONE ? undefined : this.taken(n, 1);
      if (got === undefined) return this.parkStep();
      this.noteReceived(undefined);
      if (!got[1]) return Promise.resolve({ value: undefined, done: true });
      return Promise.resolve({ value: got[0] as T, done: false });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // ---- who waits

  /** Called by the poller after a wake-up: a bit that is still set says that nothing has happened. */
  woken(): void {
    const { word, bit } = thread();
    if ((Atomics.load(this.words, FIRST_BITS + word) & bit) === 0) this.serveReceivers();
    if ((Atomics.load(this.words, SECOND_BITS + word) & bit) === 0) this.serveSenders();
  }

  private serve(): void {
    this.serveReceivers();
    this.serveSenders();
  }

  private serveReceivers(): void {
    const { receivers } = this;
    while (receivers.length > 0) {
      let got: Received<unknown> | undefined;
      try {
        got = this.take(1);
      } catch (error) {
        receivers.shift()?.fail(() => error as Error);
        continue;
      }
      if (got === undefined) return;
      const receiver = receivers.shift() as Receiver<unknown>;
      this.noteReceived(receiver);
      if (got[1]) receiver.take(got[0], false);
      else receiver.end();
    }
  }

  private serveSenders(): void {
    const { senders } = this;
    for (let sender = senders.peek(); sender !== undefined; sender = senders.peek()) {
      let result: number;
      try {
        result = this.post(sender.value, 1);
      } catch (error) {
        senders.shift();
        sender.fail(() => error as Error);
        continue;
      }
      if (result === FULL) return;
      senders.shift();
      if (result === SENT) {
        this.noteSent(sender);
        sender.sent(false);
      } else sender.refused();
    }
  }

  private noteSent(sender: Sender<unknown> | undefined): void {
    if (observer.released !== null) observer.released(this, "shared", sender?.waiter);
  }

  private noteReceived(receiver: Receiver<unknown> | undefined): void {
    if (observer.acquired !== null) observer.acquired(this, "shared", receiver?.waiter);
  }

  /** Nobody of this thread waits on that side any more. */
  private left(side: number): void {
    this.kernel.chanDisarm(this.id, side);
    if (this.receivers.length === 0 && this.senders.length === 0) thread().waiting.delete(this);
  }

  private parkReceiver(signal: AbortSignal | undefined): Promise<Received<T>> {
    const receiver = new PairReceiver<T>();
    const promise = parked<Received<T>>();
    receiver.resolve = resolver();
    if (signal !== undefined) receiver.cancelBy(signal);
    this.wait(receiver as Receiver<unknown>);
    return promise;
  }

  private parkStep(): Promise<IteratorResult<T, undefined>> {
    const receiver = new StepReceiver<T>();
    const promise = parked<IteratorResult<T, undefined>>();
    receiver.resolve = resolver();
    this.wait(receiver as Receiver<unknown>);
    return promise;
  }

  private wait(receiver: Receiver<unknown>): void {
    this.receivers.push(receiver);
    thread().waiting.add(this);
    if (observer.parked !== null) observer.parked(receiver, "shared chan receive", this);
  }

  private parkSender(message: unknown, signal: AbortSignal | undefined): Promise<void> {
    const sender = new ParkedSender<unknown>(message);
    const promise = parked<void>();
    sender.resolve = resolver();
    if (signal !== undefined) sender.cancelBy(signal);
    this.senders.push(sender);
    thread().waiting.add(this);
    if (observer.parked !== null) observer.parked(sender, "shared chan send", this);
    return promise;
  }
}

const settled: Promise<void> = Promise.resolve();
const DONE: Promise<void> = Promise.resolve();

function completed(): Promise<void> {
  const { sched } = runtime();
  return sched.spend() ? DONE : sched.defer<void>(undefined);
}

function canceled(what: string, signal: AbortSignal): Promise<never> {
  return Promise.reject(new CanceledError(what, signal.reason));
}
