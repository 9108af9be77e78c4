/**
 * control.ts: what a supervisor and its workers say to each other, over a process's channel or a
 * thread's port. Everything in it can be cloned.
 */
import type { Heartbeat, ServerFraming, ServerModel } from "./options.ts";
import type { ServiceStats } from "./stats.ts";

/** A socket that listens, as its worker gets it. */
export interface SocketBoot {
  /**
   * Its number: in a worker process its own, in a thread that of the thread which listens. Nobody's
   * where the worker has an inbox.
   */
  fd: number;
  network: string;
  addr: string;
}

/** Where connections are placed on a worker. */
export interface InboxBoot {
  /** The end that it receives from: in a process its own number, in a thread its supervisor's. */
  fd: number;
  /** What a thread shares with its supervisor; a process shares no memory. */
  lock: SharedArrayBuffer | undefined;
}

/** What a worker is born with. */
export interface Boot {
  model: ServerModel;
  id: number;
  index: number;
  workers: number;
  module: string;
  data: unknown;
  sockets: readonly SocketBoot[];
  inbox: InboxBoot | undefined;
  /** This worker's share of the server's. */
  maxConnections: number;
  heartbeat: Heartbeat | undefined;
  framing: ServerFraming | undefined;
  maxRequests: number;
  drainTimeout: number;
}

/** To the worker. */
export type Order =
  /** Accept nothing more, finish what you have within `timeout` ms, then end. */
  | { type: "drain"; timeout: number }
  /** Tell your numbers. */
  | { type: "stats" };

/** From the worker. */
export type Report =
  /** It accepts. */
  | { type: "ready" }
  /** It could not begin. */
  | { type: "failed"; error: string }
  /** Told to drain, it accepts no more. */
  | { type: "left" }
  /** It has served as many requests as it should. */
  | { type: "recycle" }
  | { type: "stats"; stats: ServiceStats };
