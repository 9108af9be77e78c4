// HTTP on Coronet; HTTP/2 where there is a certificate.
import { Response, serve } from "../../dist/src/http/index.js";
import { HELLO, LARGE, sumOf } from "./http_work.mjs";
import { serverOptions } from "./options.mjs";
import { pair } from "./tls_pair.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

function handle(request, info) {
  if (info.target === "/large") return new Response(LARGE);
  if (info.target === "/json") return request.json().then((body) => Response.json(sumOf(body)));
  return new Response(HELLO);
}

const server = await serve(`${host}:${port}`, handle, { tls: pair() });
const address = String(server.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
