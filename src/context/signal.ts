/**
 * signal.ts: AbortSignals as contexts: whatever takes a parent takes a signal too.
 */
import { type Cancelable, SignalLink } from "../runtime/canceled.ts";
import { Context } from "./context.ts";
import { End } from "./errors.ts";
import { Scope } from "./scope.ts";

/** What a context can be made below: another one, or an AbortSignal. */
export type ContextParent = Context | AbortSignal;

/** A context that ends when its signal is aborted. Listens to it only while it is watched. */
class SignalScope extends Scope implements Cancelable {
  private readonly source: AbortSignal;
  private link: SignalLink | undefined;

  constructor(source: AbortSignal) {
    super(undefined, Infinity);
    this.source = source;
    this.link = undefined;
  }

  override ownSignal(): AbortSignal {
    return this.source;
  }

  onAbort(): void {
    this.finish(this.aborted());
  }

  // When a signal was aborted is not known. Whoever asks has not ended before, so the signal was first.
  protected ownEnd(): End | undefined {
    return this.source.aborted ? this.aborted() : undefined;
  }

  protected arm(): void {
    this.link = new SignalLink(this.source, this);
  }

  protected disarm(): void {
    this.link?.remove();
    this.link = undefined;
  }

  private aborted(): End {
    const { reason } = this.source;
    return new End(-Infinity, isTimeout(reason) ? "deadline" : "cancel", reason);
  }
}

function isTimeout(reason: unknown): boolean {
  return (reason as { name?: unknown } | null | undefined)?.name === "TimeoutError";
}

const scopes = new WeakMap<AbortSignal, SignalScope>();

/**
 * The context of an AbortSignal: it ends when the signal is aborted, and `cause` is the signal's
 * reason. A signal of AbortSignal.timeout() counts as a deadline.
 *
 * @example
 * import { fromSignal, withTimeout } from "coronet";
 * const controller = new AbortController();
 * const ctx = fromSignal(controller.signal);
 * const [below] = withTimeout(controller.signal, 60_000); // the same: a signal may be a parent
 * controller.abort("stopped");
 * console.log(ctx.err?.code, below.err?.code); // ERR_CANCELED ERR_CANCELED
 */
export function fromSignal(signal: AbortSignal): Context {
  let scope = scopes.get(signal);
  if (scope === undefined) {
    scope = new SignalScope(signal);
    scopes.set(signal, scope);
  }
  return scope;
}

/** A parent as a context. */
export function contextOf(parent: ContextParent): Context {
  if (parent instanceof Context) return parent;
  if (parent instanceof AbortSignal) return fromSignal(parent);
  throw new TypeError(
    "a context's parent is a Context (background() is the root) or an AbortSignal",
  );
}
