/**
 * cosocket.ts: connect(): a connection from the pool, or a new one that goes there afterwards.
 *
 * A PooledConn is the lease of a connection: from connect() until it is given back or closed. The
 * connection below it (pool.ts: Link) goes on living in the pool, and its next lease is another object,
 * so whoever kept an old one can do no harm with it.
 *
 * Invariants
 *  - `link` is there exactly while the lease lasts. Every method looks at it first.
 *  - Bytes that were read ahead stand in `reader`: as long as it has some, or somebody waits in it,
 *    everything that reads goes through it. A connection with bytes there is not given back.
 */
import { isUint8Array } from "node:util/types";
import { BufReader, type LimitOptions, type UntilOptions } from "../io/bufreader.ts";
import { type ChunkReader, type Reader, readChunk } from "../io/io.ts";
import type { FileSource } from "../io/transfer.ts";
import { runtime } from "../runtime/runtime.ts";
import { CANCELED, CLOSED, EAGAIN } from "../syscall/errno.ts";
import { type Addr, networkOf, type StreamNetwork } from "./addr.ts";
import {
  type BaseConn,
  type Conn,
  type OpOptions,
  type SendFileOptions,
  type Timeouts,
  timeoutOf,
} from "./conn.ts";
import type { DialOptions } from "./dial.ts";
import { errorOf, NetError, type NetOp } from "./errors.ts";
import { checkNetwork } from "./listen.ts";
import { type Layer, type Link, type PoolOptions, poolOf } from "./pool.ts";
import { readableOf, writableOf } from "./streams.ts";

export interface ConnectOptions extends DialOptions, PoolOptions {
  /** "unix" for what begins with "@" or has a "/" in it, else "tcp", unless it is said here. */
  network?: StreamNetwork | undefined;
  /** Name of the pool; the address by default. */
  pool?: string | undefined;
}

export interface KeepaliveOptions {
  /** As for connect(), for this connection and this time. */
  idleTimeout?: number | null | undefined;
}

/** Chunks that iteration gives from what was read ahead. */
const CHUNK_SIZE = 65_536;

/** How a lease ended. */
const GIVEN_BACK = "given back";
const CLOSED_BY_USER = "closed";

/** What a lease's reader reads from: dead with the lease, whoever still holds the reader. */
class Source implements ChunkReader {
  private readonly lease: PooledConn;

  constructor(lease: PooledConn) {
    this.lease = lease;
  }

  async read(p: Uint8Array, options?: OpOptions): Promise<number | null> {
    return await this.lease.below().read(p, options);
  }

  [readChunk](options?: OpOptions): Promise<Uint8Array | null> {
    return this.lease.below()[readChunk](options);
  }
}

async function chunkOf(reader: BufReader): Promise<IteratorResult<Uint8Array, undefined>> {
  const value = await reader.readAtMost(CHUNK_SIZE);
  return value === null ? { done: true, value: undefined } : { done: false, value };
}

class Chunks implements AsyncIterator<Uint8Array, undefined> {
  private readonly conn: PooledConn;

  constructor(conn: PooledConn) {
    this.conn = conn;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    return this.conn.nextChunk();
  }
}

/**
 * A connection that goes back to its pool when it is no longer needed.
 *
 * It is a Conn, and reads what protocols are made of: lines, exactly or at most n bytes, everything up
 * to a delimiter. An error hands out what had arrived as `partial`; after a read timeout the connection
 * is usable as before. Closing it, also by `await using`, closes the connection, unless it has been
 * given back.
 *
 * @example
 * import { closeIdle, connect, go, listen } from "coronet";
 * await using listener = await listen("tcp", "127.0.0.1:0");
 * go(async () => {
 *   const conn = await listener.accept();
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 * const address = String(listener.addr);
 * for (let i = 0; i < 3; i++) {
 *   await using conn = await connect(address, { timeout: 1000 });
 *   await conn.write("PING\r\n");
 *   console.log(await conn.readLine(), conn.reusedTimes); // PING 0, PING 1, PING 2
 *   conn.setKeepalive();
 * }
 * closeIdle(); // the server here is in the same program, and would wait for its client
 */
export class PooledConn implements Conn, ChunkReader {
  private link: Link | undefined;
  /** @internal What the lease is of; it goes on living without it. */
  protected readonly conn: BaseConn;
  private readonly idleTimeout: number | null | undefined;
  private reader: BufReader | undefined = undefined;
  private end = "";
  private halfClosed = false;
  private streams: { readable?: Conn["readable"]; writable?: Conn["writable"] } | undefined =
    undefined;
  /** How often the connection had been used before: 0 for a new one. */
  readonly reusedTimes: number;

  /** @internal */
  constructor(link: Link, idleTimeout: number | null | undefined) {
    this.link = link;
    this.conn = link.conn;
    this.idleTimeout = idleTimeout;
    this.reusedTimes = link.reused;
  }

  // ---- reading

  read(p: Uint8Array, options?: OpOptions): Promise<number | null> {
    if (this.link === undefined) return this.refuse("read");
    const reader = this.aheadOfConn();
    return reader === undefined || !isUint8Array(p)
      ? this.conn.read(p, options)
      : reader.read(p, options);
  }

  /**
   * A line without its end (LF, or CR and LF), as UTF-8 text; null at the end of the stream. At most
   * `limit` bytes, 1 MiB by default.
   */
  readLine(options?: LimitOptions): Promise<string | null> {
    if (this.link === undefined) return this.refuse("read");
    return this.ahead().readLine(options);
  }

  /** Exactly n bytes; null at the end of the stream, ERR_UNEXPECTED_EOF when it ends inside. */
  readFull(n: number, options?: OpOptions): Promise<Uint8Array | null> {
    if (this.link === undefined) return this.refuse("read");
    return this.ahead().readFull(n, options);
  }

  /** What is there: at least one byte, at most n; null at the end of the stream. */
  readAtMost(n: number, options?: OpOptions): Promise<Uint8Array | null> {
    if (this.link === undefined) return this.refuse("read");
    return this.ahead().readAtMost(n, options);
  }

  /** Everything up to the end of the stream. */
  readAll(options?: LimitOptions): Promise<Uint8Array> {
    if (this.link === undefined) return this.refuse("read");
    return this.ahead().readAll(options);
  }

  /**
   * What stands before the next delimiter, which is thrown away, or given with `inclusive`; null at
   * the end of the stream. At most `limit` bytes, 1 MiB by default.
   */
  readUntil(delimiter: string | Uint8Array, options?: UntilOptions): Promise<Uint8Array | null> {
    if (this.link === undefined) return this.refuse("read");
    return this.ahead().readUntil(delimiter, options);
  }

  /**
   * A reader of what stands before the next delimiter, for what is too long to be held at once: it
   * reads in pieces, ends at the delimiter, and takes that out. A read that fails loses nothing: after
   * a timeout the next one goes on.
   */
  until(delimiter: string | Uint8Array): Reader {
    this.check("read");
    return this.ahead().until(delimiter);
  }

  unread(bytes: Uint8Array): void {
    this.check("unread");
    const reader = this.aheadOfConn();
    // What a reader that waits has read ahead is its own, and comes first.
    if (reader === undefined || reader.isBusy) this.conn.unread(bytes);
    else reader.unread(bytes);
  }

  waitReadable(options?: OpOptions): Promise<void> {
    if (this.link === undefined) return this.refuse("wait");
    const ahead = this.reader?.buffered ?? 0;
    return ahead > 0 ? Promise.resolve() : this.conn.waitReadable(options);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return new Chunks(this);
  }

  /** @internal What a BufReader of the user's takes. */
  [readChunk](options?: OpOptions): Promise<Uint8Array | null> {
    if (this.link === undefined) return this.refuse("read");
    const reader = this.aheadOfConn();
    return reader === undefined
      ? this.conn[readChunk](options)
      : reader.readAtMost(CHUNK_SIZE, options);
  }

  /** @internal The connection itself, as long as it is leased. */
  below(): BaseConn {
    this.check("read");
    return this.conn;
  }

  /** @internal The step of an iteration. */
  nextChunk(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.link === undefined) return this.refuse("read");
    const reader = this.aheadOfConn();
    return reader === undefined ? this.conn.fd.next() : chunkOf(reader);
  }

  /** The reader, if it comes before the connection: it has bytes, or somebody who waits for some. */
  private aheadOfConn(): BufReader | undefined {
    const { reader } = this;
    return reader === undefined || (reader.buffered === 0 && !reader.isBusy) ? undefined : reader;
  }

  private ahead(): BufReader {
    this.reader ??= new BufReader(new Source(this));
    return this.reader;
  }

  // ---- writing

  write(p: Uint8Array | string, options?: OpOptions): Promise<number> {
    if (this.link === undefined) return this.refuse("write");
    return this.conn.write(p, options);
  }

  writev(chunks: readonly (Uint8Array | string)[], options?: OpOptions): Promise<number> {
    if (this.link === undefined) return this.refuse("write");
    return this.conn.writev(chunks, options);
  }

  sendFile(file: FileSource, options?: SendFileOptions): Promise<number> {
    if (this.link === undefined) return this.refuse("write");
    return this.conn.sendFile(file, options);
  }

  // ---- the end of the lease

  /**
   * Gives the connection back to its pool; from then on this object is closed. True when the pool
   * took it, false when its peer had closed it, which closes this end too.
   *
   * Throws ERR_NOT_REUSABLE when bytes are unread, an operation is under way, or a direction was
   * closed: the next user would get what belongs to this one. The connection stays yours then.
   */
  setKeepalive(options?: KeepaliveOptions): boolean {
    const { link, conn } = this;
    if (link === undefined) throw this.gone("keepalive");
    const unfit = this.whyNotIdle();
    if (unfit !== "") throw this.notReusable(link, unfit);
    const found = conn.fd.probe();
    if (found > 0) throw this.notReusable(link, "bytes have arrived that nobody has read");
    if (found !== -EAGAIN) {
      link.pool.onRefused();
      void this.close();
      return false;
    }
    const { idleTimeout = this.idleTimeout } = options ?? {};
    link.pool.takeBack(link, idleTimeout);
    this.finish(GIVEN_BACK);
    return true;
  }

  /**
   * @internal As setKeepalive, for a protocol that knows that it has read everything that it asked for:
   * the kernel is not asked once more where the last read has emptied the socket. What arrives since then
   * closes the connection in its pool. False when it was not taken; it is still open then.
   */
  recycle(idleTimeout: number | null | undefined): boolean {
    const { link, conn } = this;
    if (link === undefined || this.whyNotIdle() !== "") return false;
    if (!conn.fd.isEmptied && conn.fd.probe() !== -EAGAIN) return false;
    link.pool.takeBack(link, idleTimeout);
    this.finish(GIVEN_BACK);
    return true;
  }

  private whyNotIdle(): string {
    const { reader } = this;
    if (this.halfClosed) return "one of its directions was closed";
    if (!this.conn.fd.isIdle || reader?.isBusy === true) return "an operation is under way on it";
    const ahead = (reader?.buffered ?? 0) + this.conn.fd.unreadLength;
    return ahead > 0 ? `${ahead} bytes of what arrived are unread` : "";
  }

  private notReusable(link: Link, why: string): NetError {
    link.pool.onRefused();
    const hint = "read the whole answer first, or close the connection";
    return this.errorWith("keepalive", "ERR_NOT_REUSABLE", why, hint);
  }

  /** Closes the connection. Harmless when it was given back. */
  async close(): Promise<void> {
    const { link } = this;
    if (link === undefined) return;
    this.finish(CLOSED_BY_USER);
    link.onUsed();
    const closing = this.conn.close();
    link.pool.onGone();
    await closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private finish(how: string): void {
    this.link = undefined;
    this.reader = undefined;
    this.end = how;
  }

  async closeRead(): Promise<void> {
    this.check("close");
    this.halfClosed = true;
    await this.conn.closeRead();
  }

  async closeWrite(): Promise<void> {
    this.check("close");
    this.halfClosed = true;
    await this.conn.closeWrite();
  }

  // ---- what a conn has beside

  setDeadline(t: Date | null): void {
    this.check("set");
    this.conn.setDeadline(t);
  }

  setReadDeadline(t: Date | null): void {
    this.check("set");
    this.conn.setReadDeadline(t);
  }

  setWriteDeadline(t: Date | null): void {
    this.check("set");
    this.conn.setWriteDeadline(t);
  }

  /** For this lease: the connection's next user begins without any. */
  setTimeouts(timeouts: Timeouts): void {
    this.check("set");
    this.conn.setTimeouts(timeouts);
  }

  ref(): this {
    this.check("set");
    this.conn.ref();
    return this;
  }

  unref(): this {
    this.check("set");
    this.conn.unref();
    return this;
  }

  get network(): StreamNetwork {
    return this.conn.network as StreamNetwork;
  }

  get localAddr(): Addr {
    return this.conn.localAddr;
  }

  get remoteAddr(): Addr {
    return this.conn.remoteAddr;
  }

  get readable(): Conn["readable"] {
    this.streams ??= {};
    this.streams.readable ??= readableOf(this);
    return this.streams.readable;
  }

  get writable(): Conn["writable"] {
    this.streams ??= {};
    this.streams.writable ??= writableOf(this);
    return this.streams.writable;
  }

  // ---- errors

  private check(op: NetOp): void {
    if (this.link === undefined) throw this.gone(op);
  }

  private refuse(op: NetOp): Promise<never> {
    return Promise.reject(this.gone(op));
  }

  private gone(op: NetOp): NetError {
    if (this.end === GIVEN_BACK) {
      const text = "the connection was given back to its pool";
      return this.errorWith(op, "ERR_CLOSED", text, "connect() again");
    }
    const { network } = this;
    const [source, address] = [String(this.localAddr), String(this.remoteAddr)];
    return errorOf(CLOSED, { op, network, source, address });
  }

  private errorWith(op: NetOp, code: string, text: string, hint: string): NetError {
    const { network } = this;
    const [source, address] = [String(this.localAddr), String(this.remoteAddr)];
    return new NetError({ op, network, source, address, code, text, hint });
  }
}

/**
 * A connection to an address, out of this thread's pool when one is idle there, else a new one.
 *
 * Addresses: "host:port", "[::1]:port", "/path", "@abstract". `timeout` bounds the whole: waiting for
 * a place in a pool with a backlog, and dialling. Throws a NetError as dial() does, and ERR_POOL_FULL
 * at once when the backlog is full.
 *
 * Options of the socket (noDelay, keepAlive, buffers) hold for a connection that is dialled; one that
 * comes from the pool keeps what it was dialled with.
 *
 * @example
 * import { connect, go, listen } from "coronet";
 * await using listener = await listen("unix", "@coronet-example-connect");
 * go(async () => {
 *   for await (const conn of listener) void conn.write("+PONG\r\n");
 * });
 * await using conn = await connect("@coronet-example-connect", { poolSize: 4, backlog: 100 });
 * console.log(await conn.readLine()); // +PONG
 */
export function connect(address: string, options: ConnectOptions = {}): Promise<PooledConn> {
  return connectOver(undefined, address, options, lease);
}

/** @internal As connect, of connections with a layer on them. */
export function connectOver<T extends PooledConn>(
  layer: Layer | undefined,
  address: string,
  options: ConnectOptions,
  lease: (link: Link, options: PoolOptions) => T,
): Promise<T> {
  try {
    const network = options.network ?? networkOf(address);
    const { signal, idleTimeout } = options;
    if (signal?.aborted === true) {
      throw errorOf(CANCELED, { op: "dial", network, address, cause: signal.reason });
    }
    checkNetwork(network, "connect");
    if (idleTimeout !== undefined) timeoutOf(idleTimeout, "idle");
    const pool = poolOf(options.pool ?? address, network, layer?.name);
    pool.configure(options);
    const link = pool.takeIdle();
    if (link === undefined) return pool.open({ address, options, layer, lease });
    return runtime().sched.completeLight(lease(link, options));
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * @internal The idle connection of a pool, at once, for a caller that calls connect() when there is none. One
 * that `canDoWithout` may get a connection that its peer has closed in this very moment.
 */
export function connectIdle(
  pool: string,
  network: StreamNetwork,
  canDoWithout: boolean,
  layer?: Layer,
): PooledConn | undefined {
  const link = poolOf(pool, network, layer?.name).takeIdle(canDoWithout);
  return link === undefined ? undefined : new PooledConn(link, undefined);
}

/** @internal What connect() gives. */
export function lease(link: Link, { idleTimeout }: PoolOptions): PooledConn {
  return new PooledConn(link, idleTimeout);
}
