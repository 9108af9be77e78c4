/**
 * labels.ts: labels that goroutines carry, and the profiles' samples with them (Go: pprof.Do).
 *
 * They live in an AsyncLocalStorage, so they follow every await, and a goroutine has those of the one
 * that started it. A CPU profile's samples know only when they were taken. So while one runs, the
 * moments are noted at which other labels began to hold, by V8's promise hooks: every continuation of
 * an async function passes them. Without a profile nothing is noted.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { promiseHooks } from "node:v8";
import type { Labels } from "./encode.ts";

const NONE: Labels = Object.freeze({});
const storage = new AsyncLocalStorage<Labels>();

/** The labels of the code that runs. */
export function currentLabels(): Labels {
  return storage.getStore() ?? NONE;
}

/**
 * Calls `fn` with labels, in addition to those that hold already; what it awaits and the goroutines that
 * it starts have them too. Samples of profiles carry them: `go tool pprof -tags`, `-tagfocus`.
 *
 * @example
 * import { go } from "coronet";
 * import { currentLabels, labels } from "coronet/debug";
 * await labels({ route: "/search" }, async () => {
 *   await go(async () => console.log(currentLabels())).join(); // { route: '/search' }
 * });
 */
export function labels<R>(added: Labels, fn: () => R): R {
  for (const [name, value] of Object.entries(added)) {
    if (typeof value !== "string") {
      throw new TypeError(`labels: the value of "${name}" is no string, but ${typeof value}`);
    }
  }
  const inside = Object.freeze({ ...currentLabels(), ...added });
  return storage.run(inside, () => {
    timeline?.note();
    try {
      return fn();
    } finally {
      timeline?.end();
    }
  });
}

let timeline: Timeline | undefined;

/** Moments that are kept; a profile with more changes of labels has none after them. */
const MOST = 1_000_000;

/** Which labels held when, while a profile is taken. Times are process.hrtime's, in µs. */
export class Timeline {
  private readonly times: number[] = [];
  private readonly held: Labels[] = [];
  private readonly stopHooks: () => void;
  private last = NONE;

  constructor() {
    timeline = this;
    this.note();
    this.stopHooks = promiseHooks.createHook({
      before: () => this.note(),
      after: () => this.end(),
    }) as () => void;
  }

  stop(): void {
    this.stopHooks();
    timeline = undefined;
  }

  /** The labels of the code that runs hold from now on. */
  note(): void {
    this.change(currentLabels());
  }

  /** Code without labels may follow. */
  end(): void {
    this.change(NONE);
  }

  private change(next: Labels): void {
    if (next === this.last || this.times.length >= MOST) return;
    this.last = next;
    this.times.push(microseconds());
    this.held.push(next);
  }

  /** The labels that held at each of these moments, which must be in order. */
  at(moments: readonly number[]): Labels[] {
    let i = -1;
    return moments.map((moment) => {
      while (i + 1 < this.times.length && (this.times[i + 1] as number) <= moment) i++;
      return this.held[i] ?? NONE;
    });
  }
}

/** The clock that V8 takes its samples by: monotonic, in µs. */
function microseconds(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
