// HTTP on node:http.
import { createServer } from "node:http";
import { HELLO, LARGE, sumOf } from "./http_work.mjs";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

function send(response, type, body) {
  response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const server = createServer((request, response) => {
  if (request.url === "/large") return send(response, "application/octet-stream", LARGE);
  if (request.url !== "/json") return send(response, "text/plain;charset=UTF-8", HELLO);
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(parts).toString());
    send(response, "application/json", JSON.stringify(sumOf(body)));
  });
});

server.listen({ host, port, backlog: 4096 }, () => {
  console.log(`listening ${server.address().port}`);
});
