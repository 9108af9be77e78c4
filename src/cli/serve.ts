/** serve.ts: `coronet run`: a handler module as a server. */
import { existsSync, watch } from "node:fs";
import { dirname, resolve, sep } from "node:path";
import { type Inspector, inspect } from "../debug/inspector/inspect.ts";
import { createServer, type Server, WorkerError } from "../index.ts";
import { ADDRESS_HELP, networkOf } from "./address.ts";
import { type Arguments, Failure, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { print } from "./output.ts";

const help = `coronet run: serves connections with the default export of a module

Usage: coronet run MODULE --listen ADDRESS [options]

  --listen ADDRESS    where to listen; printed as "listening on ADDRESS" with the port it got
  --network NETWORK   tcp, tcp4, tcp6, unix or unixpacket; by the address's form when left out
  --threads N         workers are N threads of this process (1)
  --workers N         workers are N processes
  --watch             reload when a file in the module's folder changes
  --inspect-ui        serves a page that shows the workers run, and prints where
  --drain SECONDS     how long connections may finish when a worker is to end (5)

MODULE exports a function that serves one connection:
  export default async (conn, info) => { for await (const chunk of conn) await conn.write(chunk); };

Signals: SIGTERM and SIGINT end it (a second one at once), SIGHUP reloads, SIGUSR2 restarts the program.

${ADDRESS_HELP}

Examples:
  coronet run ./echo.js --listen :2333
  coronet run ./echo.js --listen :2333 --workers 4
  coronet run ./echo.js --listen :2333 --watch`;

/** Changes come in bursts: an editor writes, renames and touches. */
const SETTLE_MS = 100;

interface Workers {
  model: "thread" | "process";
  workers: number;
}

function workersOf(args: Arguments): Workers {
  const threads = args.count("threads");
  const processes = args.count("workers");
  if (threads !== undefined && processes !== undefined) {
    throw new UsageError("coronet run: --threads or --workers, not both");
  }
  if (processes !== undefined) return { model: "process", workers: processes };
  return { model: "thread", workers: threads ?? 1 };
}

function say(line: string): void {
  process.stderr.write(`coronet run: ${line}\n`);
}

async function start(module: string, args: Arguments): Promise<Server> {
  const address = args.required("listen", ":2333");
  const network = networkOf(address, args.text("network"));
  const drainTimeout = args.seconds("drain", 5);
  const workers = workersOf(args);
  if (!existsSync(module)) throw new Failure(`coronet run: there is no file ${module}`);
  try {
    const listen = [[network, address]] as const;
    return await createServer({ ...workers, module, listen, drainTimeout, log: say });
  } catch (error) {
    if (!(error instanceof WorkerError)) throw error;
    throw new Failure(`coronet run: ${error.message}`);
  }
}

/** Reloads after changes until it is disposed of; changes during a reload make another one. */
class Watch implements Disposable {
  private readonly server: Server;
  private readonly watcher: ReturnType<typeof watch>;
  private timer: NodeJS.Timeout | undefined;
  private reloading = false;
  private changed = "";

  constructor(server: Server, folder: string) {
    this.server = server;
    this.watcher = watch(folder, { recursive: true }, (_, file) => this.onChange(String(file)));
    this.watcher.on("error", (error) => say(`watching ${folder} failed: ${error.message}`));
  }

  private onChange(file: string): void {
    if (file.split(sep).some((part) => part === "node_modules" || part.startsWith("."))) return;
    this.changed = file;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.reload(), SETTLE_MS);
  }

  private async reload(): Promise<void> {
    if (this.reloading) return;
    this.reloading = true;
    const file = this.changed;
    this.changed = "";
    try {
      await this.server.reload();
      say(`${file} changed: reloaded`);
    } catch (error) {
      say(`${file} changed, going on as before: ${(error as Error).message}`);
    }
    this.reloading = false;
    if (this.changed !== "") this.onChange(this.changed);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
    this.watcher.close();
  }
}

/** An inspector, and what workers need to be seen in it. */
async function inspected(): Promise<Inspector> {
  process.env.CORONET_DEBUG = "1";
  // The signals are this command's own.
  process.env.CORONET_DEBUG_SIGNAL ??= "none";
  return await inspect();
}

async function run(args: Arguments): Promise<number> {
  const module = resolve(args.positionals[0] as string);
  await using inspector = args.flag("inspect-ui") ? await inspected() : undefined;
  if (inspector !== undefined) say(`the inspector is at ${inspector.url}`);
  const server = await start(module, args);
  using _ = args.flag("watch") ? new Watch(server, dirname(module)) : undefined;
  for (const addr of server.addrs) print(`listening on ${addr}`);
  await server.closed;
  return 0;
}

export const serve: Command = {
  name: "run",
  summary: "serves connections with a module's handler",
  help,
  options: {
    listen: { type: "string" },
    network: { type: "string" },
    threads: { type: "string" },
    workers: { type: "string" },
    watch: { type: "boolean" },
    "inspect-ui": { type: "boolean" },
    drain: { type: "string" },
  },
  positionals: ["MODULE"],
  run,
};
