/** stats.ts: numbers about a server: each worker's, and all of them in all. */

/** What is added up over workers, also over those that have ended. */
export interface Totals {
  /** Connections accepted, and those of them that are over. */
  accepted: number;
  closed: number;
  /** Connections that the module's admit(), or placement, turned away. */
  refused: number;
  /** Connections closed by the heartbeat, by a malformed frame, or at the end of a drain. */
  silent: number;
  malformed: number;
  cut: number;
  /** Bytes that connections which the server accepted have read and written. */
  bytesIn: number;
  bytesOut: number;
  requests: number;
}

const COUNTED = [
  "accepted",
  "closed",
  "refused",
  "silent",
  "malformed",
  "cut",
  "bytesIn",
  "bytesOut",
  "requests",
] as const satisfies readonly (keyof Totals)[];

/** Numbers that a worker reports of itself. */
export interface ServiceStats extends Totals {
  /** Connections that are being served. */
  live: number;
  /** Goroutines of the worker, and the largest number at once. */
  goroutines: number;
  goroutinesPeak: number;
}

export type WorkerState = "starting" | "serving" | "draining";

/** Numbers about one worker. */
export interface WorkerStats extends ServiceStats {
  /** Its number, never given twice; its place among the workers. */
  id: number;
  index: number;
  /** Its process, and its thread in that (0 is the main thread). */
  pid: number;
  thread: number;
  state: WorkerState;
}

/** Numbers about a server. */
export interface ServerStats extends ServiceStats {
  workers: readonly WorkerStats[];
  /** Workers that ended without being asked to. */
  died: number;
  /** Generations: 1 after the start, one more with every reload. */
  generation: number;
}

export function noTotals(): Totals {
  return {
    accepted: 0,
    closed: 0,
    refused: 0,
    silent: 0,
    malformed: 0,
    cut: 0,
    bytesIn: 0,
    bytesOut: 0,
    requests: 0,
  };
}

export function addTotals(to: Totals, from: Totals): void {
  for (const key of COUNTED) to[key] += from[key];
}
