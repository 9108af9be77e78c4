/**
 * goroutine.ts: go(), the record of a goroutine, and what happens when one throws.
 *
 * A goroutine is a call of a function, mostly an async one, that nobody awaits. As in Go it does not
 * run before its creator's next await, and its arguments are evaluated by the caller.
 *
 * Invariants
 *  - Every goroutine's promise has a handler from the start: a failure is seen exactly once, by the
 *    joiner if join() was called, else by the panic policy (panic.ts).
 *  - A running goroutine costs its record, one derived promise and one bound function; the arguments
 *    are let go of when it starts.
 *  - Every goroutine that was created and has not ended is in the list of live ones, in the order of
 *    their numbers: whoever reports on goroutines finds all of them, also those it came too late for.
 */
import { Ring } from "../internal/ring.ts";
import { awaited } from "./awaited.ts";
import { observer } from "./observer.ts";
import { originOf, recordOrigin, takeLatestOrigin } from "./origin.ts";
import { endsQuietly, panic } from "./panic.ts";

/** Numbers about this thread's goroutines. */
export interface GoroutineStats {
  /** Created and not yet ended. */
  live: number;
  /** The largest number that was live at once. */
  peak: number;
  /** Created in all. */
  started: number;
  /** Ended by a reset, close, deadline or cancellation of a connection of their own. */
  ended: number;
  /** Ended by any other error that nobody joined. */
  panicked: number;
}

const stats: GoroutineStats = { live: 0, peak: 0, started: 0, ended: 0, panicked: 0 };

/** A copy of the numbers about this thread's goroutines. */
export function goroutineStats(): GoroutineStats {
  return { ...stats };
}

/** The live goroutine with the largest number: the end of the list. */
let newest: Goroutine<unknown> | undefined;

/** Every goroutine that has not ended, by number. */
export function liveGoroutines(): Goroutine<unknown>[] {
  const live: Goroutine<unknown>[] = [];
  for (let g = newest; g !== undefined; g = g.older) live.push(g);
  return live.reverse();
}

/** It is not in the list of live ones any more. */
export function hasEnded(g: Goroutine<unknown>): boolean {
  return g.newer === undefined && g !== newest;
}

/** Goroutines that may still wait when the program is over. */
const unreferenced = new WeakSet<Goroutine<unknown>>();

const settled: Promise<void> = Promise.resolve();

// biome-ignore lint/suspicious/noExplicitAny: any function can be started
export type AnyFunction = (...args: any[]) => unknown;

/**
 * A started goroutine.
 *
 * @example
 * import { go } from "coronet";
 * const g = go(async (a: number, b: number) => a + b, 1, 2);
 * console.log(g.id > 0, await g.join()); // true 3
 */
export class Goroutine<T> {
  /** Its number, unique within the thread, from 1. */
  readonly id: number;
  /** The function that it runs. */
  readonly fn: AnyFunction;
  /** @internal Undefined until it starts. */
  result: Promise<T> | undefined;
  /** @internal */
  joined: boolean;
  /** @internal Neighbours in the list of live goroutines. */
  older: Goroutine<unknown> | undefined;
  /** @internal */
  newer: Goroutine<unknown> | undefined;

  /** @internal */
  constructor(fn: AnyFunction) {
    if (typeof fn !== "function") throw new TypeError(`go: expected a function, got ${typeof fn}`);
    this.id = ++stats.started;
    this.fn = fn;
    this.result = undefined;
    this.joined = false;
    this.older = newest;
    this.newer = undefined;
    if (newest !== undefined) newest.newer = this as Goroutine<unknown>;
    newest = this as Goroutine<unknown>;
    if (++stats.live > stats.peak) stats.peak = stats.live;
  }

  /** The name of its function. */
  get name(): string {
    return this.fn.name || "anonymous";
  }

  /** Where go() was called ("file:line:column"), where that is known. */
  get origin(): string | undefined {
    return originOf(this.fn);
  }

  /**
   * Waits for its end: resolves to what the function returned, rejects with what it threw. Who joins
   * takes the error over, so a joined goroutine never panics.
   */
  join(): Promise<T> {
    this.joined = true;
    // A promise of the caller's own: a rejection that the caller drops is reported by Node. Before
    // the start there is no result yet; the start's own microtask comes first in the queue.
    const end =
      this.result === undefined
        ? settled.then(() => this.result as Promise<T>)
        : this.result.then();
    return observer.parked === null ? end : awaited(end, "join", this, "end");
  }

  /**
   * Says that nobody counts on its end, as with a timer's unref(): when only such goroutines are left
   * and nothing can wake them, the program ends as if they were not there, without a report of a
   * deadlock. For helpers that wait in the background for as long as the program runs.
   *
   * @example
   * import { Chan, go } from "coronet";
   * const entries = new Chan<string>();
   * go(async () => {
   *   for await (const entry of entries) console.log(entry);
   * }).unref();
   * await entries.send("the program may end now"); // the program may end now
   */
  unref(): this {
    unreferenced.add(this as Goroutine<unknown>);
    return this;
  }

  /** @internal */
  get referenced(): boolean {
    return !unreferenced.has(this as Goroutine<unknown>);
  }

  /** @internal Runs the function; called once, in a microtask of its own. */
  start(args: unknown[]): void {
    if (observer.running !== null) observer.running(this as Goroutine<unknown>);
    // Not this.fn(...): the function gets no receiver, and stacks show its name alone.
    const { fn } = this;
    try {
      // V8's own promises come through as they are; any other kind is waited for, because its then()
      // may call back in an order of its own (see onSettled).
      this.result = Promise.resolve(fn(...args)) as Promise<T>;
    } catch (error) {
      this.result = Promise.reject(error);
    }
    const settle = onSettled.bind(this as Goroutine<unknown>);
    this.result.then(settle, settle);
  }

  /** @internal It has ended: takes it off the list. */
  leave(error: unknown): void {
    const { older, newer } = this;
    if (newer === undefined) newest = older;
    else newer.older = older;
    if (older !== undefined) older.newer = newer;
    this.older = this.newer = undefined;
    stats.live--;
    if (observer.ended !== null) observer.ended(this as Goroutine<unknown>, error);
  }

  /** @internal What a group that started it wants to know of its end. Must not throw. */
  ended(_failed: boolean, _error: unknown): void {}
}

/** Goroutines that have settled and whose outcome is being asked for, oldest first. */
const settling = new Ring<Goroutine<unknown>>();

/**
 * One function serves success and failure, because two would cost every waiting goroutine another
 * object. Which of both it was is asked in a second step: on a settled promise the handlers run in
 * the order in which they were added, so the goroutines come out of `settling` in their order.
 */
function onSettled(this: Goroutine<unknown>): void {
  settling.push(this);
  (this.result as Promise<unknown>).then(onEnd, onFail);
}

function onEnd(): void {
  const g = settling.shift() as Goroutine<unknown>;
  g.leave(undefined);
  g.ended(false, undefined);
}

function onFail(error: unknown): void {
  const g = settling.shift() as Goroutine<unknown>;
  g.leave(error);
  g.ended(true, error);
  if (g.joined) return;
  if (endsQuietly(error)) {
    stats.ended++;
    return;
  }
  stats.panicked++;
  panic(g, error);
}

function start(this: Goroutine<unknown>, args: unknown[]): void {
  this.start(args);
}

/**
 * Starts a goroutine: calls `fn(...args)` after the caller's next await, and does not wait for it.
 *
 * When it throws and nobody has joined it: a reset, broken pipe, close, deadline or cancellation of
 * a connection ends it alone; any other error is a panic, which ends the process unless onPanic
 * has installed a handler.
 *
 * @example
 * import { go } from "coronet";
 * async function greet(name: string) {
 *   console.log(`hello, ${name}`);
 * }
 * await go(greet, "world").join();
 */
export function go<A extends unknown[], R>(
  fn: (...args: A) => R,
  ...args: A
): Goroutine<Awaited<R>> {
  return launch(new Goroutine<Awaited<R>>(fn as AnyFunction), args, go);
}

/**
 * Starts a goroutine, which may be of a kind of its own. `above` is the function that users called to
 * that end: where it was called is recorded as the goroutine's origin. Without it the origin is what was
 * recorded of its function before.
 */
export function launch<G extends Goroutine<unknown>>(
  g: G,
  args: unknown[],
  above?: (...args: never[]) => unknown,
): G {
  if (above !== undefined) recordOrigin(g.fn, above);
  else takeLatestOrigin();
  if (observer.started !== null) observer.started(g);
  void settled.then(start.bind(g, args));
  return g;
}
