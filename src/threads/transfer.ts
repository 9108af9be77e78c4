/** transfer.ts: transfer(): a live connection moves to another thread. */
import type { Conn, OpOptions } from "../net/conn.ts";
import { SocketConn } from "../net/socket.ts";
import { BUSY, THREAD_GONE } from "../syscall/errno.ts";
import { NativeTlsConn, TlsConn } from "../tls/conn.ts";
import type { Exchange } from "./exchange.ts";
import type { Movable } from "./passport.ts";
import { Peer, peerOf, type ReactorThread } from "./this_thread.ts";
import { Thread } from "./thread.ts";

/**
 * Moves a live connection to another reactor thread, in mid-stream: the handler of that thread's
 * module (`receive`, or else the default export) goes on with it. Bytes that were put back, deadlines
 * and timeouts go along, TLS with what it has not given out or sent yet; the peer notices nothing. `message` is given to the handler as a structured
 * clone.
 *
 * Resolves when the other thread has taken the connection. It is dead here then: its methods fail with
 * ERR_TRANSFERRED, and close() does nothing. When transfer fails, the connection is as it was:
 *   ERR_BUSY         operations wait on it, or its TLS handshake is not done
 *   ERR_THREAD_GONE  the thread has ended, or ended before it took the connection
 *   ERR_CANCELED     the signal was aborted before the connection was under way
 *   ERR_CLOSED       it was closed
 *
 * From a reactor thread, `thread` is one of threads() or its id; from the thread that started them,
 * one of `set.threads`. Connections that one thread transfers to another arrive in order.
 *
 * @example
 * import { dial, listen, startThreads, transfer } from "coronet";
 * const module = new URL(
 *   "data:text/javascript," +
 *     encodeURIComponent("export const receive = (conn, info, name) => conn.write(`hello ${name}`)"),
 * );
 * await using set = await startThreads({ threads: 1, module });
 * await using listener = await listen("tcp", "127.0.0.1:0");
 * await using client = await dial("tcp", String(listener.addr));
 * const conn = await listener.accept();
 * await transfer(conn, set.threads[0]!, "from the main thread");
 * for await (const chunk of client) console.log(new TextDecoder().decode(chunk));
 */
export async function transfer(
  conn: Conn,
  thread: ReactorThread | number,
  message?: unknown,
  options?: OpOptions,
): Promise<void> {
  const movable = movableOf(conn);
  const route = routeTo(thread);
  const id = typeof thread === "number" ? thread : thread.id;
  if (route === undefined)
    throw movable.failed("transfer", THREAD_GONE, `there is no thread ${id}`);
  await route.transfer(movable, id, message, options?.signal);
}

function movableOf(conn: Conn): Movable {
  if (conn instanceof NativeTlsConn) {
    if (conn.fd.mayMove || conn.fd.closing) return conn;
    const text = "the handshake is not done: await conn.handshake() first";
    throw conn.failed("transfer", BUSY, text);
  }
  if (conn instanceof TlsConn) {
    throw new TypeError("transfer: this connection's TLS is node:tls's, which stays in its thread");
  }
  if (conn instanceof SocketConn) return conn;
  throw new TypeError(
    "transfer: expected a connection over a socket (tcp, udp, unix, unixpacket), or TLS on one",
  );
}

function routeTo(thread: ReactorThread | number): Exchange | undefined {
  if (typeof thread === "number") return peerOf(thread)?.route;
  if (thread instanceof Thread || thread instanceof Peer) return thread.route;
  throw new TypeError("transfer: expected a thread or its id");
}
