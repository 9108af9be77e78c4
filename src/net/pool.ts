/**
 * pool.ts: connections that are kept open between their users, as OpenResty's cosockets keep them.
 *
 * Every thread has its own pools. A pool has a name (the address, or what the caller calls it), a
 * network and a security ("" for none): connections that differ in one of them are not exchanged.
 *
 *                 connect                    setKeepalive
 *      (nothing) ─────────▶ dialling ▶ used ◀────────────▶ idle
 *                              │         │                  │
 *                            failed    closed     evicted, expired, or something arrived
 *
 * Invariants
 *  - `live` counts what is dialling, used or idle. With a backlog, live ≤ size but for connections that
 *    were opened while the pool had none.
 *  - Nobody waits while a place is free or a connection is idle. Whoever waits longest is served first:
 *    with a connection that comes back, or with the place of one that is gone and a dial of its own.
 *  - An idle connection has a watch on its fd and nothing to read; what arrives there closes it. It is
 *    probed once more before it is given out, for what came after the poller's last look; unless that was
 *    just now, and its taker can do without it.
 *  - Idle connections stand in the order in which they came back: the newest is given out first, the
 *    oldest is evicted. One timer per pool closes those whose time is up.
 */
import { List, ListEntry } from "../internal/list.ts";
import { Watch } from "../poll/read.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { type Runtime, runtime } from "../runtime/runtime.ts";
import { Timer } from "../runtime/timers.ts";
import { SyncWaiter } from "../sync/waiter.ts";
import { CANCELED, DEADLINE, EAGAIN } from "../syscall/errno.ts";
import type { StreamNetwork } from "./addr.ts";
import { type BaseConn, timeoutOf } from "./conn.ts";
import { type DialOptions, dialOn } from "./dial.ts";
import { errorOf, NetError } from "./errors.ts";
import type { SocketConn } from "./socket.ts";

/** Numbers about one pool. */
export interface PoolStats {
  /** The pool's name: an address, or what connect() was told. */
  name: string;
  network: StreamNetwork;
  /** Connections that wait for a user. */
  idle: number;
  /** Connections in all: being dialled, used and idle. */
  live: number;
  /** Callers of connect() that wait for a place. */
  waiting: number;
  /** Calls of connect() that got an open connection, and those that dialled. */
  hits: number;
  misses: number;
  /** Calls of connect() that failed at once because the backlog was full. */
  full: number;
  /** Idle connections that were closed: for want of room, of old age, because something arrived. */
  evicted: number;
  expired: number;
  closedByPeer: number;
  /** Connections that were not taken back. */
  refused: number;
}

export interface PoolOptions {
  /**
   * How many idle connections the pool keeps, and with a backlog how many it has in all; 30 by
   * default. It belongs to the pool: the value given last holds.
   */
  poolSize?: number | undefined;
  /**
   * Bounds the pool to `poolSize` connections: so many callers of connect() beyond that wait, others
   * fail at once (ERR_POOL_FULL). Belongs to the pool; without it there is no bound.
   */
  backlog?: number | undefined;
  /** How long a connection may be idle in the pool, in ms; 60 s by default, null for ever. */
  idleTimeout?: number | null | undefined;
}

export const DEFAULT_POOL_SIZE = 30;
const DEFAULT_IDLE_MS = 60_000;
/** Beyond so many pools of a thread, those without a connection are forgotten. */
const MANY_POOLS = 1000;

/** Watches an idle connection. */
class IdleWatch extends Watch {
  private readonly link: Link;

  constructor(link: Link) {
    super(link.conn.fd);
    this.link = link;
  }

  onArrival(): void {
    this.link.pool.onArrival(this.link);
  }
}

/** What lies between a pool's sockets and its users: TLS. */
export interface Layer {
  /** Connections of layers with different names are not exchanged. */
  readonly name: string;
  /** Lays itself on a connection that was dialled; `until` bounds that, by the runtime's clock. */
  put(conn: SocketConn, until: number, signal: AbortSignal | undefined): Promise<BaseConn>;
  /** The first user of a connection is done with it, before it is given back or closed. */
  onUsed(conn: BaseConn): void;
}

/** A connection of a pool, for as long as it is open, whoever uses it. */
export class Link extends ListEntry {
  readonly conn: BaseConn;
  readonly pool: Pool;
  private readonly layer: Layer | undefined;
  /** How often it has been taken from the pool. */
  reused = 0;
  /** Until when it may be idle, by the runtime's clock. */
  until = 0;
  watch: IdleWatch | undefined = undefined;

  constructor(conn: BaseConn, pool: Pool, layer: Layer | undefined) {
    super();
    this.conn = conn;
    this.pool = pool;
    this.layer = layer;
  }

  /** Its user is done with it. */
  onUsed(): void {
    if (this.reused === 0) this.layer?.onUsed(this.conn);
  }
}

/** A timer that tells somebody. */
class Alarm extends Timer {
  private readonly onTime: (now: number) => void;

  constructor(onTime: (now: number) => void) {
    super();
    this.onTime = onTime;
  }

  fire(now: number): void {
    this.onTime(now);
  }
}

/** What a caller of connect() wants. */
export interface Wish<T> {
  address: string;
  options: DialOptions & PoolOptions;
  layer: Layer | undefined;
  /** Makes of a connection what the caller gets. */
  lease(link: Link, options: PoolOptions): T;
}

/** Waits for a connection, or for the place of one and dials then. */
class PlaceWaiter<T> extends SyncWaiter<T> {
  private readonly pool: Pool;
  private readonly wish: Wish<T>;
  private readonly until: number;
  private readonly alarm: Alarm | undefined;

  constructor(pool: Pool, wish: Wish<T>, until: number, resolve: Resolve<T>) {
    super(pool, resolve, wish.options.signal);
    this.pool = pool;
    this.wish = wish;
    this.until = until;
    if (until === Infinity) return;
    // As any timer of a goroutine it keeps the process alive; without one, only others could wake it.
    this.alarm = new Alarm(() => this.giveUp(DEADLINE, undefined));
    pool.runtime.hold();
    pool.runtime.timers.arm(this.alarm, until);
  }

  get kind(): string {
    return "pool connect";
  }

  /** Out of the queue: there is a connection for it. */
  give(link: Link): void {
    if (observer.acquired !== null) observer.acquired(link, "once", this);
    this.disarm();
    this.wake(this.wish.lease(link, this.wish.options));
  }

  /** Out of the queue: there is a place for it, which is counted already. */
  admit(): void {
    this.disarm();
    this.unlink();
    if (observer.acquired !== null) observer.acquired(this.pool, "place", this);
    if (observer.resumed !== null) observer.resumed(this);
    // At once, whatever the turn's budget: a promise that nobody has yet must not reject.
    this.resolve(this.pool.dial(this.wish, this.until));
  }

  override onAbort(): void {
    this.giveUp(CANCELED, this.reason);
  }

  private giveUp(number: number, cause: unknown): void {
    this.list?.remove(this);
    this.disarm();
    const { network } = this.pool;
    const { address } = this.wish;
    this.fail(() => errorOf(number, { op: "dial", network, address, cause }));
  }

  private disarm(): void {
    if (this.alarm === undefined) return;
    this.pool.runtime.timers.disarm(this.alarm);
    this.pool.runtime.release();
  }
}

export class Pool {
  readonly runtime: Runtime;
  readonly name: string;
  readonly network: StreamNetwork;
  readonly security: string;
  private size = DEFAULT_POOL_SIZE;
  private backlog: number | undefined = undefined;
  private live = 0;
  private readonly idle = new List<Link>();
  private readonly waiters = new List<PlaceWaiter<unknown>>();
  private readonly alarm: Alarm;
  private hits = 0;
  private misses = 0;
  private full = 0;
  private evicted = 0;
  private expired = 0;
  private closedByPeer = 0;
  private refused = 0;

  constructor(rt: Runtime, name: string, network: StreamNetwork, security: string) {
    this.runtime = rt;
    this.name = name;
    this.network = network;
    this.security = security;
    this.alarm = new Alarm((now) => this.expire(now));
  }

  get stats(): PoolStats {
    const { name, network, live, hits, misses, full, evicted, expired, closedByPeer, refused } =
      this;
    const [idle, waiting] = [this.idle.length, this.waiters.length];
    return {
      name,
      network,
      idle,
      live,
      waiting,
      hits,
      misses,
      full,
      evicted,
      expired,
      closedByPeer,
      refused,
    };
  }

  get isUnused(): boolean {
    return this.live === 0 && this.waiters.length === 0;
  }

  /** Takes over what the caller says about the pool. */
  configure({ poolSize, backlog }: PoolOptions): void {
    if (poolSize !== undefined) this.size = wholeNumber(poolSize, 1, "poolSize");
    if (backlog !== undefined) this.backlog = wholeNumber(backlog, 0, "backlog");
    if (poolSize !== undefined || backlog !== undefined) this.admit();
  }

  /**
   * The connection that came back last and is still good. A caller that can do without when it turns out to
   * be dead after all is given one without a probe, if the poller has just looked.
   */
  takeIdle(canDoWithout = false): Link | undefined {
    const isFresh = canDoWithout && this.runtime.hasJustPolled;
    for (;;) {
      const link = this.idle.pop();
      if (link === undefined) return undefined;
      const { fd } = link.conn;
      fd.endWatch(link.watch as IdleWatch);
      if (isFresh || fd.probe() === -EAGAIN) {
        if (observer.acquired !== null) observer.acquired(link, "once");
        return this.reuse(link);
      }
      this.closedByPeer++;
      this.discard(link);
    }
  }

  /** A connection although none is idle: a new one, or one for which the caller has to wait. */
  open<T>(wish: Wish<T>): Promise<T> {
    const { address, options } = wish;
    const until = this.runtime.clock.now() + timeoutOf(options.timeout ?? null, "connect");
    const { backlog, size, waiters } = this;
    if (backlog === undefined || this.live < size) {
      if (observer.acquired !== null && backlog !== undefined) observer.acquired(this, "place");
      this.live++;
      return this.dial(wish, until);
    }
    if (waiters.length >= backlog) {
      this.full++;
      const { network, name } = this;
      const text = `the pool "${name}" has ${size} connections in use and ${backlog} callers waiting`;
      const hint = "give connections back sooner, or raise poolSize or backlog";
      throw new NetError({ op: "dial", network, address, code: "ERR_POOL_FULL", text, hint });
    }
    const promise = parked<T>();
    waiters.push(new PlaceWaiter<T>(this, wish, until, resolver()) as PlaceWaiter<unknown>);
    return promise;
  }

  /** Dials for a place that is counted in `live` already; a dial that fails passes it on. */
  async dial<T>(wish: Wish<T>, until: number): Promise<T> {
    const { address, options, layer, lease } = wish;
    const { clock } = this.runtime;
    this.misses++;
    try {
      const left = until === Infinity ? null : until - clock.now();
      if (left !== null && left <= 0) {
        throw errorOf(DEADLINE, { op: "dial", network: this.network, address });
      }
      const timeout = { ...options, timeout: left };
      const conn = await dialOn(this.runtime, this.network, address, timeout);
      const over = layer === undefined ? conn : await layer.put(conn, until, options.signal);
      return lease(new Link(over, this, layer), options);
    } catch (error) {
      this.onGone();
      throw error;
    }
  }

  /** Takes back a connection that has been found fit for it. */
  takeBack(link: Link, idleTimeout: number | null | undefined): void {
    const ms = idleTimeout === undefined ? DEFAULT_IDLE_MS : timeoutOf(idleTimeout, "idle");
    link.onUsed();
    link.conn.fd.forgetLimits();
    if (observer.released !== null) observer.released(link, "once");
    const waiter = this.waiters.shift();
    if (waiter !== undefined) {
      waiter.give(this.reuse(link));
      return;
    }
    link.until = this.runtime.clock.now() + ms;
    link.watch = new IdleWatch(link);
    this.idle.push(link);
    link.conn.fd.beginWatch(link.watch);
    if (this.idle.length > this.size) this.evict();
    else if (link.until !== Infinity) this.armFor(link.until);
  }

  private reuse(link: Link): Link {
    link.watch = undefined;
    link.reused++;
    this.hits++;
    return link;
  }

  private evict(): void {
    while (this.idle.length > this.size) {
      this.evicted++;
      this.discard(this.idle.shift() as Link);
    }
  }

  onRefused(): void {
    this.refused++;
  }

  /** Something arrived on an idle connection: nobody asked for it, so nobody could tell what it is. */
  onArrival(link: Link): void {
    const { fd } = link.conn;
    // What TLS says by itself, as a ticket for the next session, is nobody's.
    if (fd.device !== this.runtime && fd.probe() === -EAGAIN) {
      link.watch = new IdleWatch(link);
      fd.beginWatch(link.watch);
      return;
    }
    this.idle.remove(link);
    this.closedByPeer++;
    this.discard(link);
  }

  /** Closes a connection that is nobody's. */
  private discard(link: Link): void {
    void link.conn.close();
    this.onGone();
  }

  /** A connection is closed, or did not come about: its place is free. */
  onGone(): void {
    if (observer.released !== null) observer.released(this, "place");
    this.live--;
    this.admit();
    if (this.live === 0) this.runtime.timers.disarm(this.alarm);
  }

  /** Gives free places to those who wait. */
  private admit(): void {
    while (this.waiters.length > 0 && (this.backlog === undefined || this.live < this.size)) {
      this.live++;
      this.waiters.shift()?.admit();
    }
  }

  /** @internal A waiter has left the queue. */
  gaveUp(): void {}

  closeIdle(): number {
    const closed = this.idle.length;
    for (let link = this.idle.shift(); link !== undefined; link = this.idle.shift()) {
      this.discard(link);
    }
    return closed;
  }

  private armFor(until: number): void {
    const { alarm } = this;
    if (alarm.index === -1 || until < alarm.when) this.runtime.timers.arm(alarm, until);
  }

  /** Closes the connections whose time is up. One round through the list leaves its order as it is. */
  private expire(now: number): void {
    let next = Infinity;
    for (let left = this.idle.length; left > 0; left--) {
      const link = this.idle.shift() as Link;
      if (link.until <= now) {
        this.expired++;
        this.discard(link);
      } else {
        next = Math.min(next, link.until);
        this.idle.push(link);
      }
    }
    if (next !== Infinity) this.armFor(next);
  }
}

function wholeNumber(value: number, least: number, name: string): number {
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new RangeError(`connect: ${name} must be a whole number from ${least}, got ${value}`);
}

/** The pools of one thread by name; those of one name differ in network or security. */
class Pools {
  readonly runtime: Runtime;
  private readonly byName = new Map<string, Pool[]>();

  constructor(rt: Runtime) {
    this.runtime = rt;
  }

  get(name: string, network: StreamNetwork, security: string): Pool {
    const known = this.byName.get(name);
    const pool = known?.find((each) => each.network === network && each.security === security);
    if (pool !== undefined) return pool;
    if (this.byName.size >= MANY_POOLS) this.forgetUnused();
    const made = new Pool(this.runtime, name, network, security);
    this.byName.set(name, [...(this.byName.get(name) ?? []), made]);
    return made;
  }

  select(name: string | undefined): Pool[] {
    return name === undefined ? [...this.byName.values()].flat() : (this.byName.get(name) ?? []);
  }

  private forgetUnused(): void {
    for (const [name, pools] of this.byName) {
      if (pools.every((pool) => pool.isUnused)) this.byName.delete(name);
    }
  }
}

const all = new WeakMap<Runtime, Pools>();
let latest: Pools | undefined;

function pools(): Pools {
  const rt = runtime();
  if (latest?.runtime === rt) return latest;
  latest = all.get(rt) ?? new Pools(rt);
  all.set(rt, latest);
  return latest;
}

/** This thread's pool of that name; made when it is first needed. */
export function poolOf(name: string, network: StreamNetwork, security = ""): Pool {
  return pools().get(name, network, security);
}

/**
 * Numbers about this thread's pools, or about those of one name (an address, or what connect() was
 * told as `pool`).
 *
 * @example
 * import { connect, listen, poolStats } from "coronet";
 * await using listener = await listen("tcp", "127.0.0.1:0");
 * const address = String(listener.addr);
 * (await connect(address)).setKeepalive();
 * const conn = await connect(address);
 * console.log(conn.reusedTimes, poolStats(address)[0]?.hits); // 1 1
 * await conn.close();
 */
export function poolStats(name?: string): PoolStats[] {
  return pools()
    .select(name)
    .map((pool) => pool.stats);
}

/** Closes the idle connections of this thread's pools, or of those of one name. Returns how many. */
export function closeIdle(name?: string): number {
  return pools()
    .select(name)
    .reduce((closed, pool) => closed + pool.closeIdle(), 0);
}
