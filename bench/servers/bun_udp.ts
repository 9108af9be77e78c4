// UDP echo on Bun.udpSocket. What the kernel does not take is lost, as it is on the way.
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const server = await Bun.udpSocket({
  hostname: host,
  port,
  socket: {
    data(socket, message, port, address) {
      socket.send(message, port, address);
    },
  },
});

console.log(`listening ${server.port}`);
