/** dump.ts: `coronet dump`, what the goroutines of another process are doing. */
import { askControl, ControlError, controlPaths } from "../debug/control.ts";
import { type Dump, formatDump } from "../debug/dump.ts";
import { type Arguments, Failure, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { print, printable } from "./output.ts";

const help = `coronet dump: prints what the goroutines of a running process are doing

Usage: coronet dump PID|PATH [options]

  --all       every goroutine by itself, also where many are alike
  --json      as JSON, one line for each thread
  --stacks N  stacks of so many waits at most; 10000 when left out

The process must have been started with CORONET_DEBUG=1 in its environment, with
node --import coronet/debug, or have called startDebugging(): it then has a control socket, which
PATH names, for each of its threads.

Examples:
  coronet dump 4711
  coronet dump 4711 --json | jq '.goroutines | length'`;

function stacksOf(args: Arguments): number | undefined {
  const text = args.text("stacks");
  if (text === undefined || /^\d{1,9}$/.test(text)) return text === undefined ? undefined : +text;
  throw new UsageError(`coronet dump: --stacks takes a whole number, not "${text}"`);
}

async function ask(path: string, options: object): Promise<Dump> {
  try {
    return (await askControl(path, "dump", options)) as Dump;
  } catch (error) {
    if (error instanceof ControlError) throw new Failure(error.message);
    throw error;
  }
}

function pathsOf(target: string): string[] {
  try {
    return controlPaths(target);
  } catch (error) {
    if (error instanceof ControlError) throw new Failure(error.message);
    throw error;
  }
}

async function run(args: Arguments): Promise<number> {
  const stacks = stacksOf(args);
  const paths = pathsOf(args.positionals[0] as string);
  for (const path of paths) {
    const dump = await ask(path, stacks === undefined ? {} : { stacks });
    if (args.flag("json")) print(JSON.stringify(dump));
    else {
      const text = formatDump(dump, { group: !args.flag("all") });
      for (const line of text.split("\n")) print(printable(line));
    }
  }
  return 0;
}

export const dumpCommand: Command = {
  name: "dump",
  summary: "what the goroutines of a running process are doing",
  options: {
    all: { type: "boolean" },
    json: { type: "boolean" },
    stacks: { type: "string" },
  },
  positionals: ["PID|PATH"],
  help,
  run,
};
