/** node_served.ts: a module of workers whose requests a program of node:http answers (nodeHandler). */
import { createServer } from "node:http";
import { threadId } from "node:worker_threads";
import { nodeHandler } from "../../src/http/index.ts";

let id = -1;

const server = createServer((request, response) => {
  const who = `${process.pid} ${threadId} ${id}`;
  if (request.url === "/slow") setTimeout(() => response.end(who), 20);
  else if (request.url === "/stream") {
    response.write(who.slice(0, 3));
    setTimeout(() => response.end(who.slice(3)), 20);
  } else response.end(who);
});

export function start(info: { id: number }): void {
  id = info.id;
}

export default nodeHandler(server);
