/**
 * singleflight.ts: calls that are the same and come at the same time are one call.
 *
 * Invariant: a key has an entry exactly while its call is under way and was not forgotten.
 */
import { List } from "../internal/list.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

/** What a call gave. */
export interface Flight<V> {
  value: V;
  /** More than one caller got it. */
  shared: boolean;
}

class FlightWaiter<V> extends SyncWaiter<Flight<V>> {
  get kind(): string {
    return "singleflight do";
  }
}

/** A call that is under way, and who waits for it. */
class Call<V> {
  private readonly waiters: List<FlightWaiter<V>>;
  private callers: number;

  constructor() {
    this.waiters = new List<FlightWaiter<V>>();
    this.callers = 0;
  }

  join(signal: AbortSignal | undefined): Promise<Flight<V>> {
    this.callers++;
    const promise = parked<Flight<V>>();
    const resolve: Resolve<Flight<V>> = resolver();
    this.waiters.push(new FlightWaiter(this, resolve, signal));
    return promise;
  }

  succeed(value: V): void {
    const flight = { value, shared: this.callers > 1 };
    for (let next = this.next(); next !== undefined; next = this.next()) next.wake(flight);
  }

  fail(error: unknown): void {
    for (let next = this.next(); next !== undefined; next = this.next()) {
      next.fail(() => error as Error);
    }
  }

  private next(): FlightWaiter<V> | undefined {
    const next = this.waiters.shift();
    if (next === undefined) return undefined;
    if (observer.released !== null) observer.released(this, "once");
    if (observer.acquired !== null) observer.acquired(this, "once", next);
    return next;
  }

  gaveUp(): void {}
}

/**
 * Joins calls with the same key: while one is under way, those that come get its result.
 *
 * It is no cache: the next call after the end is made again.
 */
export class SingleFlight<K, V> {
  private readonly calls: Map<K, Call<V>>;

  constructor() {
    this.calls = new Map<K, Call<V>>();
  }

  /** Calls under way. */
  get size(): number {
    return this.calls.size;
  }

  /**
   * The result of the key's call under way, or else of `fn`. An error goes to every caller. Rejects with
   * CanceledError when `signal` is aborted first; the call itself goes on for the others.
   */
  do(key: K, fn: () => V | Promise<V>, options?: WaitOptions): Promise<Flight<V>> {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("singleflight do", signal);
    const running = this.calls.get(key);
    if (running !== undefined) return running.join(signal);
    const call = new Call<V>();
    this.calls.set(key, call);
    const joined = call.join(signal);
    void this.run(key, call, fn);
    return joined;
  }

  /** The next `do` with this key makes a call of its own, even if one is under way. */
  forget(key: K): void {
    this.calls.delete(key);
  }

  private async run(key: K, call: Call<V>, fn: () => V | Promise<V>): Promise<void> {
    try {
      const value = await fn();
      this.land(key, call);
      call.succeed(value);
    } catch (error) {
      this.land(key, call);
      call.fail(error);
    }
  }

  private land(key: K, call: Call<V>): void {
    if (this.calls.get(key) === call) this.calls.delete(key);
  }
}

/**
 * Joins calls that are the same: one of them is made, all get its result.
 *
 * @example
 * import { singleflight, sleep } from "coronet";
 * const users = singleflight<number, string>();
 * let queries = 0;
 * async function query() {
 *   queries++;
 *   await sleep(1);
 *   return "ada";
 * }
 * const load = async (id: number) => (await users.do(id, query)).value;
 * console.log(await Promise.all([load(1), load(1), load(1)]), queries); // [ 'ada', 'ada', 'ada' ] 1
 */
export function singleflight<K, V>(): SingleFlight<K, V> {
  return new SingleFlight<K, V>();
}
