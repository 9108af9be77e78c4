// A reverse proxy of node:http before undici, as one is written by hand: headers over, bodies piped.
import { createServer } from "node:http";
import { Pool } from "undici";
import { gatewayOptions } from "./options.mjs";

const { host, port, upstream } = gatewayOptions(process.argv.slice(2));
const pool = new Pool(`http://${upstream}`, { connections: 1024 });
const HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "expect"]);

function passed(headers) {
  const kept = {};
  for (const name in headers) if (!HOP.has(name)) kept[name] = headers[name];
  return kept;
}

const server = createServer(async (request, response) => {
  try {
    const { method, url: path } = request;
    const headers = passed(request.headers);
    headers["x-forwarded-for"] = request.socket.remoteAddress;
    const hasBody = "content-length" in headers || "transfer-encoding" in request.headers;
    const body = hasBody ? request : null;
    const answer = await pool.request({ method, path, headers, body });
    response.writeHead(answer.statusCode, passed(answer.headers));
    answer.body.pipe(response);
  } catch {
    response.writeHead(502).end();
  }
});

server.listen({ host, port, backlog: 4096 }, () => {
  console.log(`listening ${server.address().port}`);
});
