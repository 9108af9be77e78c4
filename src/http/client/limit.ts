/**
 * limit.ts: what ends a request from outside: the caller's signal, and the time for the whole.
 */
import type { Exchange } from "./exchange.ts";

/** Ends a request at once; fails with the signal's reason. */
export class Limit {
  /** For what has a signal of its own: dialling. */
  readonly signal: AbortSignal;
  private readonly given: AbortSignal | undefined;
  private readonly timer: NodeJS.Timeout | undefined = undefined;
  private readonly onGiven: () => void;
  private readonly onAbort: () => void;
  private current: Exchange | undefined = undefined;

  constructor(given: AbortSignal | undefined, total: number | null, late: () => Error) {
    this.given = given;
    this.onAbort = () => this.current?.giveUp(this.signal.reason);
    const own = total === null ? undefined : new AbortController();
    this.signal = own?.signal ?? (given as AbortSignal);
    this.onGiven = () => own?.abort(given?.reason);
    if (own !== undefined) {
      this.timer = setTimeout(() => own.abort(late()), total as number).unref();
      given?.addEventListener("abort", this.onGiven);
    }
    this.signal.addEventListener("abort", this.onAbort);
  }

  /** From now on the signal ends this exchange; when its connection has been left, the limit is over. */
  over(exchange: Exchange): void {
    this.current = exchange;
    exchange.onLeft = () => this.end();
  }

  /** The exchange was not the last one. */
  notYet(): void {
    if (this.current !== undefined) this.current.onLeft = undefined;
    this.current = undefined;
  }

  end(): void {
    clearTimeout(this.timer);
    this.given?.removeEventListener("abort", this.onGiven);
    this.signal.removeEventListener("abort", this.onAbort);
    this.current = undefined;
  }
}
