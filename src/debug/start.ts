/**
 * start.ts: everything that makes a running program tell what it is doing, switched on at once: by
 * startDebugging(), by CORONET_DEBUG in the environment, or by node --import coronet/debug.
 *
 *   CORONET_DEBUG         1 switches it on
 *   CORONET_DEBUG_LOCKS   how long, in ms, goroutines may hold each other up before it is reported; 0: off
 *   CORONET_DEBUG_SIGNAL  the signal that prints a dump; SIGUSR2 by default, "none" for none
 *   CORONET_DEBUG_DIR     the directory of control sockets
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

onControl("meters", () => gatherMeters());
onControl("dump", (options) => takeDump((options ?? {}) as DumpOptions));

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
  const undo = [watchGoroutines(), shareMeters()];
  if (locks > 0) undo.push(watchLocks({ delay: locks }));
  const onSignal = (): void => void printDump();
  const onQuit = (): void => void quit();
  if (isMainThread && process.platform !== "win32") {
    for (const signal of signals) {
      process.on(signal, onSignal);
      undo.push(() => process.off(signal, onSignal));
    }
    if (quits) {
      process.on("SIGQUIT", onQuit);
      undo.push(() => process.off("SIGQUIT", onQuit));
    }
  }
  let socket: Control | undefined;
  const stop = async (): Promise<void> => {
    for (const each of undo.splice(0)) each();
    socket?.close();
    socket = undefined;
  };
  try {
    if (control) socket = await openControl();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    get controlPath() {
      return socket?.path;
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

let started = false;

/** Switches it on when the environment or node's command line asks for it; once. */
export function startIfAsked(): void {
  const { CORONET_DEBUG = "" } = process.env;
  const asked = (CORONET_DEBUG !== "" && CORONET_DEBUG !== "0") || isPreloaded("coronet/debug");
  if (!asked || started) return;
  started = true;
  startDebugging(fromEnvironment()).catch((error: Error) => {
    process.stderr.write(`coronet: debugging could not be started: ${error.message}\n`);
  });
}
