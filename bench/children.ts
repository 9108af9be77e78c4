// Child processes that never outlive the run: each is remembered, and all are killed when the run
// ends, is interrupted or fails. Servers and generators are pinned to a core each where possible.
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface StartOptions {
  core?: number | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  stdin?: "pipe" | "ignore";
}

export interface Placement {
  server: number | undefined;
  generator: number | undefined;
  /** How the processes are placed, for the report. */
  text: string;
}

const children = new Set<ChildProcess>();

/** The path of a program, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const dir of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

const taskset = findProgram("taskset");
const setpriv = findProgram("setpriv");

/** The cores this process may run on, as in "0-3,6". */
export function parseCoreList(text: string): number[] {
  return [...text.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(([, from, to = from]) => {
    const first = Number(from);
    return Array.from({ length: Number(to) - first + 1 }, (_, index) => first + index);
  });
}

function allowedCores(): number[] {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return parseCoreList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "");
  } catch {
    return [];
  }
}

/** One core for the server and another for the generator, where there are two. */
export function placement(): Placement {
  const [server, generator] = allowedCores();
  if (taskset === undefined) {
    return { server: undefined, generator: undefined, text: "not pinned: taskset is not here" };
  }
  if (server === undefined || generator === undefined) {
    return { server: undefined, generator: undefined, text: "not pinned: there is only one core" };
  }
  return { server, generator, text: `server on core ${server}, generator on core ${generator}` };
}

/** The command with its wrappers; both exec, so the process number stays that of the command. */
function wrap(command: readonly string[], core: number | undefined): string[] {
  const pin = core !== undefined && taskset ? [taskset, "--cpu-list", String(core)] : [];
  // The kernel kills the child when this process dies without a chance to do so itself.
  const leash = setpriv ? [setpriv, "--pdeathsig", "KILL"] : [];
  return [...leash, ...pin, ...command];
}

export function start(command: readonly string[], options: StartOptions = {}): ChildProcess {
  const [program, ...args] = wrap(command, options.core);
  if (program === undefined) throw new Error("an empty command");
  const child = spawn(program, args, {
    stdio: [options.stdin ?? "ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  children.add(child);
  // "exit" does not come when the program could not be started.
  child.once("error", () => children.delete(child));
  child.once("exit", () => children.delete(child));
  return child;
}

function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}

/** Called once by the runner. */
export function killChildrenAtExit(): void {
  process.once("exit", killAll);
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.once(signal, () => {
      process.stdout.write(`\n${signal}: stopped\n`);
      process.exit(code);
    });
  }
}

/** Kills a child and waits until it has ended. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
