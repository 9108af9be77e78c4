/**
 * park.ts: parking a goroutine, and waking it with a value or an error.
 *
 * A parked goroutine is one pending promise and the function that settles it; no closure of ours is
 * made. `parked()` creates the promise, `resolver()` hands over the function that belongs to the
 * promise created last, so the two are called one right after the other.
 */

/** Settles a parked goroutine's promise. */
export type Resolve<T> = (value: T | PromiseLike<T>) => void;

let last: unknown;

function executor(resolve: unknown): void {
  last = resolve;
}

/** A promise that stays pending until its resolver is called. */
export function parked<T>(): Promise<T> {
  return new Promise<T>(executor);
}

/** The resolver of the promise that parked() returned last. */
export function resolver<T>(): Resolve<T> {
  return last as Resolve<T>;
}

/**
 * Fails a parked goroutine. The error is made inside a promise reaction whose result the goroutine
 * awaits, because V8 then adds the goroutine's own frames ("at async handler (…)") to its stack; made
 * here it would show the poller's stack only, and capturing the stack at every await would cost more
 * than the operation.
 *
 * Order of the microtasks: resolve() queues "follow the failing promise" first, opening the gate
 * queues "make the error" second, so the chain to the goroutine is complete when the stack is taken.
 */
export function failParked<T>(resolve: Resolve<T>, makeError: () => Error): void {
  const gate = parked<void>();
  const open = resolver<void>();
  resolve(
    gate.then((): T => {
      throw makeError();
    }),
  );
  open();
}
