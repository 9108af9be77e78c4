// UDP echo on Coronet, as many datagrams at a time as are there.
import { listenPacket } from "../../dist/src/index.js";
import { serverOptions } from "./options.mjs";

const { host, port } = serverOptions(process.argv.slice(2));
const conn = await listenPacket("udp", `${host}:${port}`, { readBuffer: 4 << 20 });
console.log(`listening ${conn.localAddr.port}`);
for (;;) await conn.writeBatch(await conn.readBatch());
