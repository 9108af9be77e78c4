/**
 * serve_node.ts: serveNode() and nodeHandler(): programs that are written for node:http (Express, Fastify,
 * Koa, …) over connections of Coronet's, unchanged.
 */
import { createServer, Server as NodeHTTPServer, type RequestListener } from "node:http";
import { Server as NodeHTTPSServer } from "node:https";
import { afterFunc } from "../context/afterfunc.ts";
import { background } from "../context/context.ts";
import { withDeadline } from "../context/deadline.ts";
import type { Addr } from "../net/addr.ts";
import type { BaseConn } from "../net/conn.ts";
import type { ListenOptions } from "../net/listen.ts";
import { Listener } from "../net/listener.ts";
import type { SocketConn } from "../net/socket.ts";
import { go } from "../runtime/goroutine.ts";
import { type ConnHandlerInfo, LAST_WAIT_MS } from "./conn_handler.ts";
import { type AnyNodeServer, NodeBridge, type Source } from "./node_bridge.ts";
import { listenAt } from "./serve.ts";

/** How long `await using` waits for requests that are being answered, in ms. */
const DISPOSE_MS = 5_000;

function serverOf(program: AnyNodeServer | RequestListener, call: string): AnyNodeServer {
  if (program instanceof NodeHTTPServer || program instanceof NodeHTTPSServer) return program;
  if (typeof program === "function") return createServer(program);
  throw new TypeError(`${call}: expected a server of node:http, or a listener of its requests`);
}

/** A server of node:http that runs over a listener of Coronet's. */
export class NodeServer implements AsyncDisposable {
  /** What it listens on. */
  readonly addr: Addr;
  /** The server of node:http: the one that was given, or the one of the listener that was given. */
  readonly server: AnyNodeServer;
  private readonly listener: Listener<BaseConn>;
  private readonly bridge: NodeBridge;

  /** @internal */
  constructor(listener: Listener<BaseConn>, server: AnyNodeServer) {
    this.listener = listener;
    this.addr = listener.addr;
    this.server = server;
    const source: Source = {
      addr: listener.addr,
      close: () => void listener.close(),
      ref: () => listener.ref(),
      unref: () => listener.unref(),
    };
    this.bridge = new NodeBridge(server, source, 0);
  }

  /** Connections that are open and speak HTTP. */
  get size(): number {
    return this.bridge.size;
  }

  /** @internal Accepts until the listener is closed. */
  async accept(): Promise<void> {
    for await (const conn of this.listener) this.bridge.add(conn);
  }

  /**
   * Stops listening, closes connections that are idle, and waits for the others to have sent the response
   * they are at. What is not done at the deadline is closed all the same. Connections that were upgraded
   * are their handlers'.
   */
  async shutdown(options: { deadline?: Date } = {}): Promise<void> {
    const { bridge } = this;
    const { deadline } = options;
    using limit = deadline === undefined ? undefined : withDeadline(background(), deadline)[0];
    bridge.stop();
    await this.stopListening();
    if (limit === undefined) return await bridge.allLeft();
    const stop = afterFunc(limit, () => bridge.closeAll());
    await bridge.allLeft();
    stop();
  }

  /** Stops at once: connections are closed whatever they are at. */
  async close(): Promise<void> {
    const { bridge } = this;
    bridge.stop();
    await this.stopListening();
    bridge.closeAll();
    await bridge.allLeft();
  }

  /** As shutdown, for at most five seconds. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown({ deadline: new Date(Date.now() + DISPOSE_MS) });
  }

  private async stopListening(): Promise<void> {
    if (this.server.listening) this.server.close();
    await this.listener.close();
  }
}

/**
 * Runs a program of node:http over a listener of Coronet's: a server (with its listeners, upgrades,
 * timeouts), or a listener of its requests, as Express, Koa and others are one.
 *
 * The address is one of serve's, or a Listener, which is closed with the server. Over one of tlsListen's the
 * program is one of https: `request.socket.encrypted` is true, and the rest of a TLSSocket that programs ask
 * for is there with the first request. The server behaves as if it had been told to listen: it emits "listening", its timeouts hold, its close() stops listening.
 * Resolves once it listens; fails as listen.
 *
 * @example
 * import { serveNode } from "coronet/http";
 * await using server = await serveNode("127.0.0.1:0", (request, response) => {
 *   response.end(`hello from ${request.url}`);
 * });
 * const answer = await fetch(`http://${server.addr}/here`);
 * console.log(await answer.text()); // hello from /here
 */
export async function serveNode(
  address: string | Listener<BaseConn>,
  program: AnyNodeServer | RequestListener,
  options: ListenOptions = {},
): Promise<NodeServer> {
  const server = serverOf(program, "serveNode");
  if (server.listening) throw new TypeError("serveNode: the server listens already");
  const listener = address instanceof Listener ? address : await listenAt(address, options);
  const served = new NodeServer(listener, server);
  go(acceptConnections, served);
  return served;
}

async function acceptConnections(server: NodeServer): Promise<void> {
  await server.accept();
}

/** What a connection's handler needs of the info that it is called with. */
export interface NodeHandlerInfo extends ConnHandlerInfo {
  /** What it listens on (ThreadInfo), or on what all (WorkerInfo). */
  readonly addr?: Addr | undefined;
  readonly addrs?: readonly Addr[];
}

/**
 * As httpHandler, for a program of node:http: what a module for createServer or startThreads exports by
 * default, so that Express and others run on many cores, and are reloaded without losing a request.
 *
 * @example
 * import { createServer } from "coronet";
 * // The module that every worker imports; usually a file of its own.
 * const source = `
 *   import { nodeHandler } from ${JSON.stringify(import.meta.resolve("coronet/http"))};
 *   export default nodeHandler((request, response) => response.end("hello"));
 * `;
 * await using server = await createServer({
 *   module: new URL(`data:text/javascript,${encodeURIComponent(source)}`),
 *   listen: [["tcp", "127.0.0.1:0"]],
 *   workers: 2,
 * });
 * const answer = await fetch(`http://${server.addrs[0]}/`, { headers: { connection: "close" } });
 * console.log(await answer.text()); // hello
 */
export function nodeHandler(
  program: AnyNodeServer | RequestListener,
): (conn: SocketConn, info: NodeHandlerInfo) => Promise<void> {
  const server = serverOf(program, "nodeHandler");
  let bridge: NodeBridge | undefined;
  return async (conn, info) => {
    bridge ??= begin(server, info);
    if (!server.listening && !bridge.stopping) return; // the program has closed its server
    const socket = bridge.add(conn);
    if (socket === undefined || socket.closed) return;
    await new Promise<void>((resolve) => socket.once("close", resolve));
  };
}

function begin(server: AnyNodeServer, info: NodeHandlerInfo): NodeBridge {
  const nothing = (): void => {};
  const addr = info.addr ?? info.addrs?.[0];
  const bridge = new NodeBridge(
    server,
    { addr, close: nothing, ref: nothing, unref: nothing },
    LAST_WAIT_MS,
  );
  if (info.request !== undefined) server.prependListener("request", () => info.request?.());
  const stop = (): void => {
    bridge.stop();
    void bridge.allLeft().then(() => {
      if (server.listening) server.close();
    });
  };
  if (info.signal.aborted) stop();
  else info.signal.addEventListener("abort", stop, { once: true });
  return bridge;
}
