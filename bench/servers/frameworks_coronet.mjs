// Frameworks on Coronet: serveNode for those of node:http, serve for Hono.
import { serve, serveNode } from "../../dist/src/http/index.js";
import { hono, hosts, programs } from "./frameworks_apps.mjs";
import { serverOptions } from "./options.mjs";

const { port } = serverOptions(process.argv.slice(2));

let chosen = port;
for (const [i, program] of (await programs()).entries()) {
  const { addr } = await serveNode(`${hosts[i]}:${chosen}`, program);
  chosen = addr.port;
}
await serve(`${hosts[4]}:${chosen}`, hono.fetch);
console.log(`listening ${chosen}`);
