/**
 * start.ts: everything that makes a running program tell what it is doing, switched on at once: by
 * startDebugging(), by CORONET_DEBUG in the environment, or by node --import coronet/debug.
 *
 *   CORONET_DEBUG         1 switches it on
 *   CORONET_DEBUG_LOCKS   how long, in ms, goroutines may hold each other up before it is reported; 0: off
 *   CORONET_DEBUG_SIGNAL  the signal that prints a dump; SIGUSR2 by default, "none" for none
 *   CORONET_DEBUG_DIR     the directory of control sockets
 *   CORONET_INSPECT       where the inspector's page is served: an address, or 1 for a free port
 *   CORONET_INSPECT_TOKEN its token; a random one by default
 *   CORONET_INSPECT_THREADS  set by the page's thread for the process's others: each opens its control socket
 *   CORONET_TRACEBACK     all: the registry alone, with a stack of every go()
 */
import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { type Control, onControl, openControl } from "./control.ts";
import { type DumpOptions, formatDump, takeDump } from "./dump.ts";
import { watchLocks } from "./locks.ts";
import { gatherMeters, shareMeters } from "./meters/gather.ts";
import { watchGoroutines } from "./registry.ts";
import "./top.ts";

export interface DebuggingOptions {
  /** Signals that print a dump on standard error; ["SIGUSR2"] by default. On the main thread only. */
  signals?: readonly NodeJS.Signals[];
  /** SIGQUIT (Ctrl-\) prints a dump and ends the process with status 2, as in Go; true by default. */
  quit?: boolean;
  /** The control socket, for `coronet dump`; true by default. */
  control?: boolean;
  /** After so many ms goroutines that hold each other up are reported; 0 for never; 1000 by default. */
  locks?: number;
}

/** What startDebugging() has switched on. */
export interface Debugging extends AsyncDisposable {
  /** Path of this thread's control socket; undefined when there is none. */
  readonly controlPath: string | undefined;
  stop(): Promise<void>;
}

async function printDump(): Promise<void> {
  const text = formatDump(await takeDump());
  try {
    writeSync(2, `\n${text}`);
  } catch {
    // Nobody reads standard error.
  }
}

async function quit(): Promise<void> {
  await printDump();
  process.exit(2);
}

/** Listens where signals can be had: on the main thread, and not on Windows. */
function onSignal(signal: NodeJS.Signals, listener: () => void): () => void {
  if (!isMainThread || process.platform === "win32") return () => {};
  process.on(signal, listener);
  return () => process.off(signal, listener);
}

onControl("dump", (options) => takeDump((options ?? {}) as DumpOptions));
onControl("meters", () => gatherMeters());
onControl("inspect", async (query, gone) =>
  (await import("./inspector/remote.ts")).answerRemote(query, gone),
);
onControl("numbers", async () => (await import("./inspector/sample.ts")).answerNumbers());
// Loaded when somebody asks: most programs are never traced.
onControl("trace", async (options) => (await import("./trace/trace.ts")).answerTrace(options));

/**
 * Switches everything on: the registry of goroutines, the meters, a dump on SIGUSR2, on SIGQUIT a dump and the end,
 * reports of locks that are held up, the control socket.
 *
 * @example
 * import { go, Chan } from "coronet";
 * import { startDebugging } from "coronet/debug";
 * await using debugging = await startDebugging({ signals: [] });
 * go(async function waits() {
 *   await new Chan<number>().receive();
 * }).unref();
 * console.log(debugging.controlPath?.endsWith(".sock")); // true: `coronet dump PID` asks it
 */
export async function startDebugging(options: DebuggingOptions = {}): Promise<Debugging> {
  const { signals = ["SIGUSR2"], quit: quits = true, control = true, locks = 1000 } = options;
  const undo: (() => void)[] = [];
  const stop = async (): Promise<void> => {
    for (const each of undo.splice(0)) each();
  };
  let socket: Control | undefined;
  try {
    undo.push(watchGoroutines(), shareMeters());
    if (locks > 0) undo.push(watchLocks({ delay: locks }));
    for (const signal of signals) undo.push(onSignal(signal, () => void printDump()));
    if (quits) undo.push(onSignal("SIGQUIT", () => void quit()));
    if (control) {
      const opened = await openControl();
      socket = opened;
      undo.push(() => opened.close());
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    get controlPath() {
      return undo.length === 0 ? undefined : socket?.path;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What the environment says. */
function fromEnvironment(): DebuggingOptions {
  const { CORONET_DEBUG_SIGNAL: signal, CORONET_DEBUG_LOCKS: locks } = process.env;
  return {
    ...(signal === undefined
      ? {}
      : { signals: signal === "none" ? [] : [signal as NodeJS.Signals] }),
    ...(locks === undefined ? {} : { locks: Number(locks) || 0 }),
  };
}

/** Node was told to load this package before the program. */
function isPreloaded(name: string): boolean {
  const words = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
  return words.some((word, i) => {
    if (word === `--import=${name}`) return true;
    return word === name && words[i - 1] === "--import";
  });
}

/** Told to this process's threads: a page may ask them. */
const SHOWN_BELOW = "CORONET_INSPECT_THREADS";

let started = false;

/** Switches it on when the environment or node's command line asks for it; once. */
export function startIfAsked(): void {
  const { CORONET_DEBUG = "", CORONET_INSPECT: page = "", [SHOWN_BELOW]: shown } = process.env;
  const asked = (CORONET_DEBUG !== "" && CORONET_DEBUG !== "0") || isPreloaded("coronet/debug");
  if (started || !(asked || page !== "" || shown !== undefined)) return;
  started = true;
  // Without a socket the page shows the others alone.
  if (shown !== undefined && !asked && !isMainThread) openControl().catch(() => {});
  if (page !== "" && isMainThread) {
    const { CORONET_INSPECT_TOKEN: token } = process.env;
    // What this process starts would ask for the same address.
    delete process.env.CORONET_INSPECT;
    delete process.env.CORONET_INSPECT_TOKEN;
    process.env[SHOWN_BELOW] = "1";
    import("./inspector/inspect.ts")
      .then(({ inspectAsAsked }) => inspectAsAsked(page, token))
      .catch((error: Error) => {
        process.stderr.write(`coronet: the inspector could not be started: ${error.message}\n`);
      });
  }
  if (!asked) return;
  startDebugging(fromEnvironment()).catch((error: Error) => {
    process.stderr.write(`coronet: debugging could not be started: ${error.message}\n`);
  });
}
