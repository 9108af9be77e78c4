/**
 * afterfunc.ts: a function that is called when a context ends.
 */
import { contextOfNow } from "../runtime/async_context.ts";
import { type AnyFunction, Goroutine, launch } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { recordOrigin } from "../runtime/origin.ts";
import type { End } from "./errors.ts";
import type { Dependent } from "./scope.ts";
import { type ContextParent, contextOf } from "./signal.ts";

class AfterFunc implements Dependent {
  private readonly fn: AnyFunction;
  private readonly context = contextOfNow();

  constructor(fn: AnyFunction) {
    this.fn = fn;
    if (observer.released !== null) observer.released(this, "once");
  }

  endWith(_end: End, told: Dependent[]): void {
    told.push(this);
  }

  // Not where the context was canceled: a trace goes on where the function was left.
  tell(): void {
    // What was done before the cancellation comes before the function all the same.
    if (observer.released !== null) observer.released(this, "once");
    const g = this.context.runInAsyncScope(launch, undefined, new Goroutine(this.fn), []);
    if (observer.acquired !== null) observer.acquired(this, "once", g);
  }
}

/**
 * Calls `fn` in a goroutine of its own when the context ends; at once if it has ended. The function
 * that it returns takes that back: true when it did, false when `fn` was started or taken back before.
 *
 * @example
 * import { afterFunc, background, withCancel } from "coronet";
 * const [ctx, cancel] = withCancel(background());
 * const stop = afterFunc(ctx, () => console.log("never"));
 * afterFunc(ctx, () => console.log("canceled"));
 * console.log(stop(), stop()); // true false
 * cancel(); // canceled
 */
export function afterFunc(ctx: ContextParent, fn: () => unknown): () => boolean {
  if (typeof fn !== "function") throw new TypeError("afterFunc: expected a function");
  const { scope } = contextOf(ctx);
  recordOrigin(fn, afterFunc);
  const dependent = new AfterFunc(fn);
  if (scope === undefined) {
    let kept = true;
    return () => {
      const was = kept;
      kept = false;
      return was;
    };
  }
  if (scope.end() !== undefined) {
    dependent.tell();
    return () => false;
  }
  const place = scope.admit(dependent);
  return () => scope.drop(place);
}
