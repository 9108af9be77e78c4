/**
 * module.ts: what a module that a server runs exports, and what it is told. The contract is the same in
 * every model; each worker imports the module anew, so its variables are the worker's own.
 */
import type { MessageStream } from "../io/framing.ts";
import type { Addr } from "../net/addr.ts";
import type { SocketConn } from "../net/socket.ts";
import type { ServerModel } from "./options.ts";

/** What a worker is told about itself. */
export interface WorkerInfo<D = unknown> {
  readonly model: ServerModel;
  /** The worker's number: never given twice. */
  readonly id: number;
  /** Its place among the workers, from 0; a worker that replaces another takes it over. */
  readonly index: number;
  /** How many workers the server has. */
  readonly workers: number;
  /** The `data` of createServer, as a clone of the worker's own. */
  readonly data: D;
  /** What the server listens on, in the order of its `listen`. */
  readonly addrs: readonly Addr[];
  /** Aborted when the worker is to end: finish what is begun, and close connections that are idle. */
  readonly signal: AbortSignal;
  /**
   * Counts a request. A connection whose handler never calls it counts as one; with framing every
   * message is counted already.
   */
  request(): void;
}

/** Serves one connection, as a goroutine. When it is over the connection is closed. */
export type ConnHandler<D = unknown> = (conn: SocketConn, info: WorkerInfo<D>) => unknown;

/**
 * Serves one message of a connection, with `framing`. `peer` writes messages to where it came from;
 * `peer.conn` is the connection. The next message of the same connection waits until it is over.
 */
export type MessageHandler<D = unknown> = (
  message: Uint8Array,
  peer: MessageStream<SocketConn>,
  info: WorkerInfo<D>,
) => unknown;

/** A module for createServer. */
export interface ServerModule<D = unknown> {
  /** Serves a connection; with `framing` a message. */
  default: ConnHandler<D> | MessageHandler<D>;
  /** Called once, before the worker gets connections. What it throws fails the start. */
  start?: (info: WorkerInfo<D>) => unknown;
  /** Called once, when the last handler is over. */
  stop?: (info: WorkerInfo<D>) => unknown;
  /** Asked about every connection before it is served: false closes it, counted as refused. */
  admit?: (conn: SocketConn, info: WorkerInfo<D>) => boolean;
  /** Asked before the heartbeat closes a silent connection: true spares it. */
  exempt?: (conn: SocketConn, info: WorkerInfo<D>) => boolean;
}
