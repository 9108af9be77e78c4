/**
 * canceled.ts: cancellation of a wait by an AbortSignal.
 */
import { List, ListEntry } from "../internal/list.ts";
import { observer } from "./observer.ts";
import { ENDS_GOROUTINE } from "./panic.ts";

/**
 * A wait in memory (channel, lock, sleep) was canceled by its signal. `cause` is the signal's reason.
 * Like a canceled read, it ends its goroutine without a panic when nobody catches it.
 */
export class CanceledError extends Error {
  override readonly name: string = "CanceledError";
  readonly code = "ERR_CANCELED";

  constructor(what: string, reason: unknown) {
    super(`${what}: operation was canceled (ERR_CANCELED)`, { cause: reason });
    Object.defineProperty(this, ENDS_GOROUTINE, { value: true });
  }
}

/** Who is told that a signal was aborted. */
export interface Cancelable {
  /** Who waits, as the observer knows it, where that is not this object itself. */
  readonly waiter?: object;
  /** The signal was aborted. Its link is gone. Must not throw. */
  onAbort(): void;
}

/**
 * Those who wait with one signal, oldest first: one listener stands for all of them. An EventTarget
 * walks its listeners to add or to remove one, so ten thousand goroutines that share a signal would
 * pay for each other in every operation.
 */
class Links extends List<SignalLink> {
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    super();
    this.signal = signal;
  }

  handleEvent(): void {
    linksOf.delete(this.signal);
    if (observer.released !== null) observer.released(this.signal, "cancel");
    for (let link = this.shift(); link !== undefined; link = this.shift()) link.abort();
  }
}

const linksOf = new WeakMap<AbortSignal, Links>();
/** An aborted signal keeps nothing either. */
const ONCE = { once: true };

/** Listens to a signal for as long as a wait lasts; leaves no trace on it afterwards. */
export class SignalLink extends ListEntry {
  private readonly links: Links;
  private readonly target: Cancelable;

  constructor(signal: AbortSignal, target: Cancelable) {
    super();
    this.target = target;
    let links = linksOf.get(signal);
    if (links === undefined) {
      links = new Links(signal);
      linksOf.set(signal, links);
      signal.addEventListener("abort", links, ONCE);
    }
    this.links = links;
    links.push(this);
  }

  get reason(): unknown {
    return this.links.signal.reason;
  }

  /** @internal */
  abort(): void {
    const { target } = this;
    if (observer.acquired !== null) {
      observer.acquired(this.links.signal, "cancel", target.waiter ?? target);
    }
    target.onAbort();
  }

  remove(): void {
    const { links } = this;
    if (!links.remove(this) || links.length > 0) return;
    linksOf.delete(links.signal);
    links.signal.removeEventListener("abort", links);
  }
}
