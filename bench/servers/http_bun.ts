// HTTP on Bun.serve.
import { HELLO, LARGE, sumOf } from "./http_work.mjs";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = Bun.serve({
  hostname: host,
  port,
  fetch(request) {
    const { url } = request;
    if (url.endsWith("/large")) return new Response(LARGE);
    if (url.endsWith("/json")) return request.json().then((body) => Response.json(sumOf(body)));
    return new Response(HELLO);
  },
});

console.log(`listening ${server.port}`);
