/**
 * top.ts: what `coronet top` asks a thread: its meters, the last minute, and the conns that come first in
 * some order. However many conns there are, few are sent.
 */
import { onControl } from "./control.ts";
import {
  type Meters,
  meterSeries,
  meters,
  openTraffic,
  type Series,
  type Traffic,
} from "./meters/meters.ts";
import { endpointName } from "./objects.ts";
import { isOwnEndpoint } from "./own.ts";

/** By what conns can be sorted: the largest first, of "idle" the one that moved something last. */
export const ORDERS = ["bytes", "received", "sent", "age", "idle"] as const;
export type Order = (typeof ORDERS)[number];

export interface TopOptions {
  /** So many conns at most. */
  rows?: number;
  order?: Order;
  /** Only those whose name has this in it. */
  filter?: string;
}

/** An open conn or listener. */
export interface TopConn {
  /** Its number: never given twice in a thread. */
  readonly id: number;
  /** "tcp 127.0.0.1:80->127.0.0.1:4711" */
  readonly name: string;
  readonly ageMs: number;
  /** Since it last moved bytes, to a second; undefined when it never did. */
  readonly idleMs: number | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** One thread. */
export interface Top {
  readonly meters: Meters;
  readonly series: Series;
  readonly conns: readonly TopConn[];
  /** Open conns and listeners, and those of them that the filter lets through. */
  readonly open: number;
  readonly matching: number;
}

/** What an inspector says of all threads that it can ask. */
export interface AllTops {
  readonly tops: readonly Top[];
  /** Threads that did not answer in time. */
  readonly silent: number;
}

const ROWS = 50;
const MOST_ROWS = 1000;
const SERIES_SECONDS = 120;

const keys: Record<Order, (record: Traffic) => number> = {
  bytes: ({ bytesIn, bytesOut }) => bytesIn + bytesOut,
  received: ({ bytesIn }) => bytesIn,
  sent: ({ bytesOut }) => bytesOut,
  age: ({ since }) => -since,
  idle: ({ last, since }) => last || since,
};

/** The first of them in an order, without sorting all. */
function first(all: readonly Traffic[], rows: number, key: (record: Traffic) => number): Traffic[] {
  const top: { record: Traffic; rank: number }[] = [];
  for (const record of all) {
    const rank = key(record);
    if (top.length === rows && rank <= (top[rows - 1]?.rank ?? Infinity)) continue;
    let place = top.length;
    while (place > 0 && rank > (top[place - 1]?.rank as number)) place--;
    top.splice(place, 0, { record, rank });
    if (top.length > rows) top.pop();
  }
  return top.map(({ record }) => record);
}

function connOf({ id, endpoint, since, last, bytesIn, bytesOut }: Traffic, now: number): TopConn {
  return {
    id,
    name: endpointName(endpoint) ?? "?",
    ageMs: now - since,
    idleMs: last === 0 ? undefined : Math.max(0, now - last),
    bytesIn,
    bytesOut,
  };
}

/** Numbers of this thread for a screen. */
export function takeTop(options: TopOptions = {}): Top {
  const { order = "bytes", filter = "" } = options;
  const rows = Math.min(MOST_ROWS, Math.max(0, options.rows ?? ROWS));
  const all = openTraffic().filter(({ endpoint }) => !isOwnEndpoint(endpoint));
  const matching =
    filter === ""
      ? all
      : all.filter(({ endpoint }) => endpointName(endpoint)?.includes(filter) === true);
  const now = performance.now();
  return {
    meters: meters(),
    series: meterSeries(SERIES_SECONDS),
    conns: first(matching, rows, keys[order] ?? keys.bytes).map((record) => connOf(record, now)),
    open: all.length,
    matching: matching.length,
  };
}

onControl("top", (options) => takeTop((options ?? {}) as TopOptions));
