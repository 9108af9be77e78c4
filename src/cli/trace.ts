/** trace.ts: `coronet trace`, the last events of another process, for Perfetto. */
import { writeFileSync } from "node:fs";
import { askControl, ControlError, controlPaths } from "../debug/control.ts";
import { type Arguments, Failure, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { print, printable } from "./output.ts";

const help = `coronet trace: writes what a running process did in the last seconds, for Perfetto

Usage: coronet trace PID|PATH [options]

  --seconds N    records for so long first; 2 when left out. With 0 the process must be recording
                 already (trace.start()), and what it has is written
  --output FILE  where to; coronet-trace-PID.json when left out; several threads have their numbers in it

The process must have been started with CORONET_DEBUG=1 in its environment, with
node --import coronet/debug, or have called startDebugging(). Open the file at https://ui.perfetto.dev
or chrome://tracing.

Examples:
  coronet trace 4711
  coronet trace 4711 --seconds 10 --output slow.json`;

function secondsOf(args: Arguments): number {
  const text = args.text("seconds") ?? "2";
  if (/^\d{1,3}(\.\d+)?$/.test(text)) return Number(text);
  throw new UsageError(`coronet trace: --seconds takes a number below 1000, not "${text}"`);
}

async function record(path: string, seconds: number): Promise<string> {
  const milliseconds = seconds === 0 ? undefined : seconds * 1000;
  const patience = (milliseconds ?? 0) + 30_000;
  return (await askControl(path, "trace", { milliseconds }, { patience })) as string;
}

async function run(args: Arguments): Promise<number> {
  const seconds = secondsOf(args);
  const target = args.positionals[0] as string;
  try {
    const paths = controlPaths(target);
    const texts = await Promise.all(paths.map((path) => record(path, seconds)));
    texts.forEach((text, i) => {
      const thread = texts.length === 1 ? "" : `.${/\.(\d+)\.sock$/.exec(paths[i] as string)?.[1]}`;
      const name = args.text("output") ?? `coronet-trace-${/\d+/.exec(target)?.[0] ?? "path"}.json`;
      const file = name.replace(/(\.json)?$/, (end) => `${thread}${end}`);
      writeFileSync(file, text);
      print(printable(`${file}: ${text.split("\n").length} lines`));
    });
    return 0;
  } catch (error) {
    if (error instanceof ControlError) throw new Failure(error.message);
    throw error;
  }
}

export const traceCommand: Command = {
  name: "trace",
  summary: "what a running process did in the last seconds, for Perfetto",
  options: {
    seconds: { type: "string" },
    output: { type: "string" },
  },
  positionals: ["PID|PATH"],
  help,
  run,
};
