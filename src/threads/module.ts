/** module.ts: what a module that runs in reactor threads exports, and what it is told. */
import type { Addr } from "../net/addr.ts";
import type { SocketConn } from "../net/socket.ts";
import type { TlsConn } from "../tls/conn.ts";

/** How a connection came from another thread. */
export interface Transferred {
  /** The id of the thread that it came from; -1 for the thread that called startThreads. */
  readonly from: number;
  /** What was given to transfer() along with the connection. */
  readonly message: unknown;
}

/** What a thread is told about itself. */
export interface ThreadInfo<D = unknown> {
  /** The thread's number: never given twice. */
  readonly id: number;
  /** Its place among the threads that run at once, from 0. */
  readonly index: number;
  /** How many threads the set was started with. */
  readonly count: number;
  /** The `data` of startThreads: a structured clone of the thread's own. */
  readonly data: D;
  /** What the set listens on; undefined when it does not. */
  readonly addr: Addr | undefined;
  /** Aborted when the thread is to end: finish what is begun, begin nothing new. */
  readonly signal: AbortSignal;
  /** How the handler's connection came here, when it was not accepted. */
  readonly transferred: Transferred | undefined;
}

/** Serves one connection, as a goroutine. When it is over the connection is closed. */
export type ConnHandler<D = unknown> = (conn: SocketConn, info: ThreadInfo<D>) => unknown;

/**
 * A module for startThreads. Each thread imports it anew, so its variables are the thread's own.
 */
export interface ThreadModule<D = unknown> {
  /** Serves a connection. */
  default?: ConnHandler<D>;
  /** Serves a connection that came by transfer(); without it the default export does. */
  receive?(conn: SocketConn | TlsConn, info: ThreadInfo<D>, message: unknown): unknown;
  /** Called once, before the thread gets connections. What it throws fails the start. */
  start?: (info: ThreadInfo<D>) => unknown;
  /** Called once, when the last handler is over. */
  stop?: (info: ThreadInfo<D>) => unknown;
}
