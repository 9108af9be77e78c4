/**
 * conn_handler.ts: httpHandler(): HTTP as what a worker's module exports, for createServer and startThreads.
 *
 * Who accepts, places, counts and drains connections is theirs; this serves each of them. A worker that
 * is to end aborts `info.signal`: what is under way is answered with Connection: close, and a connection
 * that is idle gets a second for the request that its client may have sent already.
 */
import { type CancelFunc, withCancel } from "../context/cancel.ts";
import { background, type Context } from "../context/context.ts";
import type { BaseConn } from "../net/conn.ts";
import type { SocketConn } from "../net/socket.ts";
import { TlsConn } from "../tls/conn.ts";
import type { SecureContext } from "../tls/context.ts";
import type { SecureContextOptions } from "../tls/options.ts";
import { AccessLog } from "./access_log.ts";
import { Connection, type ConnectionOwner, type Handler, type Served } from "./connection.ts";
import { Handshake } from "./handshake.ts";
import { Audience, type Observer, Tally } from "./observe.ts";
import { type ServeOptions, type Settings, settingsOf } from "./options.ts";
import type { Request } from "./request.ts";
import { reporter, tlsOf } from "./serve.ts";

/** What a connection's handler needs of the info that it is called with. */
export interface ConnHandlerInfo {
  /** Aborted when the worker is to end. */
  readonly signal: AbortSignal;
  /** Counts a request, where the worker counts them. */
  request?(): void;
}

/** How long an idle connection of a worker that ends waits for one request more, in ms. */
export const LAST_WAIT_MS = 1_000;

/** The connections of one worker. */
class WorkerConns implements ConnectionOwner {
  readonly handler: Handler;
  readonly settings: Settings;
  readonly context = background();
  readonly ending: Context;
  readonly tally = new Tally();
  readonly lastWait = LAST_WAIT_MS;
  readonly report: (error: unknown, request: Request) => void;
  stopping = false;
  private readonly connections = new Set<Served>();
  private readonly audience: Audience;
  private readonly cancelEnding: CancelFunc;
  private readonly log: AccessLog | undefined;

  constructor(handler: Handler, options: ServeOptions, info: ConnHandlerInfo) {
    this.handler = info.request === undefined ? handler : counted(handler, info as Counting);
    this.settings = settingsOf(options.limits);
    this.report = reporter(options.onError);
    [this.ending, this.cancelEnding] = withCancel(background());
    const { accessLog, hooks } = options;
    // Each worker appends to the file by itself: lines are written whole.
    this.log = typeof accessLog === "string" ? new AccessLog(accessLog) : accessLog;
    this.audience = new Audience(hooks, this.log);
    if (info.signal.aborted) this.stop();
    else info.signal.addEventListener("abort", () => this.stop(), { once: true });
  }

  get observer(): Observer | undefined {
    return this.audience.current;
  }

  async serve(conn: BaseConn): Promise<void> {
    this.tally.accepted++;
    this.observer?.opened(conn);
    let connection: Served;
    if (conn instanceof TlsConn) {
      const handshake = new Handshake(conn, this);
      this.connections.add(handshake);
      const next = await handshake.shake();
      this.connections.delete(handshake);
      if (next === undefined) {
        this.observer?.closed(conn);
        return;
      }
      connection = next;
    } else connection = new Connection(conn, this);
    this.connections.add(connection);
    await connection.serve();
    this.leave(connection);
    // Whoever upgraded it may still be at it when the handler has returned.
    if (connection.upgraded) await conn.fd.whenClosed();
    if (this.stopping && this.connections.size === 0) await this.log?.settle();
  }

  leave(connection: Served): void {
    if (this.connections.delete(connection)) this.observer?.closed(connection.conn);
  }

  private stop(): void {
    this.stopping = true;
    this.cancelEnding("the worker is stopping");
    for (const connection of this.connections) connection.drain();
  }
}

/** A handler of connections, with `tls` over TLS. */
export interface HttpHandler {
  (conn: SocketConn, info: ConnHandlerInfo): Promise<void>;
  /**
   * Exchanges the certificate of this worker for connections from now on. Throws what createSecureContext
   * throws, and then everything stays as it was.
   */
  setSecureContext(context: SecureContext | SecureContextOptions): void;
}

interface Counting extends ConnHandlerInfo {
  request(): void;
}

function counted(handler: Handler, info: Counting): Handler {
  return (request, about) => {
    info.request();
    return handler(request, about);
  };
}

/**
 * A handler of requests as a handler of connections: what a module for createServer or startThreads exports
 * by default, so that HTTP runs on many cores. Reloads and restarts fail no request.
 *
 * With `tls` the listeners stay plain ones, and each worker speaks TLS on what it gets. All threads of a
 * process share the keys of session tickets; give processes the same `ticketKeys`, with the server's `data`.
 *
 * `maxConnections` of the server takes the place of the limit `connections`.
 *
 * @example
 * import { createServer } from "coronet";
 * // The module that every worker imports; usually a file of its own.
 * const source = `
 *   import { httpHandler, Response } from ${JSON.stringify(import.meta.resolve("coronet/http"))};
 *   export default httpHandler((request, info) => new Response("hello"));
 * `;
 * await using server = await createServer({
 *   module: new URL(`data:text/javascript,${encodeURIComponent(source)}`),
 *   listen: [["tcp", "127.0.0.1:0"]],
 *   workers: 2,
 * });
 * const answer = await fetch(`http://${server.addrs[0]}/`, { headers: { connection: "close" } });
 * console.log(await answer.text()); // hello
 */
export function httpHandler(handler: Handler, options: ServeOptions = {}): HttpHandler {
  if (typeof handler !== "function") throw new TypeError("httpHandler: expected a handler");
  // A certificate that is no good fails the module, and so the start or the reload: no connection.
  const tls = tlsOf(options)?.prepare();
  // One for each worker: only tests have several in one module.
  const workers = new WeakMap<AbortSignal, WorkerConns>();
  const serve = (conn: SocketConn, info: ConnHandlerInfo): Promise<void> => {
    let worker = workers.get(info.signal);
    if (worker === undefined) {
      worker = new WorkerConns(handler, options, info);
      workers.set(info.signal, worker);
    }
    return worker.serve(tls === undefined ? conn : tls.secure(conn));
  };
  return Object.assign(serve, {
    setSecureContext: (context: SecureContext | SecureContextOptions): void => {
      if (tls === undefined) {
        throw new TypeError("setSecureContext: the handler was not given `tls`");
      }
      tls.setSecureContext(context);
    },
  });
}
