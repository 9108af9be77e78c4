// HTTP on node:http; HTTP/2 on node:http2 where there is a certificate.
import { createServer } from "node:http";
import { createSecureServer } from "node:http2";
import { HELLO, LARGE, sumOf } from "./http_work.mjs";
import { serverOptions } from "./options.mjs";
import { pair } from "./tls_pair.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

function send(response, type, body) {
  response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function handle(request, response) {
  if (request.url === "/large") return send(response, "application/octet-stream", LARGE);
  if (request.url !== "/json") return send(response, "text/plain;charset=UTF-8", HELLO);
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(parts).toString());
    send(response, "application/json", JSON.stringify(sumOf(body)));
  });
}

const tls = pair();
const server = tls === undefined ? createServer(handle) : createSecureServer(tls, handle);
server.listen({ host, port, backlog: 4096 }, () => {
  console.log(`listening ${server.address().port}`);
});
