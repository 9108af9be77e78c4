/** A worker thread that echoes on what it receives through the channel whose descriptor it is given. */
import { parentPort, workerData } from "node:worker_threads";
import { adoptConn, type Conn, go, receiveConn, type UnixConn } from "../../src/index.ts";

const channel = adoptConn(workerData) as UnixConn;
parentPort?.postMessage("ready");

async function echo(conn: Conn): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}

for (let conn = await receiveConn(channel); conn !== null; conn = await receiveConn(channel)) {
  go(echo, conn);
}
