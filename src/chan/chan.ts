/**
 * chan.ts: channels.
 *
 * Invariants
 *  - Between two calls at least one of the queues of receivers and senders is empty, unless one
 *    select waits for both directions of this channel.
 *  - A buffered channel: a sender waits only when the buffer is full, a receiver only when it is empty.
 *  - A closed channel has nobody in either queue.
 *  - First in, first out: for values and for those who wait.
 *
 * An operation that finds its counterpart hands over directly: the value never passes through the
 * buffer or a second promise. It costs a unit of the turn's budget (runtime/sched.ts), so two
 * goroutines that keep each other busy leave turns to everybody else.
 *
 * On a buffered channel a goroutine that is woken runs behind the one that wakes it. Run first, it
 * would find the buffer as it left it and park again, and every value would cost a wake-up. Behind,
 * it lets the other get one value ahead, and from then on neither has to wait.
 */
import { List } from "../internal/list.ts";
import { Ring } from "../internal/ring.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { runtime } from "../runtime/runtime.ts";
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
} from "./waiter.ts";

/** Most buffers stay small whatever their capacity; the ring grows with its content. */
function firstRoom(capacity: number): number {
  return capacity > 8 ? 16 : 2 ** Math.ceil(Math.log2(capacity));
}

const NO_BUFFER = new Ring<unknown>();
const END: IteratorResult<never, undefined> = Object.freeze({ value: undefined, done: true });
const DONE: Promise<void> = Promise.resolve();

// The members of the two views are properties, not methods, so that the compiler compares their
// parameters strictly: a SendChan<string> does not take the place of a SendChan<string | number>.

/** The sending side of a channel. */
export interface SendChan<in T> {
  readonly send: (value: T, options?: WaitOptions) => Promise<void>;
  readonly trySend: (value: T) => boolean;
  readonly close: () => void;
  readonly length: number;
  readonly capacity: number;
}

/** The receiving side of a channel. */
export interface ReceiveChan<out T> extends AsyncIterable<T, undefined> {
  readonly receive: (options?: WaitOptions) => Promise<Received<T>>;
  readonly tryReceive: () => Received<T> | undefined;
  readonly length: number;
  readonly capacity: number;
}

/**
 * A channel: goroutines hand values to each other through it, in order.
 *
 * Without capacity a send and a receive meet: neither is done before the other has come. With a
 * capacity that many values wait inside. `undefined` and `null` are values like any other.
 *
 * @example
 * import { Chan, go } from "coronet";
 * const squares = new Chan<number>();
 * go(async () => {
 *   for (let i = 1; i <= 3; i++) await squares.send(i * i);
 *   squares.close();
 * });
 * for await (const n of squares) console.log(n); // 1 4 9
 */
export class Chan<in out T> implements SendChan<T>, ReceiveChan<T> {
  /** How many values wait inside before a sender has to. */
  readonly capacity: number;
  private readonly buffer: Ring<T>;
  private readonly receivers: List<Receiver<T>>;
  private readonly senders: List<Sender<T>>;
  private closed: boolean;

  constructor(capacity = 0) {
    if (!Number.isSafeInteger(capacity) || capacity < 0) {
      throw new RangeError(`a channel's capacity is a whole number from 0, not ${capacity}`);
    }
    this.capacity = capacity;
    this.buffer = capacity === 0 ? (NO_BUFFER as Ring<T>) : new Ring<T>(firstRoom(capacity));
    this.receivers = new List<Receiver<T>>();
    this.senders = new List<Sender<T>>();
    this.closed = false;
  }

  /** How many values wait inside. */
  get length(): number {
    return this.buffer.length;
  }

  /**
   * Sends a value; resolves when a receiver or the buffer has it. Rejects with ChanError when the
   * channel is closed, also while it waits, and with CanceledError when `signal` is aborted first: the
   * value was not sent then.
   *
   * @example
   * import { Chan } from "coronet";
   * const ch = new Chan<string>(1);
   * await ch.send("first");
   * const stop = new AbortController();
   * const second = ch.send("second", { signal: stop.signal });
   * stop.abort();
   * await second.catch((error) => console.log(error.code)); // ERR_CANCELED
   */
  send(value: T, options?: WaitOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted === true) return canceled("chan send", signal);
    if (this.closed) return Promise.reject(new ChanError(SEND_ON_CLOSED));
    if (this.accept(value)) return completed();
    return this.parkSender(value, signal);
  }

  /**
   * Receives the oldest value: `[value, true]`. When the channel is closed and drained:
   * `[undefined, false]`. Rejects with CanceledError when `signal` is aborted first: no value is lost.
   *
   * @example
   * import { Chan } from "coronet";
   * const ch = new Chan<number>(2);
   * await ch.send(7);
   * ch.close();
   * console.log(await ch.receive()); // [ 7, true ]
   * console.log(await ch.receive()); // [ undefined, false ]
   */
  receive(options?: WaitOptions): Promise<Received<T>> {
    const signal = options?.signal;
    if (signal?.aborted === true) return canceled("chan receive", signal);
    if (this.receivable) {
      // Written out, so that the compiler sees the array and needs not look for a `then` in it.
      const value = this.shift();
      const { sched } = runtime();
      return sched.spend() ? Promise.resolve([value, true]) : sched.defer([value, true]);
    }
    if (this.closed) {
      this.noteClosed(undefined);
      return runtime().sched.completeLight<Received<T>>([undefined, false]);
    }
    return this.parkReceive(signal);
  }

  /** Sends if that needs no wait, and says whether it did. Throws when the channel is closed. */
  trySend(value: T): boolean {
    if (this.closed) throw new ChanError(SEND_ON_CLOSED);
    return this.accept(value);
  }

  /** Receives if that needs no wait; `undefined` when it would have to. */
  tryReceive(): Received<T> | undefined {
    if (this.receivable) return [this.shift(), true];
    if (!this.closed) return undefined;
    this.noteClosed(undefined);
    return [undefined, false];
  }

  /**
   * Says that no more values will come: what is inside can still be received, then receivers get
   * `[undefined, false]`, at once. Senders that wait fail. Throws when it was closed before.
   */
  close(): void {
    if (this.closed) throw new ChanError("close of closed channel");
    this.closed = true;
    if (observer.released !== null) observer.released(this, "close");
    for (let r = this.receivers.shift(); r !== undefined; r = this.receivers.shift()) {
      this.noteClosed(r);
      r.end();
    }
    for (let s = this.senders.shift(); s !== undefined; s = this.senders.shift()) s.refused();
  }

  /**
   * Receives until the channel is closed and drained. Leaving the loop closes nothing and loses
   * nothing: the next receive goes on where it stopped.
   */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return new ChanIterator(this);
  }

  // ---- for iteration and select

  /** @internal One step of an iteration. */
  step(): Promise<IteratorResult<T, undefined>> {
    if (this.receivable) {
      const value = this.shift();
      const { sched } = runtime();
      return sched.spend()
        ? Promise.resolve({ value, done: false })
        : sched.defer({ value, done: false });
    }
    if (this.closed) {
      this.noteClosed(undefined);
      return Promise.resolve(END);
    }
    return this.parkStep();
  }

  /** @internal A receive would not wait. */
  get canReceive(): boolean {
    return this.receivable || this.closed;
  }

  /** @internal A send would not wait; it may throw. */
  get canSend(): boolean {
    return this.closed || this.receivers.length > 0 || this.buffer.length < this.capacity;
  }

  /** @internal */
  enqueueReceiver(receiver: Receiver<T>): void {
    this.receivers.push(receiver);
  }

  /** @internal */
  enqueueSender(sender: Sender<T>): void {
    this.senders.push(sender);
  }

  // ---- the queues

  private get receivable(): boolean {
    return this.buffer.length > 0 || this.senders.length > 0;
  }

  /** Hands a value to who waits for it, or to the buffer. */
  private accept(value: T): boolean {
    const receiver = this.receivers.shift();
    if (receiver !== undefined) {
      if (observer.released !== null) observer.released(this, "send");
      if (observer.acquired !== null) observer.acquired(this, "receive", receiver.waiter);
      receiver.take(value, this.capacity > 0);
      return true;
    }
    if (this.buffer.length >= this.capacity) return false;
    this.buffer.push(value);
    if (observer.released !== null) observer.released(this, "send");
    return true;
  }

  /** The oldest value. Its place in the buffer goes to the sender that waits the longest. */
  private shift(): T {
    const { buffer } = this;
    const sender = this.senders.shift();
    if (observer.released !== null || observer.acquired !== null) this.noteShift(sender);
    if (sender === undefined) return buffer.shift() as T;
    const { value } = sender;
    sender.sent(this.capacity > 0);
    if (this.capacity === 0) return value;
    const oldest = buffer.shift() as T;
    buffer.push(value);
    return oldest;
  }

  /** The oldest value comes out before the one of a sender goes in; without a buffer that is the same. */
  private noteShift(sender: Sender<T> | undefined): void {
    if (this.capacity > 0) observer.acquired?.(this, "receive");
    if (sender !== undefined) observer.released?.(this, "send", sender.waiter);
    if (this.capacity === 0) observer.acquired?.(this, "receive");
  }

  private noteClosed(receiver: Receiver<T> | undefined): void {
    if (observer.acquired !== null) observer.acquired(this, "close", receiver?.waiter);
  }

  /** @internal What a wait on this channel is called in reports. */
  protected kind(what: string): string {
    return what;
  }

  /** @internal */
  protected parkReceive(signal: AbortSignal | undefined): Promise<Received<T>> {
    const receiver = new PairReceiver<T>();
    const promise = new Promise<Received<T>>((resolve) => {
      receiver.resolve = resolve;
    });
    if (signal !== undefined) receiver.cancelBy(signal);
    this.receivers.push(receiver);
    if (observer.parked !== null) observer.parked(receiver, this.kind("chan receive"), this);
    return promise;
  }

  /** @internal */
  protected parkStep(): Promise<IteratorResult<T, undefined>> {
    const receiver = new StepReceiver<T>();
    const promise = new Promise<IteratorResult<T, undefined>>((resolve) => {
      receiver.resolve = resolve;
    });
    this.receivers.push(receiver);
    if (observer.parked !== null) observer.parked(receiver, this.kind("chan receive"), this);
    return promise;
  }

  /** @internal */
  protected parkSender(value: T, signal: AbortSignal | undefined): Promise<void> {
    const sender = new ParkedSender<T>(value);
    const promise = new Promise<void>((resolve) => {
      sender.resolve = resolve;
    });
    if (signal !== undefined) sender.cancelBy(signal);
    this.senders.push(sender);
    if (observer.parked !== null) observer.parked(sender, this.kind("chan send"), this);
    return promise;
  }
}

function completed(): Promise<void> {
  const { sched } = runtime();
  return sched.spend() ? DONE : sched.defer<void>(undefined);
}

function canceled(what: string, signal: AbortSignal): Promise<never> {
  return Promise.reject(new CanceledError(what, signal.reason));
}

class ChanIterator<T> implements AsyncIterator<T, undefined> {
  private readonly chan: Chan<T>;

  constructor(chan: Chan<T>) {
    this.chan = chan;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return this.chan.step();
  }
}

/**
 * Go's nil channel: it never has a value and never takes one. Receiving and sending wait for ever (or
 * until their signal), tryReceive gives undefined, trySend false, close throws.
 *
 * In a select an absent channel is simply `undefined`: `recv(undefined)` is a case that never happens.
 *
 * @example
 * import { nilChan } from "coronet";
 * const never = nilChan<number>();
 * console.log(never.tryReceive(), never.trySend(1)); // undefined false
 * const stop = new AbortController();
 * const waits = never.receive({ signal: stop.signal });
 * stop.abort();
 * await waits.catch((error) => console.log(error.code)); // ERR_CANCELED
 */
export function nilChan<T>(): Chan<T> {
  return new NilChan<T>();
}

class NilChan<T> extends Chan<T> {
  override get canReceive(): boolean {
    return false;
  }

  override get canSend(): boolean {
    return false;
  }

  override send(value: T, options?: WaitOptions): Promise<void> {
    const signal = options?.signal;
    if (signal?.aborted === true) return canceled("chan send", signal);
    return this.parkSender(value, signal);
  }

  override receive(options?: WaitOptions): Promise<Received<T>> {
    const signal = options?.signal;
    if (signal?.aborted === true) return canceled("chan receive", signal);
    return this.parkReceive(signal);
  }

  override trySend(_value: T): boolean {
    return false;
  }

  override tryReceive(): undefined {
    return undefined;
  }

  override step(): Promise<IteratorResult<T, undefined>> {
    return this.parkStep();
  }

  protected override kind(what: string): string {
    return `${what} (nil chan)`;
  }

  override close(): void {
    throw new ChanError("close of nil channel");
  }
}
