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
 */
import { Ring } from "../internal/ring.ts";
import { observer } from "./observer.ts";
import { originOf, recordOrigin } from "./origin.ts";
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

  /** @internal */
  constructor(fn: AnyFunction) {
    this.id = ++stats.started;
    this.fn = fn;
    this.result = undefined;
    this.joined = false;
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
    if (this.result !== undefined) return this.result.then();
    return settled.then(() => this.result as Promise<T>);
  }

  /** @internal Runs the function; called once, in a microtask of its own. */
  start(args: unknown[]): void {
    try {
      const returned = this.fn(...args) as T | Promise<T>;
      this.result = returned instanceof Promise ? returned : Promise.resolve(returned);
    } catch (error) {
      this.result = Promise.reject(error);
    }
    const settle = onSettled.bind(this as Goroutine<unknown>);
    this.result.then(settle, settle);
  }
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
  stats.live--;
  if (observer.ended !== null) observer.ended(g, undefined);
}

function onFail(error: unknown): void {
  const g = settling.shift() as Goroutine<unknown>;
  stats.live--;
  if (observer.ended !== null) observer.ended(g, error);
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
export function go<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): Goroutine<Awaited<R>> {
  if (typeof fn !== "function") throw new TypeError(`go: expected a function, got ${typeof fn}`);
  recordOrigin(fn, go);
  const g = new Goroutine<Awaited<R>>(fn as AnyFunction);
  if (observer.started !== null) observer.started(g as Goroutine<unknown>);
  void settled.then(start.bind(g as Goroutine<unknown>, args));
  return g;
}
