// Echo over node:tls, as its documentation writes it: data events, and a pause while the socket's own
// buffer is full.
import { createServer } from "node:tls";
import { serverOptions } from "./options.mjs";
import { pair } from "./tls_pair.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = createServer({ ...pair(), noDelay: true }, (socket) => {
  socket.on("data", (chunk) => {
    if (!socket.write(chunk)) socket.pause();
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", () => socket.destroy());
});

server.listen({ host, port, backlog: 4096 }, () => {
  console.log(`listening ${server.address().port}`);
});
