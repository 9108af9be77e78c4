/**
 * shutdown.ts: the two steps in which a program is told to end.
 *
 * The first signal asks it to finish, the second to finish at once. A key may ask as well as a signal.
 */

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

export class Shutdown implements Disposable {
  private readonly first = new AbortController();
  private readonly second = new AbortController();
  private readonly signals: readonly NodeJS.Signals[];
  /** The signal that came first, when it was one. */
  signal: NodeJS.Signals | undefined;

  /** Takes the signals over until it is disposed of; SIGHUP only when there is a terminal to restore. */
  constructor(terminal = false) {
    this.signals = terminal ? SIGNALS : SIGNALS.slice(0, 2);
    for (const signal of this.signals) process.on(signal, this.request);
  }

  /** Aborted when the program has to finish. */
  get begun(): AbortSignal {
    return this.first.signal;
  }

  /** Aborted when it has to finish at once. */
  get atOnce(): AbortSignal {
    return this.second.signal;
  }

  /** One more request to end. */
  readonly request = (signal?: NodeJS.Signals): void => {
    this.signal ??= signal;
    if (this.first.signal.aborted) this.second.abort();
    else this.first.abort();
  };

  [Symbol.dispose](): void {
    for (const signal of this.signals) process.off(signal, this.request);
  }
}

/** Resolves once the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
