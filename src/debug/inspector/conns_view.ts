/** conns_view.ts: the table of connections and listeners, and closing one of them. */
import { allWaits, type Wait } from "../registry.ts";
import { isOwnEndpoint } from "./own.ts";
import { type Columns, select, type TableQuery } from "./table.ts";
import type { ConnRecord, Traffic } from "./traffic.ts";

interface Sides {
  reader: Wait | undefined;
  writer: Wait | undefined;
}

function sidesByEndpoint(): Map<object, Sides> {
  const sides = new Map<object, Sides>();
  for (const wait of allWaits()) {
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

function columnsOf(sides: ReadonlyMap<object, Sides>, now: number): Columns<ConnRecord> {
  return {
    id: ({ id }) => id,
    network: (record) => record.network,
    local: (record) => record.local,
    remote: (record) => record.remote,
    by: ({ by }) => by && `${by.id} ${by.name}`,
    age: ({ since }) => since && now - since,
    in: (record) => record.in,
    out: (record) => record.out,
    idle: ({ active }) => active && now - active,
    reader: ({ endpoint }) => sides.get(endpoint)?.reader?.kind,
    writer: ({ endpoint }) => sides.get(endpoint)?.writer?.kind,
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
export function connTable(query: ConnQuery, traffic: Traffic): unknown {
  const now = performance.now();
  const sides = sidesByEndpoint();
  const columns = columnsOf(sides, now);
  const shown: ConnRecord[] = [];
  for (const record of traffic.all) {
    if (query.own === true || !isOwnEndpoint(record.endpoint)) shown.push(record);
  }
  const { items, ...part } = select(shown, columns, query, (record) => record.text);
  const rows = items.map((record) => {
    const row: Record<string, unknown> = {};
    for (const [name, cell] of Object.entries(columns)) row[name] = cell(record);
    row.by = record.by;
    row.reader = waitRow(sides.get(record.endpoint)?.reader, now);
    row.writer = waitRow(sides.get(record.endpoint)?.writer, now);
    return row;
  });
  return { ...part, rows };
}

/** Closes it; whoever waits there fails with ERR_CLOSED. False when there is none of that number. */
export async function closeConn(id: number, traffic: Traffic): Promise<boolean> {
  const record = traffic.find(id);
  if (record === undefined || isOwnEndpoint(record.endpoint)) return false;
  await (record.endpoint as { close(): Promise<void> }).close();
  return true;
}
