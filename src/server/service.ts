/**
 * service.ts: what every worker does, whatever it is: accepts, serves, counts, drains.
 *
 * Connections come from the sockets that it listens on, or from the inbox where its supervisor places
 * them.
 *
 * Life: load the module → start() → accept → drain (accept nothing, wait for the handlers) → stop().
 *
 * Invariants
 *  - A handler is one goroutine with no frame of ours beneath it; its record counts its connection's
 *    bytes. When it is over, however it ended, the connection is closed and no longer live.
 *  - At the limit nothing is accepted. A worker with several listeners may have one accepted
 *    connection in hand per further listener: it is not served before there is room.
 *  - Once draining, nothing is accepted, and what is accepted already is served.
 */
import { type Codec, FramingError } from "../io/framing.ts";
import type { Listener } from "../net/listener.ts";
import type { SocketConn } from "../net/socket.ts";
import type { Meter } from "../poll/fd.ts";
import { type AnyFunction, Goroutine, go, goroutineStats, launch } from "../runtime/goroutine.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";
import type { Boot } from "./control.ts";
import type { MessageHandler, ServerModule, WorkerInfo } from "./module.ts";
import { codecOf } from "./options.ts";
import type { PlacedConns } from "./placed.ts";
import { noTotals, type ServiceStats, type Totals } from "./stats.ts";

/** How much later than asked a silent peer may be closed, as a part of the time asked. */
const SWEEPS_PER_IDLE = 4;
/** How long handlers whose connections were closed under them may take to end, in ms. */
const GRACE_MS = 1000;
/** A worker is recycled after up to this much more than maxRequests: not all of them at once. */
const JITTER = 0.2;
/** Connections that a worker takes at most while it leaves a socket. */
const LAST_ACCEPTS = 1000;

/** The goroutine of one connection, and the account of it. */
class Served extends Goroutine<unknown> implements Meter {
  readonly conn: SocketConn;
  bytesIn = 0;
  bytesOut = 0;
  nextMeter: Meter | undefined = undefined;
  /** Bytes at the last look of the heartbeat, and since when there have been no more. */
  seen = -1;
  since = 0;
  private readonly service: Service;

  constructor(handler: AnyFunction, service: Service, conn: SocketConn) {
    super(handler);
    this.service = service;
    this.conn = conn;
  }

  override ended(_failed: boolean, error: unknown): void {
    this.service.onEnded(this, error);
  }
}

/** Where a worker's connections come from. */
export interface Sources {
  readonly listeners: readonly Listener[];
  readonly placed?: PlacedConns;
}

export class Service {
  readonly info: WorkerInfo;
  private readonly boot: Boot;
  private readonly listeners: readonly Listener[];
  private readonly placed: PlacedConns | undefined;
  private readonly onRecycle: () => void;
  private readonly stopping = new AbortController();
  private readonly live = new Set<Served>();
  private readonly totals: Totals = noTotals();
  /** Who waits until a connection ends: accepting at the limit, and the drain. */
  private waiting: Resolve<void>[] = [];
  private module: ServerModule = { default: () => {} };
  /** What a connection's goroutine runs. */
  private handler: AnyFunction = () => {};
  private sweeper: NodeJS.Timeout | undefined;
  private requestsLeft: number;
  /** Requests that the module has counted itself. */
  private counted = false;
  private draining: Promise<void> | undefined;
  /** The drain waits no longer for handlers. */
  private late = false;

  constructor(boot: Boot, { listeners, placed }: Sources, onRecycle: () => void) {
    this.boot = boot;
    this.listeners = listeners;
    this.placed = placed;
    this.onRecycle = onRecycle;
    this.requestsLeft = Math.ceil(boot.maxRequests * (1 + Math.random() * JITTER));
    const { model, id, index, workers, data } = boot;
    this.info = {
      model,
      id,
      index,
      workers,
      data,
      addrs: placed?.addrs ?? listeners.map(({ addr }) => addr),
      signal: this.stopping.signal,
      request: () => {
        this.counted = true;
        this.request();
      },
    };
  }

  /** Loads the module and begins to accept. Fails with whatever the module throws. */
  async start(): Promise<void> {
    this.module = (await import(this.boot.module)) as ServerModule;
    if (typeof this.module.default !== "function") {
      throw new TypeError(`${this.boot.module}: its default export must serve a connection`);
    }
    this.handler = this.module.default as AnyFunction;
    const { framing } = this.boot;
    if (framing !== undefined) {
      this.counted = true;
      this.handler = messagesOf(codecOf(framing), this, this.module.default as MessageHandler);
    }
    await this.module.start?.(this.info);
    for (const listener of this.listeners) go(() => this.acceptFrom(listener)).unref();
    const { placed } = this;
    if (placed !== undefined && this.draining === undefined) {
      go(() => this.takeFrom(placed)).unref();
    }
    const { heartbeat } = this.boot;
    if (heartbeat === undefined) return;
    const sweep = (): void => this.closeSilent(heartbeat.idle);
    this.sweeper = setInterval(sweep, Math.max(1, heartbeat.idle / SWEEPS_PER_IDLE));
    this.sweeper.unref();
  }

  get stats(): ServiceStats {
    const sum = { ...this.totals };
    for (const { bytesIn, bytesOut } of this.live) {
      sum.bytesIn += bytesIn;
      sum.bytesOut += bytesOut;
    }
    const { live: goroutines, peak: goroutinesPeak } = goroutineStats();
    return { ...sum, live: this.live.size, goroutines, goroutinesPeak };
  }

  /**
   * Stops accepting (`onLeft`), tells the handlers, and waits for them: those that have not ended after
   * `timeout` ms lose their connections. Then stop(). Once more with 0 ends the wait.
   */
  drain(timeout: number, onLeft: () => void): Promise<void> {
    if (this.draining === undefined) this.draining = this.end(timeout, onLeft);
    else if (timeout === 0) this.giveUp();
    return this.draining;
  }

  private async end(timeout: number, onLeft: () => void): Promise<void> {
    clearInterval(this.sweeper);
    for (const listener of this.listeners) this.leave(listener);
    // What was placed here is served here.
    for (const conn of this.placed?.leave() ?? []) this.serve(conn);
    await Promise.all(this.listeners.map((listener) => listener.close()));
    onLeft();
    this.stopping.abort();
    await this.empty(timeout);
    this.totals.cut += this.live.size;
    for (const { conn } of this.live) void conn.close();
    await this.empty(GRACE_MS);
    await this.module.stop?.(this.info);
  }

  /** Takes what waits in the socket: at a stop nobody else will, and the kernel would refuse it. */
  private leave(listener: Listener): void {
    for (let n = 0; n < LAST_ACCEPTS && this.live.size < this.boot.maxConnections; n++) {
      const conn = listener.acceptNow();
      if (conn === undefined) return;
      this.serve(conn);
    }
  }

  /** Waits until no connection is live, at most so long. */
  private async empty(ms: number): Promise<void> {
    this.late = false;
    const timer = setTimeout(() => this.giveUp(), ms);
    while (this.live.size > 0 && !this.late) await this.oneEnded();
    clearTimeout(timer);
  }

  private giveUp(): void {
    this.late = true;
    this.wakeAll();
  }

  private oneEnded(): Promise<void> {
    const ended = parked<void>();
    this.waiting.push(resolver());
    return ended;
  }

  private wakeAll(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const wake of waiting) wake();
  }

  private async acceptFrom(listener: Listener): Promise<void> {
    const { maxConnections } = this.boot;
    for (;;) {
      while (this.live.size >= maxConnections && !this.info.signal.aborted) await this.oneEnded();
      const conn = await this.nextOf(listener);
      if (conn === undefined) return;
      // Another listener's may have taken the last place meanwhile.
      while (this.live.size >= maxConnections && !this.info.signal.aborted) await this.oneEnded();
      this.serve(conn);
      // One per turn: the other workers that wait for the same socket take theirs.
      if (this.info.workers > 1) await runtime().sched.later(undefined);
    }
  }

  private async takeFrom(placed: PlacedConns): Promise<void> {
    placed.open();
    for (let conn = await placed.next(); conn !== undefined; conn = await placed.next()) {
      this.serve(conn);
    }
  }

  /** The next connection; undefined once draining. */
  private async nextOf(listener: Listener): Promise<SocketConn | undefined> {
    try {
      return await listener.accept();
    } catch (error) {
      if (this.draining !== undefined) return undefined;
      throw error;
    }
  }

  private serve(conn: SocketConn): void {
    const { totals, module, info } = this;
    totals.accepted++;
    if (module.admit?.(conn, info) === false) {
      totals.refused++;
      totals.closed++;
      this.placed?.onEnded();
      void conn.close();
      return;
    }
    const g = new Served(this.handler, this, conn);
    conn.fd.addMeter(g);
    this.live.add(g);
    launch(g, [conn, info]);
  }

  /** @internal A handler is over. */
  onEnded(g: Served, error: unknown): void {
    void g.conn.close();
    this.live.delete(g);
    this.placed?.onEnded();
    this.totals.closed++;
    if (error instanceof FramingError) this.totals.malformed++;
    this.totals.bytesIn += g.bytesIn;
    this.totals.bytesOut += g.bytesOut;
    if (!this.counted) this.request();
    if (this.waiting.length > 0) this.wakeAll();
  }

  /** @internal */
  request(): void {
    this.totals.requests++;
    if (--this.requestsLeft === 0) this.onRecycle();
  }

  /** Closes the connections whose peers have sent nothing for so long. */
  private closeSilent(idle: number): void {
    const time = performance.now();
    for (const g of this.live) {
      if (g.bytesIn !== g.seen || g.conn.fd.hasUnread()) {
        // What the handler has not read yet has been sent all the same.
        g.seen = g.bytesIn;
        g.since = time;
      } else if (time - g.since >= idle && this.module.exempt?.(g.conn, this.info) !== true) {
        this.totals.silent++;
        g.since = Infinity;
        void g.conn.close();
      }
    }
  }
}

/** A handler of connections that hands their messages to a handler of messages, one by one. */
function messagesOf(codec: Codec, service: Service, handler: MessageHandler): AnyFunction {
  return async function messages(conn: SocketConn, info: WorkerInfo): Promise<void> {
    const peer = codec(conn);
    for await (const message of peer) {
      service.request();
      await handler(message, peer, info);
    }
  };
}
