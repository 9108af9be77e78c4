/**
 * goroutines.ts: the table of goroutines, and all that is known of one of them.
 *
 * Stacks are asked for only of the rows that are shown.
 */
import { type Goroutine, liveGoroutines } from "../../runtime/goroutine.ts";
import { verdictOf, WaitGraph } from "../graph.ts";
import { categoryOf, openTraffic, trafficOf } from "../meters/meters.ts";
import { describe } from "../objects.ts";
import { isOwnGoroutine } from "../own.ts";
import { knownOf, labelsOf, queuedGoroutines, type Wait, waitsByGoroutine } from "../registry.ts";
import { framesOf, stackOfWaiter } from "../stacks.ts";
import { endpointOf } from "./endpoints.ts";
import { type SourceLines, sourceOf } from "./source.ts";
import { type Columns, cut, matching, select, type TableQuery } from "./table.ts";

type G = Goroutine<unknown>;

/** One goroutine, looked at. */
interface Seen {
  readonly g: G;
  readonly waits: readonly Wait[];
  readonly queued: boolean;
}

export interface GoroutineQuery extends TableQuery {
  /** Those that do alike are one row. */
  group?: boolean;
  /** The inspector's own too. */
  own?: boolean;
}

function stateOf({ g, waits, queued }: Seen): string {
  if (queued) return "runnable";
  return waits.length > 0 || knownOf(g) !== undefined ? "waiting" : "unknown";
}

class Namer {
  private readonly names = new Map<object, string>();
  of(object: object): string {
    const record = trafficOf(object);
    if (record !== undefined) {
      const { network, local, remote } = endpointOf(record);
      return `${network} ${local}${remote === "" ? "" : `->${remote}`}`;
    }
    let name = this.names.get(object);
    if (name === undefined) {
      name = describe(object);
      this.names.set(object, name);
    }
    return name;
  }
}

function labelText(g: G): string {
  return Object.entries(labelsOf(g))
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function columnsOf(namer: Namer, now: number): Columns<Seen> {
  return {
    id: ({ g }) => g.id,
    name: ({ g }) => g.name,
    state: stateOf,
    kind: ({ waits }) => (waits.length === 0 ? undefined : waits.map((w) => w.kind).join(" + ")),
    object: ({ waits }) => waits[0] && namer.of(waits[0].object),
    since: ({ waits }) => waits[0] && now - waits[0].since,
    age: ({ g }) => {
      const known = knownOf(g);
      return known && now - known.since;
    },
    origin: ({ g }) => knownOf(g)?.origin ?? g.origin,
    parent: ({ g }) => {
      const parent = knownOf(g)?.parent;
      return parent && `${parent.id} ${parent.name}`;
    },
    labels: ({ g }) => labelText(g) || undefined,
  };
}

function look(own: boolean): Seen[] {
  const waits = waitsByGoroutine();
  const queued = queuedGoroutines();
  const seen: Seen[] = [];
  for (const g of liveGoroutines()) {
    if (!own && isOwnGoroutine(g)) continue;
    seen.push({ g, waits: waits.get(g) ?? [], queued: queued.has(g) });
  }
  return seen;
}

async function rowOf(seen: Seen, columns: Columns<Seen>): Promise<Record<string, unknown>> {
  const row: Record<string, unknown> = {};
  for (const [name, cell] of Object.entries(columns)) row[name] = cell(seen);
  row.category = seen.queued ? "runnable" : categoryOf(seen.waits[0]?.kind ?? "");
  const [wait] = seen.waits;
  if (wait !== undefined) {
    row.verdict = verdictOf(wait);
    row.stack = framesOf(await stackOfWaiter(wait.waiter));
  }
  return row;
}

/** A page of the table. */
export async function goroutineTable(query: GoroutineQuery): Promise<unknown> {
  const columns = columnsOf(new Namer(), performance.now());
  const seen = look(query.own === true);
  if (query.group === true) return await groupTable(seen, columns, query);
  const { items, ...part } = select(seen, columns, query);
  return { ...part, rows: await Promise.all(items.map((item) => rowOf(item, columns))) };
}

interface Group {
  readonly first: Seen;
  count: number;
  oldest: number;
}

async function groupTable(
  seen: readonly Seen[],
  columns: Columns<Seen>,
  query: GoroutineQuery,
): Promise<unknown> {
  const alike = ["name", "state", "kind", "origin", "labels"] as const;
  const groups = new Map<string, Group>();
  const { total, found } = matching(seen, columns, query.filter);
  for (const item of found) {
    const key = JSON.stringify(alike.map((name) => columns[name]?.(item)));
    const since = (columns.since?.(item) as number | undefined) ?? 0;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { first: item, count: 1, oldest: since });
    else {
      group.count++;
      group.oldest = Math.max(group.oldest, since);
    }
  }
  const sorted = [...groups.values()].sort((a, b) => b.count - a.count);
  const { offset, items } = cut(sorted, query);
  const rows = items.map(async ({ first, count, oldest }) => {
    return { ...(await rowOf(first, columns)), count, since: oldest };
  });
  return { total, matched: groups.size, offset, rows: await Promise.all(rows) };
}

/** A frame with the program's lines around it. */
interface Frame {
  readonly text: string;
  readonly source: SourceLines | undefined;
}

/** Of the program's own folder the rest of the path tells enough. */
const here = [`file://${process.cwd()}/`, `${process.cwd()}/`];

function frame(text: string): Frame {
  const short = here.reduce((all, folder) => all.replaceAll(folder, ""), text);
  return { text: short, source: sourceOf(text) };
}

/** Everything that is known of one goroutine; undefined when it has ended. */
export async function goroutineDetail(id: number): Promise<unknown> {
  const all = look(true);
  const seen = all.find(({ g }) => g.id === id);
  if (seen === undefined) return undefined;
  const { g, waits } = seen;
  const now = performance.now();
  const namer = new Namer();
  const columns = columnsOf(namer, now);
  const graph = new WaitGraph();
  const known = knownOf(g);
  const alive = new Map(all.map((each) => [each.g.id, each]));
  const parent = known?.parent;
  const children = all
    .filter((each) => knownOf(each.g)?.parent?.id === id)
    .slice(0, 200)
    .map((each) => ({ id: each.g.id, name: each.g.name, kind: each.waits[0]?.kind }));
  const conns = openTraffic()
    .map(endpointOf)
    .filter(({ by, record }) => by?.id === id || waits.some((w) => w.object === record.endpoint))
    .slice(0, 200)
    .map((r) => ({ id: r.record.id, network: r.network, local: r.local, remote: r.remote }));
  const details = await Promise.all(
    waits.map(async (wait) => ({
      kind: wait.kind,
      object: namer.of(wait.object),
      since: now - wait.since,
      verdict: verdictOf(wait),
      needs: graph.needsOf(wait).goroutines.map((other) => ({ id: other.id, name: other.name })),
      stack: framesOf(await stackOfWaiter(wait.waiter)).map(frame),
    })),
  );
  return {
    ...(await rowOf(seen, columns)),
    parent: parent && { ...parent, live: alive.has(parent.id) },
    origins: (known?.origin ?? g.origin)?.split(" or ").map(frame) ?? [],
    labels: labelsOf(g),
    own: isOwnGoroutine(g),
    children,
    conns,
    waits: details,
  };
}
