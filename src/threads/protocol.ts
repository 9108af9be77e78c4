/**
 * protocol.ts: what a thread and the one that started it say to each other.
 *
 * An fd in a message is a number of the sender's, which is good in the whole process. The sender keeps
 * it open until the receiver has said that it has made a number of its own for it (dup(2)), or that it
 * uses it no more, or has ended. So every fd is closed by the thread that made its number, and by the
 * end of that thread at the latest.
 */
import type { MessagePort } from "node:worker_threads";
import type { StreamNetwork } from "../net/addr.ts";

/** The id of the thread that called startThreads. */
export const PARENT = -1;

/** What a thread is born with. */
export interface Boot {
  readonly id: number;
  readonly index: number;
  readonly count: number;
  /** URL of the module. */
  readonly module: string;
  readonly data: unknown;
  readonly counters: SharedArrayBuffer;
  readonly port: MessagePort;
  /** What the set listens on. */
  readonly network: StreamNetwork | undefined;
  readonly addr: string;
  /** Where it receives transfers. */
  readonly inbox: number;
}

/** Where a thread's connections come from: a listening socket, or the inbox of placed ones. */
export interface Source {
  readonly kind: "listener" | "inbox";
  readonly fd: number;
}

/** To the thread. */
export type Order =
  /** There is another thread, or yourself: transfers go into `fd`, which is borrowed. */
  | {
      readonly type: "peer";
      readonly id: number;
      readonly index: number;
      readonly fd: number;
      readonly counters?: SharedArrayBuffer;
    }
  /** Begin to take connections. */
  | { readonly type: "serve"; readonly source: Source }
  /** Take none any more, finish those you have, then end. */
  | { readonly type: "drain" };

/** From the thread. */
export type Report =
  /** The module is loaded and start() is over. */
  | { readonly type: "ready" }
  /** It has numbers of its own for what it was told to serve. */
  | { readonly type: "serving" }
  /** It uses the fd of a thread that has ended no more. */
  | { readonly type: "left"; readonly id: number };
