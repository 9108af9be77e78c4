/**
 * registry.ts: what every goroutine is doing: what it waits for, since when, and who started it.
 *
 * It is kept only while a tool needs it (watchGoroutines), because it costs a little at every wait. Of
 * what began before, goroutines and their names are known all the same (the runtime has a list), and
 * waits for I/O; who it is that waits there is not.
 *
 * Invariants
 *  - A wait is in the list from parked to resumed, and its waiter refers to it as long. A map of waiters
 *    would cost four times as much.
 *  - Nothing here keeps a goroutine alive that has ended.
 */
import { Op } from "../poll/op.ts";
import { Watch } from "../poll/read.ts";
import { type Goroutine, goroutineStats, hasEnded, liveGoroutines } from "../runtime/goroutine.ts";
import { takeLatestOrigin } from "../runtime/origin.ts";
import { runtime } from "../runtime/runtime.ts";
import { currentLabels, type Labels, NONE, onLabels } from "./labels.ts";
import { attach, type Tool } from "./observers.ts";
import { currentGoroutine, trackGoroutines } from "./who.ts";

/** One thing that is waited for. */
export interface Wait {
  /** What settles it: see runtime/observer.ts. */
  readonly waiter: object;
  /** "mutex lock", "chan receive", "read", … */
  readonly kind: string;
  readonly object: object;
  /** When it began, by performance.now(). */
  readonly since: number;
  /** Who waits; undefined when it is no goroutine, or not known. */
  readonly goroutine: Goroutine<unknown> | undefined;
  /** @internal Neighbours in the list of waits; `older` of the oldest is the list's head. */
  older: Wait | undefined;
  /** @internal */
  newer: Wait | undefined;
}

/** What is known of a goroutine beside its record in the runtime. Does not keep it alive. */
export interface Known {
  readonly id: number;
  readonly name: string;
  /** Where it was started, if that was recorded of this very goroutine. */
  readonly origin: string | undefined;
  /** Who started it; undefined when it was no goroutine. */
  readonly parent: { readonly id: number; readonly name: string } | undefined;
  /** When it was started, by performance.now(). */
  readonly since: number;
  labels: Labels;
  ended: boolean;
  /** What it ended with, if it threw. */
  error: string | undefined;
}

/** A conn or listener that is open. */
export interface Opened {
  readonly endpoint: object;
  /** By performance.now(). */
  readonly since: number;
  /** Who opened it. */
  readonly goroutine: Goroutine<unknown> | undefined;
}

const now = performance.now.bind(performance);
const WAIT: unique symbol = Symbol("coronet.wait");
type Waiting = object & { [WAIT]?: Wait | undefined };

function newList(): Wait {
  const nothing = { waiter: {}, object: {}, goroutine: undefined };
  return { kind: "", since: 0, older: undefined, newer: undefined, ...nothing };
}

/** Stands before the oldest wait. */
let head = newList();
/** The newest wait, or the head. */
let tail = head;
/** Goroutines in the run queue, by what stands there for them. */
const queue = new Map<object, Goroutine<unknown>>();
const known = new WeakMap<Goroutine<unknown>, Known>();
const endpoints = new Map<object, Opened>();
/** Tools that are attached while the registry is kept, and stand on it. */
export const companions: Tool[] = [];
let users = 0;
let fromStart = false;
let stop = (): void => {};

function started(g: Goroutine<unknown>): void {
  const parent = currentGoroutine();
  known.set(g, {
    id: g.id,
    name: g.name,
    origin: takeLatestOrigin(),
    ended: false,
    error: undefined,
    // Not the goroutine itself: it would keep all of its ancestors.
    parent: parent === undefined ? undefined : { id: parent.id, name: parent.name },
    since: now(),
    labels: currentLabels(),
  });
}

/** The record of a goroutine; made now when it was started before anybody looked. */
export function recordOf(g: Goroutine<unknown>): Known {
  let record = known.get(g);
  if (record === undefined) {
    const { id, name } = g;
    const ended = hasEnded(g);
    const nothing = { origin: undefined, parent: undefined, labels: NONE, error: undefined };
    record = { id, name, since: now(), ended, ...nothing };
    known.set(g, record);
  }
  return record;
}

function ended(g: Goroutine<unknown>, error: unknown): void {
  const record = known.get(g);
  if (record === undefined) return;
  record.ended = true;
  if (error !== undefined) record.error = error instanceof Error ? error.message : String(error);
}

function parked(waiter: object, kind: string, object: object): void {
  enlist(waiter, kind, object, currentGoroutine());
}

function enlist(
  waiter: Waiting,
  kind: string,
  object: object,
  goroutine: Goroutine<unknown> | undefined,
): void {
  const older = tail;
  const wait = { waiter, kind, object, since: now(), goroutine, older, newer: undefined };
  older.newer = wait;
  tail = wait;
  waiter[WAIT] = wait;
}

function resumed(waiter: Waiting): void {
  const wait = waiter[WAIT];
  if (wait === undefined) return;
  waiter[WAIT] = undefined;
  const { older, newer } = wait;
  (older as Wait).newer = newer;
  if (newer !== undefined) newer.older = older;
  else if (tail === wait) tail = older as Wait;
}

function queued(waiter: object, own: boolean): void {
  const g = own ? currentGoroutine() : undefined;
  if (g !== undefined) queue.set(waiter, g);
}

function dequeued(waiter: object): void {
  queue.delete(waiter);
}

function opened(endpoint: object): void {
  endpoints.set(endpoint, { endpoint, since: now(), goroutine: currentGoroutine() });
}

function closed(endpoint: object): void {
  endpoints.delete(endpoint);
}

/** Waits for I/O that began before anybody looked. */
function findWaits(): void {
  for (const waiter of runtime().cache.waiters()) {
    if (!(waiter instanceof Op) || waiter instanceof Watch) continue;
    const { kind, fd } = waiter;
    enlist(waiter, kind, fd.owner, undefined);
  }
}

function begin(): void {
  fromStart = goroutineStats().started === 0;
  const untrack = trackGoroutines();
  const own = { started, ended, parked, resumed, queued, dequeued, opened, closed };
  // Theirs first: they ask for the wait of a waiter that is about to be forgotten.
  const detached = [...companions, own].map(attach);
  findWaits();
  onLabels.goroutine = labelled;
  stop = () => {
    onLabels.goroutine = null;
    for (const detach of detached) detach();
    untrack();
    for (const { waiter } of allWaits()) (waiter as Waiting)[WAIT] = undefined;
    head = tail = newList();
    queue.clear();
    endpoints.clear();
  };
}

/** Begins to keep the registry. Returns what ends it, once; it is kept as long as somebody needs it. */
export function watchGoroutines(): () => void {
  if (users++ === 0) begin();
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--users === 0) stop();
  };
}

/** Whether it is kept since before the first goroutine: what it has not seen has not been. */
export function watchedFromStart(): boolean {
  return users > 0 && fromStart;
}

/** Whether the registry is kept. */
export function isWatching(): boolean {
  return users > 0;
}

/** Everything that is waited for now, in the order in which it began. */
export function allWaits(): Wait[] {
  const all: Wait[] = [];
  for (let wait = head.newer; wait !== undefined; wait = wait.newer) all.push(wait);
  return all;
}

/** The wait of a waiter, while it lasts. */
export function waitOf(waiter: object): Wait | undefined {
  return (waiter as Waiting)[WAIT];
}

/** What each goroutine waits for, and undefined what others do or what nobody knows the owner of. */
export function waitsByGoroutine(): Map<Goroutine<unknown> | undefined, Wait[]> {
  const byGoroutine = new Map<Goroutine<unknown> | undefined, Wait[]>();
  for (const wait of allWaits()) {
    const { goroutine } = wait;
    const g = goroutine === undefined || hasEnded(goroutine) ? undefined : goroutine;
    const list = byGoroutine.get(g);
    if (list === undefined) byGoroutine.set(g, [wait]);
    else list.push(wait);
  }
  return byGoroutine;
}

/** Goroutines that stand in the run queue. */
export function queuedGoroutines(): Set<Goroutine<unknown>> {
  return new Set(queue.values());
}

/** What is known of a goroutine; undefined when it was started before anybody looked. */
export function knownOf(g: Goroutine<unknown>): Known | undefined {
  return known.get(g);
}

/** Conns and listeners that were opened while somebody looked, and are open. */
export function openEndpoints(): Opened[] {
  return [...endpoints.values()];
}

/** When and by whom a conn or listener was opened, while it is open and if somebody looked then. */
export function openedOf(endpoint: object): Opened | undefined {
  return endpoints.get(endpoint);
}

/** The labels that a goroutine had last. */
export function labelsOf(g: Goroutine<unknown>): Labels {
  return known.get(g)?.labels ?? NONE;
}

function labelled(labels: Labels): void {
  const g = currentGoroutine();
  if (g !== undefined) recordOf(g).labels = labels;
}

/** Live goroutines, by number. */
export { liveGoroutines };
