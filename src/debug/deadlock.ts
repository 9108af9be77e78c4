/**
 * deadlock.ts: "all goroutines are asleep": the report of a program that can go no further.
 *
 * When the host's loop has run empty, no timer, no I/O and no handle of anybody is left that could wake
 * a goroutine. Those that are live then wait for each other, or for somebody who has ended. As in Go
 * the program ends with a report and status 2, instead of ending quietly with its work half done.
 *
 * Who is not reported: goroutines that said unref(), and all of them while one waits for I/O that does
 * not keep the process alive (a connection's unref), because that I/O could still come.
 *
 * It costs nothing until then: the runtime has a list of live goroutines. What each of them waits for
 * is known only if somebody watched (registry.ts).
 */
import { writeSync } from "node:fs";
import { type Goroutine, liveGoroutines } from "../runtime/goroutine.ts";
import { runtime } from "../runtime/runtime.ts";
import { isWatching, type Wait, waitsByGoroutine, watchGoroutines } from "./registry.ts";
import { framesOf, stackOfWaiter } from "./stacks.ts";

/** Goroutines that are listed one by one. */
const LISTED = 100;

/** The last goroutine that had been started, and the turns there had been, when the loop was empty. */
let lastStarted = -1;
let lastTurns = -1;

/** The goroutines that will never go on; to be asked when the loop is empty. */
function stuck(): Goroutine<unknown>[] {
  const live = liveGoroutines().filter((g) => g.referenced);
  return live.length > 0 && runtime().unreferenced === 0 ? live : [];
}

function onBeforeExit(): void {
  const asleep = stuck();
  if (asleep.length === 0) return;
  const { goroutines, turns } = runtime().stats;
  if (goroutines.started !== lastStarted || turns !== lastTurns) {
    // Others who are told that the loop is empty may have new work for it: they get one more turn.
    lastStarted = goroutines.started;
    lastTurns = turns;
    setImmediate(() => {});
    return;
  }
  // The stacks of the waits take a few microtasks.
  setImmediate(() => {});
  void deadlockReport(asleep).then(end);
}

function end(report: string): void {
  try {
    writeSync(2, report);
  } catch {
    // Nobody reads standard error; the exit status says enough.
  }
  process.exit(2);
}

/** The report, as it is printed. */
export async function deadlockReport(asleep: readonly Goroutine<unknown>[]): Promise<string> {
  const waits = isWatching() ? waitsByGoroutine() : undefined;
  const parts = await Promise.all(
    asleep
      .slice(0, LISTED)
      .map(async (g) => describe(g, waits === undefined ? "" : await describeWaits(waits.get(g)))),
  );
  const main = waits?.get(undefined);
  if (main !== undefined) parts.unshift(`outside of goroutines${await describeWaits(main)}\n`);
  if (asleep.length > LISTED) parts.push(`and ${asleep.length - LISTED} more goroutines\n`);
  if (waits === undefined) {
    parts.push("CORONET_TRACEBACK=all in the environment adds what each of them waits for\n");
  }
  return ["fatal error: all goroutines are asleep - deadlock!\n", ...parts].join("\n");
}

function describe(g: Goroutine<unknown>, what: string): string {
  const where = g.origin ?? "a place not recorded (CORONET_TRACEBACK=all records every one)";
  return `goroutine ${g.id} [${g.name}]${what}\nstarted at ${where}\n`;
}

async function describeWaits(waits: readonly Wait[] = []): Promise<string> {
  if (waits.length === 0) return "\nwaits for a promise that is none of Coronet's operations";
  const lines = waits.map(async ({ kind, waiter, since }) => {
    const seconds = (performance.now() - since) / 1000;
    const frames = framesOf(await stackOfWaiter(waiter));
    return `\nwaits for ${kind} since ${seconds.toFixed(1)} s\n  at ${frames[0] ?? "unknown"}`;
  });
  return (await Promise.all(lines)).join("");
}

if (process.env.CORONET_TRACEBACK === "all") watchGoroutines();
process.on("beforeExit", onBeforeExit);
