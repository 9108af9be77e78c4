/**
 * stacks.ts: where somebody waits, asked after the fact.
 *
 * Taking a stack at every wait would cost more than most waits. V8 can tell it later: a stack that is
 * taken inside a promise reaction goes on with the async functions that await the reaction's result. So
 * the promise of a wait is made to follow a reaction of ours, in which the stack is taken; the reaction
 * gives a new promise, whose resolver takes the place of the old one in the waiter. Nothing is settled,
 * nobody goes on; when the wait ends, its promise settles two microtasks later than it would have.
 *
 * Invariants
 *  - The new resolver is in its place before anything else can run, so that no wake-up is lost.
 *  - A waiter is asked once; the answer is kept, as it does not change.
 */
import { fileURLToPath } from "node:url";
import { parked, type Resolve, resolver } from "../runtime/park.ts";

/** What parked() was called with (runtime/observer.ts). */
interface Settleable {
  resolve: Resolve<unknown>;
}

const known = new WeakMap<object, Promise<string>>();
/** Async functions between the wait and what called it last, that are looked at. */
const DEPTH = 32;

function ask(waiter: Settleable): Promise<string> {
  const { resolve } = waiter;
  const outcome = parked<unknown>();
  waiter.resolve = resolver();
  const stack = parked<string>();
  const tell = resolver<string>();
  const gate = parked<void>();
  const open = resolver<void>();
  resolve(
    gate.then(function probe() {
      const holder: { stack?: string } = {};
      const limit = Error.stackTraceLimit;
      Error.stackTraceLimit = DEPTH;
      Error.captureStackTrace(holder, probe);
      tell(String(holder.stack));
      Error.stackTraceLimit = limit;
      return outcome;
    }),
  );
  open();
  return stack;
}

/** The stack of one that is parked now, as V8 prints it. Its waiter must not have been resumed. */
export function stackOfWaiter(waiter: object): Promise<string> {
  let stack = known.get(waiter);
  if (stack === undefined) {
    stack = typeof (waiter as Settleable).resolve === "function" ? ask(waiter as Settleable) : NONE;
    known.set(waiter, stack);
  }
  return stack;
}

const NONE = Promise.resolve("");

/** Where the library's own code is, compiled and, by source maps, as it was written. */
const LIBRARY = [new URL("..", import.meta.url), new URL("../../../src/", import.meta.url)].flatMap(
  (folder) => [folder.href, fileURLToPath(folder)],
);

function isLibrary(frame: string): boolean {
  if (!LIBRARY.some((folder) => frame.includes(folder))) return false;
  return !/\.test\.[cm]?[jt]s:\d/.test(frame);
}

/** The frames of the program in a stack: "function (file:line:column)", innermost first. */
export function framesOf(stack: string): string[] {
  return stack
    .split("\n")
    .slice(1)
    .map((line) => line.trim().replace(/^at (async )?/, ""))
    .filter((frame) => frame !== "" && !isLibrary(frame) && !/\(?node:/.test(frame));
}
