// UDP echo on Coronet: one goroutine, one datagram after the other.
import { listenPacket } from "../../dist/src/index.js";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));
const conn = await listenPacket("udp", `${host}:${port}`, { readBuffer: 4 << 20 });
console.log(`listening ${conn.localAddr.port}`);
for await (const { data, addr } of conn) await conn.writeTo(data, addr);
