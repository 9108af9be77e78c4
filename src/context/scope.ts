/**
 * scope.ts: contexts that can end: by cancel, by a deadline, with the one above, with an AbortSignal.
 *
 * A scope that nobody watches is an object with a link upwards and nothing else: whether it has ended
 * is found out by looking up (and at the clock) when somebody asks. Only when its signal or its channel
 * is asked for, or a function is to be called, does it enter its parent's list, and its parent the
 * grandparent's, so that an end comes down to it:
 *
 *     unwatched ──signal, done, afterFunc──▶ watched ──ends, or the last who watched left──▶ unwatched
 *
 * Invariants
 *  - A scope above a watched one is watched. Only watched scopes have a timer or a place in a list.
 *  - What ended is in no list and has no timer: a child that ends leaves nothing in its parent.
 *  - An end is decided for the whole tree below before anybody is told of it, and everybody has been
 *    told when cancel() returns.
 *  - A deadline keeps the process alive while its scope is watched, as a sleep does: somebody counts
 *    on it.
 */
import { Chan } from "../chan/chan.ts";
import { List, ListEntry } from "../internal/list.ts";
import { observer } from "../runtime/observer.ts";
import { runtime } from "../runtime/runtime.ts";
import { Context, newController } from "./context.ts";
import { End } from "./errors.ts";

/** Whatever a scope tells of its end. */
export interface Dependent {
  /** Its scope has ended: adds to `told` itself and whatever depends on it. */
  endWith(end: End, told: Dependent[]): void;
  /** Second step: tells its users. Code of theirs may run inside. */
  tell(): void;
}

/** A place in a scope's list of dependents. */
export class Place extends ListEntry {
  readonly dependent: Dependent;

  constructor(dependent: Dependent) {
    super();
    this.dependent = dependent;
  }
}

/** What a scope has while it is watched. */
class Watch {
  readonly below: List<Place>;
  /** Its own place in the scope above, if there is one. */
  place: Place | undefined;
  controller: AbortController | undefined;
  done: Chan<never> | undefined;

  constructor() {
    this.below = new List<Place>();
    this.place = undefined;
    this.controller = undefined;
    this.done = undefined;
  }

  get idle(): boolean {
    return this.below.length === 0 && this.controller === undefined && this.done === undefined;
  }
}

export abstract class Scope extends Context implements Disposable, Dependent {
  /** @internal The earliest deadline of this one and those above, in the clock's milliseconds. */
  readonly until: number;
  private readonly above: Scope | undefined;
  private ended: End | undefined;
  private watch: Watch | undefined;

  /** @internal */
  constructor(parent: Context | undefined, until: number) {
    super(parent);
    this.until = until;
    this.above = parent?.scope;
    this.ended = undefined;
    this.watch = undefined;
  }

  /** @internal */
  get scope(): Scope {
    return this;
  }

  /** Cancels it, as its cancel function does. */
  [Symbol.dispose](): void {
    this.finish(new End(runtime().clock.now(), "dispose", undefined));
  }

  /** @internal `until` in milliseconds since the epoch; undefined when there is no deadline. */
  get wallDeadline(): number | undefined {
    return this.above?.wallDeadline;
  }

  /** @internal How it ended; undefined while it is alive. */
  end(): End | undefined {
    if (this.ended !== undefined) return this.ended;
    // A watched one is told of it: all who look at one moment have to see the same.
    if (this.watch !== undefined) return undefined;
    const own = this.ownEnd();
    const inherited = this.above?.end();
    const ownIsFirst = inherited === undefined || (own !== undefined && own.at < inherited.at);
    this.ended = ownIsFirst ? own : inherited;
    return this.ended;
  }

  /** @internal As end(), for somebody who comes after whoever ended it. */
  seenEnd(): End | undefined {
    const end = this.end();
    if (end !== undefined && observer.acquired !== null) {
      for (let s: Scope | undefined = this; s !== undefined; s = s.above) {
        observer.acquired(s, "cancel");
      }
    }
    return end;
  }

  /** How it has ended other than by finish() or from above; asked while it is not watched. */
  protected abstract ownEnd(): End | undefined;
  /** Begins to be told of that; called when it comes to be watched. */
  protected abstract arm(): void;
  /** Called when it is watched no more, and when it ends. */
  protected abstract disarm(): void;

  /** @internal What its cancel function does. */
  cancel(reason: unknown): void {
    this.finish(new End(runtime().clock.now(), "cancel", reason));
  }

  /** @internal Ends it and everything below, unless it has ended before. */
  finish(end: End): void {
    if (this.end() !== undefined) return;
    if (observer.released !== null) observer.released(this, "cancel");
    const { watch } = this;
    if (watch === undefined) {
      this.ended = end;
      return;
    }
    const told: Dependent[] = [];
    this.endWith(end, told);
    if (watch.place !== undefined) this.above?.drop(watch.place);
    for (const dependent of told) dependent.tell();
  }

  /** @internal */
  endWith(end: End, told: Dependent[]): void {
    this.ended = end;
    if (observer.released !== null) observer.released(this, "cancel");
    this.disarm();
    told.push(this);
    const { below } = this.watch as Watch;
    for (let place = below.shift(); place !== undefined; place = below.shift()) {
      place.dependent.endWith(end, told);
    }
  }

  // The signal first: who wakes by the channel may look at the signal's reason.
  /** @internal */
  tell(): void {
    const { controller, done } = this.watch as Watch;
    controller?.abort((this.ended as End).cause);
    done?.close();
  }

  // ---- being watched

  /** @internal */
  ownSignal(): AbortSignal {
    const end = this.seenEnd();
    const watch = this.watched(end);
    watch.controller ??= newController();
    const { signal } = watch.controller;
    if (end !== undefined && !signal.aborted) watch.controller.abort(end.cause);
    return signal;
  }

  /** @internal */
  ownDone(): Chan<never> {
    const end = this.seenEnd();
    const watch = this.watched(end);
    if (watch.done === undefined) {
      watch.done = new Chan<never>();
      if (end !== undefined) watch.done.close();
    }
    return watch.done;
  }

  /** @internal Gives a dependent a place in the list; only while alive. */
  admit(dependent: Dependent): Place {
    const place = new Place(dependent);
    this.watched(undefined).below.push(place);
    return place;
  }

  /** @internal Takes a place back; false when it was not in the list any more. */
  drop(place: Place): boolean {
    const { watch } = this;
    if (watch === undefined || !watch.below.remove(place)) return false;
    if (watch.idle && this.ended === undefined) this.unwatch(watch);
    return true;
  }

  /** Where signal and channel are kept. What has ended has nothing to be told of any more. */
  private watched(end: End | undefined): Watch {
    if (this.watch !== undefined) return this.watch;
    this.watch = new Watch();
    if (end === undefined) {
      this.watch.place = this.above?.admit(this);
      this.arm();
    }
    return this.watch;
  }

  private unwatch(watch: Watch): void {
    this.watch = undefined;
    this.disarm();
    if (watch.place !== undefined) this.above?.drop(watch.place);
  }
}
