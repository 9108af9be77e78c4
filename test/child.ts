/** child.ts: programs of tests that have a process of their own. They stand in test/programs/. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { foreignEnv } from "./foreign_programs.ts";

/** How a process ended, and all that it printed. */
export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface StartOptions {
  /** Command words before node ("prlimit", "--nofile=64"). */
  prefix?: readonly string[];
  /** Node's own options. */
  execArgv?: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** Descriptors that it inherits, as 3 and so on. */
  fds?: readonly number[];
  /** It is killed after so long, in ms. */
  timeout?: number;
}

/** What the runner of these tests puts into the environment must not change a program's behaviour. */
const STRANGE =
  /^(NODE_OPTIONS|NODE_TEST_CONTEXT|NODE_V8_COVERAGE|CORONET_TRACEBACK|CORONET_DEBUG\w*|CORONET_INSPECT\w*)$/;

function environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !STRANGE.test(name));
  return { ...Object.fromEntries(inherited), ...extra };
}

/** The compiled program of that name. */
export function programPath(name: string): string {
  return join(import.meta.dirname, "programs", `${name}.js`);
}

/** A program that runs. */
export class Child implements AsyncDisposable {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>;
  /** Resolves when it has ended and everything it printed has been read. */
  readonly ended: Promise<Ended>;
  private readonly lines: AsyncIterator<string>;

  constructor(name: string, args: readonly string[] = [], options: StartOptions = {}) {
    const { prefix = [], execArgv = [], env, fds = [], timeout = 60_000 } = options;
    const command = [...prefix, process.execPath, ...execArgv, programPath(name), ...args];
    this.process = spawn(command[0] as string, command.slice(1), {
      env: environment(env),
      stdio: ["pipe", "pipe", "pipe", ...fds],
      timeout,
      killSignal: "SIGKILL",
    }) as ChildProcessByStdio<Writable, Readable, Readable>;
    this.process.stdin.on("error", () => {});
    const stdout = collect(this.process.stdout);
    const stderr = collect(this.process.stderr);
    this.ended = new Promise((resolve, reject) => {
      this.process.on("error", reject);
      this.process.on("close", (status, signal) => {
        resolve({ status, signal, stdout: stdout(), stderr: stderr() });
      });
    });
    this.lines = createInterface(this.process.stdout)[Symbol.asyncIterator]();
  }

  /** The next line that it prints; fails when it ends first. */
  async line(): Promise<string> {
    const { done, value } = await this.lines.next();
    if (done !== true) return value;
    const { status, signal, stderr } = await this.ended;
    throw new Error(`the program ended (${status ?? signal}) before it said more\n${stderr}`);
  }

  /** Writes a line to its standard input. */
  say(line: string): void {
    this.process.stdin.write(`${line}\n`);
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.process.kill(signal);
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.ended;
  }
}

function collect(stream: Readable): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  return () => text;
}

/** Runs a program to its end. */
export function run(
  name: string,
  args?: readonly string[],
  options?: StartOptions,
): Promise<Ended> {
  const child = new Child(name, args, options);
  child.process.stdin.end();
  return child.ended;
}

/** Why a command can't be used here; undefined when it can. */
export function lacks(command: string, ...args: string[]): string | undefined {
  const { error, status } = spawnSync(command, args, {
    stdio: "ignore",
    timeout: 20_000,
    env: foreignEnv,
  });
  if (error !== undefined) return `${command} is not installed`;
  return status === 0 ? undefined : `${[command, ...args].join(" ")} fails here`;
}
