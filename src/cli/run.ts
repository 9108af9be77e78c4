/**
 * run.ts: finds the command, runs it, and turns what goes wrong into one line and an exit status.
 *
 *   0  done        1  the network or the system said no        2  the command was not understood
 *
 * Any other error is a defect of this program and keeps its stack.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { NetError } from "../index.ts";
import { Failure, parseArguments, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { demo } from "./demo.ts";
import { dialCommand } from "./dial.ts";
import { dumpCommand } from "./dump.ts";
import { echo } from "./echo.ts";
import { ignoreClosedOutput, print } from "./output.ts";
import { serve } from "./serve.ts";
import { topCommand } from "./top.ts";
import { traceCommand } from "./trace.ts";

const FAILED = 1;
const USAGE = 2;

const commands: readonly Command[] = [
  demo,
  echo,
  dialCommand,
  serve,
  dumpCommand,
  topCommand,
  traceCommand,
];

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}   ${summary}`);
  return `coronet: Go's network poller in TypeScript, one goroutine per connection

Usage: coronet <command> [options]

${list.join("\n")}

  coronet <command> --help   what a command takes
  coronet --version          which version this is

Try it, with two terminals:

  coronet demo               in the first
  nc 127.0.0.1 2333          in the second: type a line, it comes back`;
}

function version(): string {
  const file = fileURLToPath(import.meta.resolve("coronet/package.json"));
  const manifest = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  return `coronet ${manifest.version} (node ${process.version}, ${process.platform} ${process.arch})`;
}

function find(name: string): Command {
  const command = commands.find((each) => each.name === name);
  if (command !== undefined) return command;
  const what = name.startsWith("-") ? "option" : "command";
  const known = commands.map((each) => each.name).join(", ");
  throw new UsageError(`coronet: unknown ${what} ${name}; known: ${known}, --help, --version`);
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined) {
    process.stderr.write(`${overview()}\n`);
    return USAGE;
  }
  if (first === "--version" || first === "-v") print(version());
  else if (first === "--help" || first === "-h") print(overview());
  else if (first === "help") print(rest[0] === undefined ? overview() : find(rest[0]).help);
  else return start(find(first), rest);
  return 0;
}

async function start(command: Command, args: readonly string[]): Promise<number> {
  const parsed = parseArguments(command, args);
  if (!parsed.help) return command.run(parsed);
  print(command.help);
  return 0;
}

/** The exit status for an error that has a line to itself; undefined for any other. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof UsageError) return USAGE;
  if (error instanceof Failure) return FAILED;
  if (!(error instanceof NetError)) return undefined;
  const addressed = error.op === "listen" || error.op === "dial";
  return addressed && error.code === "EINVAL" ? USAGE : FAILED;
}

/** Runs the command that the arguments name; resolves to the exit status. */
export async function run(args: readonly string[]): Promise<number> {
  ignoreClosedOutput();
  try {
    return await dispatch(args);
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    const { message } = error as Error;
    process.stderr.write(`${message.startsWith("coronet") ? "" : "coronet: "}${message}\n`);
    return status;
  }
}
