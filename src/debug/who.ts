/**
 * who.ts: which goroutine is running.
 *
 * JavaScript does not say; an AsyncLocalStorage does, because every await of a goroutine takes its store
 * along. From Node 24 on V8 carries it and it costs next to nothing; before, Node follows every promise,
 * which costs about 100 ns per await. So it is on only while a tool needs it.
 *
 * What was started before is unknown: its code runs as nobody's, and so does code that no goroutine
 * runs (the top level, callbacks of the host).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Goroutine } from "../runtime/goroutine.ts";
import { attach } from "./observers.ts";

let storage: AsyncLocalStorage<Goroutine<unknown> | undefined> | undefined;
let users = 0;
let detach = (): void => {};

function begin(): void {
  const store = new AsyncLocalStorage<Goroutine<unknown> | undefined>();
  storage = store;
  // Before the first goroutine: Node 20 follows only promises that are made after the first use.
  store.enterWith(undefined);
  // The host remembers who asked for the turn or the timer; it is nobody's.
  const nobody = (): void => {
    if (store.getStore() !== undefined) store.enterWith(undefined);
  };
  detach = attach({
    running: (g) => store.enterWith(g),
    turn: nobody,
    fired: nobody,
  });
}

function end(): void {
  detach();
  storage?.disable();
  storage = undefined;
}

/** Begins to track who runs. Returns what ends it, once; it goes on as long as somebody needs it. */
export function trackGoroutines(): () => void {
  if (users++ === 0) begin();
  let over = false;
  return () => {
    if (over) return;
    over = true;
    if (--users === 0) end();
  };
}

/**
 * The goroutine that is running; undefined when it is none or unknown, or nobody tracks it. What a
 * goroutine has left to others (a callback of a timer, its group's done()) runs as that goroutine even
 * after its end.
 */
export function currentGoroutine(): Goroutine<unknown> | undefined {
  return storage?.getStore();
}
