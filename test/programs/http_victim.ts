// An HTTP server for clients that mean harm: testing/http_attacks.ts has them. It runs with --expose-gc.

import { type Limits, Response, serve } from "../../src/http/index.ts";
import { stats } from "../../src/index.ts";

const limits = JSON.parse(process.argv[2] ?? "{}") as Limits;
const block = new Uint8Array(65_536).fill(120);

/** A response that is far larger than all buffers on its way. */
async function* endless() {
  for (let i = 0; i < 1024; i++) yield block;
}

/** What it holds when everything that nobody needs is gone. */
function report(): object {
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rss, held: heapUsed + arrayBuffers, open: stats().open, connections: server.size };
}

const server = await serve(
  "127.0.0.1:0",
  async (request, info) => {
    switch (info.target) {
      case "/report":
        return Response.json(report());
      case "/endless":
        return new Response(endless());
      case "/large":
        return new Response(new Uint8Array(4_000_000));
      case "/read":
        return new Response(`${(await request.bytes()).length}`);
      default:
        return new Response("hello");
    }
  },
  { limits, onError: () => {} },
);

console.log(`listening ${String(server.addr).split(":").at(-1)}`);
