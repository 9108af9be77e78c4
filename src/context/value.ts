/**
 * value.ts: what a context carries, and what is left of it when it has ended.
 */
import { type Context, ContextKey, Unending, ValueContext } from "./context.ts";
import { type ContextParent, contextOf } from "./signal.ts";

/**
 * A context below `parent` with a value. Use it for what belongs to a request and goes through many
 * hands (its number, its user), not for arguments.
 *
 * @example
 * import { background, type Context, ContextKey, withValue } from "coronet";
 * const requestId = new ContextKey<number>("request id");
 * function log(ctx: Context, text: string) {
 *   console.log(`${ctx.value(requestId)}: ${text}`);
 * }
 * log(withValue(background(), requestId, 7), "started"); // 7: started
 */
export function withValue<T>(parent: ContextParent, key: ContextKey<T>, value: T): Context {
  if (!(key instanceof ContextKey)) throw new TypeError("withValue: the key is not a ContextKey");
  return new ValueContext(contextOf(parent), key, value);
}

/**
 * A context with the parent's values that does not end when the parent does: for what must be finished
 * after a request was given up.
 *
 * @example
 * import { background, withCancel, withoutCancel } from "coronet";
 * const [ctx, cancel] = withCancel(background());
 * const cleanUp = withoutCancel(ctx);
 * cancel();
 * console.log(ctx.err?.code, cleanUp.err); // ERR_CANCELED undefined
 */
export function withoutCancel(parent: ContextParent): Context {
  return new Unending(contextOf(parent));
}

/**
 * Why a context ended: the reason that was given to the first cancel, or else its `err`; undefined
 * while it is alive.
 *
 * @example
 * import { background, cause, withCancel } from "coronet";
 * const [parent, cancel] = withCancel(background());
 * const [child] = withCancel(parent);
 * cancel(new Error("the disk is full"));
 * console.log((cause(child) as Error).message, child.err?.code); // the disk is full ERR_CANCELED
 */
export function cause(ctx: ContextParent): unknown {
  return contextOf(ctx).scope?.end()?.cause;
}
