/**
 * requests.ts: what the HTTP servers of this thread have answered. In flight, by method and status, how long.
 */
import type { ServerHooks } from "../../http/observe.ts";
import type { ResponseRecord } from "../../http/record.ts";
import type { Conn } from "../../net/conn.ts";
import { Histogram, type HistogramSnapshot } from "./histogram.ts";

/** Methods that stand by themselves; all others are "other": clients can make them up. */
const METHODS = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "CONNECT",
  "TRACE",
]);
const CLASSES = ["broken off", "1xx", "2xx", "3xx", "4xx", "5xx"] as const;

/** Requests to the HTTP servers of a thread. */
export interface RequestMeter {
  /** Requests whose head was understood; those that are not answered yet. */
  readonly begun: number;
  readonly inFlight: number;
  /** Answered, by method and class of the status ("2xx"; "broken off" when none was sent). */
  readonly answered: readonly { method: string; status: string; count: number }[];
  /** From the request's head to the last byte that the kernel took, in ms; by method. */
  readonly duration: Readonly<Record<string, HistogramSnapshot>>;
  /** Answered by the server itself, with 400, 408, 431, …. */
  readonly refused: Readonly<Record<number, number>>;
  readonly upgraded: number;
  /** Connections that HTTP servers have taken since, and that are open. */
  readonly connections: number;
}

/** One method. */
interface Method {
  readonly counts: Float64Array;
  readonly duration: Histogram;
}

/** Counts requests; its hooks go into every server. */
export class RequestCounter {
  begun = 0;
  inFlight = 0;
  private upgraded = 0;
  private readonly connections = new Set<Conn>();
  private readonly methods = new Map<string, Method>();
  private readonly refused = new Map<number, number>();

  readonly hooks: ServerHooks = {
    connectionOpened: (conn) => {
      this.connections.add(conn);
    },
    connectionClosed: (conn) => {
      this.connections.delete(conn);
    },
    requestBegun: () => {
      this.begun++;
      this.inFlight++;
    },
    responseSent: (record) => this.sent(record),
    refused: (status) => {
      this.refused.set(status, (this.refused.get(status) ?? 0) + 1);
    },
    upgraded: () => {
      this.upgraded++;
      if (this.inFlight > 0) this.inFlight--;
    },
  };

  private sent({ method, status, duration }: ResponseRecord): void {
    if (this.inFlight > 0) this.inFlight--;
    const name = METHODS.has(method) ? method : "other";
    let entry = this.methods.get(name);
    if (entry === undefined) {
      entry = { counts: new Float64Array(CLASSES.length), duration: new Histogram(1000) };
      this.methods.set(name, entry);
    }
    (entry.counts[Math.min(5, Math.floor(status / 100))] as number)++;
    entry.duration.record(duration);
  }

  /** The longest since the last call, in ms. */
  takePeak(): number {
    let peak = 0;
    for (const { duration } of this.methods.values()) peak = Math.max(peak, duration.takePeak());
    return peak;
  }

  meter(): RequestMeter {
    const { begun, inFlight, upgraded, connections } = this;
    const answered = [...this.methods]
      .flatMap(([method, { counts }]) =>
        CLASSES.map((status, i) => ({ method, status, count: counts[i] as number })),
      )
      .filter(({ count }) => count > 0);
    const durations = [...this.methods].map(([name, { duration }]) => [name, duration.snapshot()]);
    return {
      begun,
      inFlight,
      answered,
      duration: Object.fromEntries(durations),
      refused: Object.fromEntries(this.refused),
      upgraded,
      connections: connections.size,
    };
  }
}
