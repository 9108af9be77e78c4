/**
 * http_served.ts: a module of workers that speak HTTP (httpHandler).
 *
 *   /id       "PID THREAD ID" of the worker, as served.ts
 *   /slow     the same, 20 ms later
 *   /stream   the same in two parts, 20 ms between them
 *   /last     the same, when the worker is to end
 *   /upgrade  another protocol: what comes goes back
 */
import { threadId } from "node:worker_threads";
import { httpHandler, type Request, type RequestInfo, Response } from "../../src/http/index.ts";
import { type ConnHandler, type ServerHandler, sleep } from "../../src/index.ts";

let id = -1;
let signal = new AbortController().signal;

async function handle({ url }: Request, info: RequestInfo): Promise<Response | undefined> {
  const who = `${process.pid} ${threadId} ${id}`;
  const { pathname } = new URL(url);
  if (pathname === "/slow") await sleep(20);
  if (pathname === "/last")
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  if (pathname === "/stream") return new Response(parts(who));
  if (pathname === "/upgrade") {
    const conn = await info.upgrade();
    void echo(conn);
    return undefined; // the goroutine above is at it still
  }
  return new Response(who);
}

async function* parts(text: string): AsyncGenerator<string> {
  yield text.slice(0, 3);
  await sleep(20);
  yield text.slice(3);
}

async function echo(conn: Awaited<ReturnType<RequestInfo["upgrade"]>>): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

export function start(info: { id: number; signal: AbortSignal }): void {
  ({ id, signal } = info);
}

const handler: ServerHandler & ConnHandler = httpHandler(handle);
export default handler;
