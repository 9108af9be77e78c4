/**
 * errno.ts: error numbers, their names and their meaning.
 *
 * System calls return a result or a negative error number. Coronet's own three conditions are
 * numbers below every errno, so that one integer says how an operation ended.
 */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";

const numbers = constants.errno;

export const EINTR = numbers.EINTR;
export const EBADF = numbers.EBADF;
export const ENOENT = numbers.ENOENT;
export const EACCES = numbers.EACCES;
export const ENODEV = numbers.ENODEV;
export const EAGAIN = numbers.EAGAIN;
export const ENOMEM = numbers.ENOMEM;
export const EINVAL = numbers.EINVAL;
export const ENOTSOCK = numbers.ENOTSOCK;
export const EEXIST = numbers.EEXIST;
export const ENOSYS = numbers.ENOSYS;
export const ENFILE = numbers.ENFILE;
export const EMFILE = numbers.EMFILE;
export const EPIPE = numbers.EPIPE;
export const EPROTO = numbers.EPROTO;
export const EMSGSIZE = numbers.EMSGSIZE;
export const ENOPROTOOPT = numbers.ENOPROTOOPT;
export const EOPNOTSUPP = numbers.EOPNOTSUPP;
export const EAFNOSUPPORT = numbers.EAFNOSUPPORT;
export const EADDRINUSE = numbers.EADDRINUSE;
export const EADDRNOTAVAIL = numbers.EADDRNOTAVAIL;
export const ENETDOWN = numbers.ENETDOWN;
export const ENETUNREACH = numbers.ENETUNREACH;
export const EHOSTUNREACH = numbers.EHOSTUNREACH;
export const ECONNABORTED = numbers.ECONNABORTED;
export const ECONNRESET = numbers.ECONNRESET;
export const ENOBUFS = numbers.ENOBUFS;
export const EISCONN = numbers.EISCONN;
export const ENOTCONN = numbers.ENOTCONN;
export const ECANCELED = numbers.ECANCELED;
export const ETIMEDOUT = numbers.ETIMEDOUT;
export const ECONNREFUSED = numbers.ECONNREFUSED;
export const EALREADY = numbers.EALREADY;
export const EINPROGRESS = numbers.EINPROGRESS;
/** Linux numbers that node:os does not list. */
export const ENONET = 64;
export const EHOSTDOWN = 112;
export const ETOOMANYREFS = 109;

/** The connection or listener was closed on this side. */
export const CLOSED = 100_001;
/** The deadline or a timeout of the operation has passed. */
export const DEADLINE = 100_002;
/** The operation's signal was aborted. */
export const CANCELED = 100_003;
/** Other operations wait on the connection, or it is being passed. */
export const BUSY = 100_004;
/** The connection belongs to another thread now. */
export const TRANSFERRED = 100_005;
/** The thread that a connection was to go to has ended. */
export const THREAD_GONE = 100_006;

/** TLS refused to go on: the layer that speaks it tells what and why (native/tls.h). */
export const TLS_FAILED = 100_020;
/** The stream ended although the peer has not said that nothing follows (close_notify). */
export const TLS_TRUNCATED = 100_021;

const own = new Map<number, [code: string, text: string]>([
  [CLOSED, ["ERR_CLOSED", "use of closed network connection"]],
  [DEADLINE, ["ERR_DEADLINE", "i/o timeout"]],
  [CANCELED, ["ERR_CANCELED", "operation was canceled"]],
  [THREAD_GONE, ["ERR_THREAD_GONE", "the thread has ended"]],
  [TRANSFERRED, ["ERR_TRANSFERRED", "the connection belongs to another thread now"]],
  [BUSY, ["ERR_BUSY", "the connection is in use"]],
  [TLS_FAILED, ["ERR_TLS_FAILED", "TLS failed"]],
  [TLS_TRUNCATED, ["ERR_TLS_TRUNCATED", "the stream was cut off"]],
  [ETOOMANYREFS, ["ETOOMANYREFS", "too many file descriptors are in flight"]],
  // On Linux the number has two names; its manual pages use this one for sockets.
  [EOPNOTSUPP, ["EOPNOTSUPP", "operation not supported"]],
  [ENONET, ["ENONET", "machine is not on the network"]],
  [EHOSTDOWN, ["EHOSTDOWN", "host is down"]],
]);

const system = getSystemErrorMap();
/** Meanings by name: where libuv has numbers of its own (Windows), those of node:os differ. */
const meanings = new Map([...system.values()]);
/** Names that libuv, and so the system's map, does not know (EINPROGRESS, …). */
const others = new Map(Object.entries(numbers).map(([name, number]) => [number as number, name]));

/** The name of an error number: "ECONNRESET", "ERR_CLOSED". */
export function errorName(number: number): string {
  const known = own.get(number) ?? system.get(-number);
  return known?.[0] ?? others.get(number) ?? `E${number}`;
}

/** What an error number means, in words. */
export function errorText(number: number): string {
  return own.get(number)?.[1] ?? meanings.get(errorName(number)) ?? `error number ${number}`;
}
