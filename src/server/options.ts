/** options.ts: what createServer takes, checked once at the top. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { serialize } from "node:v8";
import {
  type Codec,
  type DelimiterOptions,
  delimited,
  type LengthPrefixOptions,
  lengthPrefixed,
} from "../io/framing.ts";
import type { StreamNetwork } from "../net/addr.ts";
import { checkNetwork, type ListenOptions } from "../net/listen.ts";
import { chooserOf, type Placement } from "../threads/placement.ts";

/**
 * Where workers live:
 *   "thread"   each is a thread of this process
 *   "process"  each is a process of its own; they share the listening sockets
 *   "base"     one worker: this very thread. Several: processes with a listening socket each
 *              (SO_REUSEPORT), among which the kernel spreads connections
 */
export type ServerModel = "thread" | "process" | "base";

export interface ServerListenOptions extends ListenOptions {
  /** Its name in socket activation (FileDescriptorName=, systemd.socket(5)); by its order else. */
  name?: string;
}

/** What listen() takes. */
export type ListenEntry = readonly [
  network: StreamNetwork,
  address: string,
  options?: ServerListenOptions,
];

export interface Heartbeat {
  /** A peer that sends nothing for so many ms is closed, unless the module's exempt() spares it. */
  idle: number;
}

/**
 * How messages are marked: by a delimiter behind each, or else by a length in front; what delimited()
 * and lengthPrefixed() take.
 */
export type ServerFraming = DelimiterOptions | LengthPrefixOptions;

/** The codec of a framing; throws for one that makes no sense. */
export function codecOf(framing: ServerFraming): Codec {
  return "delimiter" in framing ? delimited(framing) : lengthPrefixed(framing);
}

/** What a policy of placement is told about a worker, as of now. */
export interface WorkerLoad {
  /** Its number, never given twice; -1 while nobody has this place. */
  readonly id: number;
  /** Its place among the workers: what the policy returns. */
  readonly index: number;
  /** Connections that it serves, and those under way to it. */
  readonly live: number;
  readonly underway: number;
  /** It takes no connections at the moment, or is not there: placement passes it over. */
  readonly stalled: boolean;
}

/**
 * Which worker a connection goes to:
 *   "round-robin"   one after the other
 *   "least-busy"    the one with the fewest connections
 *   "peer-hash"     by the peer's IP address: a machine always comes to the same worker
 *   { key }         by a key that the function makes of the peer's address, the same way
 *   a function      gives the index of a worker, or "refuse": the connection is closed
 */
export type ServerPlacement = Placement<WorkerLoad>;

export interface ServerOptions {
  /** "thread" by default. */
  model?: ServerModel;
  /** How many workers; one by default. */
  workers?: number;
  /** Where to listen. */
  listen: readonly ListenEntry[];
  /** The module that each worker imports (ServerModule): a URL or a path. */
  module: URL | string;
  /** What each worker finds in `info.data`: anything that can be cloned. */
  data?: unknown;
  /**
   * Connections served at once, in all workers together. Beyond it nothing is accepted: connections
   * wait in the kernel's backlog until one ends. At least one per worker.
   */
  maxConnections?: number;
  /**
   * The supervisor accepts, and places each connection on a worker by this policy; for "thread" and
   * "process". Without it all workers accept from the same sockets, and whoever is free is first.
   */
  placement?: ServerPlacement;
  heartbeat?: Heartbeat;
  /** The module's default export takes messages (MessageHandler) instead of connections. */
  framing?: ServerFraming;
  /** A worker is replaced after so many requests, each worker after up to a fifth more of them. */
  maxRequests?: number;
  /** How long a worker that is to end may take to finish its connections, in ms; 5000 by default. */
  drainTimeout?: number;
  /** Becomes this user and group (names or numbers) once it listens; the group is the user's own by default. */
  user?: string | number;
  group?: string | number;
  /** Where this process's number is written while the server runs. */
  pidFile?: string;
  /**
   * Handles SIGTERM and SIGINT (stop), SIGHUP (reload) and SIGUSR2 (restart); true by default. A program
   * that handles them itself says false and calls the methods.
   */
  signals?: boolean;
  /** Takes what the server has to say, a line at a time; standard error by default. */
  log?: (line: string) => void;
}

/** The options, with every default filled in. */
export interface Settings {
  model: ServerModel;
  workers: number;
  listen: readonly ListenEntry[];
  module: string;
  data: unknown;
  maxConnections: number;
  placement: ServerPlacement | undefined;
  heartbeat: Heartbeat | undefined;
  framing: ServerFraming | undefined;
  maxRequests: number;
  drainTimeout: number;
  user: string | number | undefined;
  group: string | number | undefined;
  pidFile: string | undefined;
  signals: boolean;
  log: (line: string) => void;
}

const DRAIN_MS = 5000;
const LONGEST_MS = 0x7fff_ffff;

function whole(value: unknown, name: string, least: number): number {
  if (Number.isInteger(value) && (value as number) >= least) return value as number;
  throw new RangeError(
    `createServer: ${name} takes a whole number from ${least} on, got ${String(value)}`,
  );
}

function milliseconds(value: unknown, name: string, least: number): number {
  if (typeof value === "number" && value >= least && value <= LONGEST_MS) return value;
  throw new RangeError(
    `createServer: ${name} takes ms from ${least} to ${LONGEST_MS}, got ${String(value)}`,
  );
}

function hrefOf(module: URL | string): string {
  if (module instanceof URL) return module.href;
  if (typeof module === "string" && module !== "") {
    return URL.canParse(module) ? module : pathToFileURL(resolve(module)).href;
  }
  throw new TypeError("createServer: module must be a URL or a path");
}

function checkListen(listen: readonly ListenEntry[]): void {
  if (!Array.isArray(listen) || listen.length === 0 || !listen.every(Array.isArray)) {
    throw new TypeError(
      'createServer: listen takes a list of [network, address], as in [["tcp", ":2333"]]',
    );
  }
  for (const [network] of listen) checkNetwork(network, "createServer");
}

function checkData(data: unknown, model: ServerModel): void {
  try {
    // A process gets it as bytes; a thread may share memory.
    if (model === "process") serialize(data);
    else structuredClone(data);
  } catch (cause) {
    throw new TypeError("createServer: data can't be cloned for the workers", { cause });
  }
}

function checkPlacement(placement: ServerPlacement | undefined, model: ServerModel): void {
  if (placement === undefined) return;
  if (model === "base") {
    throw new TypeError(
      'createServer: model "base" has no supervisor that accepts: placement goes with "thread" and "process"',
    );
  }
  chooserOf(placement, "createServer");
}

function logToStderr(line: string): void {
  process.stderr.write(`coronet server: ${line}\n`);
}

export function settingsOf(options: ServerOptions): Settings {
  const { model = "thread", workers = 1, listen, heartbeat } = options;
  if (!["thread", "process", "base"].includes(model)) {
    throw new TypeError(
      `createServer: unknown model "${model}"; known: "thread", "process", "base"`,
    );
  }
  checkListen(listen);
  whole(workers, "workers", 1);
  const maxConnections = options.maxConnections ?? Infinity;
  if (maxConnections !== Infinity) whole(maxConnections, "maxConnections", workers);
  const maxRequests = options.maxRequests ?? Infinity;
  if (maxRequests !== Infinity) whole(maxRequests, "maxRequests", 1);
  if (heartbeat !== undefined) milliseconds(heartbeat.idle, "heartbeat.idle", 1);
  checkData(options.data, model);
  checkPlacement(options.placement, model);
  if (options.framing !== undefined) codecOf(options.framing);
  if (options.group !== undefined && options.user === undefined) {
    throw new TypeError("createServer: group goes with user");
  }
  return {
    model,
    workers,
    listen,
    module: hrefOf(options.module),
    data: options.data,
    maxConnections,
    placement: options.placement,
    heartbeat,
    framing: options.framing,
    maxRequests,
    drainTimeout: milliseconds(options.drainTimeout ?? DRAIN_MS, "drainTimeout", 0),
    user: options.user,
    group: options.group,
    pidFile: options.pidFile,
    signals: options.signals ?? true,
    log: options.log ?? logToStderr,
  };
}
