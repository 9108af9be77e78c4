/**
 * conn.ts: WebSocketConn: messages on a connection, the same for both sides.
 *
 * Invariants
 *  - The connection is read only when a message is asked for, for the closing handshake, or to hear the
 *    answer to a ping; one chunk at a time, and none while messages of the one before are left.
 *  - One goroutine reads: whoever holds `readLock`.
 *  - A frame is one write, so writers queue in the connection. A message of several frames, and one that
 *    is compressed, or that a signal may end, holds `sendLock`; all others pass only while nobody does.
 *  - Nothing waits in the connection behind a frame that a signal may end: it would be written into it.
 *  - `end` is set once: by the peer's close frame, or by what broke the socket. From then on nothing is
 *    read but to let the connection end well.
 */
import { isUint8Array } from "node:util/types";
import { readChunk } from "../../io/io.ts";
import type { Addr } from "../../net/addr.ts";
import { type BaseConn, type OpOptions, readNow, waitReady, writeLatin1 } from "../../net/conn.ts";
import { NetError, type NetOp } from "../../net/errors.ts";
import { runtime } from "../../runtime/runtime.ts";
import { Mutex } from "../../sync/mutex.ts";
import { scratch } from "../../syscall/scratch.ts";
import { type CloseFrame, Decoder, type Message } from "./decoder.ts";
import {
  ABNORMAL,
  closeCodeOf,
  INTERNAL_ERROR,
  NO_CODE,
  NORMAL,
  WebSocketError,
} from "./errors.ts";
import {
  asciiFrame,
  BINARY,
  CLOSE,
  CONTINUATION,
  closePayload,
  compress,
  controlFrame,
  frameOf,
  PING,
  PONG,
  TEXT,
} from "./frames.ts";
import { Keeper, type Kept } from "./keeper.ts";
import { THRESHOLD, type WebSocketSettings } from "./options.ts";
import { type Extensions, PerMessageDeflate } from "./ws.ts";

export type { Message } from "./decoder.ts";

/** What can be sent: a message, or its parts one by one, all of them text or all of them bytes. */
export type Sendable = Message | AsyncIterable<Message>;

/** Bytes and time for which a peer that was refused is listened to, so that its end is not a reset. */
const LINGER_BYTES = 256 * 1024;
const LINGER_MS = 1_000;
/** Compressed input is taken in parts, so that what they come to stays small: zlib makes 1000 of 1. */
const COMPRESSED_AT_ONCE = 4096;
/** Longest reason of a close frame, in bytes. */
const LONGEST_REASON = 123;

const nothing = new Uint8Array(0);
const sent = Promise.resolve();
/** The last frame of a compressed message to which nothing is added (RFC 7692, 7.2.3.6). */
const emptyBlock = Uint8Array.of(0);

/** How a socket ended. */
interface End extends CloseFrame {
  /** There was a closing handshake. */
  readonly clean: boolean;
  readonly errorCode: string;
  readonly text: string;
  readonly timeout?: boolean;
  readonly cause?: unknown;
}

/** What a handshake came to. */
export interface Agreement {
  isServer: boolean;
  protocol: string;
  extensions: Extensions;
  settings: WebSocketSettings;
}

/**
 * A WebSocket: `upgradeWebSocket` gives a server's, `dialWebSocket` a client's.
 *
 * Any number of goroutines may use it: receivers queue behind receivers, and messages are never mixed.
 * Iterating gives the messages until the peer closes; leaving the loop closes nothing.
 *
 * @example
 * import { dialWebSocket, serve, upgradeWebSocket } from "coronet/http";
 * await using server = await serve("127.0.0.1:0", async (request, info) => {
 *   await using socket = await upgradeWebSocket(request, info);
 *   for await (const message of socket) await socket.send(message);
 *   return undefined;
 * });
 * await using socket = await dialWebSocket(`ws://${server.addr}/`);
 * await socket.send("hello");
 * console.log(await socket.receive()); // hello
 */
export class WebSocketConn
  implements AsyncDisposable, AsyncIterable<Message>, AsyncIterator<Message, undefined>, Kept
{
  /** The connection below. Closing it ends the socket without a handshake. */
  readonly conn: BaseConn;
  /** The subprotocol that was agreed on; "" for none. */
  readonly protocol: string;
  /** @internal */
  heard = false;
  private readonly isServer: boolean;
  private readonly decoder: Decoder;
  private readonly deflate: PerMessageDeflate | undefined;
  private readonly threshold: number;
  private readonly closeTimeout: number;
  private readonly keeper: Keeper | undefined;
  private readonly readLock = new Mutex();
  private readonly sendLock = new Mutex();
  /** Compressed input that was read and not decoded. */
  private rest: Uint8Array = nothing;
  private readUntil = Infinity;
  /** Pongs on their way. */
  private answering: Promise<void> | undefined = undefined;
  /** Settles when the frame is written that a signal may end: until then no other is begun. */
  private cancelable: Promise<void> | undefined = undefined;
  private closeSent = false;
  private end: End | undefined = undefined;
  /** Settles when the connection below is closed after an end. */
  private ending: Promise<void> | undefined = undefined;
  private released = false;

  /** @internal */
  constructor(conn: BaseConn, { isServer, protocol, extensions, settings }: Agreement) {
    this.conn = conn;
    this.protocol = protocol;
    this.isServer = isServer;
    this.decoder = new Decoder(isServer, extensions, settings.maxPayload);
    this.deflate = extensions[PerMessageDeflate.extensionName];
    this.threshold = settings.compression?.threshold ?? THRESHOLD;
    this.closeTimeout = settings.closeTimeout;
    const { pingInterval, pingTimeout } = settings;
    this.keeper =
      pingInterval === Infinity ? undefined : new Keeper(this, pingInterval, pingTimeout);
  }

  get localAddr(): Addr {
    return this.conn.localAddr;
  }

  get remoteAddr(): Addr {
    return this.conn.remoteAddr;
  }

  /** How it ended: the peer's code, 1005 when it gave none, 1006 without a handshake; undefined before. */
  get closeCode(): number | undefined {
    return this.end?.code;
  }

  /** What the peer gave as its reason for closing. */
  get closeReason(): string {
    return this.end?.reason ?? "";
  }

  /** Sets both deadlines, as a Conn's; null clears them. */
  setDeadline(t: Date | null): void {
    this.setReadDeadline(t);
    this.setWriteDeadline(t);
  }

  /** One that has passed fails receive() with a timeout; nothing is lost. */
  setReadDeadline(t: Date | null): void {
    this.conn.setReadDeadline(t);
    this.readUntil = t === null ? Infinity : t.getTime();
  }

  /** One that passes within a message ends the socket: the rest of it is missing. */
  setWriteDeadline(t: Date | null): void {
    this.conn.setWriteDeadline(t);
  }

  // ---- receiving

  /**
   * The next message: text as a string, bytes as a Uint8Array; null when the peer has closed, whatever
   * its code. Fails with a WebSocketError when there was no closing handshake, or the peer broke the
   * protocol; with ERR_DEADLINE at a deadline and ERR_CANCELED by its signal, which lose nothing.
   */
  receive(options?: OpOptions): Promise<Message | null> {
    const signal = options?.signal;
    if (!this.mayRead(signal)) return this.receiveInTurn(signal);
    if (this.decoder.waiting > 0) return runtime().sched.completeLight(this.decoder.shift());
    this.readLock.tryLock();
    return this.conn[waitReady]().then(this.received, this.notRead);
  }

  /** @internal As receive, for loops. */
  next(): Promise<IteratorResult<Message, undefined>> {
    if (!this.mayRead(undefined)) return this.receiveInTurn(undefined).then(resultOf);
    if (this.decoder.waiting > 0) {
      return runtime().sched.completeLight({ done: false, value: this.decoder.shift() });
    }
    this.readLock.tryLock();
    return this.conn[waitReady]().then(this.receivedNext, this.notRead);
  }

  /** Messages until the peer closes, as receive() gives them. */
  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    return this;
  }

  /** Whether this goroutine is the only one to read, and nothing else is to be thought of. */
  private mayRead(signal: AbortSignal | undefined): boolean {
    if (signal !== undefined || this.deflate !== undefined || this.readLock.locked) return false;
    if (this.answering !== undefined || this.readUntil !== Infinity) return false;
    if (this.decoder.waiting > 0) return true;
    return !this.decoder.over && this.end === undefined && !this.closeSent;
  }

  private readonly received = (): Message | Promise<Message | null> => {
    this.readShared();
    if (this.decoder.waiting === 0) return this.receiveHere() as Promise<Message>;
    this.readLock.unlock();
    return this.decoder.shift();
  };

  private readonly receivedNext = ():
    | IteratorResult<Message, undefined>
    | Promise<IteratorResult<Message, undefined>> => {
    this.readShared();
    if (this.decoder.waiting === 0) return this.receiveHere().then(resultOf);
    this.readLock.unlock();
    return { done: false, value: this.decoder.shift() };
  };

  /** Reads into memory that is everybody's, while a message begins: most are over in the same turn. */
  private readShared(): void {
    const { conn, decoder } = this;
    // Whoever has closed meanwhile, and what else there may be, is for receiveHere to find.
    if (!decoder.isBetween || this.end !== undefined || this.closeSent) return;
    try {
      const n = conn[readNow](scratch);
      if (n === 0) this.came(null);
      else if (n > 0) {
        decoder.decodeShared(scratch, n);
        this.decoded();
      }
    } catch (error) {
      this.notRead(error);
    }
  }

  private readonly notRead = (error: unknown): never => {
    this.readLock.unlock();
    throw this.readFailure(error);
  };

  private async receiveInTurn(signal: AbortSignal | undefined): Promise<Message | null> {
    await this.readLock.lock({ signal });
    return await this.receiveHere(signal);
  }

  /** The caller holds the lock, and does not any more when it has the message. */
  private async receiveHere(signal?: AbortSignal): Promise<Message | null> {
    try {
      for (;;) {
        if (this.decoder.waiting > 0 && !this.isLate()) return this.decoder.shift();
        if (!(await this.readMore(signal))) return null;
      }
    } finally {
      this.readLock.unlock();
    }
  }

  private isLate(): boolean {
    return this.readUntil !== Infinity && Date.now() >= this.readUntil;
  }

  /** Reads once; false when the peer has closed. The caller holds the lock. */
  private async readMore(signal: AbortSignal | undefined): Promise<boolean> {
    await this.answering;
    this.settle();
    if (this.end?.clean === true) return false;
    if (this.end !== undefined) throw this.errorFor("read");
    if (this.rest.length === 0) {
      const chunk = await this.conn[readChunk]({ signal }).catch((error: unknown) => {
        throw this.readFailure(error);
      });
      if (this.deflate === undefined || chunk === null) {
        this.came(chunk);
        return true;
      }
      this.rest = chunk;
    }
    const part = this.rest.subarray(0, COMPRESSED_AT_ONCE);
    this.rest = this.rest.subarray(part.length);
    await this.decoder.decode(part);
    if (this.released) this.cleanUp();
    this.decoded();
    return true;
  }

  /** A chunk was read, or the end; no compression. */
  private came(chunk: Uint8Array | null): void {
    if (chunk === null) {
      this.fail({
        ...abnormal,
        text: "the peer has ended the connection without closing the socket",
      });
      return;
    }
    void this.decoder.decode(chunk);
    this.decoded();
  }

  private decoded(): void {
    const { decoder } = this;
    this.heard = true;
    if (decoder.pings !== undefined) this.answer(decoder);
    // Whoever closes wants no more messages.
    if (this.closeSent) decoder.drop();
  }

  /** What came last, when everything before it was received: only then is the peer answered. */
  private settle(): void {
    const { closeFrame, failure } = this.decoder;
    if (this.end !== undefined || this.decoder.waiting > 0) return;
    if (failure !== undefined) this.refuse(failure);
    else if (closeFrame !== undefined) this.peerCloses(closeFrame);
  }

  /** What a read that failed is to the user. */
  private readFailure(cause: unknown): unknown {
    if (this.end !== undefined) return this.errorFor("read");
    if (leavesUsable(cause)) return cause;
    if (!(cause instanceof NetError)) return cause;
    const text =
      cause.code === "ERR_CLOSED"
        ? "the connection was closed without closing the socket"
        : "the connection broke off";
    this.fail({ ...abnormal, text, cause });
    return this.errorFor("read");
  }

  // ---- sending

  /**
   * Sends a message: a string as text, a Uint8Array as bytes, an async iterable of either as one message
   * in parts. Resolves when the kernel has every byte. What goroutines send at the same time goes out
   * one after the other.
   *
   * A signal or deadline that ends it before the first byte leaves the socket usable; later the message
   * is broken, and the socket with it.
   */
  send(data: Sendable, options?: OpOptions): Promise<void> {
    const signal = options?.signal;
    if (this.end !== undefined || this.closeSent) return Promise.reject(this.errorFor("write"));
    const alone = signal === undefined && this.deflate === undefined && !this.sendLock.locked;
    if (!alone) return this.sendInTurn(data, signal);
    if (typeof data === "string" && this.isServer) {
      const frame = asciiFrame(data);
      const writing = frame === undefined ? undefined : this.conn[writeLatin1](frame);
      if (frame !== undefined) return writing === undefined ? sent : this.written(writing);
    }
    if (typeof data === "string" || isUint8Array(data)) {
      const opcode = typeof data === "string" ? TEXT : BINARY;
      return this.sendFrame(bytesOf(data), opcode, true, false, undefined);
    }
    return this.sendInTurn(data, signal);
  }

  private sendFrame(
    payload: Uint8Array,
    opcode: number,
    fin: boolean,
    compressed: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { conn } = this;
    const parts = frameOf(payload, { opcode, fin, compressed, mask: !this.isServer });
    const [first] = parts as [Uint8Array];
    const sending = this.written(
      parts.length === 1 ? conn.write(first, { signal }) : conn.writev(parts, { signal }),
    );
    if (signal !== undefined) {
      const over = sending.catch(ignore).then(() => {
        if (this.cancelable === over) this.cancelable = undefined;
      });
      this.cancelable = over;
    }
    return sending;
  }

  /** A control frame goes between the frames of messages, and never into one that is given up. */
  private async sendControl(bytes: Uint8Array): Promise<void> {
    if (this.cancelable !== undefined) await this.cancelable;
    await this.written(this.conn.write(bytes));
  }

  private written(writing: Promise<number>): Promise<void> {
    return writing.then(ignore, this.notWritten);
  }

  private readonly notWritten = (error: unknown): never => {
    throw this.writeFailure(error);
  };

  /** What a write that failed is to the user. Half a frame is the end of the socket. */
  private writeFailure(cause: unknown): unknown {
    if (!(cause instanceof NetError)) return cause;
    const givenUp = leavesUsable(cause);
    if (givenUp && !cause.bytesWritten) return cause;
    if (this.end !== undefined) return this.errorFor("write");
    if (givenUp) {
      this.breakOff({ ...abnormal, text: "a message was sent in part", cause });
      return cause;
    }
    // What the peer has sent before it went can still be received; that tells the rest.
    const text = "the connection is broken";
    return this.errorFor("write", { ...abnormal, text, cause });
  }

  private async sendInTurn(data: Sendable, signal: AbortSignal | undefined): Promise<void> {
    const whole = typeof data === "string" || isUint8Array(data);
    if (!whole && !isIterable(data)) {
      throw new TypeError("send: expected a string, a Uint8Array, or an async iterable of them");
    }
    using _ = await this.sendLock.lock({ signal });
    if (this.end !== undefined || this.closeSent) throw this.errorFor("write");
    if (!whole) return await this.sendParts(data, signal);
    const payload = bytesOf(data);
    const isLarge = this.deflate !== undefined && payload.length >= this.threshold;
    await this.sendPart(payload, typeof data === "string" ? TEXT : BINARY, true, isLarge, signal);
  }

  /** One frame of a message; the caller holds the lock. */
  private async sendPart(
    payload: Uint8Array,
    opcode: number,
    fin: boolean,
    compressed: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (!compressed) return await this.sendFrame(payload, opcode, fin, false, signal);
    const { deflate } = this;
    const small = await compress(deflate as PerMessageDeflate, payload, fin).catch((error) => {
      throw this.end === undefined ? error : this.errorFor("write");
    });
    // Of a message only the first frame says that it is compressed. What the compressor has seen the
    // peer has to see: from here on nothing takes the message back.
    await this.sendFrame(small, opcode, fin, opcode !== CONTINUATION, undefined).catch((error) => {
      this.breakOff({ ...abnormal, text: "a message was not sent", cause: error });
      throw error;
    });
  }

  private async sendParts(
    parts: AsyncIterable<Message>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let kind = 0;
    const compressed = this.deflate !== undefined;
    try {
      for await (const part of parts) {
        const opcode = typeof part === "string" ? TEXT : BINARY;
        if (opcode === BINARY && !isUint8Array(part)) {
          throw new TypeError("send: a part is neither a string nor a Uint8Array");
        }
        if (kind !== 0 && opcode !== kind) {
          throw new TypeError("send: the parts of a message are all text or all bytes");
        }
        await this.sendPart(bytesOf(part), kind === 0 ? opcode : 0, false, compressed, signal);
        kind = opcode;
        if (this.end !== undefined || this.closeSent) throw this.errorFor("write");
      }
      if (kind === 0) return await this.sendFrame(nothing, BINARY, true, false, signal);
      await this.sendFrame(compressed ? emptyBlock : nothing, CONTINUATION, true, false, undefined);
    } catch (error) {
      // There is no way to take back half a message but to close.
      if (kind !== 0 && this.end === undefined) {
        this.dismiss(INTERNAL_ERROR, "a message was sent in part", error);
      }
      throw error;
    }
  }

  // ---- pings

  private answer(decoder: Decoder): void {
    const pings = decoder.pings as Buffer[];
    decoder.pings = undefined;
    if (this.closeSent || this.end !== undefined) return;
    const pongs = pings.map((payload) => controlFrame(PONG, payload, !this.isServer));
    const bytes = pongs.length === 1 ? (pongs[0] as Uint8Array) : Buffer.concat(pongs);
    const answering = this.sendControl(bytes).catch(ignore);
    this.answering = answering.then(() => {
      this.answering = undefined;
    });
  }

  /** @internal */
  get waiting(): number {
    return this.decoder.waiting + this.rest.length + (this.decoder.over ? 1 : 0);
  }

  /** @internal */
  sendPing(): void {
    if (this.closeSent || this.end !== undefined) return;
    void this.sendControl(controlFrame(PING, nothing, !this.isServer)).catch(ignore);
    void this.listen();
  }

  /** Reads until something came, where nobody else does. */
  private async listen(): Promise<void> {
    using held = this.readLock.tryLock();
    if (held === undefined) return;
    try {
      while (!this.heard && this.end === undefined) await this.readMore(undefined);
    } catch {
      // Whoever receives next is told.
    }
  }

  /** @internal */
  pingTimedOut(ms: number): void {
    const text = `the peer did not answer a ping within ${ms} ms`;
    this.breakOff({ ...abnormal, errorCode: "ERR_WS_PING_TIMEOUT", text, timeout: true });
  }

  // ---- the end

  /**
   * Closes: tells the peer the code and the reason, waits until it has closed, too, and closes the
   * connection. Messages that are still coming are dropped. A peer that does not take part within
   * `closeTimeout` is left: `closeCode` is 1006 then. Twice is harmless.
   *
   * Throws a TypeError for a code that a program cannot give (it can 1000 to 1003, 1007 to 1014, 3000 to
   * 4999), and a RangeError for a reason of more than 123 bytes.
   */
  async close(code: number = NORMAL, reason = ""): Promise<void> {
    checkClose(code, reason);
    if (this.closeSent || this.end !== undefined) return await this.ended();
    this.closeSent = true;
    this.decoder.drop();
    const timer = setTimeout(() => this.closeTimedOut(), this.closeTimeout);
    try {
      this.setReadDeadline(null);
      this.conn.setWriteDeadline(null);
      await this.sendControl(controlFrame(CLOSE, closePayload(code, reason), !this.isServer));
      using _ = await this.readLock.lock();
      while (await this.readMore(undefined)) this.decoder.drop();
    } catch {
      // How it ended is told by closeCode.
    } finally {
      clearTimeout(timer);
    }
    if (this.end === undefined) {
      this.fail({ ...abnormal, text: "the connection broke off" });
    }
    await this.ended();
  }

  /** Closes with code 1000. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Closes the connection at once, without a handshake. Whoever waits on the socket fails. */
  abort(): void {
    this.breakOff({ ...abnormal, errorCode: "ERR_CLOSED", text: "the socket was aborted" });
  }

  private closeTimedOut(): void {
    const text = `the peer did not close within ${this.closeTimeout} ms`;
    this.breakOff({ ...abnormal, errorCode: "ERR_WS_CLOSE_TIMEOUT", text, timeout: true });
  }

  private async ended(): Promise<void> {
    // Somebody else is at the handshake.
    if (this.end === undefined) {
      using _ = await this.readLock.lock();
      while (this.end === undefined && (await this.readMore(undefined).catch(ignore)));
    }
    await this.ending;
  }

  /** The peer has sent a close frame: it gets one back, unless it has one. */
  private peerCloses({ code, reason }: CloseFrame): void {
    const text = "the peer has closed the socket";
    this.end = { clean: true, code, reason, errorCode: "ERR_CLOSED", text };
    this.ending = this.finish(code === NO_CODE ? undefined : code);
  }

  /** The peer broke the protocol, or a limit. */
  private refuse(error: Error): void {
    this.dismiss(closeCodeOf(error), error.message, error);
  }

  /** Ends the socket, telling the peer why. */
  private dismiss(code: number, text: string, cause: unknown): void {
    this.end = { clean: false, code, reason: "", errorCode: "ERR_WS_PROTOCOL", text, cause };
    this.ending = this.finish(code);
  }

  /** The connection is of no use any more. */
  private fail(end: End): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.ending = this.release();
  }

  /** As fail, where somebody may still wait on the connection. */
  private breakOff(end: End): void {
    this.end ??= end;
    const released = this.release();
    this.ending ??= released;
  }

  /** The last frame, then the end of the connection, with time for the peer to take it all. */
  private async finish(code: number | undefined): Promise<void> {
    const { conn } = this;
    const timer = setTimeout(() => void this.release(), this.closeTimeout);
    try {
      conn.setDeadline(null);
      if (!this.closeSent) {
        this.closeSent = true;
        await this.cancelable;
        await conn.write(controlFrame(CLOSE, closePayload(code, ""), !this.isServer));
      }
      await this.linger();
    } catch {
      // It has been given its time.
    }
    clearTimeout(timer);
    await this.release();
  }

  /**
   * Waits for the peer to end the connection: closing while its bytes are still coming would make the
   * kernel send a reset, which can overtake the close frame. A client leaves it to the server to end
   * first (RFC 6455, 7.1.1).
   */
  private async linger(): Promise<void> {
    const { conn } = this;
    if (this.isServer || this.end?.clean !== true) {
      await conn.closeWrite();
      conn.setReadDeadline(new Date(Date.now() + LINGER_MS));
    }
    for (let left = LINGER_BYTES; left > 0; ) {
      const chunk = await conn[readChunk]();
      if (chunk === null) return;
      left -= chunk.length;
    }
  }

  private async release(): Promise<void> {
    this.keeper?.stop();
    this.rest = nothing;
    this.released = true;
    if (!this.decoder.busy) this.cleanUp();
    await this.conn.close();
  }

  /** Not while zlib decompresses: it would have nobody to tell. */
  private cleanUp(): void {
    this.deflate?.cleanup();
  }

  private errorFor(op: NetOp, end: End | undefined = this.end): WebSocketError {
    const { conn } = this;
    const { code, reason, errorCode, text, timeout, cause } = end ?? closing;
    return new WebSocketError({
      op,
      network: conn.network,
      source: String(conn.localAddr),
      address: String(conn.remoteAddr),
      code: errorCode,
      text: end?.clean === true ? `${text} with ${code}${reason && `, ${reason}`}` : text,
      timeout: timeout ?? false,
      cause,
      closeCode: code,
      reason,
      endsGoroutine: true,
    });
  }
}

const abnormal = { clean: false, code: ABNORMAL, reason: "", errorCode: "ERR_WS_ABNORMAL" };

const closing: End = {
  ...abnormal,
  errorCode: "ERR_CLOSED",
  text: "the socket is closing",
};

function ignore(): void {}

function resultOf(message: Message | null): IteratorResult<Message, undefined> {
  return message === null ? { done: true, value: undefined } : { done: false, value: message };
}

function bytesOf(data: Message): Uint8Array {
  return typeof data === "string" ? Buffer.from(data) : data;
}

function isIterable(data: unknown): data is AsyncIterable<Message> {
  return typeof data === "object" && data !== null && Symbol.asyncIterator in data;
}

/** An operation that was given up: the connection is as it was. */
function leavesUsable(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === "ERR_DEADLINE" || code === "ERR_CANCELED";
}

function checkClose(code: number, reason: string): void {
  const known =
    (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
    (code >= 3000 && code <= 4999);
  if (!(Number.isInteger(code) && known)) {
    throw new TypeError(`close: ${code} is no code that can be sent`);
  }
  if (Buffer.byteLength(reason) > LONGEST_REASON) {
    throw new RangeError(`close: the reason is longer than ${LONGEST_REASON} bytes`);
  }
}
