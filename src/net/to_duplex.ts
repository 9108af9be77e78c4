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
 */
import { Duplex } from "node:stream";
import { TCPAddr } from "./addr.ts";
import type { Conn } from "./conn.ts";
import { TCPConn } from "./tcp.ts";

export interface DuplexOptions {
  /** False (the default, as for a net.Socket) ends the writing side when the peer ends its own. */
  allowHalfOpen?: boolean;
}

/** Longest time that a timer of Node takes, in ms. */
const LONGEST_TIMER = 0x7fff_ffff;

type Done = (error?: Error | null) => void;

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
  private timer: NodeJS.Timeout | undefined = undefined;
  private readonly chunks: AsyncIterator<Uint8Array, undefined>;
  private reading = false;

  /** @internal */
  constructor(conn: Conn, options: DuplexOptions) {
    super({ allowHalfOpen: options.allowHalfOpen ?? false });
    this.conn = conn;
    this.chunks = conn[Symbol.asyncIterator]();
  }

  // ---- what a Duplex is made of

  override _read(): void {
    if (this.reading) return;
    this.reading = true;
    void this.pump();
  }

  private async pump(): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.chunks.next();
        this.active();
        if (done === true) {
          // It stays "reading": nothing comes after the end.
          this.push(null);
          return;
        }
        this.bytesRead += value.length;
        if (!this.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength))) break;
      }
      this.reading = false;
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.written(this.conn.write(chunk), done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.written(this.conn.writev(chunks.map(({ chunk }) => chunk)), done);
  }

  private written(writing: Promise<number>, done: Done): void {
    this.active();
    writing.then((n) => {
      this.bytesWritten += n;
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
    clearTimeout(this.timer);
    this.timer = undefined;
    this.timeout = ms === 0 ? undefined : ms;
    if (ms === 0) {
      if (listener !== undefined) this.removeListener("timeout", listener);
      return this;
    }
    if (listener !== undefined) this.once("timeout", listener);
    if (this.destroyed) return this;
    this.timer = setTimeout(() => this.emit("timeout"), Math.min(ms, LONGEST_TIMER));
    this.timer.unref();
    return this;
  }

  private active(): void {
    this.timer?.refresh();
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
