/**
 * threads.ts: startThreads(): a set of reactor threads that serve the same address.
 *
 * Invariants
 *  - A thread is in `threads` from when it serves until it has ended.
 *  - Every thread's life is one goroutine here (`watch`). It gives back what the thread held and then
 *    reports: to onExit where there is one, else a thread that failed is this goroutine's panic.
 *  - The sockets that are listened on belong to this thread; each reactor thread has a number of its
 *    own for them. So a thread can be replaced without a moment in which nobody listens.
 */
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Addr, StreamNetwork } from "../net/addr.ts";
import { type ListenOptions, listen } from "../net/listen.ts";
import type { Listener } from "../net/listener.ts";
import { go } from "../runtime/goroutine.ts";
import { Acceptor } from "./acceptor.ts";
import type { ThreadStats } from "./counters.ts";
import { Hub, Line } from "./hub.ts";
import { type Chooser, chooserOf, type Placement } from "./placement.ts";
import { Thread, type ThreadError } from "./thread.ts";

/** How a set's threads get their connections. */
export type AcceptMode = "shared" | "reuseport" | "placed";

export interface ThreadsOptions {
  /** The module that each thread imports (ThreadModule): a URL or a path. */
  module: URL | string;
  /** How many; as many as there are cores by default. */
  threads?: number;
  /** Where to listen: what listen() takes. Without it the threads get connections by transfer(). */
  listen?: readonly [network: StreamNetwork, address: string, options?: ListenOptions];
  /**
   * "shared" (the default): all threads wait on one socket, and whoever is free takes a connection.
   * "reuseport": each has its own (SO_REUSEPORT, socket(7)); the kernel spreads connections by a hash
   * of the addresses, so those of a thread that is busy wait for it.
   * "placed": the thread that called startThreads accepts, and places each connection by `placement`.
   */
  accept?: AcceptMode;
  /** With "placed": which thread a connection goes to; "least-busy" by default. */
  placement?: Placement;
  /** What each thread finds in `info.data`: anything that can be cloned. */
  data?: unknown;
  /**
   * Told of every thread that has ended; `error` is undefined when it was asked to. Without onExit a
   * thread that fails ends the process, as a goroutine's panic does.
   */
  onExit?: (thread: Thread, error: ThreadError | undefined) => void;
}

/** What may differ in a thread that is added. */
export interface AddOptions {
  /** Another module, or another version of it. */
  module?: URL | string;
  data?: unknown;
}

export interface DrainOptions {
  /** How long handlers may take to finish, in ms, before the thread is ended; 5000 by default. */
  drainTimeout?: number;
}

/** Numbers about a set of threads: each, and all in all with those that have ended. */
export interface ThreadsStats {
  readonly threads: readonly ThreadStats[];
  readonly live: number;
  readonly accepted: number;
  /** Connections that placement refused, or that no thread was left for. */
  readonly refused: number;
  /** Connections that moved from thread to thread, and that were lost because both ends ended. */
  readonly transferred: number;
  readonly lost: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

const DRAIN_MS = 5000;
/** How long the others may take to end when one of the first threads did not start, in ms. */
const FAILED_MS = 1000;

const SUMS = ["accepted", "transferred", "bytesRead", "bytesWritten"] as const;

function hrefOf(module: URL | string): string {
  if (module instanceof URL) return module.href;
  if (typeof module !== "string")
    throw new TypeError("startThreads: module must be a URL or a path");
  return URL.canParse(module) ? module : pathToFileURL(resolve(module)).href;
}

function checkCount(count: number): number {
  if (Number.isInteger(count) && count > 0) return count;
  throw new RangeError(`startThreads: threads must be a positive whole number, got ${count}`);
}

const MODES: readonly unknown[] = ["shared", "reuseport", "placed"];

/** Fails for options that make no sense, before anything is begun. */
function checkOptions({ module, accept = "shared", listen: where, onExit }: ThreadsOptions): void {
  hrefOf(module);
  if (!MODES.includes(accept)) {
    throw new TypeError(`startThreads: unknown accept "${accept}"; known: ${MODES.join(", ")}`);
  }
  if (accept === "reuseport" && where !== undefined && !where[0].startsWith("tcp")) {
    throw new TypeError(`startThreads: accept "reuseport" is for TCP, not for "${where[0]}"`);
  }
  if (onExit !== undefined && typeof onExit !== "function") {
    throw new TypeError("startThreads: onExit must be a function");
  }
}

function drainTimeoutOf({ drainTimeout = DRAIN_MS }: DrainOptions): number {
  if (typeof drainTimeout === "number" && drainTimeout >= 0) return drainTimeout;
  throw new RangeError(`drainTimeout: expected 0 or more ms, got ${drainTimeout}`);
}

/** A set of reactor threads. */
export class Threads implements AsyncDisposable {
  /** What the set listens on; undefined when it does not. */
  readonly addr: Addr | undefined;
  private readonly options: ThreadsOptions;
  private readonly network: StreamNetwork | undefined;
  private readonly count: number;
  /** The socket of all threads; with "reuseport" the first thread's. */
  private readonly listener: Listener | undefined;
  private readonly list: Thread[] = [];
  /** Threads that have not ended, also those that are not in the list yet. */
  private readonly all = new Set<Thread>();
  private readonly past = { accepted: 0, transferred: 0, bytesRead: 0, bytesWritten: 0 };
  private readonly hub = new Hub();
  private readonly acceptor: Acceptor<ThreadStats, Thread> | undefined;
  private nextId = 0;
  private closing: Promise<void> | undefined;

  /** @internal */
  constructor(
    options: ThreadsOptions,
    count: number,
    listener: Listener | undefined,
    choose: Chooser,
  ) {
    this.options = options;
    this.count = count;
    this.listener = listener;
    this.network = listener?.network;
    this.addr = listener?.addr;
    if (options.accept === "placed" && listener !== undefined) {
      this.acceptor = new Acceptor([listener], choose);
    }
  }

  /** The threads that serve, by index. */
  get threads(): readonly Thread[] {
    return this.list;
  }

  /** Numbers about the threads, as of their last turns. */
  stats(): ThreadsStats {
    const threads = this.list.map((thread) => thread.stats);
    const all = [...this.all].map((thread) => thread.stats);
    const sum = (key: (typeof SUMS)[number]): number =>
      all.reduce((total, each) => total + each[key], this.past[key]);
    const live = all.reduce((total, each) => total + each.live, 0);
    return {
      threads,
      live,
      accepted: sum("accepted"),
      refused: this.acceptor?.refused ?? 0,
      transferred: sum("transferred"),
      lost: this.hub.lost,
      bytesRead: sum("bytesRead"),
      bytesWritten: sum("bytesWritten"),
    };
  }

  /** Starts one more thread; resolves when it serves. */
  async add(options: AddOptions = {}): Promise<Thread> {
    return await this.start(options, this.freeIndex());
  }

  /** Ends a thread: it takes no more connections, finishes those it has, and ends. */
  async remove(thread: Thread, options: DrainOptions = {}): Promise<void> {
    const timeout = drainTimeoutOf(options);
    this.leave(thread);
    await thread.drain(timeout);
  }

  /**
   * Puts a new thread in the place of one: when the new one serves, the old one is removed. Resolves
   * then to the new one; the old one's end is not waited for.
   */
  async replace(old: Thread, options: AddOptions & DrainOptions = {}): Promise<Thread> {
    const timeout = drainTimeoutOf(options);
    // Taken at once: one that has ended just now gives its socket back in this turn.
    const { source } = old;
    old.source = undefined;
    try {
      const thread = await this.start(options, old.index, source);
      this.leave(old);
      if (old.alive) void old.drain(timeout);
      return thread;
    } catch (error) {
      if (old.alive) old.source = source;
      else await source?.close();
      throw error;
    }
  }

  /**
   * Stops listening, lets every thread finish the connections that it has, and ends them. Those that
   * have not finished after drainTimeout are ended by force.
   */
  close(options: DrainOptions = {}): Promise<void> {
    const timeout = drainTimeoutOf(options);
    this.closing ??= this.end(timeout);
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Starts the first threads: none serves before all are ready. */
  async begin(): Promise<void> {
    try {
      const born = Array.from({ length: this.count }, (_, index) => this.spawn({}, index));
      await Promise.all(born.map((thread) => thread.ready()));
      for (const thread of born) this.hub.join(thread);
      for (const thread of born) await this.enlist(thread);
    } catch (error) {
      // Not by force at once: a thread in the middle of loading its module loses fds then (Node 20).
      this.closing ??= this.end(FAILED_MS);
      await this.closing;
      throw error;
    }
  }

  private async start(options: AddOptions, index: number, source?: Listener): Promise<Thread> {
    if (this.closing !== undefined) throw new Error("threads: the set is closed");
    const thread = this.spawn(options, index);
    try {
      await thread.ready();
      this.hub.join(thread);
      await this.enlist(thread, source);
    } catch (error) {
      if (thread.alive) await thread.terminate();
      throw error;
    }
    return thread;
  }

  private spawn(options: AddOptions, index: number): Thread {
    const { count, network } = this;
    const { module, data } = { ...this.options, ...options };
    const addr = String(this.addr);
    const line = new Line();
    const inbox = line.receiving;
    const id = this.nextId++;
    const href = hrefOf(module);
    const thread = new Thread(
      { id, index, count, module: href, data, network, addr, inbox },
      this.hub,
    );
    this.all.add(thread);
    this.hub.open(thread, line);
    go(() => this.watch(thread));
    return thread;
  }

  /** Lets a thread serve. */
  private async enlist(thread: Thread, source?: Listener): Promise<void> {
    if (this.acceptor !== undefined) {
      const inbox = this.acceptor.open(thread);
      thread.inbox = inbox;
      await thread.serve({ kind: "inbox", fd: inbox.fd });
    } else {
      const listener = await this.listenerFor(thread, source);
      if (listener !== undefined) await thread.serve({ kind: "listener", fd: listener.fd.sysfd });
    }
    if (this.closing !== undefined) throw new Error("threads: the set was closed meanwhile");
    thread.started = true;
    this.list.push(thread);
    this.list.sort((a, b) => a.index - b.index);
    this.acceptor?.add(thread);
  }

  /** The socket that a thread accepts from: everybody's, or its own, which it may have inherited. */
  private async listenerFor(thread: Thread, source?: Listener): Promise<Listener | undefined> {
    const { listener } = this;
    if (listener === undefined || this.options.accept !== "reuseport") return listener;
    const again = (): Promise<Listener> => listenAgain(this.options, this.addr as Addr);
    thread.source = source ?? (thread.id === 0 ? listener : await again());
    return thread.source;
  }

  private freeIndex(): number {
    const taken = new Set([...this.all].map((thread) => thread.index));
    let index = 0;
    while (taken.has(index)) index++;
    return index;
  }

  private leave(thread: Thread): void {
    const at = this.list.indexOf(thread);
    if (at !== -1) this.list.splice(at, 1);
    this.acceptor?.leave(thread);
  }

  /** A thread's life. */
  private async watch(thread: Thread): Promise<void> {
    const error = await thread.ended;
    this.leave(thread);
    this.all.delete(thread);
    this.acceptor?.ended(thread);
    this.hub.ended(thread);
    const { stats } = thread;
    for (const key of SUMS) this.past[key] += stats[key];
    const failedToStart = error !== undefined && !thread.started;
    const { onExit } = this.options;
    if (onExit !== undefined) onExit(thread, error);
    // Who replaced it has taken its socket over by now.
    await thread.source?.close();
    thread.forget();
    if (onExit === undefined && error !== undefined && !failedToStart) throw error;
  }

  private async end(timeout: number): Promise<void> {
    await (this.acceptor ?? this.listener)?.close();
    const all = [...this.all];
    for (const thread of all) this.leave(thread);
    await Promise.all(all.map((thread) => thread.drain(timeout)));
    this.hub.end();
  }
}

/** One more socket on the address that a set listens on already. */
async function listenAgain(options: ThreadsOptions, addr: Addr): Promise<Listener> {
  const [network, address, others] = options.listen as NonNullable<ThreadsOptions["listen"]>;
  const port = String(addr).slice(String(addr).lastIndexOf(":"));
  // The host as it was asked for: "" stands for both families, "[::]" for one.
  const again = address.slice(0, address.lastIndexOf(":")) + port;
  return await listen(network, again, { ...others, reusePort: true });
}

async function listenFirst(options: ThreadsOptions): Promise<Listener | undefined> {
  if (options.listen === undefined) return undefined;
  const [network, address, others] = options.listen;
  if (options.accept !== "reuseport") return await listen(network, address, others);
  return await listen(network, address, { ...others, reusePort: true });
}

/**
 * Starts threads that serve connections, each with its own loop, poller and goroutines.
 *
 * The module's default export serves one connection, as a goroutine; see ThreadModule for what else it
 * may export. Resolves when every thread serves. Fails with a NetError when it cannot listen, with a
 * ThreadError when a thread does not start. The threads keep the process alive until they are closed.
 *
 * @example
 * import { dial, startThreads } from "coronet";
 * const module = new URL(
 *   "data:text/javascript," +
 *     encodeURIComponent("export default async (conn, info) => conn.write(`thread ${info.id}`)"),
 * );
 * await using threads = await startThreads({ threads: 2, module, listen: ["tcp", "127.0.0.1:0"] });
 * await using conn = await dial("tcp", String(threads.addr));
 * for await (const chunk of conn) console.log(new TextDecoder().decode(chunk)); // thread 0, or 1
 */
export async function startThreads(options: ThreadsOptions): Promise<Threads> {
  const count = checkCount(options.threads ?? availableParallelism());
  checkOptions(options);
  const choose = chooserOf(options.placement ?? "least-busy");
  const listener = await listenFirst(options);
  try {
    const threads = new Threads(options, count, listener, choose);
    await threads.begin();
    return threads;
  } catch (error) {
    await listener?.close();
    throw error;
  }
}
