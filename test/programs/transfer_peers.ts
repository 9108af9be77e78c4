/**
 * Peers of connections that are moved from thread to thread: each sends bytes that only it sends, and
 * compares every byte that comes back. Arguments: address, connections, bytes of each.
 */
import { type Conn, dial, go } from "../../src/index.ts";
import { Random } from "../../src/internal/random.ts";
import { assertSameBytes, pattern, pieces, readAll } from "../../testing/support.ts";

const [address = "", count = "1", size = "1"] = process.argv.slice(2);
/** Connections that are made at once. */
const BATCH = 200;

async function send(conn: Conn, bytes: Uint8Array, random: Random): Promise<void> {
  await conn.write("wander\n");
  for (const piece of pieces(bytes, random, 3000)) await conn.write(piece);
  await conn.closeWrite();
}

async function check(conn: Conn, number: number): Promise<void> {
  const bytes = pattern(Number(size), number);
  const sending = go(send, conn, bytes, new Random(number + 1));
  assertSameBytes(await readAll(conn), bytes);
  await sending.join();
  await conn.close();
}

const conns: Conn[] = [];
while (conns.length < Number(count)) {
  const left = Math.min(BATCH, Number(count) - conns.length);
  conns.push(...(await Promise.all(Array.from({ length: left }, () => dial("tcp", address)))));
}
await Promise.all(conns.map((conn, number) => go(check, conn, number).join()));
console.log(`${conns.length} intact`);
