/**
 * to_duplex.ts: toDuplex(): a conn as what npm packages know, a stream with a socket's methods.
 *
 * Backpressure both ways: a chunk is read when the stream wants one, and the next write begins when the
 * one before it is in the kernel; what piled up meanwhile goes out with one writev. While the stream
 * waits for data it holds no buffer.
 *
 * Invariants
 *  - At most one read of the conn is under way (`reading`), and none while the stream is full.
 *  - Destroying the stream closes the conn, and the conn's errors destroy the stream.
 *  - What a listener throws is an uncaught exception, as with a net.Socket, and no error of the stream.
 */
import { Duplex } from "node:stream";
import type { Scheduler } from "../runtime/sched.ts";
import { TCPAddr } from "./addr.ts";
import { BaseConn, type Conn, writeLatin1 } from "./conn.ts";
import { TCPConn } from "./tcp.ts";

export interface DuplexOptions {
  /** False (the default, as for a net.Socket) ends the writing side when the peer ends its own. */
  allowHalfOpen?: boolean;
}

/** Longest time that a timer of Node takes, in ms. */
const LONGEST_TIMER = 0x7fff_ffff;

/** What piled up is copied together up to this size. */
const COPIED = 16_384;

/** A chunk that waited while the one before it was written. */
export interface Piled {
  chunk: Buffer | string;
  encoding: BufferEncoding;
}

export type Done = (error?: Error | null) => void;

/**
 * A conn as a stream. Beside a Duplex's methods and events it has those of a net.Socket that packages
 * call on the socket they are given.
 */
export class ConnDuplex extends Duplex {
  /** The conn below. Closing it destroys the stream. */
  readonly conn: Conn;
  bytesRead = 0;
  bytesWritten = 0;
  /** As of a net.Socket: it is connected from the beginning. */
  readonly connecting = false;
  readonly pending = false;
  /** The inactivity in ms that setTimeout() was told; undefined for none. */
  timeout: number | undefined = undefined;
  /** Kept while it is not wanted: servers turn it on and off with every request. */
  private timer: NodeJS.Timeout | undefined = undefined;
  private timerMs = 0;
  private readonly chunks: AsyncIterator<Uint8Array, undefined>;
  private reading = false;
  private readonly sched: Scheduler | undefined;

  /** @internal */
  constructor(conn: Conn, options: DuplexOptions) {
    // Strings come as they are, as to a net.Socket: most are written without a buffer of their own.
    super({ allowHalfOpen: options.allowHalfOpen ?? false, decodeStrings: false });
    this.conn = conn;
    this.chunks = conn[Symbol.asyncIterator]();
    this.sched = conn instanceof BaseConn ? conn.fd.device.runtime.sched : undefined;
  }

  // ---- what a Duplex is made of

  override _read(): void {
    if (this.reading) return;
    this.reading = true;
    this.readOn();
  }

  private readOn(): void {
    this.chunks.next().then(this.onChunk, this.onFailure);
  }

  private readonly onChunk = ({ done, value }: IteratorResult<Uint8Array, undefined>): void => {
    this.active();
    let chunk: Buffer | null = null;
    if (done !== true) {
      this.bytesRead += value.length;
      chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    let wanted = true;
    try {
      wanted = this.push(chunk);
    } catch (error) {
      // A promise's reaction must not take it: nobody would look for it there.
      queueMicrotask(() => {
        throw error;
      });
    }
    // At the end it stays "reading": nothing comes after it.
    if (chunk === null) return;
    if (wanted) this.readOn();
    else this.reading = false;
  };

  private readonly onFailure = (error: Error): void => {
    this.destroy(error);
  };

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    if (typeof chunk === "string") this.writeText(chunk, encoding, done);
    else this.written(this.conn.write(chunk), 0, done);
  }

  private writeText(text: string, encoding: BufferEncoding, done: Done): void {
    const { conn } = this;
    const isBytes = conn instanceof BaseConn && isLatin1(text, encoding);
    if (isBytes) this.written(conn[writeLatin1](text), text.length, done);
    else this.written(conn.write(Buffer.from(text, encoding)), 0, done);
  }

  override _writev(chunks: Piled[], done: Done): void {
    const { conn } = this;
    const text = conn instanceof BaseConn ? joined(chunks) : undefined;
    if (text === undefined) this.written(this.writeAll(chunks), 0, done);
    else this.written((conn as BaseConn)[writeLatin1](text), text.length, done);
  }

  private writeAll(chunks: Piled[]): Promise<number> {
    const { conn } = this;
    const buffers = chunks.map(({ chunk, encoding }) =>
      typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk,
    );
    let length = 0;
    for (const buffer of buffers) length += buffer.length;
    // To copy a little costs less than a list of buffers.
    return length <= COPIED ? conn.write(Buffer.concat(buffers, length)) : conn.writev(buffers);
  }

  /** `bytes` is what was written when there is nothing to wait for. */
  private written(writing: Promise<number> | undefined, bytes: number, done: Done): void {
    this.active();
    // Most writes are done by now, and nobody has to be woken for them.
    const n = writing === undefined ? bytes : this.sched?.completed(writing);
    if (writing === undefined || n !== undefined) {
      this.bytesWritten += n as number;
      done();
      return;
    }
    writing.then((bytes) => {
      this.bytesWritten += bytes;
      this.active();
      done();
    }, done);
  }

  override _final(done: Done): void {
    this.conn.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.conn.close().then(
      () => done(error),
      (failed: Error) => done(error ?? failed),
    );
  }

  // ---- what a net.Socket has beside

  /** It is connected already: says so with "connect" and "ready", for packages that want to ask. */
  connect(...args: unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === "function") this.once("connect", listener as () => void);
    process.nextTick(() => {
      this.emit("connect");
      this.emit("ready");
    });
    return this;
  }

  /** Emits "timeout" when no byte was moved for so many ms; 0 turns it off. It closes nothing. */
  setTimeout(ms: number, listener?: () => void): this {
    if (typeof ms !== "number" || !(ms >= 0)) {
      throw new RangeError(`setTimeout: expected ms, 0 or more; got ${ms}`);
    }
    this.timeout = ms === 0 ? undefined : ms;
    if (ms === 0) {
      if (listener !== undefined) this.removeListener("timeout", listener);
      return this;
    }
    if (listener !== undefined) this.once("timeout", listener);
    if (!this.destroyed) this.arm(Math.min(ms, LONGEST_TIMER));
    return this;
  }

  private arm(ms: number): void {
    if (this.timer !== undefined && this.timerMs === ms) {
      this.timer.refresh();
      return;
    }
    clearTimeout(this.timer);
    this.timerMs = ms;
    this.timer = setTimeout(() => {
      if (this.timeout !== undefined) this.emit("timeout");
    }, ms);
    this.timer.unref();
  }

  private active(): void {
    if (this.timeout !== undefined) this.timer?.refresh();
  }

  /** As TCPConn.setNoDelay; of no effect where there is no such thing. */
  setNoDelay(noDelay = true): this {
    if (this.conn instanceof TCPConn && !this.destroyed) this.conn.setNoDelay(noDelay);
    return this;
  }

  /** As TCPConn.setKeepAlive, with the silence before the first probe in ms. */
  setKeepAlive(enable = false, initialDelay = 0): this {
    if (this.conn instanceof TCPConn && !this.destroyed) {
      const idle = Math.floor(initialDelay / 1000);
      this.conn.setKeepAlive(enable && idle >= 1 ? { idle } : enable);
    }
    return this;
  }

  ref(): this {
    if (!this.destroyed) this.conn.ref();
    return this;
  }

  unref(): this {
    if (!this.destroyed) this.conn.unref();
    return this;
  }

  /** Ends the writing side, and destroys the stream when everything is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", this.destroy);
  }

  /** Destroys the stream so that a TCP peer sees a reset. */
  resetAndDestroy(): this {
    if (this.conn instanceof TCPConn && !this.destroyed) this.conn.setLinger(0);
    return this.destroy();
  }

  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  get remoteAddress(): string | undefined {
    return ipOf(this.conn.remoteAddr);
  }

  get remotePort(): number | undefined {
    return portOf(this.conn.remoteAddr);
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.conn.remoteAddr);
  }

  get localAddress(): string | undefined {
    return ipOf(this.conn.localAddr);
  }

  get localPort(): number | undefined {
    return portOf(this.conn.localAddr);
  }

  get localFamily(): string | undefined {
    return familyOf(this.conn.localAddr);
  }

  address(): { address?: string; family?: string; port?: number } {
    const { localAddress: address, localFamily: family, localPort: port } = this;
    return address === undefined || family === undefined || port === undefined
      ? {}
      : { address, family, port };
  }
}

/** True when every character of the text is one byte, and that byte, in its encoding. */
function isLatin1(text: string, encoding: BufferEncoding): boolean {
  if (encoding === "latin1" || encoding === "binary") return true;
  return (encoding === "utf8" || encoding === "utf-8") && Buffer.byteLength(text) === text.length;
}

/** The text of all chunks, a byte per character; undefined where it has none. */
function joined(chunks: readonly Piled[]): string | undefined {
  let all = "";
  for (const { chunk, encoding } of chunks) {
    if (typeof chunk !== "string" || !isLatin1(chunk, encoding)) return undefined;
    all += chunk;
  }
  return all.length <= COPIED ? all : undefined;
}

function ipOf(addr: object): string | undefined {
  return addr instanceof TCPAddr ? addr.ip : undefined;
}

function portOf(addr: object): number | undefined {
  return addr instanceof TCPAddr ? addr.port : undefined;
}

function familyOf(addr: object): string | undefined {
  if (!(addr instanceof TCPAddr)) return undefined;
  return addr.ip.includes(":") ? "IPv6" : "IPv4";
}

/**
 * A conn as a node:stream Duplex with a socket's methods, for packages that want one.
 *
 * The stream takes the conn over: it reads from it and closes it in the end. An error of the conn is
 * emitted as "error", a NetError.
 *
 * @example
 * import { pipe, toDuplex } from "coronet";
 * const [a, b] = pipe();
 * const stream = toDuplex(a);
 * stream.end("hello");
 * for await (const chunk of b) console.log(Buffer.from(chunk).toString()); // hello
 * await b.close();
 */
export function toDuplex(conn: Conn, options: DuplexOptions = {}): ConnDuplex {
  return new ConnDuplex(conn, options);
}
