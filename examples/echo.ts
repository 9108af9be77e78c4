// run: --port 0
// expect: hello came back
/**
 * echo.ts: the smallest server. Every connection has a goroutine of its own, which reads and writes
 * in straight-line code; thousands of them share one thread.
 *
 *   node dist/examples/echo.js                        shows itself with a client, and ends
 *   node dist/examples/echo.js --serve --port 2333    serves; try it: nc 127.0.0.1 2333
 */
import { parseArgs } from "node:util";
import { type Conn, dial, go, listen } from "coronet";

const { values } = parseArgs({
  options: { port: { type: "string", default: "0" }, serve: { type: "boolean", default: false } },
});

await using listener = await listen("tcp", `127.0.0.1:${values.port}`);
console.log(`listening on ${listener.addr}`);
if (values.serve) await serve();
else {
  go(serve);
  await visit();
}

async function serve() {
  for await (const conn of listener) go(echo, conn);
}

async function echo(conn: Conn) {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

async function visit() {
  await using conn = await dial("tcp", String(listener.addr));
  await conn.write("hello");
  const buffer = Buffer.alloc(64);
  const n = await conn.read(buffer);
  console.log(`${buffer.toString("utf8", 0, n ?? 0)} came back`);
}
