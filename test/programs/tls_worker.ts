/**
 * A worker thread that serves TLS: it sends its address to whoever started it, and echoes. It also has
 * connections of its own, some with their handshake half done, for it is going to be terminated.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type Conn, dial, dialTls, go, tlsListen } from "../../src/index.ts";

const { cert, key, ticketKeys } = workerData as {
  cert: string;
  key: string;
  ticketKeys?: Uint8Array[];
};
const given = ticketKeys === undefined ? {} : { ticketKeys };
const listener = await tlsListen("tcp", "127.0.0.1:0", { cert, key, ...given });
const address = String(listener.addr);

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

go(async () => {
  for await (const conn of listener) go(echo, conn);
});

const own: Conn[] = [];
for (let i = 0; i < 5; i++) {
  own.push(await dialTls("tcp", address, { ca: cert }));
  const half = await dial("tcp", address);
  // The beginning of a hello.
  await half.write(Uint8Array.of(0x16, 3, 1, 0, 0xf6, 1));
  own.push(half);
}
go(async () => {
  // A write that waits, with records that wait.
  await own[0]?.write(new Uint8Array(64 << 20));
}).unref?.();
parentPort?.postMessage(address);
