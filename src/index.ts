/**
 * Coronet: coroutine networking for Node.js. This file is the public surface, and nothing else.
 */
export { type Addr, TCPAddr, UnixAddr, type StreamNetwork } from "./net/addr.ts";
export type { Conn, OpOptions, Timeouts } from "./net/conn.ts";
export { type DialOptions, dial } from "./net/dial.ts";
export { NetError, type NetOp } from "./net/errors.ts";
export { type ListenOptions, listen } from "./net/listen.ts";
export { Listener } from "./net/listener.ts";
export { type PipeConn, pipe } from "./net/pipe.ts";
export type { Resolver } from "./net/resolve.ts";
export { SocketConn } from "./net/socket.ts";
export { type KeepAlive, TCPConn, type TCPOptions } from "./net/tcp.ts";
export { UnixConn } from "./net/unix.ts";
export { type Goroutine, type GoroutineStats, go } from "./runtime/goroutine.ts";
export { type RuntimeStats, stats } from "./runtime/runtime.ts";
export { onPanic, type PanicHandler } from "./runtime/panic.ts";
