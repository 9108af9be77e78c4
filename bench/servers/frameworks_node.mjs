// Frameworks on node:http. Hono stands on an adapter as its users would write one: the global classes.
import { once } from "node:events";
import { createServer } from "node:http";
import { hono, hosts, programs } from "./frameworks_apps.mjs";
import { serverOptions } from "./options.mjs";

const { port } = serverOptions(process.argv.slice(2));

const adapter = createServer(async ({ method, url, headers }, response) => {
  const answer = await hono.fetch(new Request(`http://${headers.host}${url}`, { method, headers }));
  const body = Buffer.from(await answer.arrayBuffer());
  response.writeHead(answer.status, {
    ...Object.fromEntries(answer.headers),
    "content-length": body.length,
  });
  response.end(body);
});

let chosen = port;
for (const [i, server] of [...(await programs()), adapter].entries()) {
  server.listen({ host: hosts[i], port: chosen, backlog: 4096 });
  await once(server, "listening");
  chosen = server.address().port;
}
console.log(`listening ${chosen}`);
