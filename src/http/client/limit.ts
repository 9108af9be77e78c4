/**
 * limit.ts: what ends a request from outside: the caller's signal, and the time for the whole.
 */
import type { Exchange } from "./exchange.ts";

/** What may end an exchange from outside. */
export interface Ending {
  /** For what has a signal of its own: dialling. */
  readonly signal: AbortSignal | undefined;
  /** From now on it may end this exchange, until there is another one. */
  over(exchange: Exchange): void;
  /** The exchange is the last one: it is all over when its connection has been left. */
  last(exchange: Exchange): void;
}

/** Ends a request at once; fails with the signal's reason. */
export class Limit implements Ending {
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

  over(exchange: Exchange): void {
    this.current = exchange;
  }

  last(exchange: Exchange): void {
    exchange.whenLeft(this);
  }

  end(): void {
    clearTimeout(this.timer);
    this.given?.removeEventListener("abort", this.onGiven);
    this.signal.removeEventListener("abort", this.onAbort);
    this.current = undefined;
  }
}
