/**
 * waits.ts: which goroutine waits for what, and where, for reports.
 *
 * JavaScript does not say which goroutine is running. An AsyncLocalStorage does, and taking a stack at
 * every wait says where, but both cost more than the waits themselves: they are watched only with
 * CORONET_TRACEBACK=all in the environment.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { fileURLToPath } from "node:url";
import type { Goroutine } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";

/** One thing that is waited for. */
export interface Wait {
  /** "mutex lock", "chan receive", "read", … */
  kind: string;
  /** The program's line that waits: "function (file:line:column)". */
  place: string | undefined;
  /** When it began, by performance.now(). */
  since: number;
}

interface Watched extends Wait {
  /** Who waits; undefined when it is no goroutine. */
  goroutine: Goroutine<unknown> | undefined;
}

const library = fileURLToPath(new URL("..", import.meta.url));
const current = new AsyncLocalStorage<Goroutine<unknown> | undefined>();
const waits = new Map<object, Watched>();

/** The first frame outside the library. */
function place(): string | undefined {
  const lines = String(new Error().stack).split("\n").slice(1);
  const frame = lines.find((line) => !line.includes(library) || line.includes(".test."));
  return frame?.trim().replace(/^at /, "");
}

function watch(): void {
  // Before the first goroutine: Node 20 follows only promises that are made after the first use.
  current.enterWith(undefined);
  observer.running = (g) => current.enterWith(g);
  observer.parked = (waiter, kind) => {
    const since = performance.now();
    waits.set(waiter, { kind, place: place(), since, goroutine: current.getStore() });
  };
  observer.resumed = (waiter) => waits.delete(waiter);
}

const watching = process.env.CORONET_TRACEBACK === "all";
if (watching) watch();

/** What each goroutine waits for, and undefined what others wait for; nothing when nobody watched. */
export function waitsByGoroutine(): Map<Goroutine<unknown> | undefined, Wait[]> | undefined {
  if (!watching) return undefined;
  const byGoroutine = new Map<Goroutine<unknown> | undefined, Wait[]>();
  for (const wait of waits.values()) {
    byGoroutine.set(wait.goroutine, [...(byGoroutine.get(wait.goroutine) ?? []), wait]);
  }
  return byGoroutine;
}
