/**
 * prometheus.ts: meters as Prometheus' metrics: names, units and labels, after its conventions. Seconds and
 * bytes; counters end in _total; every label has a bounded number of values.
 */
import type { HistogramSnapshot, Meters } from "./meters/meters.ts";

type Labels = Record<string, string>;

/** One line of a metric, as prom-client takes it. */
export interface Sample {
  readonly labels: Record<string, string | number>;
  readonly value: number;
  readonly metricName?: string;
}

/** A metric: what it is called, and what of the meters it shows. */
export interface Shown {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  samples(name: string, meters: Meters, labels: Labels): Sample[];
}

const SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
const POWERS = Array.from({ length: 11 }, (_, i) => 2 ** i);
const MOST_POOLS = 100;

/** A histogram's lines; `scale` makes its values the metric's. A bucket that reaches over a bound is above it. */
function histogram(
  name: string,
  { buckets, count, sum }: HistogramSnapshot,
  labels: Labels,
  bounds: readonly number[],
  scale: number,
): Sample[] {
  const lines: Sample[] = bounds.map((le) => {
    let below = 0;
    for (const [upTo, n] of buckets) if (upTo * scale <= le) below += n;
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below };
  });
  return [
    ...lines,
    { metricName: `${name}_bucket`, labels: { ...labels, le: "+Inf" }, value: count },
    { metricName: `${name}_sum`, labels, value: sum * scale },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function times(
  name: string,
  help: string,
  of: (meters: Meters) => readonly (readonly [Labels, HistogramSnapshot])[],
): Shown {
  return {
    name,
    help,
    type: "histogram",
    samples: (full, meters, labels) =>
      of(meters).flatMap(([own, snapshot]) =>
        histogram(full, snapshot, { ...labels, ...own }, SECONDS, 0.001),
      ),
  };
}

type Values = readonly (readonly [Labels, number])[];

function values(type: "counter" | "gauge") {
  return (name: string, help: string, of: (meters: Meters) => number | Values): Shown => ({
    name,
    help,
    type,
    samples: (_full, meters, labels) => {
      const found = of(meters);
      const list: Values = typeof found === "number" ? [[{}, found]] : found;
      return list.map(([own, value]) => ({ labels: { ...labels, ...own }, value }));
    },
  });
}

const counter = values("counter");
const gauge = values("gauge");

const networks = (of: (flow: Meters["networks"][string]) => number) => (meters: Meters) =>
  Object.entries(meters.networks).map(([network, flow]) => [{ network }, of(flow)] as const);

const listeners = (of: (flow: Meters["listeners"][number]) => number) => (meters: Meters) =>
  meters.listeners.map((flow) => {
    const { network, address } = flow;
    return [{ network, address }, of(flow)] as const;
  });

/** The pools by name; what is beyond MOST_POOLS under one name. */
function pools(of: (pool: Meters["pools"][number]) => Record<string, number>, label: string) {
  return (meters: Meters): Values => {
    const sums = new Map<string, Record<string, number>>();
    for (const [i, pool] of meters.pools.entries()) {
      const name = i < MOST_POOLS ? pool.name : "other";
      const sum = sums.get(name) ?? {};
      for (const [key, value] of Object.entries(of(pool))) sum[key] = (sum[key] ?? 0) + value;
      sums.set(name, sum);
    }
    return [...sums].flatMap(([pool, sum]) =>
      Object.entries(sum).map(
        ([key, value]) => [label === "" ? { pool } : { pool, [label]: key }, value] as const,
      ),
    );
  };
}

export const METRICS: readonly Shown[] = [
  counter(
    "accepted_connections_total",
    "Connections that listeners have accepted.",
    networks(({ accepted }) => accepted),
  ),
  counter(
    "opened_connections_total",
    "Connections that were opened, in any way.",
    networks(({ opened }) => opened),
  ),
  gauge(
    "connections",
    "Connections that are open.",
    networks(({ live }) => live),
  ),
  counter("network_bytes_total", "Bytes that connections have read and written.", (meters) =>
    Object.entries(meters.networks).flatMap(([network, { bytesIn, bytesOut }]) => [
      [{ network, direction: "in" }, bytesIn] as const,
      [{ network, direction: "out" }, bytesOut] as const,
    ]),
  ),
  gauge("listeners", "Listeners that are open.", ({ listening }) => listening),
  counter(
    "listener_accepted_connections_total",
    "Connections that one listener has accepted.",
    listeners(({ accepted }) => accepted),
  ),
  gauge(
    "listener_connections",
    "Connections of one listener that are open.",
    listeners(({ live }) => live),
  ),
  counter("listener_bytes_total", "Bytes on the connections of one listener.", (meters) =>
    meters.listeners.flatMap(({ network, address, bytesIn, bytesOut }) => [
      [{ network, address, direction: "in" }, bytesIn] as const,
      [{ network, address, direction: "out" }, bytesOut] as const,
    ]),
  ),

  gauge("goroutines", "Goroutines, by what they do.", ({ goroutines }) => [
    [{ state: "runnable" }, goroutines.runnable],
    [{ state: "waiting" }, goroutines.waiting],
  ]),
  gauge("goroutines_peak", "The largest number of goroutines at once.", (m) => m.goroutines.peak),
  counter("goroutines_started_total", "Goroutines started.", (m) => m.goroutines.started),
  counter(
    "goroutines_ended_by_peers_total",
    "Goroutines ended by a reset, close, deadline or cancellation.",
    (m) => m.goroutines.endedByPeers,
  ),
  counter("goroutines_panicked_total", "Goroutines ended by an error.", (m) => {
    return m.goroutines.panicked;
  }),
  gauge("waits", "Waits of now, by what is waited for.", ({ waits }) =>
    Object.entries(waits).map(([kind, { now }]) => [{ kind }, now]),
  ),
  times("wait_seconds", "How long waits that are over lasted; idle ones apart.", ({ waits }) =>
    Object.entries(waits).flatMap(([kind, { lasting }]) =>
      lasting === undefined ? [] : [[{ kind }, lasting] as const],
    ),
  ),

  counter("turns_total", "Turns of the scheduler.", (m) => m.scheduler.turns),
  counter("woken_goroutines_total", "Goroutines that turns have woken.", (m) => m.scheduler.woken),
  {
    name: "poller_batch_goroutines",
    help: "Goroutines that one batch of the poller's events made runnable.",
    type: "histogram",
    samples: (full, { poller }, labels) => histogram(full, poller.batch, labels, POWERS, 1),
  },
  counter("stale_events_total", "Events that came for a closed connection.", (m) => m.poller.stale),
  times("run_queue_delay_seconds", "How long goroutines stood in the run queue.", (m) => [
    [{}, m.scheduler.delay],
  ]),
  counter(
    "budget_exhausted_total",
    "Operations that had to wait for a further turn.",
    (m) => m.scheduler.exhausted,
  ),
  counter(
    "long_holds_total",
    "Times that a goroutine held its thread for too long, while sysmon watches.",
    (m) => m.scheduler.longHolds,
  ),
  counter(
    "thread_busy_seconds_total",
    "How long the thread was not idle.",
    (m) => m.scheduler.busyTime / 1000,
  ),
  gauge("timers", "Timers that are armed.", (m) => m.timers.armed),
  counter("timers_fired_total", "Timers that have fired.", (m) => m.timers.fired),
  times("timer_lateness_seconds", "By how much timers fired too late.", (m) => [
    [{}, m.timers.lateness],
  ]),

  counter("http_requests_total", "Requests that were answered.", ({ http }) =>
    http.answered.map(({ method, status, count }) => [{ method, status }, count]),
  ),
  gauge("http_requests_in_flight", "Requests not answered yet.", (m) => m.http.inFlight),
  times("http_request_duration_seconds", "From a request's head to the last byte sent.", (m) =>
    Object.entries(m.http.duration).map(([method, snapshot]) => [{ method }, snapshot]),
  ),
  counter(
    "http_refused_requests_total",
    "Requests that the server itself answered with an error.",
    ({ http }) => Object.entries(http.refused).map(([status, count]) => [{ status }, count]),
  ),
  counter(
    "http_upgrades_total",
    "Connections that became another protocol's.",
    (m) => m.http.upgraded,
  ),
  gauge("http_connections", "Connections open at HTTP servers.", (m) => m.http.connections),

  gauge(
    "pool_connections",
    "Connections of a client's pool.",
    pools(({ idle, live }) => ({ idle, used: live - idle }), "state"),
  ),
  gauge(
    "pool_waiting",
    "Callers that wait for a place in the pool.",
    pools(({ waiting }) => ({ waiting }), ""),
  ),
  counter(
    "pool_connects_total",
    "Calls of connect: with an open connection, with a new one, refused.",
    pools(({ hits, misses, full }) => ({ reused: hits, dialled: misses, full }), "result"),
  ),
  counter(
    "pool_closed_connections_total",
    "Idle connections that were closed, by the reason.",
    pools(
      ({ evicted, expired, closedByPeer, refused }) => ({
        evicted,
        expired,
        peer: closedByPeer,
        refused,
      }),
      "reason",
    ),
  ),
];
