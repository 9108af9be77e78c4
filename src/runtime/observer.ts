/**
 * observer.ts: slots that debugging tools fill; the runtime never depends on them.
 *
 * Each slot is null until a tool installs itself, and a caller tests for null before it calls, so
 * that nothing is paid while nobody looks. A slot must not throw and must not park.
 */
import type { Goroutine } from "./goroutine.ts";

export interface Observer {
  /** A goroutine was created; `parent` is unknown (undefined) unless a tool tracks it. */
  started: ((g: Goroutine<unknown>) => void) | null;
  /** A goroutine is about to call its function, in a microtask of its own. */
  running: ((g: Goroutine<unknown>) => void) | null;
  /** A goroutine ended; `error` is what it threw, if it threw. */
  ended: ((g: Goroutine<unknown>, error: unknown) => void) | null;
  /** A goroutine is about to wait: for what (`kind`: "read", "accept", …) and on which object. */
  parked: ((waiter: object, kind: string, object: object) => void) | null;
  /** That wait is over. */
  resumed: ((waiter: object) => void) | null;
}

export const observer: Observer = {
  started: null,
  running: null,
  ended: null,
  parked: null,
  resumed: null,
};
