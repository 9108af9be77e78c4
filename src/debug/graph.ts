/**
 * graph.ts: who waits for whom, what can never end, and which goroutines hold each other up for ever.
 *
 * Certain is only what the library itself knows: who holds a lock, who is joined, that a nil channel has
 * no other end. Of a channel it knows who has used it so far, not who still could, so that is told as
 * what it is.
 */
import { Chan } from "../chan/chan.ts";
import { Goroutine, hasEnded, liveGoroutines } from "../runtime/goroutine.ts";
import { Cond } from "../sync/cond.ts";
import { ErrGroup } from "../sync/errgroup.ts";
import { Mutex } from "../sync/mutex.ts";
import { RWMutex } from "../sync/rwmutex.ts";
import { Semaphore } from "../sync/semaphore.ts";
import { WaitGroup } from "../sync/waitgroup.ts";
import { holdsOf, pastUsersOf } from "./holders.ts";
import { casesOf, chanOfCase, goroutineName, nameOf } from "./objects.ts";
import {
  type Known,
  queuedGoroutines,
  type Wait,
  waitsByGoroutine,
  watchedFromStart,
} from "./registry.ts";

type G = Goroutine<unknown>;

/** Whom a wait needs. */
export interface Needs {
  readonly goroutines: readonly G[];
  /** One of them is enough to keep it waiting; else only all of them together. */
  readonly any: boolean;
}

const NOBODY: Needs = { goroutines: [], any: true };

/** A look at all waits at one moment. */
export class WaitGraph {
  readonly waits: ReadonlyMap<G | undefined, readonly Wait[]>;
  /** Many may wait for one thing: whom they need is looked up once, by the thing and the kind. */
  private readonly needs = new Map<object, Map<string, Needs>>();
  private readonly members = new Map<unknown, G[]>();
  private readonly writers = new Map<object, G[]>();

  constructor() {
    this.waits = waitsByGoroutine();
    for (const g of liveGoroutines()) add(this.members, (g as { group?: unknown }).group, g);
    for (const [g, waits] of this.waits) {
      for (const { kind, object } of waits) {
        if (g !== undefined && kind === "rwmutex lock") add(this.writers, object, g);
      }
    }
  }

  /** Everybody who is known to have to act before a wait ends; nobody when that is not known. */
  needsOf({ kind, object }: Wait): Needs {
    let byKind = this.needs.get(object);
    if (byKind === undefined) {
      byKind = new Map();
      this.needs.set(object, byKind);
    }
    const known = byKind.get(kind) ?? this.find(kind, object);
    byKind.set(kind, known);
    return known;
  }

  private find(kind: string, object: object): Needs {
    if (object instanceof Goroutine) return { goroutines: [object], any: true };
    if (object instanceof Mutex) return holders(object);
    if (object instanceof RWMutex) {
      const written = holdsOf(object).some(({ tag }) => tag === "write");
      if (kind !== "rwmutex rlock" || written) return holders(object);
      // Nobody writes: a writer that waits holds the readers back that came after it.
      return { goroutines: this.writers.get(object) ?? [], any: true };
    }
    if (object instanceof Semaphore) return { ...holders(object), any: false };
    if (object instanceof WaitGroup || object instanceof ErrGroup) {
      return { goroutines: this.members.get(object) ?? [], any: true };
    }
    return NOBODY;
  }

  /**
   * Goroutines that hold each other up for ever, by what they wait for: each needs one that waits as
   * well, and nobody else can let one of them go on. `until`: their waits began no later than then, by
   * performance.now().
   */
  lockedUp(until = Infinity): Map<G, Wait> {
    const queued = queuedGoroutines();
    const stuck = new Map<G, Wait>();
    for (const [g, waits] of this.waits) {
      // Of several waits at once one may end while the others last.
      const [wait] = waits;
      if (g === undefined || wait === undefined || waits.length > 1 || queued.has(g)) continue;
      if (isCancelable(wait) || wait.since > until) continue;
      if (this.needsOf(wait).goroutines.length > 0) stuck.set(g, wait);
    }
    for (let before = -1; before !== stuck.size; ) {
      before = stuck.size;
      for (const [g, wait] of stuck) if (!this.isHeldUp(g, wait, stuck)) stuck.delete(g);
    }
    return stuck;
  }

  private isHeldUp(g: G, wait: Wait, stuck: ReadonlyMap<G, Wait>): boolean {
    const { goroutines, any } = this.needsOf(wait);
    const isStuck = (other: G): boolean => stuck.has(other);
    if (any) return goroutines.some(isStuck);
    // Units have no owner: one who takes them all and waits may well wait for another's release().
    return goroutines.every(isStuck) && goroutines.some((other) => other !== g);
  }

  /** The cycles among goroutines that hold each other up, each from its lowest number on. */
  cyclesOf(stuck: ReadonlyMap<G, Wait>): G[][] {
    const cycles: G[][] = [];
    const done = new Set<G>();
    for (const start of stuck.keys()) {
      const path: G[] = [];
      let g: G | undefined = start;
      while (g !== undefined && !done.has(g) && !path.includes(g)) {
        path.push(g);
        g = this.needsOf(stuck.get(g) as Wait).goroutines.find((other) => stuck.has(other));
      }
      if (g !== undefined && path.includes(g)) cycles.push(fromLowest(path.slice(path.indexOf(g))));
      for (const each of path) done.add(each);
    }
    return cycles;
  }

  /** Who waits for whom, a line for each wait of which that is known; the cycles first. */
  drawing(): string[] {
    const stuck = this.lockedUp();
    const cycles = this.cyclesOf(stuck);
    const drawn = new Set(cycles.flat());
    const lines = cycles.map((cycle) => `${drawCycle(cycle, stuck)}  (a cycle)`);
    for (const [g, waits] of this.waits) {
      if (g !== undefined && drawn.has(g)) continue;
      const from = g === undefined ? "outside of goroutines" : goroutineName(g);
      for (const wait of waits) {
        const to = this.otherEnds(wait);
        if (to !== "") lines.push(`${from} ──${nameOf(wait.object) || wait.kind}──▶ ${to}`);
      }
    }
    return lines;
  }

  private otherEnds(wait: Wait): string {
    const { goroutines } = this.needsOf(wait);
    if (goroutines.length > 0) return goroutines.slice(0, 4).map(goroutineName).join(", ");
    const past = pastUsersOf(wait.object);
    const sends = wait.kind.startsWith("chan send");
    const side = [...((sends ? past?.receivers : past?.senders) ?? [])].slice(0, 4);
    return side.map((user) => `${goroutineName(user)}${user.ended ? " (ended)" : ""}`).join(", ");
  }
}

function add<K>(map: Map<K, G[]>, key: K, g: G): void {
  const list = map.get(key);
  if (key === undefined) return;
  if (list === undefined) map.set(key, [g]);
  else list.push(g);
}

function holders(lock: object): Needs {
  const goroutines = holdsOf(lock).flatMap(({ goroutine }) => goroutine ?? []);
  return { goroutines: [...new Set(goroutines)], any: true };
}

/** A signal may end it. */
function isCancelable({ waiter }: Wait): boolean {
  const { link, cancel } = waiter as { link?: unknown; cancel?: unknown };
  return link !== undefined || cancel !== undefined;
}

function fromLowest(cycle: readonly G[]): G[] {
  const lowest = cycle.reduce((a, b) => (b.id < a.id ? b : a));
  const at = cycle.indexOf(lowest);
  return [...cycle.slice(at), ...cycle.slice(0, at)];
}

/** "goroutine 1 [a] ──mutex #2──▶ goroutine 2 [b] ──mutex #1──▶ goroutine 1 [a]" */
export function drawCycle(cycle: readonly G[], stuck: ReadonlyMap<G, Wait>): string {
  const steps = cycle.map(
    (g) => `${goroutineName(g)} ──${nameOf((stuck.get(g) as Wait).object)}──▶ `,
  );
  return `${steps.join("")}${goroutineName(cycle[0] as G)}`;
}

// ---- what can never end, in words

/** Why a wait will never end, or who would have had to end it; undefined when nothing is known. */
export function verdictOf(wait: Wait): string | undefined {
  const { kind, object } = wait;
  if (kind.endsWith("(nil chan)")) return "never ends: a nil channel has no other end";
  if (kind === "select (no cases)") return "never ends: none of its cases can happen";
  const cases = casesOf(object);
  if (cases !== undefined) return selectVerdict(cases);
  if (object instanceof Chan) return chanVerdict(object, kind.startsWith("chan send"));
  if (object instanceof Cond) return condVerdict(object);
  if (object instanceof Mutex || object instanceof RWMutex || object instanceof Semaphore) {
    return lockVerdict(object);
  }
  return undefined;
}

function selectVerdict(cases: Record<string, unknown>): string | undefined {
  const verdicts: string[] = [];
  for (const [key, entry] of Object.entries(cases)) {
    if (entry === undefined) continue;
    const { chan, sends } = chanOfCase(entry);
    const verdict = chan instanceof Chan ? chanVerdict(chan, sends) : undefined;
    // One case that may still happen is enough.
    if (verdict === undefined) return undefined;
    verdicts.push(`${key}: ${verdict}`);
  }
  return verdicts.join("; ");
}

/** Who was at the other end of a channel, when all of them have ended. */
function chanVerdict(chan: object, sends: boolean): string | undefined {
  if (chan instanceof Chan && chan.constructor !== Chan) {
    return "never ends: a nil channel has no other end";
  }
  const past = pastUsersOf(chan);
  const verb = sends ? "received from" : "sent on";
  const side = [...((sends ? past?.receivers : past?.senders) ?? [])];
  if (side.length === 0 && past?.others !== true) return nobodyHas(verb);
  if (past?.others === true || side.some((user) => !user.ended)) return undefined;
  if (side.length === 0) return undefined;
  const [only] = side as [Known];
  if (side.length > 1) return `all ${side.length} goroutines that have ${verb} it have ended`;
  return `the only one that has ${verb} it, ${goroutineName(only)}, has ended${withError(only)}`;
}

function nobodyHas(verb: string): string {
  const ever = watchedFromStart();
  return ever ? `nobody has ever ${verb} it` : `nobody has ${verb} it since it was watched`;
}

function withError({ error }: Known): string {
  return error === undefined ? "" : `: ${error}`;
}

function condVerdict(cond: Cond): string | undefined {
  const past = pastUsersOf(cond);
  if (past === undefined) {
    return watchedFromStart() ? "nobody has signaled it while somebody waited" : undefined;
  }
  const ended = [...past.senders].every((user) => user.ended) && !past.others;
  return ended ? "everybody who has signaled it has ended" : undefined;
}

function lockVerdict(lock: object): string | undefined {
  for (const { goroutine, tag } of holdsOf(lock)) {
    if (goroutine === undefined || !hasEnded(goroutine)) continue;
    const what = tag === "units" ? "released" : tag === "read" ? "runlocked" : "unlocked";
    return `${goroutineName(goroutine)} ended and has not ${what} it`;
  }
  return undefined;
}
