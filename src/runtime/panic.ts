/**
 * panic.ts: what happens to an error that no goroutine's joiner takes.
 *
 * Peer reset, broken pipe, closed, deadline and cancel of a connection are everyday ends of a
 * connection's goroutine: it ends alone and is counted. Anything else is a defect: it is reported
 * with the goroutine's number and where it was started, and ends the process with status 2, as a Go
 * program's panic does, unless a handler was installed.
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import type { Goroutine } from "./goroutine.ts";

/** Marks an error that ends a goroutine without a panic; set to true by the layer that makes it. */
export const ENDS_GOROUTINE: unique symbol = Symbol("coronet.endsGoroutine");

export function endsQuietly(error: unknown): boolean {
  return (error as { [ENDS_GOROUTINE]?: boolean } | null | undefined)?.[ENDS_GOROUTINE] === true;
}

/** Takes a goroutine's error that nobody joined. */
export type PanicHandler = (error: unknown, goroutine: Goroutine<unknown>) => void;

let handler: PanicHandler | undefined;

/**
 * Installs what is called instead of ending the process when a goroutine panics; `undefined`
 * restores the default. Returns the handler that was there before.
 *
 * @example
 * import { go, onPanic } from "coronet";
 * const seen = new Promise<string>((resolve) => {
 *   onPanic((error, g) => resolve(`goroutine ${g.id > 0}: ${(error as Error).message}`));
 * });
 * go(async () => {
 *   throw new Error("bug");
 * });
 * console.log(await seen); // goroutine true: bug
 */
export function onPanic(next: PanicHandler | undefined): PanicHandler | undefined {
  const before = handler;
  handler = next;
  return before;
}

/** The report of a panic, as it is printed. */
export function panicReport(g: Goroutine<unknown>, error: unknown): string {
  const what = error instanceof Error ? (error.stack ?? String(error)) : String(error);
  const where = g.origin ?? "a place not recorded (CORONET_TRACEBACK=all records every one)";
  return `panic: ${what}\n\ngoroutine ${g.id} [${g.name}]\nstarted at ${where}\n`;
}

export function panic(g: Goroutine<unknown>, error: unknown): void {
  if (handler !== undefined) {
    handler(error, g);
    return;
  }
  // Whoever listens for uncaught exceptions is a handler too, and a worker's parent listens for the
  // worker's. Thrown outside of the promise job, so that it is an exception and not a rejection.
  if (process.listenerCount("uncaughtException") > 0 || !isMainThread) {
    process.nextTick(() => {
      throw error;
    });
    return;
  }
  try {
    writeSync(2, panicReport(g, error));
  } catch {
    // Nobody reads standard error; the exit status says enough.
  }
  process.exit(2);
}
