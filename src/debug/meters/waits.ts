/**
 * waits.ts: how many wait for what, and how long waits last that are no idling.
 *
 * Each kind of wait ("chan receive", "mutex lock", "sleep", …) has one entry. A wait refers to its entry, so
 * that its end finds it; of waits whose length says something (locks, channels, connects, writes) it also
 * has the time of its beginning.
 *
 * The most frequent waits, those for input, are not followed at all: how long a connection idles says
 * nothing, and how many there are the poller's descriptors tell when somebody asks.
 */
import { Op } from "../../poll/op.ts";
import { Watch } from "../../poll/read.ts";
import { runtime } from "../../runtime/runtime.ts";
import { Histogram, type HistogramSnapshot } from "./histogram.ts";

const MOST_KINDS = 64;
const OTHER = "other";

/** Whose length says nothing. */
const IDLE = new Set(["sleep", "placed conn", "task"]);
/** What the runtime itself counts as waits for I/O or a time. */
const HELD = new Set(["write", "connect", "close", "pass", "sleep"]);

/** Waits for input: the poller knows them. */
function isInput(kind: string): boolean {
  return kind === "read" || kind === "wait" || kind === "accept" || kind === "receive";
}

/** What a kind of wait is for, roughly. */
export type Category = "io" | "channel" | "lock" | "sleep" | "other";

export function categoryOf(kind: string): Category {
  if (/^(read|write|accept|connect|wait$|receive|pass|resolve|dial)/.test(kind)) return "io";
  if (/^(chan|select|shared chan)/.test(kind)) return "channel";
  if (/^(mutex|rwmutex|semaphore|cond|waitgroup|errgroup|join|once|lock)/.test(kind)) return "lock";
  if (/^(sleep|timer|ticker)/.test(kind)) return "sleep";
  return "other";
}

/** One kind of wait. */
class Kind {
  now = 0;
  total = 0;
  readonly category: Category;
  readonly lasting: Histogram | undefined;
  /** Stands for every wait of a kind that is not timed. */
  readonly untimed: Begun;

  constructor(name: string) {
    this.category = categoryOf(name);
    this.lasting = IDLE.has(name) ? undefined : new Histogram(1000);
    this.untimed = new Begun(this, 0);
  }
}

class Begun {
  readonly kind: Kind;
  /** By performance.now(). */
  readonly at: number;

  constructor(kind: Kind, at: number) {
    this.kind = kind;
    this.at = at;
  }
}

const BEGUN: unique symbol = Symbol("coronet.begun");
const QUEUED: unique symbol = Symbol("coronet.queued");
type Waiting = object & { [BEGUN]?: Begun | undefined; [QUEUED]?: number };

const kinds = new Map<string, Kind>();
/** From queued to dequeued: how long a goroutine that could go on waits for its turn, in ms. */
export let queueDelay = new Histogram(1000);

function kindOf(name: string): Kind {
  let kind = kinds.get(name);
  if (kind === undefined) {
    const known = kinds.size < MOST_KINDS ? name : OTHER;
    kind = kinds.get(known) ?? new Kind(known);
    kinds.set(known, kind);
  }
  return kind;
}

export function parked(waiter: Waiting, name: string): void {
  if (isInput(name)) return;
  const kind = kindOf(name);
  kind.now++;
  kind.total++;
  waiter[BEGUN] = kind.lasting === undefined ? kind.untimed : new Begun(kind, performance.now());
}

export function resumed(waiter: Waiting): void {
  const begun = waiter[BEGUN];
  if (begun === undefined) return;
  waiter[BEGUN] = undefined;
  const { kind, at } = begun;
  kind.now--;
  if (kind.lasting !== undefined) kind.lasting.record(performance.now() - at);
}

export function queued(waiter: Waiting): void {
  waiter[QUEUED] = performance.now();
}

export function dequeued(waiter: Waiting): void {
  const at = waiter[QUEUED];
  if (at !== undefined) queueDelay.record(performance.now() - at);
}

/** Waits for input, by kind. Looks at every descriptor. */
function inputs(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const waiter of runtime().cache.waiters()) {
    if (!(waiter instanceof Op) || waiter instanceof Watch || !isInput(waiter.kind)) continue;
    counts.set(waiter.kind, (counts.get(waiter.kind) ?? 0) + 1);
  }
  return counts;
}

/** One kind of wait, as data. */
export interface WaitMeter {
  /** Waits of now. */
  readonly now: number;
  /** All that there were since somebody looks; undefined of waits for input. */
  readonly total: number | undefined;
  /** How long they lasted, in ms; undefined of kinds whose length says nothing. */
  readonly lasting: HistogramSnapshot | undefined;
}

export function waitMeters(): Record<string, WaitMeter> {
  const all: Record<string, WaitMeter> = {};
  for (const [name, now] of inputs()) all[name] = { now, total: undefined, lasting: undefined };
  for (const [name, { now, total, lasting }] of kinds) {
    all[name] = { now, total, lasting: lasting?.snapshot() };
  }
  return all;
}

/** Waits of now that are none for I/O or a time. */
export function otherWaits(): number {
  let sum = 0;
  for (const [name, { now }] of kinds) if (!HELD.has(name)) sum += now;
  return sum;
}

/** Waits of now of one category; of those for I/O only the ones that are not for input. */
export function waitsOf(category: Category): number {
  let sum = 0;
  for (const kind of kinds.values()) if (kind.category === category) sum += kind.now;
  return sum;
}

/** Waits that are under way are forgotten with their kinds: their ends change nothing any more. */
export function forgetWaits(): void {
  kinds.clear();
  queueDelay = new Histogram(1000);
}
