/**
 * turns.ts: whose turn it is on something that one goroutine uses at a time. Others queue, oldest
 * first, and a signal takes one out of the queue.
 *
 * Invariant: `taken` is true from enter() to leave(); a turn that is passed on is never free between.
 */
import { List, ListEntry } from "../internal/list.ts";
import { type Cancelable, CanceledError, SignalLink } from "../runtime/canceled.ts";
import { observer } from "../runtime/observer.ts";
import { failParked, parked, type Resolve, resolver } from "../runtime/park.ts";
import { runtime } from "../runtime/runtime.ts";

class Queued extends ListEntry implements Cancelable {
  private readonly what: string;
  private readonly resolve: Resolve<void>;
  private readonly link: SignalLink | undefined;

  constructor(what: string, resolve: Resolve<void>, signal: AbortSignal | undefined) {
    super();
    this.what = what;
    this.resolve = resolve;
    this.link = signal === undefined ? undefined : new SignalLink(signal, this);
    if (observer.parked !== null) observer.parked(this, what, this);
  }

  wake(): void {
    this.link?.remove();
    if (observer.resumed !== null) observer.resumed(this);
    const { sched } = runtime();
    this.resolve(sched.spend() ? undefined : sched.defer<void>(undefined));
  }

  onAbort(): void {
    this.list?.remove(this);
    if (observer.resumed !== null) observer.resumed(this);
    const reason = this.link?.reason;
    failParked(this.resolve, () => new CanceledError(this.what, reason));
  }
}

export class Turns {
  taken = false;
  private queue: List<Queued> | undefined = undefined;

  /** Takes the turn, or waits for it. A canceled wait takes nothing. */
  enter(what: string, signal: AbortSignal | undefined): Promise<void> | undefined {
    if (signal?.aborted === true) return Promise.reject(new CanceledError(what, signal.reason));
    if (!this.taken) {
      this.taken = true;
      return undefined;
    }
    const promise = parked<void>();
    this.queue ??= new List();
    this.queue.push(new Queued(what, resolver(), signal));
    return promise;
  }

  /** Passes the turn on. */
  leave(): void {
    const next = this.queue?.shift();
    if (next === undefined) this.taken = false;
    else next.wake();
  }
}
