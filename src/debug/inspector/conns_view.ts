/** conns_view.ts: the table of connections and listeners, and closing one of them. */

import { openTraffic } from "../meters/meters.ts";
import { isOwnEndpoint } from "../own.ts";
import { allWaits, type Wait } from "../registry.ts";
import { type Endpoint, endpointById, endpointOf, lookUpAhead } from "./endpoints.ts";
import { type Columns, select, type TableQuery } from "./table.ts";

interface Sides {
  reader: Wait | undefined;
  writer: Wait | undefined;
}

/** Who waits on either side of an endpoint: of those in `wanted`, or of all. */
function sidesByEndpoint(wanted?: ReadonlySet<object>): Map<object, Sides> {
  const sides = new Map<object, Sides>();
  for (const wait of allWaits()) {
    if (wanted !== undefined && !wanted.has(wait.object)) continue;
    let entry = sides.get(wait.object);
    if (entry === undefined) {
      entry = { reader: undefined, writer: undefined };
      sides.set(wait.object, entry);
    }
    if (wait.kind === "write" || wait.kind === "connect") entry.writer ??= wait;
    else entry.reader ??= wait;
  }
  return sides;
}

function columnsOf(now: number): Columns<Endpoint> {
  // Only a filter or a sort by them needs those of all.
  let all: Map<object, Sides> | undefined;
  const sidesOf = (endpoint: object): Sides | undefined => {
    all ??= sidesByEndpoint();
    return all.get(endpoint);
  };
  return {
    id: ({ record }) => record.id,
    network: ({ network }) => network,
    local: ({ local }) => local,
    remote: ({ remote }) => remote,
    by: ({ by }) => by && `${by.id} ${by.name}`,
    age: ({ since }) => since && now - since,
    in: ({ record }) => record.bytesIn,
    out: ({ record }) => record.bytesOut,
    idle: ({ active }) => active && now - active,
    reader: ({ record }) => sidesOf(record.endpoint)?.reader?.kind,
    writer: ({ record }) => sidesOf(record.endpoint)?.writer?.kind,
    type: ({ isListener }) => (isListener ? "listener" : "conn"),
  };
}

function waitRow(wait: Wait | undefined, now: number): unknown {
  if (wait === undefined) return undefined;
  const { kind, goroutine, since } = wait;
  return { kind, since: now - since, id: goroutine?.id, name: goroutine?.name };
}

export interface ConnQuery extends TableQuery {
  own?: boolean;
}

/** A page of the table. */
export function connTable(query: ConnQuery): unknown {
  const now = performance.now();
  const columns = columnsOf(now);
  const shown = openTraffic()
    .filter(({ endpoint }) => query.own === true || !isOwnEndpoint(endpoint))
    .map(endpointOf);
  const { items, ...part } = select(shown, columns, query, ({ text }) => text);
  const sides = sidesByEndpoint(new Set(items.map(({ record }) => record.endpoint)));
  const rows = items.map((item) => {
    const { reader, writer } = sides.get(item.record.endpoint) ?? {};
    const row: Record<string, unknown> = {
      by: item.by,
      reader: waitRow(reader, now),
      writer: waitRow(writer, now),
    };
    for (const [name, cell] of Object.entries(columns)) if (!(name in row)) row[name] = cell(item);
    return row;
  });
  lookUpAhead(shown);
  return { ...part, rows };
}

/** Closes it; whoever waits there fails with ERR_CLOSED. False when there is none of that number. */
export async function closeConn(id: number): Promise<boolean> {
  const endpoint = endpointById(id)?.record.endpoint;
  if (endpoint === undefined || isOwnEndpoint(endpoint)) return false;
  await (endpoint as { close(): Promise<void> }).close();
  return true;
}
