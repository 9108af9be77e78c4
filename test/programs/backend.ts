/** A program that says what it runs on, echoes once over a socket, and does so in worker threads too. */
import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { dial, go, listen, pipe, sleep, stats } from "../../src/index.ts";

async function echo(): Promise<string> {
  await using listener = await listen("tcp", "127.0.0.1:0");
  const served = go(async () => {
    await using conn = await listener.accept();
    for await (const chunk of conn) await conn.write(chunk);
  });
  await using conn = await dial("tcp", String(listener.addr));
  await conn.write("hello");
  await conn.closeWrite();
  let text = "";
  for await (const chunk of conn) text += Buffer.from(chunk).toString();
  await served.join();
  return text;
}

async function everything(): Promise<string> {
  const [a, b] = pipe();
  go(async () => {
    await sleep(1);
    await a.close();
  });
  for await (const _ of b);
  return `${await echo()} on ${stats().poller}`;
}

const who = isMainThread ? "main thread" : `thread ${workerData}`;
console.log(`${who}: ${await everything()}`);
if (isMainThread && process.argv[2] === "threads") {
  for (const name of ["one", "two"]) {
    await once(new Worker(new URL(import.meta.url), { workerData: name }), "exit");
  }
}
