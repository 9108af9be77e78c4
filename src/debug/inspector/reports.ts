/** reports.ts: what the reports would say now: locks held up, waits that never end, what stays and grows. */

import { liveGoroutines } from "../../runtime/goroutine.ts";
import { type Dump, formatDump, type GoroutineDump, takeDump } from "../dump.ts";
import { drawCycle, WaitGraph } from "../graph.ts";
import { isOwnGoroutine } from "../own.ts";

const STACKS = 2000;
/** Goroutines that wait so long, in ms, may be forgotten. */
const LONG_MS = 60_000;

/** The dump without the inspector. */
export async function foreignDump(): Promise<Dump> {
  const own = new Set(
    liveGoroutines()
      .filter(isOwnGoroutine)
      .map(({ id }) => id),
  );
  const dump = await takeDump({ stacks: STACKS });
  return { ...dump, goroutines: dump.goroutines.filter(({ id }) => !own.has(id)) };
}

interface Place {
  name: string;
  origin: string | undefined;
  kind: string | undefined;
  count: number;
  oldest: number;
  first: number;
}

/** By where they were started and what they wait for: how many there are, and for how long. */
function places(goroutines: readonly GoroutineDump[]): Place[] {
  const byPlace = new Map<string, Place>();
  for (const { id, name, origin, waits } of goroutines) {
    const kind = waits[0]?.kind;
    const age = waits[0]?.milliseconds ?? 0;
    const key = `${name}|${origin}|${kind}`;
    const place = byPlace.get(key);
    if (place === undefined) {
      byPlace.set(key, { name, origin, kind, count: 1, oldest: age, first: id });
    } else {
      place.count++;
      place.oldest = Math.max(place.oldest, age);
    }
  }
  return [...byPlace.values()].sort((a, b) => b.count - a.count).slice(0, 100);
}

export async function reports(): Promise<unknown> {
  const graph = new WaitGraph();
  const stuck = graph.lockedUp();
  const lockups = graph.cyclesOf(stuck).map((cycle) => ({
    text: drawCycle(cycle, stuck),
    goroutines: cycle.map(({ id }) => id),
  }));
  const dump = await foreignDump();
  const { goroutines } = dump;
  const never = goroutines.flatMap(({ id, name, waits }) =>
    waits
      .filter(({ verdict }) => verdict !== undefined)
      .map(({ kind, object, milliseconds, verdict, stack }) => {
        return { id, name, kind, object, since: milliseconds, verdict, at: stack[0] };
      }),
  );
  const long = goroutines.filter(({ waits }) => (waits[0]?.milliseconds ?? 0) > LONG_MS).length;
  return {
    watching: dump.watching,
    goroutines: goroutines.length,
    heldUp: [...stuck.keys()].map(({ id }) => id),
    lockups,
    never: never.slice(0, 200),
    neverCount: never.length,
    long,
    places: places(goroutines),
  };
}

/** All of it as text, as `coronet dump` prints it. */
export async function dumpText(): Promise<string> {
  return formatDump(await foreignDump());
}
