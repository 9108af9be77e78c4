/** Programs with reactor threads, each in a process of its own. */
import { once } from "node:events";
import { type AcceptMode, dial, startThreads, type Threads } from "../../src/index.ts";
import { readAll } from "../../testing/support.ts";
import { programPath } from "../child.ts";

const [mode, argument] = process.argv.slice(2);

function start(accept: AcceptMode): Promise<Threads> {
  const module = programPath("threads_module");
  return startThreads({ module, threads: 2, accept, listen: ["tcp", "127.0.0.1:0"] });
}

async function answer(address: string, verb: string): Promise<string> {
  await using conn = await dial("tcp", address);
  await conn.write(`${verb}\n`);
  return Buffer.from(await readAll(conn)).toString();
}

const programs: Record<string, () => Promise<void>> = {
  /** A handler panics and nobody handles it. */
  async panic() {
    const threads = await start("shared");
    await answer(String(threads.addr), "throw").catch(() => {});
  },

  /** Nothing but the threads keeps the process alive; a timer that does not closes them. */
  async life() {
    const threads = await start(argument as AcceptMode);
    process.on("exit", () => console.log("ended"));
    setTimeout(async () => {
      const id = await answer(String(threads.addr), "who");
      console.log(/^[01]$/.test(id) ? "served" : id);
      await threads.close();
      console.log("closed");
    }, 50).unref();
  },

  /** More connections at once than this process may have fds. */
  async fds() {
    const threads = await start(argument as AcceptMode);
    console.log(String(threads.addr));
    await once(process.stdin, "data");
    await threads.close();
    process.stdin.destroy();
  },
};

await programs[mode as string]?.();
