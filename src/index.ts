/**
 * Coronet: coroutine networking for Node.js. This file is the public surface, and nothing else.
 */
import "./debug/deadlock.ts";
import "./debug/meters/gather.ts";

export { after, type DoneSource, recv, send } from "./chan/cases.ts";
export { Chan, nilChan, type ReceiveChan, type SendChan } from "./chan/chan.ts";
export {
  type SelectCase,
  type SelectCases,
  type Selected,
  select,
  trySelect,
} from "./chan/select.ts";
export { ChanError, type Received, type WaitOptions } from "./chan/waiter.ts";
export { afterFunc } from "./context/afterfunc.ts";
export { type CancelFunc, type OwnedContext, withCancel } from "./context/cancel.ts";
export { background, type Context, ContextKey } from "./context/context.ts";
export { withDeadline, withTimeout } from "./context/deadline.ts";
export { type ContextError, DeadlineExceededError } from "./context/errors.ts";
export { type ContextParent, fromSignal } from "./context/signal.ts";
export { cause, withoutCancel, withValue } from "./context/value.ts";
export { shared } from "./debug/race/shared.ts";
export { type LongHold, type Sysmon, type SysmonOptions, startSysmon } from "./debug/sysmon.ts";
export {
  BufReader,
  type BufReaderOptions,
  type LimitOptions,
  type UntilOptions,
} from "./io/bufreader.ts";
export { BufWriter, type BufWriterOptions } from "./io/bufwriter.ts";
export {
  discard,
  type LimitedReader,
  limitReader,
  multiReader,
  multiWriter,
  teeReader,
} from "./io/combine.ts";
export { type CopyOptions, copy } from "./io/copy.ts";
export {
  type Codec,
  type DelimiterOptions,
  delimited,
  FramingError,
  type LengthPrefixOptions,
  lengthPrefixed,
  type MessageStream,
} from "./io/framing.ts";
export {
  type Closer,
  IOError,
  type IOErrorCode,
  type OpOptions,
  type Reader,
  readAll,
  readFull,
  type Writer,
} from "./io/io.ts";
export { Scanner, type ScannerOptions, type SplitFunction } from "./io/scanner.ts";
export type { FileSource } from "./io/transfer.ts";
export {
  type Addr,
  type Network,
  type PacketNetwork,
  type StreamNetwork,
  TCPAddr,
  UDPAddr,
  UnixAddr,
  type UnixNetwork,
} from "./net/addr.ts";
export { adoptConn, adoptListener } from "./net/adopt.ts";
export type { Conn, SendFileOptions, Timeouts } from "./net/conn.ts";
export {
  type ConnectOptions,
  connect,
  type KeepaliveOptions,
  type PooledConn,
} from "./net/cosocket.ts";
export { type DialOptions, dial } from "./net/dial.ts";
export { DNSResolver, type DNSResolverOptions } from "./net/dns_resolver.ts";
export { type DuplexConn, fromDuplex } from "./net/duplex.ts";
export { NetError, type NetOp } from "./net/errors.ts";
export { type ListenOptions, listen } from "./net/listen.ts";
export { type ListenPacketOptions, listenPacket } from "./net/listen_packet.ts";
export { Listener } from "./net/listener.ts";
export type { LookupOptions, MX, NameResolver, Resolver, SRV } from "./net/names.ts";
export { type Message, PacketConn } from "./net/packet_conn.ts";
export { receiveConn, receiveListener, sendConn, sendListener } from "./net/passing.ts";
export { type PipeConn, pipe } from "./net/pipe.ts";
export { closeIdle, type PoolStats, poolStats } from "./net/pool.ts";
export type { Control, RawSocket } from "./net/raw_socket.ts";
export { systemResolver } from "./net/resolve.ts";
export { SocketConn } from "./net/socket.ts";
export { type KeepAlive, TCPConn, type TCPOptions } from "./net/tcp.ts";
export { type ConnDuplex, type DuplexOptions, toDuplex } from "./net/to_duplex.ts";
export { UDPConn } from "./net/udp.ts";
export { UnixConn } from "./net/unix.ts";
export type { Datagram, ReceivedFrom } from "./poll/packet.ts";
export { CanceledError } from "./runtime/canceled.ts";
export { type Goroutine, type GoroutineStats, go } from "./runtime/goroutine.ts";
export { onPanic, type PanicHandler } from "./runtime/panic.ts";
export { type RuntimeStats, stats } from "./runtime/runtime.ts";
export type {
  ConnHandler as ServerHandler,
  MessageHandler,
  ServerModule,
  WorkerInfo,
} from "./server/module.ts";
export type {
  Heartbeat,
  ListenEntry,
  ServerFraming,
  ServerListenOptions,
  ServerModel,
  ServerOptions,
  ServerPlacement,
  WorkerLoad,
} from "./server/options.ts";
export { createServer, Server } from "./server/server.ts";
export type { ServerStats, WorkerStats } from "./server/stats.ts";
export { type TaskOptions, TaskTimeoutError, task } from "./server/task.ts";
export { WorkerError } from "./server/worker.ts";
export { type AtomicHandle, AtomicInt32, AtomicInt64 } from "./shared/atomic.ts";
export { SharedChan, type SharedChanHandle, type SharedChanOptions } from "./shared/chan.ts";
export type { Columns, ColumnType, ColumnValue, NumberColumn, Row } from "./shared/columns.ts";
export { Table, type TableHandle, type TableOptions } from "./shared/table.ts";
export { Cond } from "./sync/cond.ts";
export { ErrGroup, type ErrGroupOptions } from "./sync/errgroup.ts";
export { SyncError } from "./sync/errors.ts";
export { Mutex, type MutexGuard } from "./sync/mutex.ts";
export { Once, onceValue } from "./sync/once.ts";
export { Pool, type PoolOptions } from "./sync/pool.ts";
export { type ReadGuard, RWMutex, type WriteGuard } from "./sync/rwmutex.ts";
export { Semaphore, type SemaphoreGuard } from "./sync/semaphore.ts";
export { type Flight, SingleFlight, singleflight } from "./sync/singleflight.ts";
export { SyncMap } from "./sync/syncmap.ts";
export { WaitGroup } from "./sync/waitgroup.ts";
export type { ThreadStats } from "./threads/counters.ts";
export type {
  ConnHandler,
  ThreadInfo,
  ThreadModule,
  Transferred,
} from "./threads/module.ts";
export type { Placement } from "./threads/placement.ts";
export { type ReactorThread, thisThread, threads } from "./threads/this_thread.ts";
export { Thread, ThreadError } from "./threads/thread.ts";
export {
  type AcceptMode,
  type AddOptions,
  type DrainOptions,
  startThreads,
  Threads,
  type ThreadsOptions,
  type ThreadsStats,
} from "./threads/threads.ts";
export { transfer } from "./threads/transfer.ts";
export { gosched, now, sleep } from "./time/sleep.ts";
export { Ticker } from "./time/ticker.ts";
export { Timer } from "./time/timer.ts";
export { TlsConn } from "./tls/conn.ts";
export { type ConnectTlsOptions, connectTls, PooledTlsConn } from "./tls/connect.ts";
export { createSecureContext, SecureContext, SecureContextError } from "./tls/context.ts";
export { TlsListener, tlsListen } from "./tls/listen.ts";
export type {
  Pem,
  SecureContextOptions,
  SNIAnswer,
  TlsClientOptions,
  TlsServerOptions,
  TlsVersion,
} from "./tls/options.ts";
export {
  dialTls,
  type SecureClientOptions,
  type SecureServerOptions,
  secure,
} from "./tls/secure.ts";
