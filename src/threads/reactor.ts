/**
 * reactor.ts: a thread that serves connections: it takes them, runs their handlers, and ends.
 *
 * Life: load the module → start() → take connections → drain (take none, wait for the handlers) →
 * stop() → end.
 *
 * Invariants
 *  - A handler is one goroutine, with no frame of ours beneath it. When it is over, however it ended,
 *    its connection is closed and no longer counts as live.
 *  - A thread takes one connection per turn: what it has to do besides comes in between, and the
 *    other threads that wait for the same socket take theirs.
 */

import { addrOfText } from "../net/addr.ts";
import type { BaseConn } from "../net/conn.ts";
import type { Listener } from "../net/listener.ts";
import type { ConnOrigin, SocketConn } from "../net/socket.ts";
import type { FD } from "../poll/fd.ts";
import { type AnyFunction, Goroutine, go, launch } from "../runtime/goroutine.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { Counters } from "./counters.ts";
import { Exchange, type Receiver } from "./exchange.ts";
import { takeAccepted } from "./inbox.ts";
import { connOf, duplicate, sharedListener } from "./listening.ts";
import type { ThreadInfo, ThreadModule, Transferred } from "./module.ts";
import { receiveOn } from "./packets.ts";
import type { Boot, Order, Report, Source } from "./protocol.ts";
import { Peer } from "./this_thread.ts";

/** The goroutine of one connection. */
class ConnGoroutine extends Goroutine<unknown> {
  private readonly reactor: Reactor;
  private readonly conn: BaseConn;

  constructor(handler: AnyFunction, reactor: Reactor, conn: BaseConn) {
    super(handler);
    this.reactor = reactor;
    this.conn = conn;
  }

  override ended(): void {
    this.reactor.onEnded(this.conn);
  }
}

/** The handler of connections in a module that has none for them. */
function nobody(): never {
  throw new TypeError("a connection was transferred to a module that exports no receive");
}

export class Reactor {
  readonly info: ThreadInfo;
  readonly counters: Counters;
  private readonly runtime: Runtime;
  private readonly boot: Boot;
  private readonly origin: ConnOrigin | undefined;
  private readonly stopping = new AbortController();
  private module: ThreadModule = {};
  readonly peers = new Map<number, Peer>();
  private readonly exchange: Exchange;
  private listener: Listener | undefined;
  /** Where connections are placed on this thread. */
  private inbox: FD | undefined;
  /** Who waits for the last handler to end. */
  private idle: Resolve<void> | undefined;

  constructor(boot: Boot) {
    this.boot = boot;
    this.runtime = runtime();
    this.counters = new Counters(boot.counters);
    this.counters.follow(this.runtime);
    const { network, id, index, count, data } = boot;
    const addr = network === undefined ? undefined : addrOfText(network, boot.addr);
    this.origin = network === undefined ? undefined : { network, addr };
    const { signal } = this.stopping;
    this.info = { id, index, count, data, addr, signal, transferred: undefined };
    const receiver: Receiver = (conn, from, message) => {
      this.counters.onReceived();
      this.serveTransferred(conn, { from, message });
    };
    const left = (peer: number): void => {
      this.peers.delete(peer);
      this.report({ type: "left", id: peer });
    };
    this.exchange = new Exchange(id, duplicate(boot.inbox), receiver, left);
    this.exchange.onSettled = (taken) => {
      if (taken) this.counters.onTransferred();
      this.onProgress();
    };
  }

  /** Loads the module, then does what the starter says. Fails with whatever the module throws. */
  async run(): Promise<void> {
    const { port } = this.boot;
    this.module = (await import(this.boot.module)) as ThreadModule;
    this.checkModule();
    await this.module.start?.(this.info);
    port.on("message", (order: Order) => this.onOrder(order));
    this.report({ type: "ready" });
  }

  private checkModule(): void {
    const { module } = this.boot;
    if (this.origin !== undefined && typeof this.module.default !== "function") {
      throw new TypeError(`${module}: its default export must serve a connection`);
    }
    for (const name of ["default", "receive", "start", "stop"] as const) {
      const type = typeof this.module[name];
      if (type === "function" || type === "undefined") continue;
      throw new TypeError(`${module}: its export "${name}" must be a function`);
    }
  }

  private onOrder(order: Order): void {
    if (order.type === "serve") this.serveFrom(order.source);
    else if (order.type === "peer") this.meet(order);
    else if (!this.info.signal.aborted) go(() => this.drain());
  }

  private report(report: Report): void {
    this.boot.port.postMessage(report);
  }

  private meet({ id, index, fd, counters }: Extract<Order, { type: "peer" }>): void {
    const { exchange } = this;
    const known = exchange.add(id, fd);
    if (known && counters !== undefined) {
      this.peers.set(id, new Peer(id, index, counters, exchange));
    }
    if (id === this.info.id) exchange.open();
  }

  private serveFrom({ kind, fd }: Source): void {
    if (kind === "listener") {
      const listener = sharedListener(this.runtime, fd, this.origin as ConnOrigin);
      this.listener = listener;
      go(() => this.acceptFrom(listener)).unref();
    } else {
      const sysfd = duplicate(fd);
      this.inbox = receiveOn(this.runtime, sysfd, () => this.takeFrom(sysfd));
    }
    this.report({ type: "serving" });
  }

  private takeFrom(sysfd: number): number {
    return takeAccepted(sysfd, this.counters, ({ sysfd: accepted, peer }) => {
      this.serve(connOf(this.runtime, accepted, this.origin as ConnOrigin, peer));
    });
  }

  private async acceptFrom(listener: Listener): Promise<never> {
    for (;;) {
      const conn = await listener.accept();
      this.counters.onAccepted();
      this.serve(conn);
      await this.runtime.sched.later(undefined);
    }
  }

  // ---- connections

  /** Starts the handler of a connection that is counted as live. */
  serve(conn: SocketConn): void {
    const handler = this.module.default as AnyFunction;
    launch(new ConnGoroutine(handler, this, conn), [conn, this.info]);
  }

  /** As serve, of a connection that came from another thread. */
  serveTransferred(conn: BaseConn, transferred: Transferred): void {
    const handler = (this.module.receive ?? this.module.default ?? nobody) as AnyFunction;
    const info = { ...this.info, transferred };
    launch(new ConnGoroutine(handler, this, conn), [conn, info, transferred.message]);
  }

  onEnded(conn: BaseConn): void {
    void conn.close();
    this.counters.onEnded();
    this.onProgress();
  }

  /** No handler runs, and nothing that was transferred away may come back. */
  private get finished(): boolean {
    return this.counters.live === 0 && this.exchange.size === 0;
  }

  private onProgress(): void {
    if (this.idle !== undefined && this.finished) this.idle();
  }

  /** Ends the thread when its handlers have ended. */
  private async drain(): Promise<void> {
    await this.listener?.close();
    // What has been placed here is served still.
    if (this.inbox !== undefined) while (this.takeFrom(this.inbox.sysfd) > 0);
    void this.inbox?.close();
    this.stopping.abort();
    while (!this.finished) {
      const ended = parked<void>();
      this.idle = resolver();
      await ended;
    }
    // What is transferred to this thread from now on goes back.
    this.exchange.close();
    await this.module.stop?.(this.info);
    this.counters.publish(this.runtime);
    // What was printed is on its way to the main thread only after this turn.
    setImmediate(() => process.exit(0));
  }
}
