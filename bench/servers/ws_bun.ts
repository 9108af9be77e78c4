// A WebSocket echo on Bun.serve.
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = Bun.serve({
  hostname: host,
  port,
  fetch(request, self) {
    return self.upgrade(request) ? undefined : new Response("a WebSocket, please");
  },
  websocket: {
    message(socket, message) {
      socket.send(message);
    },
  },
});

console.log(`listening ${server.port}`);
