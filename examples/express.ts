// run:
// expect: GET /hello/ann: {"hello":"ann","from":"127.0.0.1"}
// expect: over a WebSocket: ANN
/**
 * express.ts: an app of Express, and a WebSocket beside it, over a listener of Coronet's.
 *
 *   node dist/examples/express.js                  shows itself with a client, and ends
 *   node dist/examples/express.js --port 8080      serves; try it: curl 127.0.0.1:8080/hello/ann
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { serveNode } from "coronet/http";
import express from "express";
import { WebSocket, WebSocketServer } from "ws";

const { values } = parseArgs({ options: { port: { type: "string", default: "0" } } });

const app = express();
app.get("/hello/:name", (request, response) => {
  response.json({ hello: request.params.name, from: request.ip });
});

const node = createServer(app);
const sockets = new WebSocketServer({ server: node });
sockets.on("connection", (socket) => {
  socket.on("message", (data) => socket.send(String(data).toUpperCase()));
});

await using server = await serveNode(`127.0.0.1:${values.port}`, node);
if (values.port !== "0") {
  console.log(`serving on http://${server.addr}`);
  await once(process, "SIGINT");
} else {
  const answer = await fetch(`http://${server.addr}/hello/ann`);
  console.log(`GET /hello/ann: ${await answer.text()}`);
  const socket = new WebSocket(`ws://${server.addr}/`);
  await once(socket, "open");
  socket.send("ann");
  const [message] = await once(socket, "message");
  console.log(`over a WebSocket: ${message}`);
  socket.close();
  await once(socket, "close");
}
sockets.close();
