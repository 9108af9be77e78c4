// A proxy on node:net, as its documentation writes it: pipe. It joins each two connections that it
// accepts.
import { createServer } from "node:net";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

let waiting;

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  if (waiting === undefined) {
    waiting = socket;
    return;
  }
  const other = waiting;
  waiting = undefined;
  socket.on("close", () => other.destroy());
  other.on("close", () => socket.destroy());
  socket.pipe(other);
  other.pipe(socket);
});

server.listen({ host, port, backlog: 4096 }, () => {
  console.log(`listening ${server.address().port}`);
});
