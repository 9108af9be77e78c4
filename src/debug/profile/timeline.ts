/**
 * timeline.ts: which labels held when, while a CPU profile is taken.
 *
 * Its samples know only the moment at which they were taken. So the moments are noted at which other
 * labels began to hold: labels() says it, and V8's promise hooks see every continuation of an async
 * function. Without a profile nothing is noted.
 */
import { promiseHooks } from "node:v8";
import { currentLabels, followLabels, type Labels, NONE, onLabels } from "../labels.ts";

/** Moments that are kept; a profile with more changes of labels has none after them. */
const MOST = 1_000_000;

export class Timeline {
  private readonly times: number[] = [];
  private readonly held: Labels[] = [];
  private readonly unfollow = followLabels();
  private readonly unhook: () => void;
  private last = NONE;

  constructor() {
    this.change(currentLabels());
    onLabels.change = (now) => this.change(now);
    this.unhook = promiseHooks.createHook({
      before: () => this.change(currentLabels()),
      // Code without labels may follow.
      after: () => this.change(NONE),
    }) as () => void;
  }

  stop(): void {
    onLabels.change = null;
    this.unhook();
    this.unfollow();
  }

  private change(next: Labels): void {
    if (next === this.last || this.times.length >= MOST) return;
    this.last = next;
    this.times.push(microseconds());
    this.held.push(next);
  }

  /** The labels that held at each of these moments, in µs of process.hrtime, which must be in order. */
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
