/**
 * awaited.ts: waits for promises that settle by themselves (a look-up of a name, another goroutine's
 * end), so that they stand in reports beside those that are parked.
 */
import { observer, type SyncTag } from "./observer.ts";
import { parked, type Resolve, resolver } from "./park.ts";

/** Stands in reports for one such wait. */
class Awaiting<T> {
  readonly resolve: Resolve<T>;

  constructor(resolve: Resolve<T>) {
    this.resolve = resolve;
  }
}

/**
 * The promise, whose wait is announced as a wait for `object` while somebody looks. With `tag` the
 * goroutine that waits comes after whoever released the object under it.
 */
export function awaited<T>(
  promise: Promise<T>,
  kind: string,
  object: object,
  tag?: SyncTag,
): Promise<T> {
  if (observer.parked === null) return promise;
  const outcome = parked<T>();
  const waiter = new Awaiting<T>(resolver());
  observer.parked(waiter, kind, object);
  const end = (): void => {
    if (tag !== undefined && observer.acquired !== null) observer.acquired(object, tag, waiter);
    if (observer.resumed !== null) observer.resumed(waiter);
    waiter.resolve(promise);
  };
  promise.then(end, end);
  return outcome;
}
