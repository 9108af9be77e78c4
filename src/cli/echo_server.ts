/**
 * echo_server.ts: an echo server that can be watched and drained.
 *
 * One goroutine accepts, one goroutine serves each connection. What the network does to a connection
 * ends that connection alone.
 */
import { type Conn, go, type Listener, listen, NetError, type StreamNetwork } from "../index.ts";

/** A live connection, as its goroutine keeps account of it. */
export class EchoConnection {
  readonly conn: Conn;
  readonly openedAt = performance.now();
  bytesIn = 0;
  bytesOut = 0;
  messages = 0;
  /** What its goroutine is doing. */
  state: "reading" | "writing" = "reading";
  /** For a watcher to keep what it saw last time. */
  seen = 0;
  activity = 0;

  constructor(conn: Conn) {
    this.conn = conn;
  }

  /** The other end; "" for a unix socket without a name. */
  get peer(): string {
    return String(this.conn.remoteAddr);
  }
}

export class EchoServer implements AsyncDisposable {
  readonly startedAt = performance.now();
  readonly listener: Listener;
  /** In the order in which they came. */
  readonly connections = new Set<EchoConnection>();
  accepted = 0;
  peak = 0;
  bytesIn = 0;
  bytesOut = 0;
  messages = 0;
  private whenEmpty: (() => void) | undefined;

  private constructor(listener: Listener) {
    this.listener = listener;
    go(this.accept);
  }

  static async listen(network: StreamNetwork, address: string): Promise<EchoServer> {
    return new EchoServer(await listen(network, address));
  }

  private readonly accept = async (): Promise<void> => {
    for await (const conn of this.listener) go(this.serve, conn);
  };

  private readonly serve = async (conn: Conn): Promise<void> => {
    await using _ = conn;
    const connection = new EchoConnection(conn);
    this.add(connection);
    try {
      for await (const chunk of conn) {
        this.received(connection, chunk.length);
        await conn.write(chunk);
        this.sent(connection, chunk.length);
      }
    } catch (error) {
      if (!(error instanceof NetError)) throw error;
    } finally {
      this.remove(connection);
    }
  };

  private add(connection: EchoConnection): void {
    this.connections.add(connection);
    this.accepted++;
    if (this.connections.size > this.peak) this.peak = this.connections.size;
  }

  private remove(connection: EchoConnection): void {
    this.connections.delete(connection);
    if (this.connections.size === 0) this.whenEmpty?.();
  }

  private received(connection: EchoConnection, n: number): void {
    connection.state = "writing";
    connection.bytesIn += n;
    connection.messages++;
    this.bytesIn += n;
    this.messages++;
  }

  private sent(connection: EchoConnection, n: number): void {
    connection.state = "reading";
    connection.bytesOut += n;
    this.bytesOut += n;
  }

  /**
   * Stops accepting and lets the connections finish: resolves when all have ended. Those that have
   * not after `ms`, or when `atOnce` is aborted, are closed.
   */
  async drain(ms: number, atOnce: AbortSignal): Promise<void> {
    await this.listener.close();
    await this.empty(ms, atOnce);
    await Promise.all(Array.from(this.connections, ({ conn }) => conn.close()));
  }

  private empty(ms: number, atOnce: AbortSignal): Promise<void> {
    return new Promise<void>((resolve) => {
      if (this.connections.size === 0 || atOnce.aborted || ms === 0) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, ms);
      atOnce.addEventListener("abort", done, { once: true });
      this.whenEmpty = done;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain(0, AbortSignal.abort());
  }
}
