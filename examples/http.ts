// run:
// expect: GET /hello: hello from 127.0.0.1
// expect: POST /upper: SHOUT
/**
 * http.ts: a small server of HTTP/1.1, with routes, a streamed body and a clean end.
 *
 *   node dist/examples/http.js                  shows itself with a client, and ends
 *   node dist/examples/http.js --port 8080      serves; try it: curl -d shout 127.0.0.1:8080/upper
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { type Handler, Response, serve } from "coronet/http";

const { values } = parseArgs({ options: { port: { type: "string", default: "0" } } });

const handle: Handler = (request, info) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/hello") {
    const [host] = String(info.remoteAddr).split(":");
    return new Response(`hello from ${host}`);
  }
  if (pathname === "/upper" && request.body !== null) return new Response(upper(request.body));
  return new Response("there is nothing here\n", { status: 404 });
};

/** Chunk by chunk: a body of any size holds no more memory than one of them. */
async function* upper(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  for await (const text of body.pipeThrough(new TextDecoderStream())) yield text.toUpperCase();
}

await using server = await serve(`127.0.0.1:${values.port}`, handle);
if (values.port !== "0") {
  console.log(`serving on http://${server.addr}`);
  await once(process, "SIGINT");
} else {
  const base = `http://${server.addr}`;
  console.log(`GET /hello: ${await (await fetch(`${base}/hello`)).text()}`);
  const shout = await fetch(`${base}/upper`, { method: "POST", body: "shout" });
  console.log(`POST /upper: ${await shout.text()}`);
}
