/**
 * once.ts: something that is done once, however many ask for it.
 *
 * Invariants
 *  - The function is called at most once, also when it throws: as in Go, that counts as done.
 *  - Nobody goes on before the function has ended: who comes while it runs waits for its end.
 */
import { List } from "../internal/list.ts";
import { observer } from "../runtime/observer.ts";
import { parked, type Resolve, resolver } from "../runtime/park.ts";
import { completed, refused, SyncWaiter, type WaitOptions } from "./waiter.ts";

class OnceWaiter<T> extends SyncWaiter<T> {
  get kind(): string {
    return "once do";
  }
}

const NEW = 0;
const RUNNING = 1;
const DONE = 2;

/** How far it is, and who waits for its end. */
class Run<T> {
  state: number;
  private readonly waiters: List<OnceWaiter<T>>;

  constructor() {
    this.state = NEW;
    this.waiters = new List<OnceWaiter<T>>();
  }

  /** Waits until it has ended. */
  park(signal: AbortSignal | undefined): Promise<T> {
    const promise = parked<T>();
    const resolve: Resolve<T> = resolver();
    this.waiters.push(new OnceWaiter(this, resolve, signal));
    return promise;
  }

  /** It has ended: `outcome` is what each of those who wait gets. */
  end(outcome: T | Promise<T>): void {
    this.state = DONE;
    if (observer.released !== null) observer.released(this, "once");
    const { waiters } = this;
    for (let next = waiters.shift(); next !== undefined; next = waiters.shift()) {
      if (observer.acquired !== null) observer.acquired(this, "once", next);
      next.wake(outcome as T);
    }
  }

  /** A call has found it done. */
  seen(): void {
    if (observer.acquired !== null) observer.acquired(this, "once");
  }

  gaveUp(): void {}
}

/**
 * Does something once. The first call runs the function; calls that come while it runs wait for its
 * end, later ones return at once.
 *
 * When the function throws, its own caller gets the error and everybody else goes on as if it had
 * succeeded: they cannot tell. Where that matters (it mostly does) use onceValue.
 *
 * @example
 * import { Once } from "coronet";
 * const once = new Once();
 * const greet = () => once.do(async () => console.log("hello"));
 * await Promise.all([greet(), greet(), greet()]); // hello
 */
export class Once {
  private readonly run: Run<void>;

  constructor() {
    this.run = new Run<void>();
  }

  /** True when the function has ended. */
  get isDone(): boolean {
    return this.run.state === DONE;
  }

  /**
   * Runs the function if no call did so before; resolves when it has ended, whoever runs it. Rejects
   * with what the function throws if this call runs it, and with CanceledError when `signal` is aborted
   * while it waits for another call; the function goes on.
   */
  do(fn: () => unknown, options?: WaitOptions): Promise<void> {
    const { run } = this;
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("once do", signal);
    if (run.state === DONE) {
      run.seen();
      return completed();
    }
    if (run.state === RUNNING) return run.park(signal);
    run.state = RUNNING;
    return this.first(fn);
  }

  private async first(fn: () => unknown): Promise<void> {
    try {
      await fn();
    } finally {
      this.run.end(undefined);
    }
  }
}

/**
 * A function that computes its value once: the first call runs `fn`, every call resolves to what it
 * returned or rejects with what it threw.
 *
 * @example
 * import { onceValue } from "coronet";
 * let loads = 0;
 * const config = onceValue(async () => {
 *   loads++;
 *   return { port: 2333 };
 * });
 * const [a, b] = await Promise.all([config(), config()]);
 * console.log(a === b, loads); // true 1
 */
export function onceValue<T>(fn: () => T | Promise<T>): (options?: WaitOptions) => Promise<T> {
  const run = new Run<T>();
  let outcome: Promise<T>;
  const end = (): void => run.end(outcome);
  return (options) => {
    const signal = options?.signal;
    if (signal?.aborted === true) return refused("once value", signal);
    if (run.state === RUNNING) return run.park(signal);
    if (run.state === NEW) {
      run.state = RUNNING;
      outcome = call(fn);
      outcome.then(end, end);
    } else run.seen();
    // A promise of the caller's own: a rejection that the caller drops is reported by Node.
    return outcome.then();
  };
}

async function call<T>(fn: () => T | Promise<T>): Promise<T> {
  return fn();
}
