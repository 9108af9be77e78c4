/** run_program.ts: `coronet run`, a program with the debugging tools switched on. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { Failure, UsageError } from "./arguments.ts";
import { print } from "./output.ts";

export const summary = "a program, with debugging and the inspector switched on";

export const help = `coronet run: runs a program with the debugging tools switched on

Usage: coronet run [options] FILE [arguments of the program]

  --inspect-ui[=ADDRESS]  serves a page that shows the program run, and prints where (127.0.0.1:0)
  --node OPTION           an option of node's; as often as needed

It is node --import coronet/debug FILE, so that coronet dump, trace and the page work, also for a program
that knows nothing of them. Its exit status is the program's.

Examples:
  coronet run --inspect-ui app.js
  coronet run --inspect-ui=127.0.0.1:9000 --node --enable-source-maps app.js --port 80`;

interface Parsed {
  inspect: string | undefined;
  node: string[];
  rest: string[];
}

/** Options stand before the file; what follows it is the program's. */
function parse(args: readonly string[]): Parsed {
  const parsed: Parsed = { inspect: undefined, node: [], rest: [] };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (!arg.startsWith("-")) {
      parsed.rest = args.slice(i);
      return parsed;
    }
    if (arg === "--inspect-ui") parsed.inspect = "1";
    else if (arg.startsWith("--inspect-ui=")) parsed.inspect = arg.slice("--inspect-ui=".length);
    else if (arg === "--node" && args[i + 1] !== undefined) parsed.node.push(args[++i] as string);
    else
      throw new UsageError(
        `coronet run: unknown option ${arg}; known: --inspect-ui, --node, --help`,
      );
  }
  throw new UsageError("coronet run: FILE is missing; see coronet run --help");
}

/** Runs it; resolves to its exit status, or 128 and the number of the signal that ended it. */
export async function runProgram(args: readonly string[]): Promise<number> {
  if (args[0] === "--help" || args[0] === "-h") {
    print(help);
    return 0;
  }
  const { inspect, node, rest } = parse(args);
  const debug = import.meta.resolve("coronet/debug");
  const env = { ...process.env, CORONET_DEBUG: "1" };
  const child = spawn(process.execPath, [...node, "--import", debug, ...rest], {
    stdio: "inherit",
    env: inspect === undefined ? env : { ...env, CORONET_INSPECT: inspect },
  });
  // A terminal sends them to both; the program decides what they mean.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (signal !== "SIGINT") child.kill(signal);
    });
  }
  return await new Promise((resolve, reject) => {
    child.on("error", (error) => reject(new Failure(`coronet run: ${error.message}`)));
    child.on("close", (status, signal) => {
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
