// run:
// expect: GET /hello/ann: {"hello":"ann","from":"127.0.0.1"}
// expect: GET /count: 1 2 3
/**
 * hono.ts: an app of Hono on serve: its fetch is the handler.
 *
 *   node dist/examples/hono.js                  shows itself with a client, and ends
 *   node dist/examples/hono.js --port 8080      serves; try it: curl 127.0.0.1:8080/hello/ann
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { sleep } from "coronet";
import { type RequestInfo, serve } from "coronet/http";
import { Hono } from "hono";
import { streamText } from "hono/streaming";

const { values } = parseArgs({ options: { port: { type: "string", default: "0" } } });

const app = new Hono<{ Bindings: { info: RequestInfo } }>();
app.get("/hello/:name", (c) => {
  const [from] = String(c.env.info.remoteAddr).split(":");
  return c.json({ hello: c.req.param("name"), from });
});
app.get("/count", (c) =>
  streamText(c, async (stream) => {
    for (let i = 1; i <= 3; i++) {
      await stream.write(`${i} `);
      await sleep(10);
    }
  }),
);

await using server = await serve(`127.0.0.1:${values.port}`, (request, info) =>
  app.fetch(request, { info }),
);
if (values.port !== "0") {
  console.log(`serving on http://${server.addr}`);
  await once(process, "SIGINT");
} else {
  for (const path of ["/hello/ann", "/count"]) {
    const answer = await fetch(`http://${server.addr}${path}`);
    console.log(`GET ${path}: ${await answer.text()}`);
  }
}
