/**
 * serve.ts: serve(): an HTTP server. A goroutine accepts, each connection has one of its own.
 */
import { afterFunc } from "../context/afterfunc.ts";
import { type CancelFunc, withCancel } from "../context/cancel.ts";
import { background, type Context } from "../context/context.ts";
import { withDeadline } from "../context/deadline.ts";
import type { Addr } from "../net/addr.ts";
import type { BaseConn } from "../net/conn.ts";
import { type ListenOptions, listen } from "../net/listen.ts";
import { Listener } from "../net/listener.ts";
import { awaited } from "../runtime/awaited.ts";
import { go } from "../runtime/goroutine.ts";
import { TlsConn } from "../tls/conn.ts";
import type { SecureContext } from "../tls/context.ts";
import type { SecureContextOptions } from "../tls/options.ts";
import { AccessLog } from "./access_log.ts";
import { Connection, type ConnectionOwner, type Handler, type Served } from "./connection.ts";
import { Handshake } from "./handshake.ts";
import { Audience, type Observer, type ServerStats, Tally } from "./observe.ts";
import { type ServeOptions, type Settings, settingsOf } from "./options.ts";
import type { Request } from "./request.ts";
import { ServerTls } from "./tls.ts";

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
  /** @internal Of connections that were upgraded: ends when the server begins to stop. */
  readonly ending: Context;
  /** @internal */
  stopping = false;
  /** @internal Nobody else serves its clients: who is idle has to go elsewhere at once. */
  readonly lastWait = 0;
  /** @internal */
  readonly tally = new Tally();
  /** @internal */
  readonly report: (error: unknown, request: Request) => void;
  private readonly audience: Audience;
  private readonly listener: Listener<BaseConn>;
  private readonly log: AccessLog | undefined;
  /** The log is this server's alone. */
  private readonly ownsLog: boolean;
  private readonly tls: ServerTls | undefined;
  private readonly connections = new Set<Served>();
  private readonly cancel: CancelFunc;
  private readonly cancelEnding: CancelFunc;
  /** Called when a connection has left. */
  private readonly waiting: (() => void)[] = [];

  /** @internal */
  constructor(
    listener: Listener<BaseConn>,
    handler: Handler,
    options: ServeOptions,
    tls: ServerTls | undefined,
  ) {
    this.listener = listener;
    this.tls = tls;
    this.addr = listener.addr;
    this.handler = handler;
    this.settings = settingsOf(options.limits);
    this.report = reporter(options.onError);
    [this.context, this.cancel] = withCancel(background());
    [this.ending, this.cancelEnding] = withCancel(background());
    const { accessLog, hooks } = options;
    this.ownsLog = typeof accessLog === "string";
    this.log = typeof accessLog === "string" ? new AccessLog(accessLog) : accessLog;
    this.audience = new Audience(hooks, this.log);
  }

  /** @internal */
  get observer(): Observer | undefined {
    return this.audience.current;
  }

  /** Connections that are open. */
  get size(): number {
    return this.connections.size;
  }

  /** What it has done so far, and what it does now. */
  get stats(): ServerStats {
    const { accepted, requests, refused, upgraded, failedHandshakes } = this.tally;
    let { bytesIn, bytesOut } = this.tally;
    for (const connection of this.connections) {
      bytesIn += connection.bytesIn;
      bytesOut += connection.bytesOut;
    }
    const live = this.connections.size;
    return {
      accepted,
      live,
      requests,
      bytesIn,
      bytesOut,
      refused: { ...refused },
      upgraded,
      failedHandshakes,
    };
  }

  /**
   * Exchanges the certificate, of a server with `tls`: it counts from the next connection on, and no
   * request is lost. Throws what createSecureContext throws, and then everything stays as it was.
   */
  setSecureContext(context: SecureContext | SecureContextOptions): void {
    if (this.tls === undefined) {
      throw new TypeError("setSecureContext: the server was not given `tls`");
    }
    this.tls.setSecureContext(context);
  }

  /** @internal Accepts until the listener is closed. At its limit connections wait in the kernel. */
  async accept(): Promise<void> {
    const { connections, listener, settings } = this;
    for await (const conn of listener) {
      const connection =
        conn instanceof TlsConn ? new Handshake(conn, this) : new Connection(conn, this);
      connections.add(connection);
      this.tally.accepted++;
      this.observer?.opened(conn);
      go(serveConnection, connection, this);
      while (connections.size >= settings.connections && !this.stopping) await this.oneLeft();
    }
  }

  /** @internal The handshake is done: it is this connection from now on. */
  become(shaken: Handshake, connection: Served): void {
    this.connections.delete(shaken);
    this.connections.add(connection);
  }

  /** @internal */
  leave(connection: Served): void {
    if (!this.connections.delete(connection)) return;
    this.tally.bytesIn += connection.bytesIn;
    this.tally.bytesOut += connection.bytesOut;
    this.observer?.closed(connection.conn);
    for (const wake of this.waiting.splice(0)) wake();
  }

  private oneLeft(): Promise<void> {
    const left = new Promise<void>((resolve) => this.waiting.push(resolve));
    return awaited(left, "http room", this.listener);
  }

  /**
   * Stops listening, closes connections that are idle, and waits for the others to have sent the response
   * they are at. What is not done at the deadline is closed all the same. Connections that were upgraded
   * are their handlers'.
   */
  async shutdown(options: { deadline?: Date } = {}): Promise<void> {
    const { deadline } = options;
    using limit = deadline === undefined ? undefined : withDeadline(background(), deadline)[0];
    await this.stopListening();
    for (const connection of this.connections) connection.drain();
    if (limit === undefined) return await this.allLeft();
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
    this.cancelEnding("the server is stopping");
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
    if (this.ownsLog) await this.log?.close();
    else await this.log?.settle();
  }
}

async function serveConnection(first: Served, server: Server): Promise<void> {
  let connection = first;
  if (first instanceof Handshake) {
    const next = await first.shake();
    if (next === undefined) {
      server.leave(first);
      return;
    }
    server.become(first, next);
    connection = next;
  }
  await connection.serve();
  server.leave(connection);
}

/** Tells what a handler has failed with. */
export function reporter(
  onError: ServeOptions["onError"],
): (error: unknown, request: Request) => void {
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
 * Serves HTTP/1.1, and with `tls` HTTPS and HTTP/2: calls `handler(request, info)` for each request and sends the Response it returns.
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
  const tls = tlsOf(options);
  if (address instanceof Listener && tls !== undefined) {
    throw new TypeError("serve: a listener speaks TLS, or does not, by itself: give tlsListen's");
  }
  const listener =
    address instanceof Listener
      ? address
      : await (tls === undefined ? listenAt(address, options) : tls.listen(address, options));
  try {
    const server = new Server(listener, handler, options, tls);
    go(acceptConnections, server);
    return server;
  } catch (error) {
    // The access log cannot be opened.
    await listener.close();
    throw error;
  }
}

/** How a server with these options speaks TLS; undefined when it does not. Checks its limits. */
export function tlsOf(options: ServeOptions): ServerTls | undefined {
  const { headerTime } = settingsOf(options.limits);
  return options.tls === undefined ? undefined : new ServerTls(options.tls, options, headerTime);
}

async function acceptConnections(server: Server): Promise<void> {
  await server.accept();
}

/** Listens on an address of serve's. */
export function listenAt(address: string, options: ListenOptions): Promise<Listener> {
  const network = /^[/@.]/.test(address) ? "unix" : "tcp";
  return listen(network as "tcp", address, options) as Promise<Listener>;
}
