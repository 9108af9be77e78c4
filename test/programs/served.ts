/**
 * served.ts: a module for servers of tests. A client writes a word and gets a line:
 *
 *   id        process, thread and number of the worker
 *   twice     the same, counted as two requests
 *   sleep N   "slept" after N ms
 *   crash     nothing: the handler throws, which ends the worker
 *   spin N    "spun", after N ms that held the thread
 *   hold PATH "holding", then the thread is held until that file is there, then "held"
 *   fall PATH as hold, but then the handler throws
 *   GET …     an HTTP answer; the last one of a worker that is to end says so
 *   bye       "bye", and the connection is closed
 *
 * Anything else comes back as it is. `data` may say { failStart } or { failAfter: path }: the start fails
 * while that file exists; { refuse: true } and { exempt: true } answer for admit() and exempt().
 */
import { existsSync } from "node:fs";
import { threadId } from "node:worker_threads";
import { type ServerHandler, sleep, type WorkerInfo } from "../../src/index.ts";

interface Data {
  failStart?: boolean;
  failWhile?: string;
  exitAtOnce?: boolean;
  refuse?: boolean;
  exempt?: boolean;
}

type Info = WorkerInfo<Data | undefined>;

export function start(info: Info): void {
  const { failStart, failWhile, exitAtOnce } = info.data ?? {};
  if (failStart === true) throw new Error("start was told to fail");
  if (failWhile !== undefined && existsSync(failWhile)) throw new Error("the file is there");
  if (exitAtOnce === true) setTimeout(() => process.exit(7), 20);
}

export const admit = (_: unknown, info: Info): boolean => info.data?.refuse !== true;
export const exempt = (_: unknown, info: Info): boolean => info.data?.exempt === true;

const handle: ServerHandler<Data | undefined> = async (conn, info) => {
  for await (const chunk of conn) {
    const text = Buffer.from(chunk).toString();
    const [word, n] = text.trim().split(" ");
    if (word === "id" || word === "twice") {
      if (word === "twice") for (let i = 0; i < 2; i++) info.request();
      await conn.write(`${process.pid} ${threadId} ${info.id}\n`);
    } else if (word === "sleep") {
      await sleep(Number(n));
      await conn.write("slept\n");
    } else if (word === "crash") throw new Error("told to crash");
    else if (word === "spin") {
      for (const end = performance.now() + Number(n); performance.now() < end; );
      await conn.write("spun\n");
    } else if (word === "hold" || word === "fall") {
      await conn.write("holding\n");
      while (!existsSync(String(n)));
      if (word === "fall") throw new Error("told to fall");
      await conn.write("held\n");
    } else if (word === "GET") {
      const last = info.signal.aborted;
      await conn.write(
        `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${last ? "Connection: close\r\n" : ""}\r\nok`,
      );
      if (last) return;
    } else if (word === "bye") {
      await conn.write("bye\n");
      return;
    } else await conn.write(chunk);
  }
};

export default handle;
