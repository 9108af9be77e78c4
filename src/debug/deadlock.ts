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
import { formatGoroutines, takeDump } from "./dump.ts";
import { ownWaits } from "./own.ts";
import { watchGoroutines } from "./registry.ts";
import { startIfAsked } from "./start.ts";

/** Goroutines, or groups of them that are alike, that are listed. */
const LISTED = 100;

/** The last goroutine that had been started, and the turns there had been, when the loop was empty. */
let lastStarted = -1;
let lastTurns = -1;

/** The goroutines that will never go on; to be asked when the loop is empty. */
function stuck(): Goroutine<unknown>[] {
  const live = liveGoroutines().filter((g) => g.referenced);
  // What the inspector waits for wakes nobody else.
  return live.length > 0 && runtime().unreferenced === ownWaits() ? live : [];
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
  const ids = new Set(asleep.map(({ id }) => id));
  const dump = await takeDump();
  const goroutines = dump.goroutines.filter(({ id }) => ids.has(id));
  const text = formatGoroutines({ ...dump, goroutines }, { most: LISTED });
  const hint = dump.watching
    ? ""
    : "\nCORONET_TRACEBACK=all in the environment adds what each of them waits for\n";
  return `fatal error: all goroutines are asleep - deadlock!\n\n${text}${hint}`;
}

if (process.env.CORONET_TRACEBACK === "all") watchGoroutines();
startIfAsked();
process.on("beforeExit", onBeforeExit);
