/**
 * objects_view.ts: channels and locks with who waits on both sides, and the graph of who waits for whom.
 */
import { Chan } from "../../chan/chan.ts";
import { type Goroutine, hasEnded } from "../../runtime/goroutine.ts";
import { Semaphore } from "../../sync/semaphore.ts";
import { WaitGroup } from "../../sync/waitgroup.ts";
import { verdictOf, WaitGraph } from "../graph.ts";
import { holdsOf, pastUsersOf } from "../holders.ts";
import { casesOf, chanOfCase, goroutineName, nameOf } from "../objects.ts";
import { isOwnGoroutine } from "../own.ts";
import { allWaits, type Wait } from "../registry.ts";
import type { Contention, Use } from "./contention.ts";

/** Waiters and holders that are named of one object; the others are counted. */
const NAMED = 12;
const NODES = 60;

interface Who {
  id: number;
  name: string;
  ended?: boolean;
}

function who(g: Goroutine<unknown> | undefined): Who | undefined {
  return g === undefined ? undefined : { id: g.id, name: g.name };
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}

/** By object: who waits there. A select waits at each channel of its cases. */
function waitersByObject(): Map<object, { wait: Wait; sends: boolean }[]> {
  const byObject = new Map<object, { wait: Wait; sends: boolean }[]>();
  const add = (object: object | undefined, wait: Wait, sends: boolean): void => {
    if (object === undefined) return;
    const list = byObject.get(object);
    if (list === undefined) byObject.set(object, [{ wait, sends }]);
    else list.push({ wait, sends });
  };
  for (const wait of allWaits()) {
    const cases = casesOf(wait.object);
    if (cases === undefined) add(wait.object, wait, wait.kind.startsWith("chan send"));
    else {
      for (const entry of Object.values(cases)) {
        const { chan, sends } = chanOfCase(entry);
        add(chan, wait, sends);
      }
    }
  }
  return byObject;
}

function rowOf(
  object: object,
  use: Use | undefined,
  waiters: readonly { wait: Wait; sends: boolean }[],
): Record<string, unknown> {
  const now = performance.now();
  const side = (sends: boolean): unknown => {
    const own = waiters.filter((each) => each.sends === sends);
    const oldest = Math.max(0, ...own.map(({ wait }) => now - wait.since));
    const named = own
      .slice(0, NAMED)
      .map(({ wait }) => who(wait.goroutine))
      .filter(isPresent);
    return { count: own.length, oldest, named };
  };
  const isChan = object instanceof Chan;
  const holders = holdsOf(object);
  const past = pastUsersOf(object);
  const sofar = waiters.reduce((sum, { wait }) => sum + now - wait.since, 0);
  return {
    name: nameOf(object),
    kind: nameOf(object).split(" #")[0],
    isChan,
    length: isChan ? object.length : object instanceof Semaphore ? object.taken : undefined,
    capacity:
      isChan || object instanceof Semaphore
        ? object.capacity
        : object instanceof WaitGroup
          ? object.count
          : undefined,
    senders: isChan ? side(true) : undefined,
    waiters: side(false),
    holders: holders.slice(0, NAMED).map(({ goroutine, tag }) => ({
      ...(who(goroutine) ?? { id: 0, name: "nobody known" }),
      tag,
      ended: goroutine !== undefined && hasEnded(goroutine),
    })),
    held: holders.length,
    past: {
      senders: past?.senders.size ?? 0,
      receivers: past?.receivers.size ?? 0,
    },
    waits: use?.waits ?? waiters.length,
    waited: (use?.waited ?? 0) + sofar,
    uses: use?.uses ?? 0,
    verdict: waiters.map(({ wait }) => verdictOf(wait)).find(isPresent),
  };
}

/** Channels and locks, those with the longest waits first. */
export function objectList(contention: Contention): unknown {
  const byObject = waitersByObject();
  const rows: Record<string, unknown>[] = [];
  for (const [object, use] of contention.all()) {
    rows.push(rowOf(object, use, byObject.get(object) ?? []));
    byObject.delete(object);
  }
  // Those whose waits began before the inspector came.
  for (const [object, waiters] of byObject) {
    const name = nameOf(object);
    if (/^(chan|shared chan|mutex|rwmutex|semaphore|waitgroup|errgroup|cond) #/.test(name)) {
      rows.push(rowOf(object, undefined, waiters));
    }
  }
  rows.sort((a, b) => (b.waited as number) - (a.waited as number));
  return { rows: rows.slice(0, 500), total: rows.length };
}

interface Node {
  id: string;
  text: string;
  goroutine: number | undefined;
  ended: boolean;
  cycle: boolean;
}

interface Edge {
  from: string;
  to: string;
  label: string;
  cycle: boolean;
}

/** Goroutines and whom they wait for, as a graph; cycles are marked and come first. */
export function waitGraph(): { nodes: Node[]; edges: Edge[]; cycles: string[][]; more: number } {
  const graph = new WaitGraph();
  const stuck = graph.lockedUp();
  const cycles = graph.cyclesOf(stuck);
  const inCycle = new Set(cycles.flat());
  const nodes = new Map<string, Node>();
  const edges: Edge[] = [];
  let more = 0;
  const node = (g: { id: number; name: string }, ended: boolean): string | undefined => {
    const id = `g${g.id}`;
    if (!nodes.has(id)) {
      if (nodes.size >= NODES) return undefined;
      const cycle = inCycle.has(g as Goroutine<unknown>);
      nodes.set(id, { id, text: goroutineName(g), goroutine: g.id, ended, cycle });
    }
    return id;
  };
  const link = (g: Goroutine<unknown>, wait: Wait): void => {
    const { goroutines } = graph.needsOf(wait);
    const past = pastUsersOf(wait.object);
    const users = wait.kind.startsWith("chan send") ? past?.receivers : past?.senders;
    const others =
      goroutines.length > 0
        ? goroutines.map((other) => ({ to: other, ended: hasEnded(other) }))
        : [...(users ?? [])].map((other) => ({ to: other, ended: other.ended }));
    if (others.length === 0) return;
    const from = node(g, false);
    for (const { to, ended } of others.slice(0, 4)) {
      const target = node(to, ended);
      if (from === undefined || target === undefined) {
        more++;
        continue;
      }
      const cycle = inCycle.has(g) && inCycle.has(to as Goroutine<unknown>);
      edges.push({ from, to: target, label: nameOf(wait.object) || wait.kind, cycle });
    }
  };
  for (const [g, wait] of stuck) link(g, wait);
  for (const [g, waits] of graph.waits) {
    if (g === undefined || stuck.has(g) || isOwnGoroutine(g)) continue;
    for (const wait of waits) link(g, wait);
  }
  const names = cycles.map((cycle) => cycle.map(({ id }) => `g${id}`));
  return { nodes: [...nodes.values()], edges, cycles: names, more };
}
