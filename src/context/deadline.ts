/**
 * deadline.ts: contexts that end by themselves: withTimeout, withDeadline.
 *
 * A deadline later than the parent's would never be seen: such a context has the parent's deadline and
 * no timer. A timer runs only while the context is watched (scope.ts); before, the clock is asked.
 */
import { runtime } from "../runtime/runtime.ts";
import { milliseconds, Timer } from "../runtime/timers.ts";
import { type CancelFunc, type OwnedContext, owned, withCancel } from "./cancel.ts";
import type { Context } from "./context.ts";
import { End } from "./errors.ts";
import { Scope } from "./scope.ts";
import { type ContextParent, contextOf } from "./signal.ts";

class DeadlineTimer extends Timer {
  private readonly scope: DeadlineScope;

  constructor(scope: DeadlineScope) {
    super();
    this.scope = scope;
  }

  fire(): void {
    this.scope.expire();
  }
}

class DeadlineScope extends Scope {
  private readonly wall: number;
  private readonly reason: unknown;
  private timer: DeadlineTimer | undefined;

  constructor(parent: Context, until: number, wall: number, reason: unknown) {
    super(parent, until);
    this.wall = wall;
    this.reason = reason;
    this.timer = undefined;
  }

  override get wallDeadline(): number {
    return this.wall;
  }

  expire(): void {
    this.finish(new End(this.until, "deadline", this.reason));
  }

  protected ownEnd(): End | undefined {
    if (runtime().clock.now() < this.until) return undefined;
    return new End(this.until, "deadline", this.reason);
  }

  protected arm(): void {
    const rt = runtime();
    this.timer ??= new DeadlineTimer(this);
    rt.hold();
    rt.timers.arm(this.timer, this.until);
  }

  protected disarm(): void {
    const rt = runtime();
    rt.timers.disarm(this.timer as DeadlineTimer);
    rt.release();
  }
}

function below(
  parent: Context,
  fromNow: number,
  wall: number,
  reason: unknown,
): [ctx: OwnedContext, cancel: CancelFunc] {
  const until = runtime().clock.now() + fromNow;
  const soonest = parent.scope?.until ?? Infinity;
  if (soonest <= until) return withCancel(parent);
  return owned(new DeadlineScope(parent, until, wall, reason));
}

/**
 * A context below `parent` that ends after so many milliseconds, and the function that ends it
 * earlier. Call that, or dispose of the context, when the work is done: a deadline that is watched
 * keeps the process alive until it comes. `reason` becomes the cause when the time is up.
 *
 * @example
 * import { background, sleep, withTimeout } from "coronet";
 * using ctx = withTimeout(background(), 5)[0];
 * await sleep(10_000, { signal: ctx.signal }).catch(() => {});
 * console.log(ctx.err?.code, ctx.err?.message); // ERR_DEADLINE context: deadline exceeded (ERR_DEADLINE)
 */
export function withTimeout(
  parent: ContextParent,
  ms: number,
  reason?: unknown,
): [ctx: OwnedContext, cancel: CancelFunc] {
  milliseconds(ms, "withTimeout");
  return below(contextOf(parent), ms, runtime().clock.wall() + ms, reason);
}

/**
 * As withTimeout, with the date at which the context ends.
 *
 * @example
 * import { background, withDeadline } from "coronet";
 * const [ctx] = withDeadline(background(), new Date(Date.now() - 1));
 * console.log(ctx.err?.code); // ERR_DEADLINE
 */
export function withDeadline(
  parent: ContextParent,
  date: Date,
  reason?: unknown,
): [ctx: OwnedContext, cancel: CancelFunc] {
  if (!(date instanceof Date)) throw new TypeError("withDeadline: expected a Date");
  const wall = date.getTime();
  if (Number.isNaN(wall)) throw new RangeError("withDeadline: the date is invalid");
  return below(contextOf(parent), wall - runtime().clock.wall(), wall, reason);
}
