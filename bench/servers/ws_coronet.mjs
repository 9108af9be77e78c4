// A WebSocket echo on Coronet.
import { Response, serve, upgradeWebSocket } from "../../dist/src/http/index.js";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = await serve(`${host}:${port}`, async (request, info) => {
  if (request.headers.get("upgrade") === null) return new Response("a WebSocket, please");
  await using socket = await upgradeWebSocket(request, info);
  for await (const message of socket) await socket.send(message);
  return undefined;
});
const address = String(server.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
