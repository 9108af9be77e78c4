// Echo over TLS on Bun.listen. What a write leaves over is kept and the socket is paused until it is gone.
import { serverOptions } from "./options.mjs";
import { pair } from "./tls_pair.mjs";

type State = { rest: Uint8Array | undefined };

const { host, port } = serverOptions(process.argv.slice(2));

const server = Bun.listen<State>({
  hostname: host,
  port,
  tls: pair(),
  socket: {
    open(socket) {
      socket.data = { rest: undefined };
      socket.setNoDelay(true);
    },
    data(socket, chunk) {
      const { rest } = socket.data;
      if (rest !== undefined) {
        socket.data.rest = Buffer.concat([rest, chunk]);
        return;
      }
      const written = socket.write(chunk);
      if (written >= 0 && written < chunk.byteLength) {
        socket.data.rest = chunk.slice(written);
        socket.pause();
      }
    },
    drain(socket) {
      const { rest } = socket.data;
      if (rest === undefined) return;
      const written = socket.write(rest);
      if (written < 0) return;
      socket.data.rest = written < rest.byteLength ? rest.subarray(written) : undefined;
      if (written === rest.byteLength) socket.resume();
    },
    error(socket) {
      socket.terminate();
    },
  },
});

console.log(`listening ${server.port}`);
