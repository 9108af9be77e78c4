/**
 * contention.ts: block and mutex profiles: where goroutines wait for each other.
 *
 * The block profile has the stack of the one that waited, the mutex profile that of the one who let the
 * others wait, at its unlock; both count waits and add up nanoseconds. They are off until a rate is set,
 * and grow from then on, as Go's do.
 *
 * A short wait is kept with the probability length/rate, and weighs rate/length in return, so that the
 * sums are right on average (Go does the same).
 */
import { currentLabels, type Labels } from "../labels.ts";
import { attach } from "../observers.ts";
import { framesOf } from "../stacks.ts";
import { frameOf, ProfileBuilder } from "./encode.ts";

/** Waits of goroutines for each other; not for I/O, nor for time. */
const BLOCKS =
  /^(chan|select|mutex|rwmutex|waitgroup|cond|semaphore|errgroup|once|singleflight|join|atomic)/;
const LOCKS = /^(mutex|rwmutex)/;
/** Different stacks that are kept; more waits are counted under "(other stacks)". */
const MOST = 10_000;
const DEPTH = 32;

interface Holder {
  stack?: string;
}

function captureStack(): Holder {
  const holder: Holder = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  Error.captureStackTrace(holder, captureStack);
  Error.stackTraceLimit = limit;
  return holder;
}

interface Total {
  readonly frames: readonly string[];
  readonly labels: Labels;
  count: number;
  nanoseconds: number;
}

/** Sums by stack and labels. */
class Sums {
  private readonly totals = new Map<string, Total>();
  began = Date.now();

  add(holder: Holder, labels: Labels, count: number, nanoseconds: number): void {
    let frames = framesOf(String(holder.stack));
    let key = JSON.stringify([frames, labels]);
    if (this.totals.size >= MOST && !this.totals.has(key)) {
      frames = ["(other stacks)"];
      key = "other";
    }
    const total = this.totals.get(key) ?? { frames, labels, count: 0, nanoseconds: 0 };
    total.count += count;
    total.nanoseconds += nanoseconds;
    this.totals.set(key, total);
  }

  /** What there is, or what has come since `before`. */
  encode(before?: Snapshot): Uint8Array {
    const builder = new ProfileBuilder(
      [
        ["contentions", "count"],
        ["delay", "nanoseconds"],
      ],
      ["contentions", "count"],
      1,
    );
    for (const [key, { frames, labels, count, nanoseconds }] of this.totals) {
      const earlier = before?.get(key);
      const values = [count - (earlier?.count ?? 0), nanoseconds - (earlier?.nanoseconds ?? 0)];
      if ((values[0] as number) > 0) builder.add(frames.map(frameOf), values, labels);
    }
    const since = before?.at ?? this.began;
    return builder.encode(since, Date.now() - since);
  }

  snapshot(): Snapshot {
    return new Snapshot(this.totals);
  }
}

/** How far the sums were at one moment. */
export class Snapshot {
  readonly at = Date.now();
  private readonly sums = new Map<string, { count: number; nanoseconds: number }>();

  constructor(totals: ReadonlyMap<string, Total>) {
    for (const [key, { count, nanoseconds }] of totals) this.sums.set(key, { count, nanoseconds });
  }

  get(key: string): { count: number; nanoseconds: number } | undefined {
    return this.sums.get(key);
  }
}

export const blocks = new Sums();
export const mutexes = new Sums();

// ---- what is waited for now

interface Waiting {
  readonly since: number;
  readonly holder: Holder | undefined;
  readonly labels: Labels;
  readonly lock: boolean;
}

let blockRate = 0;
let mutexFraction = 0;
let detach: (() => void) | undefined;
const waiting = new WeakMap<object, Waiting>();
const now = performance.now.bind(performance);

function parked(waiter: object, kind: string): void {
  const lock = mutexFraction > 0 && LOCKS.test(kind);
  const block = blockRate > 0 && BLOCKS.test(kind);
  if (!lock && !block) return;
  const holder = block ? captureStack() : undefined;
  waiting.set(waiter, { since: now(), holder, labels: currentLabels(), lock });
}

function resumed(waiter: object): void {
  const wait = waiting.get(waiter);
  if (wait === undefined) return;
  waiting.delete(waiter);
  const nanoseconds = (now() - wait.since) * 1e6;
  if (wait.holder !== undefined && blockRate > 0)
    sampleBlock(wait.holder, wait.labels, nanoseconds);
  // Whoever runs now lets the lock go.
  if (wait.lock && mutexFraction > 0 && Math.random() * mutexFraction < 1) {
    mutexes.add(captureStack(), currentLabels(), mutexFraction, nanoseconds * mutexFraction);
  }
}

function sampleBlock(holder: Holder, labels: Labels, nanoseconds: number): void {
  if (nanoseconds >= blockRate) blocks.add(holder, labels, 1, nanoseconds);
  else if (Math.random() * blockRate < nanoseconds) {
    blocks.add(holder, labels, blockRate / nanoseconds, blockRate);
  }
}

function refit(): void {
  const wanted = blockRate > 0 || mutexFraction > 0;
  if (wanted && detach === undefined) detach = attach({ parked, resumed });
  else if (!wanted) {
    detach?.();
    detach = undefined;
  }
}

/**
 * Keeps one wait of goroutines for each other per so many nanoseconds that are waited, on average, for
 * the block profile: 1 keeps every one, 0 (the default) none. Returns the rate before. In Go:
 * runtime.SetBlockProfileRate.
 *
 * @example
 * import { Chan, go, sleep } from "coronet";
 * import { profile, setBlockProfileRate } from "coronet/debug";
 * setBlockProfileRate(1);
 * const ch = new Chan<number>();
 * go(() => sleep(5).then(() => ch.send(1)));
 * await ch.receive();
 * console.log((await profile("block")).length > 0); // true: for `go tool pprof`
 * setBlockProfileRate(0);
 */
export function setBlockProfileRate(nanoseconds: number): number {
  if (!(nanoseconds >= 0)) throw new RangeError(`setBlockProfileRate: not ${nanoseconds}`);
  const before = blockRate;
  blockRate = nanoseconds;
  refit();
  return before;
}

/**
 * Keeps one of so many waits for a lock for the mutex profile: 1 keeps every one, 0 (the default) none.
 * Returns the fraction before. In Go: runtime.SetMutexProfileFraction.
 */
export function setMutexProfileFraction(fraction: number): number {
  if (!(fraction >= 0)) throw new RangeError(`setMutexProfileFraction: not ${fraction}`);
  const before = mutexFraction;
  mutexFraction = fraction;
  refit();
  return before;
}
