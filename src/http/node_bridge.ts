/**
 * node_bridge.ts: connections of Coronet's for a server of node:http.
 *
 * Node's own parser reads every byte, over a stream of the conn (net/to_duplex.ts); nobody here looks at
 * what a request says. What net.Server does for a socket that it accepts is done here (lib/net.js,
 * onconnection): counting, `maxConnections` with "drop", "connection". And it is given a handle, as if
 * it had been told to listen: so `listening`, `address()`, `close()`, `getConnections()`, `ref()` and
 * `unref()` are its own, and "listening" starts its timeouts of requests.
 *
 * Invariants
 *  - `_connections` of the server is the number of its open sockets, upgraded ones included.
 *  - Once stopping, every request is answered with Connection: close.
 */
import type { Server as NodeHTTPServer, ServerResponse } from "node:http";
import { Server as NodeHTTPSServer } from "node:https";
import type { Addr } from "../net/addr.ts";
import { TCPAddr } from "../net/addr.ts";
import type { Conn } from "../net/conn.ts";
import { ConnDuplex } from "../net/to_duplex.ts";
import { TlsConn } from "../tls/conn.ts";
import { TlsDuplex } from "./tls_duplex.ts";

/** A server of node:http, or of node:https. */
export type AnyNodeServer = NodeHTTPServer | NodeHTTPSServer;

/** What a net.Server keeps for itself: the names have been the same since Node 0.x. */
interface Inner {
  _handle: Handle | null;
  _pipeName: string | undefined;
  _connections: number;
  _emitCloseIfDrained(): void;
  noDelay?: boolean;
}

/** What node:http keeps on a socket. */
interface Served {
  /** The response that is being sent. */
  _httpMessage?: ServerResponse | null;
  /** Null once another protocol was agreed upon. */
  parser?: object | null;
}

/** What a net.Server asks of the socket that it listens on. */
interface Handle {
  close(): void;
  ref(): void;
  unref(): void;
  getsockname?: (out: { address?: string; family?: string; port?: number }) => number;
}

/** Who accepts the connections. */
export interface Source {
  readonly addr: Addr | undefined;
  /** The server was told to close. */
  close(): void;
  ref(): void;
  unref(): void;
}

/** Outside of whatever called us: as an exception in an event of Node's is. */
function uncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

export class NodeBridge {
  readonly server: AnyNodeServer;
  stopping = false;
  private readonly inner: Inner;
  private readonly sockets = new Set<ConnDuplex & Served>();
  private readonly lastWait: number;
  /** Called when a socket has gone, or is another protocol's. */
  private waiting: (() => void)[] = [];
  private timer: NodeJS.Timeout | undefined;

  /** `lastWait`: how long an idle connection waits for one request more when it stops, in ms. */
  constructor(server: AnyNodeServer, source: Source, lastWait: number) {
    if (server.listening) throw new TypeError("the server listens already");
    this.server = server;
    this.lastWait = lastWait;
    this.inner = server as unknown as Inner;
    this.inner._handle = handleOf(source);
    this.inner._pipeName = pipeNameOf(source.addr);
    server.emit("listening");
  }

  /** Sockets that speak HTTP. */
  get size(): number {
    let n = 0;
    for (const socket of this.sockets) if (socket.parser !== null) n++;
    return n;
  }

  /** Serves a connection; undefined when the server has as many as it may have. */
  add(conn: Conn): ConnDuplex | undefined {
    const { server, inner } = this;
    const { maxConnections } = server;
    const socket = socketOf(conn);
    if (typeof maxConnections === "number" && inner._connections >= maxConnections) {
      this.emit("drop", dropOf(socket));
      socket.destroy();
      return undefined;
    }
    if (inner.noDelay === false) socket.setNoDelay(false);
    this.sockets.add(socket);
    inner._connections++;
    socket.once("close", () => {
      this.sockets.delete(socket);
      inner._connections--;
      inner._emitCloseIfDrained();
      this.wakeAll();
    });
    // A server of node:https does TLS on whatever is a "connection".
    const isSecured = socket instanceof TlsDuplex && server instanceof NodeHTTPSServer;
    this.emit(isSecured ? "secureConnection" : "connection", socket);
    return socket;
  }

  private emit(event: string, argument: unknown): void {
    try {
      this.server.emit(event, argument);
    } catch (error) {
      uncaught(error);
    }
  }

  /** Answers what is under way; idle connections are closed when their time is over. */
  stop(): void {
    if (this.stopping) return;
    this.stopping = true;
    const { server } = this;
    server.prependListener("request", this.onLast);
    if (server.listenerCount("checkContinue") > 0) {
      server.prependListener("checkContinue", this.onLast);
    }
    // Whether there are listeners of these decides what Node does: none is added where there is none.
    for (const event of ["upgrade", "connect"]) {
      if (server.listenerCount(event) > 0) server.prependListener(event, this.onUpgrade);
    }
    for (const { _httpMessage: response } of this.sockets) {
      if (response) this.onLast(undefined, response);
    }
    this.closeIdleLater();
  }

  private readonly onLast = (_request: unknown, response: ServerResponse): void => {
    if (!response.headersSent) response.shouldKeepAlive = false;
    response.once("close", this.closeIdleLater);
  };

  private readonly onUpgrade = (): void => {
    setImmediate(() => this.wakeAll());
  };

  private readonly closeIdleLater = (): void => {
    if (this.lastWait === 0) {
      // Behind what node:http does at the end of a response.
      setImmediate(() => this.closeIdle());
      return;
    }
    // Anew behind every response: some of them were begun before anybody knew that they are the last.
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.closeIdle(), this.lastWait).unref();
  };

  /** Node counts a connection as idle when it has had a request: fresh ones are closed here. */
  private closeIdle(): void {
    this.server.closeIdleConnections();
    for (const socket of this.sockets) if (socket.bytesRead === 0) socket.destroy();
  }

  /** Closes every connection that speaks HTTP, whatever it is at. */
  closeAll(): void {
    for (const socket of this.sockets) if (socket.parser !== null) socket.destroy();
  }

  /** Waits until no connection speaks HTTP any more. */
  async allLeft(): Promise<void> {
    while (this.size > 0) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    clearTimeout(this.timer);
  }

  private wakeAll(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const wake of waiting) wake();
  }
}

function socketOf(conn: Conn): ConnDuplex & Served {
  const Kind = conn instanceof TlsConn ? TlsDuplex : ConnDuplex;
  return new Kind(conn, { allowHalfOpen: true });
}

function handleOf({ addr, close, ref, unref }: Source): Handle {
  const handle: Handle = { close, ref, unref };
  if (addr instanceof TCPAddr) {
    handle.getsockname = (out) => {
      out.address = addr.ip;
      out.family = addr.ip.includes(":") ? "IPv6" : "IPv4";
      out.port = addr.port;
      return 0;
    };
  }
  return handle;
}

function pipeNameOf(addr: Addr | undefined): string | undefined {
  return addr === undefined || addr instanceof TCPAddr ? undefined : String(addr);
}

function dropOf(socket: ConnDuplex): object {
  const { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily } = socket;
  return { localAddress, localPort, localFamily, remoteAddress, remotePort, remoteFamily };
}
