/**
 * canceled.ts: cancellation of a wait by an AbortSignal.
 */
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
  onAbort(): void;
}

/** Listens to a signal for as long as a wait lasts; leaves no trace on it afterwards. */
export class SignalLink {
  private readonly signal: AbortSignal;
  private readonly target: Cancelable;

  constructor(signal: AbortSignal, target: Cancelable) {
    this.signal = signal;
    this.target = target;
    signal.addEventListener("abort", this);
  }

  get reason(): unknown {
    return this.signal.reason;
  }

  handleEvent(): void {
    this.target.onAbort();
  }

  remove(): void {
    this.signal.removeEventListener("abort", this);
  }
}
