/**
 * tls_fd.ts: an fd that speaks TLS: reads and writes as on any fd, once the handshake is done.
 *
 * The handshake needs both directions, whatever the operations above want. Until it is done the poll
 * descriptor's semaphores are held by a Step, which drives it on each event; operations that came
 * meanwhile wait in `readerOp` and `writerOp`, where deadlines, signals and close find them. The first
 * operation begins it, so a listener that accepts is never held up by a client that says nothing.
 *
 * Invariants
 *  - While `shaking`, pd.rg and pd.wg hold the Step, READY or null, and no operation.
 *  - A short read proves nothing; what is left is told by the status word (MORE).
 *  - UNFLUSHED is set while records wait for the socket: a write has not succeeded before they left.
 */
import { FD, type Owner } from "../poll/fd.ts";
import { READ_SHUT, UNFLUSHED } from "../poll/fd_mutex.ts";
import { type Op, type OpName, READER, type Side, SignalOp, WRITER } from "../poll/op.ts";
import { HANGUP, READY, URGENT } from "../runtime/netpoll.ts";
import { parked, resolver } from "../runtime/park.ts";
import type { Waiter } from "../runtime/sched.ts";
import { Timer } from "../runtime/timers.ts";
import { SHUT_WR, SO_LINGER, SOL_SOCKET } from "../syscall/constants.ts";
import { DEADLINE, EAGAIN, TLS_FAILED, TLS_TRUNCATED } from "../syscall/errno.ts";
import type { TlsContextHandle, TlsFailure } from "../syscall/kernel.ts";
import { HELLO, MORE, type TlsDevice, tlsStatus, UNFLUSHED_RECORDS } from "./tls_kernel.ts";

/** How long close() waits for a peer that does not read, to tell it that nothing follows; as in Go. */
const FAREWELL_MS = 5000;

/** A struct linger that says: discard what is unsent, and reset (socket(7)). */
const LINGER_RESET = new Uint8Array(Int32Array.of(1, 0).buffer);

/** Why a connection failed: OpenSSL's words, or an error of the program's own. */
export interface Failure {
  readonly number: number;
  readonly details: TlsFailure | undefined;
  readonly cause: unknown;
}

/** Answers a client's hello. `undefined` refuses it, null leaves the context as it is. */
export type Chooser = (
  name: string | undefined,
) => Promise<TlsContextHandle | null | undefined> | TlsContextHandle | null | undefined;

export interface HandshakeOptions {
  /** In ms; Infinity for none. */
  readonly timeout: number;
  readonly choose: Chooser | undefined;
  readonly keylog: ((line: string) => void) | undefined;
}

/** What holds the semaphores while the handshake is under way. */
class Step implements Waiter {
  private readonly fd: TlsFD;

  constructor(fd: TlsFD) {
    this.fd = fd;
  }

  ready(): void {
    this.fd.step();
  }
}

class HandshakeTimer extends Timer {
  private readonly shaking: Shaking;

  constructor(shaking: Shaking) {
    super();
    this.shaking = shaking;
  }

  fire(): void {
    this.shaking.expire();
  }
}

/** What an fd has only until its handshake is done. */
class Shaking {
  readonly step: Step;
  readonly options: HandshakeOptions;
  readerOp: Op<never> | undefined = undefined;
  writerOp: Op<never> | undefined = undefined;
  /** An answer to the client's hello is being looked for. */
  choosing = false;
  private readonly fd: TlsFD;
  private timer: HandshakeTimer | undefined = undefined;

  constructor(fd: TlsFD, options: HandshakeOptions) {
    this.fd = fd;
    this.step = new Step(fd);
    this.options = options;
  }

  /** The first operation has come. */
  begin(): void {
    const { timeout } = this.options;
    if (this.timer !== undefined || timeout === Infinity) return;
    this.timer = new HandshakeTimer(this);
    const { timers, clock } = this.fd.device.runtime;
    timers.arm(this.timer, clock.now() + timeout);
  }

  end(): void {
    if (this.timer !== undefined) this.fd.device.runtime.timers.disarm(this.timer);
  }

  expire(): void {
    this.fd.failHandshake({ number: DEADLINE, details: undefined, cause: undefined });
  }

  take(side: Side): Op<never> | undefined {
    const op = side === READER ? this.readerOp : this.writerOp;
    if (side === READER) this.readerOp = undefined;
    else this.writerOp = undefined;
    return op;
  }
}

/** Waits until the handshake is done. */
class HandshakeOp extends SignalOp<void> {
  get side(): typeof WRITER {
    return WRITER;
  }

  get kind(): OpName {
    return "handshake";
  }

  attempt(): boolean {
    const n = (this.fd as TlsFD).advance();
    if (n === -EAGAIN) return false;
    if (n < 0) this.fail(-n);
    else this.succeed(undefined);
    return true;
  }
}

export class TlsFD extends FD {
  declare readonly device: TlsDevice;
  /** Undefined once the handshake is done, or has failed. */
  private shaking: Shaking | undefined;
  /** Why nothing works any more; undefined while it does. */
  failure: Failure | undefined = undefined;

  constructor(device: TlsDevice, sysfd: number, owner: Owner, options: HandshakeOptions) {
    super(device, sysfd, owner, false);
    this.shaking = new Shaking(this, options);
  }

  /** False until the handshake is done. */
  get isSecure(): boolean {
    return this.shaking === undefined && this.failure === undefined;
  }

  // ---- the handshake

  /** Does the handshake, if it is not done yet. */
  handshake(signal: AbortSignal | undefined): Promise<void> {
    const refused = this.refusal(signal);
    if (refused !== 0) return this.refuse("handshake", refused, signal);
    const promise = parked<void>();
    this.submit(new HandshakeOp(this, resolver(), signal) as never, signal);
    return promise;
  }

  /** Does what can be done now: 0 when the handshake is done, -EAGAIN, or a negative number. */
  advance(): number {
    const { shaking } = this;
    if (shaking === undefined) return this.failure === undefined ? 0 : -this.failure.number;
    if (shaking.choosing) return -EAGAIN;
    shaking.begin();
    tlsStatus[1] = this.pd.flags & (HANGUP | URGENT);
    const n = this.shake(shaking);
    if (n === -EAGAIN) return n;
    if (n < 0) this.noteFailure(n);
    if (n < 0) {
      this.failure ??= { number: -n, details: undefined, cause: undefined };
      this.failedInHandshake = true;
    }
    this.shaking = undefined;
    shaking.end();
    this.pd.rg = this.pd.wg = READY;
    // Whoever called goes on by itself; the others wait for nothing now.
    this.wakeAfter(shaking);
    return n;
  }

  private shake(shaking: Shaking): number {
    const { native } = this.device.kernel;
    const { keylog, choose } = shaking.options;
    for (;;) {
      const n = native.tlsHandshake(this.sysfd);
      const hello = (tlsStatus[0] as number) & HELLO;
      if (keylog !== undefined) this.passKeylog(keylog);
      if (n !== -EAGAIN || hello === 0) return n;
      if (choose === undefined || !this.choose(shaking, choose)) return -EAGAIN;
    }
  }

  private passKeylog(keylog: (line: string) => void): void {
    const lines = this.device.kernel.native.tlsKeylog(this.sysfd);
    for (const line of lines?.split("\n") ?? []) if (line !== "") keylog(line);
  }

  /** Answers the client's hello: true when that is done, false when the answer takes time. */
  private choose(shaking: Shaking, choose: Chooser): boolean {
    const { native } = this.device.kernel;
    let chosen: ReturnType<Chooser>;
    try {
      chosen = choose(native.tlsHello(this.sysfd));
    } catch (error) {
      return this.refuseHello(error);
    }
    if (!(chosen instanceof Promise)) {
      native.tlsChoose(this.sysfd, chosen);
      return true;
    }
    shaking.choosing = true;
    const goOn = (answer: () => void): void => {
      if (this.closing || this.shaking !== shaking) return;
      shaking.choosing = false;
      answer();
      this.step();
    };
    chosen.then(
      (context) => goOn(() => native.tlsChoose(this.sysfd, context)),
      (error: unknown) => goOn(() => this.refuseHello(error)),
    );
    return false;
  }

  private refuseHello(cause: unknown): true {
    this.chooserFailed = cause;
    this.device.kernel.native.tlsChoose(this.sysfd, undefined);
    return true;
  }

  /** What the program threw when it was asked for a context. */
  private chooserFailed: unknown;

  /** From the poller: something has come, or can be sent. */
  step(): void {
    const { shaking } = this;
    if (shaking === undefined || this.closing) return;
    if (this.advance() === -EAGAIN) this.waitForStep(shaking);
  }

  private waitForStep({ step }: Shaking): void {
    this.pd.rg = this.pd.wg = step;
  }

  /** Ends the handshake from this side. */
  failHandshake(failure: Failure): void {
    const { shaking } = this;
    if (shaking === undefined) return;
    this.failure = failure;
    this.failedInHandshake = true;
    this.shaking = undefined;
    shaking.end();
    this.pd.rg = this.pd.wg = READY;
    this.wakeAfter(shaking);
  }

  /** The operations that waited for the handshake go on, each on its own. */
  private wakeAfter(shaking: Shaking): void {
    for (const side of [READER, WRITER] as const) {
      const op = shaking.take(side);
      if (op === undefined) continue;
      this.park(op);
      this.device.runtime.sched.enqueue(new Woken(op));
    }
  }

  private noteFailure(n: number): void {
    if (this.failure !== undefined || (n !== -TLS_FAILED && n !== -TLS_TRUNCATED)) return;
    const details =
      n === -TLS_FAILED ? this.device.kernel.native.tlsFailure(this.sysfd) : undefined;
    const cause = this.chooserFailed;
    this.failure = { number: -n, details, cause };
  }

  /** The stream is not whole: close() is not to say that it is. */
  cutsOff = false;

  /** True when the failure was the handshake's. */
  failedInHandshake = false;

  // ---- operations meet the handshake

  protected override park(op: Op<never>): void {
    const { shaking } = this;
    if (shaking === undefined) {
      super.park(op);
      return;
    }
    if (op.side === READER) shaking.readerOp = op;
    else shaking.writerOp = op;
    this.waitForStep(shaking);
  }

  protected override parkedOn(side: Side): Op<never> | undefined {
    const { shaking } = this;
    if (shaking === undefined) return super.parkedOn(side);
    return side === READER ? shaking.readerOp : shaking.writerOp;
  }

  protected override unpark(side: Side): void {
    if (this.shaking === undefined) super.unpark(side);
    else this.shaking.take(side);
  }

  protected override wakeReader(): void {
    if (this.shaking === undefined) super.wakeReader();
    else this.shaking.take(READER)?.ready();
  }

  // ---- bytes

  override tryRead(buffer: Uint8Array): number {
    const n = this.before(READER);
    return n < 0 ? n : super.tryRead(buffer);
  }

  override tryChunk(): Uint8Array | number {
    const n = this.before(READER);
    return n < 0 ? n : super.tryChunk();
  }

  override tryReadable(): boolean {
    const n = this.before(READER);
    if (n !== 0) return n !== -EAGAIN;
    return super.tryReadable();
  }

  override probe(): number {
    // A ticket and the end may have come together: one look has to find both.
    tlsStatus[1] = 1;
    return super.probe();
  }

  /**
   * To look for plain text takes records off the socket, whose event may then never come: while a reader
   * waits for it, or the handshake does, what counts is the socket itself.
   */
  override hasUnread(): boolean {
    if (this.closing) return false;
    if (this.isSecure && this.pd.rg === READY) {
      tlsStatus[1] = 1;
      return super.hasUnread();
    }
    const n = this.device.kernel.native.peek(this.sysfd);
    if (n < 0 && n !== -EAGAIN) this.keepFailure(-n);
    return n !== -EAGAIN;
  }

  /** 0 when the handshake is done, or does not matter: bytes were put back, reading has ended. */
  private before(side: Side): number {
    tlsStatus[1] = this.pd.flags & (HANGUP | URGENT);
    if (this.shaking === undefined && !this.failedInHandshake) return 0;
    if (side === READER && (this.unreadLength > 0 || (this.state & READ_SHUT) !== 0)) return 0;
    return this.advance();
  }

  protected override received(n: number, length: number): number {
    if (n <= 0) {
      const got = super.received(n, length);
      // The socket's own failure, if it has one, comes before what it means to TLS.
      if (got === n) this.noteFailure(n);
      return got;
    }
    const more = ((tlsStatus[0] as number) & MORE) !== 0;
    // As if the buffer had been filled: only the status word tells whether more is there.
    const got = super.received(n, n);
    if (!more) this.pd.rg = null;
    return got;
  }

  override trySend(buffer: Uint8Array, offset: number, length: number): number {
    const ready = this.before(WRITER);
    if (ready < 0) return ready;
    let sent = 0;
    // One call seals a few records; the socket may have room for more.
    while (sent < length) {
      const n = super.trySend(buffer, offset + sent, length - sent);
      if (n < 0) return sent > 0 && n === -EAGAIN ? sent : n;
      sent += n;
      if ((this.state & UNFLUSHED) !== 0) break;
    }
    return sent;
  }

  protected override trySendFirst(buffer: Uint8Array, length: number): number {
    const ready = this.before(WRITER);
    return ready < 0 ? ready : super.trySendFirst(buffer, length);
  }

  override writeLatin1(text: string): Promise<number> | undefined {
    if (this.isSecure) return super.writeLatin1(text);
    return this.write(Buffer.from(text, "latin1"), undefined);
  }

  override trySendVector(chunks: readonly Uint8Array[], first: number, offset: number): number {
    const ready = this.before(WRITER);
    return ready < 0 ? ready : super.trySendVector(chunks, first, offset);
  }

  protected override sent(n: number, length: number): number {
    this.noteStatus();
    if (n < 0 && n !== -EAGAIN) this.noteFailure(n);
    // Less than asked for is a call's worth of records, not a full socket.
    return super.sent(n, n > 0 ? n : length);
  }

  private noteStatus(): void {
    if (((tlsStatus[0] as number) & UNFLUSHED_RECORDS) === 0) {
      this.state &= ~UNFLUSHED;
      return;
    }
    this.state |= UNFLUSHED;
    this.pd.wg = null;
  }

  protected override tryFlush(): number {
    const n = this.device.kernel.native.tlsFlush(this.sysfd);
    this.noteStatus();
    return n;
  }

  // ---- to another thread

  /** Under which the connection is on its way; 0 while it is here. */
  private parked = 0;

  /** False while the handshake is under way, and when it has failed. */
  get mayMove(): boolean {
    return this.shaking === undefined && !this.failedInHandshake;
  }

  override pack(inbox: number): number {
    const number = this.device.kernel.native.tlsPark(this.sysfd, inbox);
    if (number > 0) this.parked = number;
    return number;
  }

  override unpack(): void {
    if (this.parked !== 0) this.adopt(this.parked);
    this.parked = 0;
  }

  override comeBack(sysfd: number): void {
    super.comeBack(sysfd);
    this.unpack();
  }

  /** The other thread has taken it, or has ended with it on its way there. */
  gone(): void {
    this.device.kernel.native.tlsDiscard(this.parked);
  }

  /** Takes over a connection that is on its way; this fd's handshake is not its own. */
  adopt(number: number): void {
    const n = this.device.kernel.native.tlsUnpark(this.sysfd, number);
    this.shaking = undefined;
    if (n < 0) this.failure = { number: -n, details: undefined, cause: undefined };
    else this.noteStatus();
  }

  // ---- the end

  override shutWrite(): number {
    const ready = this.before(WRITER);
    if (ready < 0) return ready;
    const n = this.device.kernel.shutdown(this.sysfd, SHUT_WR);
    this.noteStatus();
    return n;
  }

  /**
   * Tells the peer that nothing follows (close_notify), unless a write is cut short by this very close
   * or unread bytes are discarded: the peer learns of either, by a truncated or a reset stream.
   */
  override async close(lingerMs = 0): Promise<void> {
    if (this.closing) return;
    const says = this.isSecure && !this.cutsOff && this.parked === 0;
    const left = says ? this.sayFarewell() : 0;
    if (left !== -EAGAIN) {
      this.shaking?.end();
      await super.close(lingerMs);
      return;
    }
    this.incref();
    try {
      await super.close(lingerMs);
      await this.flushFarewell();
    } finally {
      this.decref();
    }
  }

  private sayFarewell(): number {
    const { kernel } = this.device;
    const reads = this.pd.rg !== null && (this.state & READ_SHUT) === 0;
    tlsStatus[1] = 1;
    // Also takes what no program reads (session tickets), for which the kernel would reset.
    if (reads && kernel.peek(this.sysfd) === 1) {
      kernel.native.setsockopt(this.sysfd, SOL_SOCKET, SO_LINGER, LINGER_RESET);
      return 0;
    }
    return this.isWaiting(WRITER) ? 0 : kernel.shutdown(this.sysfd, SHUT_WR);
  }

  private async flushFarewell(): Promise<void> {
    const { runtime, kernel } = this.device;
    const until = runtime.clock.now() + FAREWELL_MS;
    for (
      let pause = 1;
      kernel.native.tlsFlush(this.sysfd) === -EAGAIN;
      pause = Math.min(pause * 2, 50)
    ) {
      const left = until - runtime.clock.now();
      if (left <= 0) return;
      await runtime.sleep(Math.min(pause, left));
    }
  }
}

/** An operation goes on from the run queue, where it still waits. */
class Woken implements Waiter {
  private readonly op: Op<never>;

  constructor(op: Op<never>) {
    this.op = op;
  }

  ready(): void {
    if (!this.op.settled) this.op.fd.retry(this.op);
  }
}
