// UDP echo on node:dgram, as its documentation writes it.
import { createSocket } from "node:dgram";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));

const socket = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
socket.on("message", (message, { address, port }) => socket.send(message, port, address));
socket.bind(port, host, () => console.log(`listening ${socket.address().port}`));
