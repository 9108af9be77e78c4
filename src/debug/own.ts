/**
 * own.ts: what is the inspector's own: its goroutines, its listener and its connections.
 *
 * Who looks must not be seen in what it looks at: own things are hidden from tables, taken out of the
 * counts, keep no process alive and hide no deadlock.
 */
import { Op } from "../poll/op.ts";
import { Watch } from "../poll/read.ts";
import type { Goroutine } from "../runtime/goroutine.ts";
import { runtime } from "../runtime/runtime.ts";
import { attach } from "./observers.ts";
import { currentGoroutine } from "./who.ts";

const goroutines = new WeakSet<object>();
/** The numbers of those that were started last, also when they have ended: traces still have them. */
const ids = new Set<number>();
const KEPT = 10_000;
const endpoints = new Set<object>();
let live = 0;
/** Whatever starts now is the inspector's. */
let marking = false;

/** Whether a goroutine is the inspector's. */
export function isOwnGoroutine(g: object): boolean {
  return goroutines.has(g);
}

/** Whether a connection or listener is the inspector's. */
export function isOwnEndpoint(endpoint: object): boolean {
  return endpoints.has(endpoint);
}

/** How many there are, to be taken out of counts. */
export function ownCounts(): { goroutines: number; endpoints: number } {
  return { goroutines: live, endpoints: endpoints.size };
}

/** Numbers of goroutines that are or were the inspector's. */
export function ownIds(): number[] {
  return [...ids];
}

/** A connection or listener of the inspector's: waiting on it keeps no process alive. */
export function own(endpoint: object & { unref(): unknown }): void {
  endpoint.unref();
  endpoints.add(endpoint);
}

/** Calls `fn`: the goroutines that it starts, and those that they start, are the inspector's. */
export function marked<R>(fn: () => R): R {
  marking = true;
  try {
    return fn();
  } finally {
    marking = false;
  }
}

/** Begins to follow what own goroutines start. Needs the registry. Returns what ends it. */
export function followOwn(): () => void {
  return attach({
    started(g: Goroutine<unknown>): void {
      const parent = currentGoroutine();
      if (!marking && (parent === undefined || !goroutines.has(parent))) return;
      goroutines.add(g);
      ids.add(g.id);
      if (ids.size > KEPT) ids.delete(ids.values().next().value as number);
      live++;
      g.unref();
    },
    ended(g): void {
      if (goroutines.has(g)) live--;
    },
    closed(endpoint): void {
      endpoints.delete(endpoint);
    },
  });
}

/** Own waits among the runtime's unreferenced ones: none of them will wake anybody else. */
export function ownWaits(): number {
  if (endpoints.size === 0) return 0;
  return runtime()
    .cache.waiters()
    .filter((waiter) => waiter instanceof Op && !(waiter instanceof Watch))
    .filter((waiter) => endpoints.has((waiter as Op<unknown>).fd.owner)).length;
}
