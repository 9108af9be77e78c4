/**
 * serve.ts: serve(): an HTTP/1.1 server. A goroutine accepts, each connection has one of its own.
 */
import { afterFunc } from "../context/afterfunc.ts";
import { type CancelFunc, withCancel } from "../context/cancel.ts";
import { background, type Context } from "../context/context.ts";
import { withDeadline } from "../context/deadline.ts";
import type { Addr } from "../net/addr.ts";
import type { BaseConn } from "../net/conn.ts";
import { type ListenOptions, listen } from "../net/listen.ts";
import { Listener } from "../net/listener.ts";
import { go } from "../runtime/goroutine.ts";
import { Connection, type ConnectionOwner, type Handler } from "./connection.ts";
import { type ServeOptions, type Settings, settingsOf } from "./options.ts";
import type { Request } from "./request.ts";

/** How long `await using` waits for requests that are being answered, in ms. */
const DISPOSE_MS = 5_000;

export class Server implements AsyncDisposable, ConnectionOwner {
  /** What it listens on. */
  readonly addr: Addr;
  /** @internal */
  readonly handler: Handler;
  /** @internal */
  readonly settings: Settings;
  /** @internal Above those of all requests. */
  readonly context: Context;
  /** @internal */
  stopping = false;
  /** @internal */
  readonly report: (error: unknown, request: Request) => void;
  private readonly listener: Listener<BaseConn>;
  private readonly connections = new Set<Connection>();
  private readonly cancel: CancelFunc;
  /** Called when a connection has left. */
  private readonly waiting: (() => void)[] = [];

  /** @internal */
  constructor(listener: Listener<BaseConn>, handler: Handler, options: ServeOptions) {
    this.listener = listener;
    this.addr = listener.addr;
    this.handler = handler;
    this.settings = settingsOf(options.limits);
    this.report = reporter(options.onError);
    [this.context, this.cancel] = withCancel(background());
  }

  /** Connections that are open. */
  get size(): number {
    return this.connections.size;
  }

  /** @internal Accepts until the listener is closed. At its limit connections wait in the kernel. */
  async accept(): Promise<void> {
    const { connections, listener, settings } = this;
    for await (const conn of listener) {
      const connection = new Connection(conn, this);
      connections.add(connection);
      go(serveConnection, connection, this);
      while (connections.size >= settings.connections && !this.stopping) await this.oneLeft();
    }
  }

  /** @internal */
  leave(connection: Connection): void {
    if (!this.connections.delete(connection)) return;
    for (const wake of this.waiting.splice(0)) wake();
  }

  private oneLeft(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /**
   * Stops listening, closes connections that are idle, and waits for the others to have sent the response
   * they are at. What is not done at the deadline is closed all the same. Connections that were upgraded
   * are their handlers'.
   */
  async shutdown(options: { deadline?: Date } = {}): Promise<void> {
    await this.stopListening();
    for (const connection of this.connections) {
      if (connection.idle) await connection.conn.close();
    }
    const { deadline } = options;
    if (deadline === undefined) return await this.allLeft();
    using limit = withDeadline(background(), deadline)[0];
    const stop = afterFunc(limit, () => void this.closeConnections());
    await this.allLeft();
    stop();
  }

  /** Stops at once: connections are closed whatever they are at. */
  async close(): Promise<void> {
    await this.stopListening();
    await this.closeConnections();
    await this.allLeft();
  }

  /** As shutdown, for at most five seconds. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown({ deadline: new Date(Date.now() + DISPOSE_MS) });
  }

  private async stopListening(): Promise<void> {
    this.stopping = true;
    for (const wake of this.waiting.splice(0)) wake();
    await this.listener.close();
  }

  private async closeConnections(): Promise<void> {
    this.cancel("the server is closed");
    for (const connection of this.connections) await connection.conn.close();
  }

  private async allLeft(): Promise<void> {
    while (this.connections.size > 0) await this.oneLeft();
    this.cancel("the server is closed");
  }
}

async function serveConnection(connection: Connection, server: Server): Promise<void> {
  await connection.serve();
  server.leave(connection);
}

function reporter(onError: ServeOptions["onError"]): (error: unknown, request: Request) => void {
  return (error, request) => {
    try {
      if (onError !== undefined) onError(error, request);
      else console.error(`http: ${request.method} ${request.url}:`, error);
    } catch (failure) {
      console.error("http: onError failed:", failure);
    }
  };
}

/**
 * Serves HTTP/1.1: calls `handler(request, info)` for each request and sends the Response it returns.
 *
 * The address is one of listen's: "127.0.0.1:8080", ":8080", a unix socket's path ("/run/x.sock", "@name");
 * or a Listener, which the server closes when it is shut down. Resolves once it listens. Fails as listen.
 *
 * @example
 * import { Response, serve } from "coronet/http";
 * await using server = await serve("127.0.0.1:0", async (request) => {
 *   return new Response(`hello, ${await request.text()}`);
 * });
 * const answer = await fetch(`http://${server.addr}/`, { method: "POST", body: "world" });
 * console.log(await answer.text()); // hello, world
 */
export async function serve(
  address: string | Listener<BaseConn>,
  handler: Handler,
  options: ServeOptions & ListenOptions = {},
): Promise<Server> {
  if (typeof handler !== "function") throw new TypeError("serve: expected a handler");
  settingsOf(options.limits);
  const listener = address instanceof Listener ? address : await listenAt(address, options);
  const server = new Server(listener, handler, options);
  go(acceptConnections, server);
  return server;
}

async function acceptConnections(server: Server): Promise<void> {
  await server.accept();
}

function listenAt(address: string, options: ListenOptions): Promise<Listener> {
  const network = /^[/@.]/.test(address) ? "unix" : "tcp";
  return listen(network as "tcp", address, options) as Promise<Listener>;
}
