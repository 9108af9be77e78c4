/**
 * serve.ts: a program with a server; its first argument has the options as JSON.
 *
 * Prints "ready PID ADDR…", then a line for every command from standard input: "stats" (as JSON),
 * "reload", "restart", "stop"; "closed" when its server has stopped. Options of its own: `failAfterFirst`
 * is a file that makes a second run fail before it listens.
 */
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { createServer, type ServerOptions } from "../../src/index.ts";

type Given = Omit<ServerOptions, "module"> & { failWhile?: string };

const { failWhile, ...options } = JSON.parse(process.argv[2] as string) as Given;
if (failWhile !== undefined && existsSync(failWhile)) throw new Error("told to fail");
const server = await createServer({ module: new URL("./served.js", import.meta.url), ...options });
console.log(`ready ${process.pid} ${server.addrs.join(" ")}`);

const commands = createInterface(process.stdin);
commands.on("line", (command) => void obey(command));
// The program ends with its server, not with its input.
(process.stdin as unknown as { unref?: () => void }).unref?.();
await server.closed;
console.log(`closed ${process.pid}`);
commands.close();
process.stdin.destroy();

async function obey(command: string): Promise<void> {
  try {
    if (command === "stats") console.log(JSON.stringify(await server.stats()));
    else if (command === "reload" || command === "restart" || command === "stop") {
      await server[command]();
      console.log(`${command} done`);
    }
  } catch (error) {
    console.log(`${command} failed: ${(error as Error).message.split("\n")[0]}`);
  }
}
