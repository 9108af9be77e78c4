/** threads_support.ts: what tests of reactor threads have in common. */
import assert from "node:assert/strict";
import { type Conn, dial, startThreads, type Threads, type ThreadsOptions } from "../src/index.ts";
import { openFds } from "../testing/leaks.ts";
import { readAll } from "../testing/support.ts";
import { programPath } from "./child.ts";

/** The module that they run: test/programs/threads_module.ts. */
const module = programPath("threads_module");

export function start(options: Partial<ThreadsOptions> = {}): Promise<Threads> {
  return startThreads({ module, threads: 2, listen: ["tcp", "127.0.0.1:0"], ...options });
}

export async function ask(threads: Threads, verb: string): Promise<Conn> {
  const conn = await dial("tcp", String(threads.addr));
  await conn.write(`${verb}\n`);
  return conn;
}

export async function answer(threads: Threads, verb: string): Promise<string> {
  await using conn = await ask(threads, verb);
  return Buffer.from(await readAll(conn)).toString();
}

/** Runs a check and fails when the process has more fds afterwards. */
export async function freed(check: () => Promise<void>): Promise<void> {
  const before = openFds();
  await check();
  const giveUp = Date.now() + 10_000;
  while (openFds().size > before.size && Date.now() < giveUp) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const left = [...openFds()].filter(([fd, what]) => before.get(fd) !== what);
  assert.ok(openFds().size <= before.size, `left open: ${left.join("; ")}`);
}
