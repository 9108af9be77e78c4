/**
 * traffic.ts: what each open conn, each listener and each network has moved, on this thread.
 *
 * A conn is announced while it is being constructed, when it does not know its network yet. So it is
 * classified at the first occasion after that: when it moves bytes, is accepted or closed, or is asked for.
 *
 * What a conn moves is added to its own record only, which is the cheapest; it is added to the sums of its
 * network and listener when it is closed, and by whoever asks for them.
 *
 * Invariants
 *  - A conn refers to its record (TRAFFIC); every record of an open endpoint is in `open`.
 *  - What is kept of networks and listeners is bounded: names beyond MOST share one entry, "other".
 */
import { Listener } from "../../net/listener.ts";
import { Op } from "../../poll/op.ts";
import type { AcceptedBy } from "../../runtime/observer.ts";
import { runtime } from "../../runtime/runtime.ts";
import { openEndpoints } from "../registry.ts";

const MOST_LISTENERS = 200;
const OTHER = "other";

/** Sums over conns; the bytes, reads and writes are those of closed conns until flows() adds the others. */
export interface Flow {
  /** Conns that were opened, in any way; those of them that were accepted here; those that are open. */
  opened: number;
  accepted: number;
  live: number;
  bytesIn: number;
  bytesOut: number;
  /** Reads and writes that moved bytes. */
  reads: number;
  writes: number;
}

export interface ListenerFlow extends Flow {
  readonly network: string;
  readonly address: string;
}

/** An open conn or listener. */
export class Traffic {
  /** Its number: never given twice in a thread. */
  readonly id: number;
  readonly endpoint: object;
  /** When it was opened, or was found, by performance.now(). */
  readonly since: number;
  /** It was open before anybody looked. */
  readonly found: boolean;
  /** When bytes last moved, by performance.now(), to a second; 0 for never. */
  last = 0;
  bytesIn = 0;
  bytesOut = 0;
  reads = 0;
  writes = 0;
  /** Undefined until it is classified. */
  network: Flow | undefined = undefined;
  /** Who accepted it on this thread. */
  listener: ListenerFlow | undefined = undefined;

  constructor(endpoint: object, since: number, found: boolean) {
    this.id = ++records;
    this.endpoint = endpoint;
    this.since = since;
    this.found = found;
  }
}

let records = 0;
const TRAFFIC: unique symbol = Symbol("coronet.traffic");
type Metered = object & { [TRAFFIC]?: Traffic | undefined };

const open = new Set<Traffic>();
let unclassified: Traffic[] = [];
const networks = new Map<string, Flow>();
const listeners = new Map<string, ListenerFlow>();
/** By what all conns of a listener have in common. */
let byOrigin = new WeakMap<object, ListenerFlow>();
/** About now; set once a second. */
let about = performance.now();

function noFlow(): Flow {
  return { opened: 0, accepted: 0, live: 0, bytesIn: 0, bytesOut: 0, reads: 0, writes: 0 };
}

export function opened(endpoint: Metered): void {
  enter(endpoint, false);
}

function enter(endpoint: Metered, found: boolean): Traffic {
  const record = new Traffic(endpoint, performance.now(), found);
  endpoint[TRAFFIC] = record;
  open.add(record);
  unclassified.push(record);
  // Whoever makes many within a second waits for nobody to ask.
  if (unclassified.length >= 1024) classifyAll();
  return record;
}

/** Begins with what is open already, as far as it is known: by the registry, and by whoever waits there. */
export function findOpen(): void {
  tick(performance.now());
  const known = openEndpoints().map(({ endpoint }) => endpoint);
  const waiting = runtime()
    .cache.waiters()
    .flatMap((waiter) => (waiter instanceof Op ? [waiter.fd.owner] : []));
  for (const endpoint of [...known, ...waiting]) recordOf(endpoint);
}

/** All but the newest, which may still be under construction. */
function classifyAll(): void {
  const newest = unclassified.pop();
  for (const record of unclassified) if (record.network === undefined) classify(record);
  unclassified = newest === undefined ? [] : [newest];
}

function classify(record: Traffic): void {
  const { endpoint } = record;
  const flow = endpoint instanceof Listener ? listeningFlow : networkOf(endpoint);
  record.network = flow;
  flow.opened++;
  flow.live++;
}

/** Listeners are counted apart: they move no bytes. */
const listeningFlow = noFlow();

function networkOf(endpoint: object): Flow {
  const { network = OTHER } = endpoint as { network?: string };
  let flow = networks.get(network);
  if (flow === undefined) {
    flow = noFlow();
    networks.set(network, flow);
  }
  return flow;
}

/** A conn was accepted on this thread; `origin` is its listener's. */
export function accepted(conn: Metered, origin: AcceptedBy): void {
  const record = recordOf(conn);
  if (record.network === undefined) classify(record);
  (record.network as Flow).accepted++;
  const flow = byOrigin.get(origin) ?? listenerOf(origin);
  record.listener = flow;
  flow.opened++;
  flow.accepted++;
  flow.live++;
}

function listenerOf(origin: AcceptedBy): ListenerFlow {
  let { network } = origin;
  let address = String(origin.addr);
  let flow = listeners.get(`${network} ${address}`);
  if (flow === undefined && listeners.size >= MOST_LISTENERS) {
    network = address = OTHER;
    flow = listeners.get(`${OTHER} ${OTHER}`);
  }
  if (flow === undefined) {
    flow = { network, address, ...noFlow() };
    listeners.set(`${network} ${address}`, flow);
  }
  byOrigin.set(origin, flow);
  return flow;
}

/** Its record; made now when it was opened before anybody looked. */
function recordOf(endpoint: Metered): Traffic {
  return endpoint[TRAFFIC] ?? enter(endpoint, true);
}

export function moved(conn: Metered, direction: "read" | "write", bytes: number): void {
  const record = conn[TRAFFIC] ?? late(conn);
  if (record === undefined) return;
  record.last = about;
  if (direction === "read") {
    record.bytesIn += bytes;
    record.reads++;
  } else {
    record.bytesOut += bytes;
    record.writes++;
  }
}

/** The record of one that has none: made now, unless it has been closed and is forgotten. */
function late(conn: Metered & { fd?: { closing?: boolean } }): Traffic | undefined {
  return conn.fd?.closing === true ? undefined : recordOf(conn);
}

export function closed(endpoint: Metered): void {
  const record = endpoint[TRAFFIC];
  if (record === undefined) return;
  endpoint[TRAFFIC] = undefined;
  open.delete(record);
  if (record.network === undefined) classify(record);
  leave(record, record.network as Flow);
  if (record.listener !== undefined) leave(record, record.listener);
}

function leave(record: Traffic, flow: Flow): void {
  flow.live--;
  add(record, flow);
}

function add({ bytesIn, bytesOut, reads, writes }: Traffic, flow: Flow): void {
  flow.bytesIn += bytesIn;
  flow.bytesOut += bytesOut;
  flow.reads += reads;
  flow.writes += writes;
}

/** Once a second. */
export function tick(now: number): void {
  about = now;
}

/** Those that are open and were opened, waited or moved bytes since somebody looks; oldest first. */
export function openTraffic(): Traffic[] {
  flush();
  return [...open];
}

/** The record of an endpoint; undefined when nothing is known of it. */
export function trafficOf(endpoint: object): Traffic | undefined {
  return (endpoint as Metered)[TRAFFIC];
}

function flush(): void {
  for (const record of unclassified) if (record.network === undefined) classify(record);
  unclassified = [];
}

/** Sums by network; by listener; listeners that are open. Looks at every open conn. */
export function flows(): {
  networks: Record<string, Flow>;
  listeners: ListenerFlow[];
  listening: number;
} {
  flush();
  const copies = new Map<Flow, Flow>();
  const copyOf = <F extends Flow>(flow: F): F => {
    const copy = { ...flow };
    copies.set(flow, copy);
    return copy;
  };
  const byNetwork = [...networks].map(([name, flow]) => [name, copyOf(flow)]);
  const byListener = [...listeners.values()].map(copyOf);
  for (const record of open) {
    for (const flow of [record.network, record.listener]) {
      const copy = flow && copies.get(flow);
      if (copy !== undefined) add(record, copy);
    }
  }
  return {
    networks: Object.fromEntries(byNetwork),
    listeners: byListener,
    listening: listeningFlow.live,
  };
}

export function forgetTraffic(): void {
  for (const { endpoint } of open) (endpoint as Metered)[TRAFFIC] = undefined;
  open.clear();
  unclassified = [];
  networks.clear();
  listeners.clear();
  byOrigin = new WeakMap();
  Object.assign(listeningFlow, noFlow());
}
