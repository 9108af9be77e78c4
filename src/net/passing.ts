/**
 * passing.ts: connections and listeners that go to another process, over a unix socket.
 *
 * The kernel hands the open socket over (SCM_RIGHTS, unix(7)); along go the bytes that were put back
 * and what has to be known to make the same connection of it. The sender closes its descriptor
 * without shutdown, so the peer notices nothing.
 */
import type { FD, Owner } from "../poll/fd.ts";
import { ReceiveFdOp, SendFdOp } from "../poll/passing.ts";
import { parked, resolver } from "../runtime/park.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { BUSY, CLOSED, EMSGSIZE, EPROTO } from "../syscall/errno.ts";
import { AddressError, addrOfText, isPacket, type StreamNetwork } from "./addr.ts";
import { connFromFd, identify, listenerFromFd } from "./adopt.ts";
import type { Conn, OpOptions } from "./conn.ts";
import {
  type Details,
  framesOf,
  type Handle,
  type HandleKind,
  IncomingHandle,
  MAX_LEFTOVER,
} from "./handle_wire.ts";
import { Listener } from "./listener.ts";
import { SocketConn } from "./socket.ts";
import { OwnedPath, UnixConn } from "./unix.ts";

function channelOf(channel: UnixConn, call: string): FD {
  if (channel instanceof UnixConn && channel.network === "unix") return channel.fd;
  throw new TypeError(`${call}: expected a "unix" connection as channel`);
}

/** Sends the frames of a handle; when it resolves they, and the descriptor, are on their way. */
async function send(
  channel: FD,
  { fd, owner }: { fd: FD; owner: Owner },
  details: Details,
  options: OpOptions | undefined,
): Promise<void> {
  const parts = fd.leftover;
  const bytes = fd.unreadLength;
  if (bytes > MAX_LEFTOVER) {
    const text = `${bytes} bytes were put back; ${MAX_LEFTOVER} go along at most`;
    throw owner.error("pass", EMSGSIZE, { text });
  }
  const frames = framesOf(details, parts);
  if (frames === undefined) {
    throw owner.error("pass", EMSGSIZE, { text: "the path of the socket is too long" });
  }
  const promise = parked<void>();
  const op = new SendFdOp(channel, resolver(), options?.signal, frames, fd.sysfd);
  channel.submit(op as never, options?.signal);
  await promise;
}

/** Receives the next handle of a kind; null at the end of the channel. */
async function receive<T>(
  channel: FD,
  kind: HandleKind,
  restore: (rt: Runtime, handle: Handle) => T,
  options: OpOptions | undefined,
): Promise<T | null> {
  const assembly = channel.incoming(() => new IncomingHandle(channel));
  const promise = parked<Handle | null>();
  const op = new ReceiveFdOp(channel, resolver(), options?.signal, assembly, kind);
  channel.submit(op as never, options?.signal);
  const handle = await promise;
  if (handle === null) return null;
  const { runtime } = channel.device;
  try {
    check(channel, runtime, handle);
    // Receiving draws on the turn's budget as accepting does.
    return await runtime.sched.complete(restore(runtime, handle), 0);
  } catch (error) {
    runtime.kernel.close(handle.sysfd);
    if (!(error instanceof AddressError)) throw error;
    throw channel.owner.error("receive", EPROTO, { text: error.message });
  }
}

/** Fails unless the descriptor is what its details say. */
function check(channel: FD, rt: Runtime, { details, sysfd }: Handle): void {
  const identity = identify(rt, sysfd);
  const said = details.network.replace(/[46]$/, "");
  const right =
    typeof identity !== "number" &&
    identity.network === said &&
    identity.listening === (details.kind === "listener");
  if (right) return;
  const text = `the descriptor that arrived is no ${details.network} ${details.kind}`;
  throw channel.owner.error("receive", EPROTO, { text });
}

/**
 * Hands a connection over to the process (or thread) at the other end of a unix connection, which
 * takes it with receiveConn. Bytes that were put back (conn.unread) go along; deadlines and timeouts
 * do not. When it resolves the connection is closed here, without the peer noticing; operations
 * begun meanwhile fail with ERR_CLOSED. When it fails, the connection is as it was.
 *
 * It waits while the channel is full, and queues with the channel's other writes. Throws a NetError:
 * ERR_BUSY while operations wait on the connection, EPIPE when nobody receives any more, …
 *
 * @example
 * import { connect } from "coronet/testing";
 * import { listen, receiveConn, sendConn, type UnixConn } from "coronet";
 * await using channels = await listen("unix", "@coronet-passing-example");
 * await using clients = await listen("tcp", "127.0.0.1:0");
 * const channel = await connect<UnixConn>(channels); // in life, between two processes
 * const { a: client, b: server } = await connect(clients);
 *
 * await sendConn(channel.a, server);
 * const received = await receiveConn(channel.b);
 * await received?.write("from the other process");
 * const buffer = new Uint8Array(100);
 * const n = (await client.read(buffer)) ?? 0;
 * console.log(new TextDecoder().decode(buffer.subarray(0, n))); // from the other process
 * for (const conn of [client, received, channel.a, channel.b]) await conn?.close();
 */
export async function sendConn(channel: UnixConn, conn: Conn, options?: OpOptions): Promise<void> {
  const through = channelOf(channel, "sendConn");
  if (!(conn instanceof SocketConn) || isPacket(conn.network)) {
    throw new TypeError("sendConn: expected a connection over a socket (tcp, unix, unixpacket)");
  }
  const { fd } = conn;
  if (fd === through) throw new TypeError("sendConn: a channel can't be sent through itself");
  if (fd.closing) throw conn.error("pass", CLOSED);
  if (!fd.reserve()) {
    throw conn.error("pass", BUSY, { text: "operations wait on the connection: end them first" });
  }
  try {
    const [readShut, failed] = fd.condition;
    const network = conn.network as StreamNetwork;
    const remote = String(conn.remoteAddr);
    const details: Details = { kind: "conn", network, remote, readShut, failed };
    await send(through, { fd, owner: conn }, details, options);
    // Someone else may hold the socket from now on, and the poller must forget it all the same.
    fd.share();
    void fd.close();
  } finally {
    fd.unreserve();
  }
}

/**
 * Takes the next connection that arrives through a unix connection, sent by sendConn. Null when the
 * sender has closed the channel. A receive that fails by its signal or a deadline loses nothing.
 *
 * Throws a NetError: EPROTO for what sendConn has not sent (descriptors that came with it are
 * closed, a stranger's bytes are there for read), EMFILE when this process had no descriptor free
 * (that connection is lost, the next one can be received), …
 *
 * A read of the channel that reaches into a connection's bytes loses its descriptor: keep the channel
 * for connections, or read exactly what was written.
 *
 * @example
 * import { go, receiveConn, type Conn, type UnixConn } from "coronet";
 * async function work(channel: UnixConn, serve: (conn: Conn) => Promise<void>) {
 *   for (;;) {
 *     const conn = await receiveConn(channel);
 *     if (conn === null) return;
 *     go(serve, conn);
 *   }
 * }
 * console.log(typeof work); // function
 */
export async function receiveConn(
  channel: UnixConn,
  options?: OpOptions,
): Promise<SocketConn | null> {
  return await receive(channelOf(channel, "receiveConn"), "conn", restoreConn, options);
}

function restoreConn(rt: Runtime, { details, sysfd, parts }: Handle): SocketConn {
  const { network, remote = "", readShut, failed } = details;
  const conn = connFromFd(rt, sysfd, network, addrOfText(network, remote));
  for (const part of [...parts].reverse()) conn.fd.unread(part);
  conn.fd.setCondition(readShut ?? false, failed ?? 0);
  return conn;
}

/**
 * Hands a listener over to the process at the other end of a unix connection, which takes it with
 * receiveListener and goes on accepting: connections that wait in the backlog stay there, none is
 * refused. A unix listener's path goes along. When it resolves the listener is closed here, and loops
 * over it end; until then they accept, and these connections stay here. When it fails, the listener
 * is as it was.
 *
 * @example
 * import { connect } from "coronet/testing";
 * import { dial, listen, receiveListener, sendListener, type UnixConn } from "coronet";
 * await using channels = await listen("unix", "@coronet-listener-example");
 * const channel = await connect<UnixConn>(channels);
 * const old = await listen("tcp", "127.0.0.1:0");
 * await sendListener(channel.a, old);
 * await using listener = await receiveListener(channel.b);
 * await using conn = await dial("tcp", String(old.addr));
 * await using accepted = await listener?.accept();
 * console.log(String(accepted?.remoteAddr) === String(conn.localAddr)); // true
 * await channel.close();
 */
export async function sendListener(
  channel: UnixConn,
  listener: Listener,
  options?: OpOptions,
): Promise<void> {
  const through = channelOf(channel, "sendListener");
  if (!(listener instanceof Listener)) throw new TypeError("sendListener: expected a Listener");
  const { fd, network, ownedPath } = listener;
  if (fd.closing) throw listener.error("pass", CLOSED);
  const details: Details = { kind: "listener", network };
  if (ownedPath !== undefined) Object.assign(details, { ...ownedPath });
  fd.incref();
  try {
    await send(through, { fd, owner: listener }, details, options);
    fd.share();
    await listener.passed();
  } finally {
    fd.decref();
  }
}

/** Takes the next listener that arrives through a unix connection, as receiveConn does. */
export async function receiveListener(
  channel: UnixConn,
  options?: OpOptions,
): Promise<Listener | null> {
  return await receive(channelOf(channel, "receiveListener"), "listener", restoreListener, options);
}

function restoreListener(rt: Runtime, { details, sysfd }: Handle): Listener {
  const { network, path, identity } = details;
  const owned = path === undefined ? undefined : new OwnedPath(path, identity);
  return listenerFromFd(rt, sysfd, network, owned);
}
