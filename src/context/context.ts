/**
 * context.ts: what a Context is, the root of all of them, and values.
 *
 * A context says when work is no longer wanted, and carries values that belong to one request. It is
 * given to functions as an argument. Contexts form a tree; scope.ts has those that can end.
 *
 * Invariants
 *  - A context never changes but once: from alive to ended. Its values never change.
 *  - `scope` is the nearest context upwards, itself included, that can end; all that has to do with
 *    ending is asked there. A context that only carries values costs nothing when others end.
 */
import { setMaxListeners } from "node:events";
import { Chan, type ReceiveChan } from "../chan/chan.ts";
import type { ContextError } from "./errors.ts";
import type { Scope } from "./scope.ts";

/** Names a value in contexts, and its type. Two keys are never the same, whatever their names. */
export class ContextKey<T> {
  readonly name: string;
  /** Only for the compiler: the type of the value. */
  declare readonly holds: (value: T) => T;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * When work is no longer wanted, and values of a request. Functions take it as their first argument.
 */
export abstract class Context {
  /** @internal Where values are looked for that this one does not have. */
  readonly parent: Context | undefined;
  /** @internal The nearest one upwards that can end; undefined when none can. */
  abstract readonly scope: Scope | undefined;

  /** @internal */
  constructor(parent: Context | undefined) {
    this.parent = parent;
  }

  /** Why it ended; undefined while it is alive. */
  get err(): ContextError | undefined {
    return this.scope?.seenEnd()?.err;
  }

  /** When it ends by itself at the latest; undefined when it has no deadline. */
  get deadline(): Date | undefined {
    const at = this.scope?.wallDeadline;
    return at === undefined ? undefined : new Date(at);
  }

  /** Aborted when it ends; for everything that takes `{ signal }`. Made when it is first asked for. */
  get signal(): AbortSignal {
    return this.scope === undefined ? neverAborted() : this.scope.ownSignal();
  }

  /** Closed when it ends; for select. Made when it is first asked for. */
  get done(): ReceiveChan<never> {
    return this.scope === undefined ? neverDone() : this.scope.ownDone();
  }

  /** The value of a key, from the nearest context upwards that has one. */
  value<T>(key: ContextKey<T>): T | undefined {
    for (let c: Context | undefined = this; c !== undefined; c = c.parent) {
      if (c instanceof ValueContext && c.key === key) return c.held as T;
    }
    return undefined;
  }
}

// Nobody can end these, so one of each serves all; a listener on the signal is its owner's to remove.
let never: AbortController | undefined;
let nothing: Chan<never> | undefined;

/** @internal A controller whose signal any number may listen to: a context belongs to many. */
export function newController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

function neverAborted(): AbortSignal {
  never ??= newController();
  return never.signal;
}

function neverDone(): Chan<never> {
  nothing ??= new Chan<never>();
  return nothing;
}

/** @internal A context that never ends: the root, or one that was cut off from those above. */
export class Unending extends Context {
  get scope(): undefined {
    return undefined;
  }
}

const root: Context = new Unending(undefined);

/**
 * The root of every tree of contexts: it never ends, has no deadline and no values.
 *
 * @example
 * import { background, withTimeout } from "coronet";
 * const [ctx, cancel] = withTimeout(background(), 5_000);
 * console.log(ctx.err, ctx.deadline instanceof Date); // undefined true
 * cancel();
 * console.log(ctx.err?.code); // ERR_CANCELED
 */
export function background(): Context {
  return root;
}

/** @internal Made by withValue. */
export class ValueContext extends Context {
  readonly scope: Scope | undefined;
  readonly key: object;
  readonly held: unknown;

  constructor(parent: Context, key: object, held: unknown) {
    super(parent);
    this.scope = parent.scope;
    this.key = key;
    this.held = held;
  }
}
