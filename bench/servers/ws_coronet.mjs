// A WebSocket echo on Coronet.
import { serve, upgradeWebSocket } from "../../dist/src/http/index.js";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = await serve(`${host}:${port}`, async (request, info) => {
  const socket = await upgradeWebSocket(request, info);
  try {
    for await (const message of socket) await socket.send(message);
  } finally {
    await socket.close();
  }
});
const address = String(server.addr);
console.log(`listening ${address.slice(address.lastIndexOf(":") + 1)}`);
