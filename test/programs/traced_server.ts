/**
 * An echo server whose system calls are traced. Each line on its standard input is marked in the trace
 * by a call that nothing else makes, and answered.
 */
import { accessSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Conn, go, listen, tlsListen } from "../../src/index.ts";
import { selfSigned } from "../../testing/certificates.ts";

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  const buffer = new Uint8Array(1024);
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    await conn.write(buffer.subarray(0, n));
  }
}

const address = "127.0.0.1:0";
const overTls = process.argv[2] === "tls";
const listener = overTls
  ? await tlsListen("tcp", address, selfSigned("localhost"))
  : await listen("tcp", address);
go(async () => {
  for await (const conn of listener) go(echo, conn);
});
console.log(String(listener.addr));

for await (const line of createInterface(process.stdin)) {
  try {
    accessSync(`/coronet-mark-${line}`);
  } catch {
    // It is not there; the trace shows that it was asked for.
  }
  console.log(line);
}
await listener.close();
