/**
 * cancel.ts: contexts that a function ends: withCancel.
 */
import type { Context } from "./context.ts";
import type { End } from "./errors.ts";
import { Scope } from "./scope.ts";
import { type ContextParent, contextOf } from "./signal.ts";

/** Ends a context. The first reason counts; calling it again does nothing. */
export type CancelFunc = (reason?: unknown) => void;

/** A context whose owner ends it: by its cancel function, or by `using` at the end of the scope. */
export type OwnedContext = Context & Disposable;

class CancelScope extends Scope {
  constructor(parent: Context) {
    super(parent, parent.scope?.until ?? Infinity);
  }

  protected ownEnd(): End | undefined {
    return undefined;
  }

  protected arm(): void {}

  protected disarm(): void {}
}

/** A scope with the function that ends it. */
export function owned(scope: Scope): [ctx: OwnedContext, cancel: CancelFunc] {
  return [scope, (reason) => scope.cancel(reason)];
}

/**
 * A context below `parent` and the function that ends it, with a reason if there is one. When cancel()
 * returns, the context and everything below it has ended.
 *
 * @example
 * import { background, cause, Chan, go, withCancel } from "coronet";
 * const [ctx, cancel] = withCancel(background());
 * const jobs = new Chan<number>();
 * const worker = go(async () => {
 *   const error = await jobs.receive({ signal: ctx.signal }).catch((e) => e);
 *   console.log(error.code, cause(ctx)); // ERR_CANCELED shutting down
 * });
 * cancel("shutting down");
 * await worker.join();
 */
export function withCancel(parent: ContextParent): [ctx: OwnedContext, cancel: CancelFunc] {
  return owned(new CancelScope(contextOf(parent)));
}
