/**
 * errors.ts: the one error of the net package, made at the top edge with all that is known.
 */
import { ENDS_GOROUTINE } from "../runtime/panic.ts";
import { runtime } from "../runtime/runtime.ts";
import { adviceWithoutAddon } from "../syscall/choose.ts";
import {
  CANCELED,
  CLOSED,
  DEADLINE,
  ECONNREFUSED,
  ECONNRESET,
  EHOSTUNREACH,
  ENETUNREACH,
  EOPNOTSUPP,
  EPIPE,
  ETIMEDOUT,
  errorName,
  errorText,
  THREAD_GONE,
  TRANSFERRED,
} from "../syscall/errno.ts";

/** What was being done: "read", "dial", …; "keepalive" is a connection's way back into its pool. */
export type NetOp =
  | "dial"
  | "listen"
  | "accept"
  | "read"
  | "write"
  | "wait"
  | "close"
  | "connect"
  | "set"
  | "unread"
  | "pass"
  | "receive"
  | "adopt"
  | "transfer"
  | "lookup"
  | "keepalive"
  | "fetch"
  | "handshake";

export interface NetErrorInit {
  op: NetOp;
  network: string;
  /** Where from: the local address. */
  source?: string | undefined;
  /** Where to, or on what: the remote address, or the one listened on. */
  address?: string | undefined;
  code: string;
  /** What happened, in words. */
  text: string;
  /** What to do about it, where there is something. */
  hint?: string | undefined;
  timeout?: boolean;
  bytesWritten?: number | undefined;
  messagesSent?: number | undefined;
  cause?: unknown;
  endsGoroutine?: boolean;
}

/**
 * An operation on the network failed.
 *
 * The message reads like Go's: operation, network, addresses, what happened
 * ("read tcp 127.0.0.1:2333->127.0.0.1:50412: connection reset by peer (ECONNRESET)").
 *
 * @example
 * import { dial, NetError } from "coronet";
 * try {
 *   await dial("unix", "/no/such.sock");
 * } catch (error) {
 *   if (error instanceof NetError) console.log(error.op, error.code, error.timeout); // dial ENOENT false
 * }
 */
export class NetError extends Error {
  override readonly name: string = "NetError";
  /** What was being done. */
  readonly op: NetOp;
  /** "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix", "unixpacket", "unixgram", "pipe". */
  readonly network: string;
  /** The local address, where there is one. */
  readonly source: string | undefined;
  /** The remote address, or the one that was to be dialled or listened on. */
  readonly address: string | undefined;
  /**
   * An errno's name, or ERR_CLOSED, ERR_DEADLINE, ERR_CANCELED, ERR_BUSY, ERR_TRANSFERRED; of a pool
   * ERR_POOL_FULL and ERR_NOT_REUSABLE.
   */
  readonly code: string;
  /** True when a deadline or timeout ended the operation, on this side or in the kernel. */
  readonly timeout: boolean;
  /** How many bytes a failed write had written. */
  readonly bytesWritten: number | undefined;
  /** What had arrived for a buffered read that failed (BufReader, readFull, readAll). */
  readonly partial?: Uint8Array;
  /** How many datagrams of a failed batch were sent; the next one is the one that failed. */
  readonly messagesSent: number | undefined;

  constructor(init: NetErrorInit) {
    super(message(init), init.cause === undefined ? undefined : { cause: init.cause });
    this.op = init.op;
    this.network = init.network;
    this.source = init.source;
    this.address = init.address;
    this.code = init.code;
    this.timeout = init.timeout ?? false;
    this.bytesWritten = init.bytesWritten;
    this.messagesSent = init.messagesSent;
    if (init.endsGoroutine === true) {
      Object.defineProperty(this, ENDS_GOROUTINE, { value: true });
    }
  }
}

function message(init: NetErrorInit): string {
  const { op, network, source, address, code, text, hint, bytesWritten, messagesSent } = init;
  const route = source && address ? `${source}->${address}` : address || source || "";
  const sent = messagesSent ? `, after ${messagesSent} messages` : "";
  const done = bytesWritten ? `, after ${bytesWritten} bytes` : sent;
  const advice = hint === undefined ? "" : `; ${hint}`;
  return `${op} ${network}${route === "" ? "" : ` ${route}`}: ${text} (${code})${done}${advice}`;
}

/**
 * Ends of a connection that are everyday: they end its goroutine, not the process. A peer that falls
 * silent (keep-alive, retransmission) ends it no differently than one that resets it.
 */
const EVERYDAY = new Set([
  ECONNRESET,
  EPIPE,
  ECONNREFUSED,
  ETIMEDOUT,
  EHOSTUNREACH,
  ENETUNREACH,
  CLOSED,
  DEADLINE,
  CANCELED,
  TRANSFERRED,
  THREAD_GONE,
]);

const HINTS = new Map<string, string>([
  [
    "EADDRINUSE",
    "another socket listens there: stop it or choose another address (port 0 is free)",
  ],
  ["EACCES", "the address needs a privilege that this process lacks: ports below 1024 need root"],
  ["EMFILE", "this process is out of file descriptors: raise its limit (ulimit -n)"],
  ["ECONNREFUSED", "nothing listens there"],
  ["EADDRNOTAVAIL", "no interface of this machine has that address"],
]);

/** What to do about an error of setting up a connection or a listener. */
function hintFor(code: string, network: string): string | undefined {
  if (code === "EADDRINUSE" && network.startsWith("unix")) {
    return "remove the file if nobody listens there any more";
  }
  if (code === "EOPNOTSUPP" && runtime().portable) return adviceWithoutAddon();
  return HINTS.get(code);
}

export interface NumberDetails {
  op: NetOp;
  network: string;
  source?: string | undefined;
  address?: string | undefined;
  bytesWritten?: number | undefined;
  messagesSent?: number | undefined;
  cause?: unknown;
  /** What happened, where the number says too little. */
  text?: string | undefined;
}

/** The error for an errno (or CLOSED, DEADLINE, CANCELED) of an operation. */
export function errorOf(number: number, details: NumberDetails): NetError {
  const code = errorName(number);
  const setUp = details.op === "dial" || details.op === "listen";
  const hinted = (setUp && details.text === undefined) || number === EOPNOTSUPP;
  return new NetError({
    ...details,
    code,
    text: details.text ?? errorText(number),
    hint: hinted ? hintFor(code, details.network) : undefined,
    timeout: number === DEADLINE || code === "ETIMEDOUT",
    endsGoroutine: !setUp && EVERYDAY.has(number),
  });
}
