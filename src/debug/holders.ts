/**
 * holders.ts: who holds a lock, and who has used a channel, for reports.
 *
 * Learnt from what the library tells of its synchronisation (runtime/observer.ts), while the registry
 * is kept. A lock that was taken before is held by nobody known.
 */
import type { Goroutine } from "../runtime/goroutine.ts";
import type { SyncTag } from "../runtime/observer.ts";
import { companions, type Known, recordOf, waitOf } from "./registry.ts";
import { currentGoroutine } from "./who.ts";

/** Somebody's share of a lock. */
export interface Hold {
  /** Who took it; undefined when it was no goroutine or is not known. */
  readonly goroutine: Goroutine<unknown> | undefined;
  /** "lock", "read", "write" or "units". */
  readonly tag: SyncTag;
  units: number;
}

/** Who has sent, received, signalled or closed so far: at most MOST of each. */
export interface Users {
  readonly senders: Set<Known>;
  readonly receivers: Set<Known>;
  /** One of them was no goroutine, or there were more than are kept. */
  others: boolean;
}

const MOST = 16;
const holds = new WeakMap<object, Hold[]>();
const users = new WeakMap<object, Users>();

/** For whom something is done: the one that waits as `waiter`, or the one that runs. */
function whoOf(waiter: object | undefined): Goroutine<unknown> | undefined {
  return waiter === undefined ? currentGoroutine() : waitOf(waiter)?.goroutine;
}

function usersOf(object: object): Users {
  let entry = users.get(object);
  if (entry === undefined) {
    entry = { senders: new Set(), receivers: new Set(), others: false };
    users.set(object, entry);
  }
  return entry;
}

function note(object: object, side: "senders" | "receivers", waiter: object | undefined): void {
  const entry = usersOf(object);
  const g = whoOf(waiter);
  if (g === undefined || entry[side].size >= MOST) entry.others = true;
  else entry[side].add(recordOf(g));
}

function take(object: object, tag: SyncTag, waiter: object | undefined, units = 1): void {
  const hold = { goroutine: whoOf(waiter), tag, units };
  const list = holds.get(object);
  if (list === undefined) holds.set(object, [hold]);
  else list.push(hold);
}

/** A share of whoever runs, or else anybody's: a lock may be given back by somebody else. */
function give(object: object, tag: SyncTag, units = 1): void {
  const list = holds.get(object);
  const g = currentGoroutine();
  for (let left = units; list !== undefined && left > 0; ) {
    let at = list.findIndex((hold) => hold.tag === tag && hold.goroutine === g);
    if (at === -1) at = list.findIndex((hold) => hold.tag === tag);
    if (at === -1) return;
    const hold = list[at] as Hold;
    const given = Math.min(left, hold.units);
    hold.units -= given;
    left -= given;
    if (hold.units === 0) list.splice(at, 1);
  }
}

companions.push({
  acquired(object: object, tag: SyncTag, waiter?: object, units?: number): void {
    if (tag === "receive") note(object, "receivers", waiter);
    else if (tag === "lock" || tag === "read" || tag === "write" || tag === "units") {
      take(object, tag, waiter, units);
    }
  },
  released(object: object, tag: SyncTag, waiter?: object, units?: number): void {
    if (tag === "send" || tag === "signal") note(object, "senders", waiter);
    else if (tag === "lock" || tag === "read" || tag === "write" || tag === "units") {
      give(object, tag, units);
    }
  },
});

/** The shares of a lock that are taken. */
export function holdsOf(object: object): readonly Hold[] {
  return holds.get(object) ?? [];
}

/** Who has used a channel or a Cond; undefined when nobody has. */
export function pastUsersOf(object: object): Users | undefined {
  return users.get(object);
}
