/** A server with a worker thread and two goroutines that hold each other up, until it is told to end. */
import { isMainThread, Worker } from "node:worker_threads";
import { Chan, dial, go, listen, Mutex, sleep } from "../../src/index.ts";

async function both(first: Mutex, second: Mutex): Promise<void> {
  using _ = await first.lock();
  await sleep(1);
  using __ = await second.lock();
}

async function serve(): Promise<void> {
  const listener = await listen("tcp", "127.0.0.1:0");
  go(async function acceptLoop() {
    for await (const conn of listener) {
      go(async function echo() {
        for await (const chunk of conn) await conn.write(chunk);
      });
    }
  });
  for (let i = 0; i < 20; i++) await dial("tcp", String(listener.addr));
  const [a, b] = [new Mutex(), new Mutex()];
  go(both, a, b);
  go(both, b, a);
  const worker = new Worker(new URL(import.meta.url));
  await new Promise((resolve) => worker.once("message", resolve));
  console.log(String(listener.addr));
}

if (isMainThread) {
  await serve();
  process.stdin.on("end", () => process.exit(0)).resume();
} else {
  const { parentPort } = await import("node:worker_threads");
  go(async function inTheWorker() {
    await new Chan<number>().receive();
  });
  setTimeout(() => parentPort?.postMessage("ready"), 10);
  parentPort?.on("message", () => {});
}
