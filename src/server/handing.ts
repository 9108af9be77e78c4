/**
 * handing.ts: a hot restart: a new run of the program gets the listening sockets of this one.
 *
 * As with nginx and systemd the sockets are inherited, and the environment says which is which. Node's
 * channel to the child tells when its server is ready. Both programs accept for a moment; no connection
 * waits in a socket that nobody has.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { parked, resolver } from "../runtime/park.ts";
import { HANDOVER } from "./environment.ts";
import type { HandedOver, Handover } from "./sockets.ts";

/** Inherited sockets follow stdin, stdout, stderr and the channel. */
const FIRST_FD = 4;
/** How long the new program may take to be ready, in ms. */
const PATIENCE_MS = 60_000;
const READY = "coronet server is ready";

/** What the service manager said to this process goes for its successor. */
function environment(handover: Handover): NodeJS.ProcessEnv {
  const { WATCHDOG_PID: _, ...env } = process.env;
  return { ...env, [HANDOVER]: JSON.stringify(handover) };
}

export class Handing {
  /** Resolves when the new program's server is ready; fails when it ends before. */
  readonly done: Promise<void>;
  private readonly child: ChildProcess;

  constructor(sockets: readonly HandedOver[]) {
    const renumbered = sockets.map((socket, i) => ({ ...socket, fd: FIRST_FD + i }));
    const handover: Handover = { pid: process.pid, sockets: renumbered };
    this.child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      stdio: ["inherit", "inherit", "inherit", "ipc", ...sockets.map(({ fd }) => fd)],
      env: environment(handover),
    });
    this.done = this.wait();
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  private async wait(): Promise<void> {
    const { child } = this;
    const outcome = parked<string | undefined>();
    const settle = resolver<string | undefined>();
    child.on("message", (message) => {
      if (message === READY) settle(undefined);
    });
    child.on("error", (error) => settle(`could not be started: ${error.message}`));
    child.on("exit", (status, signal) => settle(`ended (${signal ?? `status ${status}`})`));
    const timer = setTimeout(() => settle(`was not ready within ${PATIENCE_MS} ms`), PATIENCE_MS);
    const failure = await outcome;
    clearTimeout(timer);
    if (failure !== undefined) {
      child.kill("SIGKILL");
      throw new Error(`restart: the new program ${failure}`);
    }
    // It is on its own from now on.
    child.disconnect();
    child.unref();
  }

  /** Tells the program that started this one that it may go. */
  static tellPredecessor(handover: Handover | undefined): void {
    if (handover === undefined || process.send === undefined) return;
    process.send(READY, undefined, undefined, () => {});
  }
}
