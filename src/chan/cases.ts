/**
 * cases.ts: what a select may wait for.
 *
 * A case describes; it holds no state of a wait, so it may be kept and used in any number of selects,
 * also at the same time. While a select is parked each of its cases is represented by a Node of its
 * own, which stands in a channel's queue, among the timers or with a signal.
 */
import { type Cancelable, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { milliseconds, Timer } from "../runtime/timers.ts";
import { Chan, type ReceiveChan, type SendChan } from "./chan.ts";
import { ChanError, type Received, Receiver, SEND_ON_CLOSED, Sender } from "./waiter.ts";

/** Who is told that one of a parked select's cases has happened. Takes every node out. */
export interface Parked {
  finish(outcome: object): void;
  fail(makeError: () => Error): void;
}

/** A case of a parked select. */
export interface Node {
  /** The select's other nodes. */
  next: Node | undefined;
  /** Leaves the queue that it stands in; harmless when it has left. */
  leave(): void;
}

/** A case of a select. */
export abstract class Case {
  /** It can happen without waiting. */
  abstract get ready(): boolean;
  /** Makes it happen, where it is ready: the outcome; undefined when another thread was faster. */
  abstract perform(key: string): object | undefined;
  /** Waits for it; undefined when it will never happen. */
  abstract park(select: Parked, key: string): Node | undefined;
}

/** What a select needs of a channel: a Chan, or a channel between threads (src/shared). */
export interface SelectableChan {
  readonly canReceive: boolean;
  readonly canSend: boolean;
  tryReceive(): Received<unknown> | undefined;
  trySend(value: unknown): boolean;
  enqueueReceiver(receiver: Receiver<unknown>): void;
  enqueueSender(sender: Sender<unknown>): void;
  /** The form in which a value leaves this thread; throws when it cannot. */
  encode?(value: unknown): unknown;
}

/** Made by recv(). */
export class RecvCase<out T> extends Case {
  private readonly chan: SelectableChan | undefined;
  /** Only for the compiler: what the case gives. */
  declare readonly gives: T;

  constructor(chan: SelectableChan | undefined) {
    super();
    this.chan = chan;
  }

  get ready(): boolean {
    return this.chan?.canReceive === true;
  }

  perform(key: string): object | undefined {
    const got = (this.chan as SelectableChan).tryReceive();
    return got === undefined ? undefined : { case: key, value: got[0], ok: got[1] };
  }

  park(select: Parked, key: string): Node | undefined {
    if (this.chan === undefined) return undefined;
    const node = new ReceiveNode(select, key);
    this.chan.enqueueReceiver(node);
    return node;
  }
}

/** Made by send(). */
export class SendCase extends Case {
  private readonly chan: SelectableChan | undefined;
  private readonly value: unknown;

  constructor(chan: SelectableChan | undefined, value: unknown) {
    super();
    this.chan = chan;
    this.value = value;
  }

  get ready(): boolean {
    return this.chan?.canSend === true;
  }

  perform(key: string): object | undefined {
    return (this.chan as SelectableChan).trySend(this.value) ? { case: key } : undefined;
  }

  park(select: Parked, key: string): Node | undefined {
    if (this.chan === undefined) return undefined;
    const node = new SendNode(select, key, this.value);
    this.chan.enqueueSender(node);
    return node;
  }
}

/** Made by after(). */
export class AfterCase extends Case {
  /** Milliseconds from the moment in which a select begins to wait. */
  readonly ms: number;

  constructor(ms: number) {
    super();
    this.ms = ms;
  }

  get ready(): boolean {
    return false;
  }

  perform(key: string): object {
    return { case: key };
  }

  park(select: Parked, key: string): Node {
    return new AfterNode(runtime(), this.ms, select, key);
  }
}

/** What a Context is to a select: `done` is closed when it ends, `signal.reason` says why. */
export interface DoneSource {
  readonly done: ReceiveChan<never>;
  readonly signal: AbortSignal;
}

/** An AbortSignal, or a Context that has no channel. */
class SignalCase extends Case {
  private readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    super();
    this.signal = signal;
  }

  get ready(): boolean {
    return this.signal.aborted;
  }

  perform(key: string): object {
    return { case: key, reason: this.signal.reason };
  }

  park(select: Parked, key: string): Node {
    return new SignalNode(this.signal, select, key);
  }
}

/** A Context: its channel costs less than a listener on its signal. */
class DoneCase extends Case {
  private readonly source: DoneSource;
  private readonly done: Chan<unknown>;

  constructor(source: DoneSource, done: Chan<unknown>) {
    super();
    this.source = source;
    this.done = done;
  }

  get ready(): boolean {
    return this.done.canReceive;
  }

  perform(key: string): object {
    if (observer.acquired !== null) observer.acquired(this.done, "close");
    return { case: key, reason: this.source.signal.reason };
  }

  park(select: Parked, key: string): Node {
    const node = new DoneNode(select, key, this.source);
    this.done.enqueueReceiver(node);
    return node;
  }
}

/** The case that an entry of a select stands for; undefined when it is absent. */
export function caseOf(entry: unknown, key: string): Case | undefined {
  if (entry instanceof Case) return entry;
  if (entry === undefined) return undefined;
  if (entry instanceof AbortSignal) return new SignalCase(entry);
  if (typeof entry === "object" && entry !== null && "done" in entry && "signal" in entry) {
    const source = entry as DoneSource;
    if (source.done instanceof Chan) return new DoneCase(source, source.done as Chan<unknown>);
    if (source.signal instanceof AbortSignal) return new SignalCase(source.signal);
  }
  throw new TypeError(
    `select: "${key}" is neither recv(), send(), after(), a Context nor an AbortSignal`,
  );
}

// ---- the nodes

class ReceiveNode extends Receiver<unknown> implements Node {
  next: Node | undefined;
  private readonly select: Parked;
  private readonly key: string;

  constructor(select: Parked, key: string) {
    super();
    this.next = undefined;
    this.select = select;
    this.key = key;
  }

  take(value: unknown): void {
    this.select.finish({ case: this.key, value, ok: true });
  }

  end(): void {
    this.select.finish({ case: this.key, value: undefined, ok: false });
  }

  fail(makeError: () => Error): void {
    this.select.fail(makeError);
  }

  override get waiter(): object {
    return this.select;
  }

  leave(): void {
    this.list?.remove(this);
  }
}

class SendNode extends Sender<unknown> implements Node {
  next: Node | undefined;
  private readonly select: Parked;
  private readonly key: string;

  constructor(select: Parked, key: string, value: unknown) {
    super(value);
    this.next = undefined;
    this.select = select;
    this.key = key;
  }

  sent(): void {
    this.select.finish({ case: this.key });
  }

  refused(): void {
    this.fail(() => new ChanError(SEND_ON_CLOSED));
  }

  fail(makeError: () => Error): void {
    this.select.fail(makeError);
  }

  override get waiter(): object {
    return this.select;
  }

  leave(): void {
    this.list?.remove(this);
  }
}

class DoneNode extends Receiver<unknown> implements Node {
  next: Node | undefined;
  private readonly select: Parked;
  private readonly key: string;
  private readonly source: DoneSource;

  constructor(select: Parked, key: string, source: DoneSource) {
    super();
    this.next = undefined;
    this.select = select;
    this.key = key;
    this.source = source;
  }

  take(): void {
    this.end();
  }

  end(): void {
    this.select.finish({ case: this.key, reason: this.source.signal.reason });
  }

  fail(makeError: () => Error): void {
    this.select.fail(makeError);
  }

  override get waiter(): object {
    return this.select;
  }

  leave(): void {
    this.list?.remove(this);
  }
}

/** Keeps the process alive, as a sleep does. */
class AfterNode extends Timer implements Node {
  next: Node | undefined;
  private readonly runtime: Runtime;
  private readonly select: Parked;
  private readonly key: string;

  constructor(rt: Runtime, ms: number, select: Parked, key: string) {
    super();
    this.next = undefined;
    this.runtime = rt;
    this.select = select;
    this.key = key;
    rt.hold();
    rt.timers.arm(this, rt.clock.now() + ms);
  }

  fire(): void {
    this.select.finish({ case: this.key });
  }

  leave(): void {
    this.runtime.timers.disarm(this);
    this.runtime.release();
  }
}

class SignalNode implements Node, Cancelable {
  next: Node | undefined;
  private readonly select: Parked;
  private readonly key: string;
  private readonly link: SignalLink;

  constructor(signal: AbortSignal, select: Parked, key: string) {
    this.next = undefined;
    this.select = select;
    this.key = key;
    this.link = new SignalLink(signal, this);
  }

  get waiter(): object {
    return this.select;
  }

  onAbort(): void {
    this.select.finish({ case: this.key, reason: this.link.reason });
  }

  leave(): void {
    this.link.remove();
  }
}

// ---- what users write

function chanOf(chan: unknown, what: string): SelectableChan | undefined {
  if (chan === undefined || chan instanceof Chan) return chan;
  if (typeof chan === "object" && chan !== null && "enqueueReceiver" in chan) {
    return chan as SelectableChan;
  }
  throw new TypeError(`${what}: expected a Chan or undefined, got ${typeof chan}`);
}

/**
 * A case of select(): a value is received, or the channel is found closed. With `undefined` in the
 * channel's place the case never happens, so a loop switches a case off by dropping its channel.
 *
 * @example
 * import { Chan, recv, select } from "coronet";
 * const a = new Chan<number>(1);
 * await a.send(1);
 * const got = await select({ a: recv(a), b: recv<string>(undefined) });
 * console.log(got); // { case: 'a', value: 1, ok: true }
 */
export function recv<T>(chan: ReceiveChan<T> | undefined): RecvCase<T> {
  return new RecvCase<T>(chanOf(chan, "recv"));
}

/**
 * A case of select(): a value is sent. The select fails when the channel is closed. With `undefined`
 * in the channel's place the case never happens.
 *
 * @example
 * import { Chan, select, send } from "coronet";
 * const out = new Chan<string>(1);
 * console.log(await select({ out: send(out, "hello") })); // { case: 'out' }
 */
export function send<T>(chan: SendChan<T> | undefined, value: NoInfer<T>): SendCase {
  const to = chanOf(chan, "send");
  return new SendCase(to, to?.encode === undefined ? value : to.encode(value));
}

/**
 * A case of select(): so many milliseconds have passed since the select began to wait. The timer
 * exists only while the select is parked: a case that lost leaves nothing behind.
 *
 * @example
 * import { after, Chan, recv, select } from "coronet";
 * const jobs = new Chan<string>();
 * const got = await select({ job: recv(jobs), late: after(10) });
 * console.log(got.case); // late
 */
export function after(ms: number): AfterCase {
  return new AfterCase(milliseconds(ms, "after"));
}
