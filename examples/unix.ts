// run:
// expect: 20 clients, 20 different tickets, the last is 20
// expect: the socket file is gone
/**
 * unix.ts: a ticket counter for the programs of one machine, on a unix socket.
 *
 * Whoever connects gets the next number. No lock is needed: goroutines share one thread, and none is
 * interrupted between two awaits. The listener removes its file when it is closed.
 *
 *   node dist/examples/unix.js                                  shows itself, and ends
 *   node dist/examples/unix.js --serve --path /tmp/t.sock       serves; try it: nc -U /tmp/t.sock
 *   node dist/examples/unix.js --serve --path @tickets          the same without a file (Linux)
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Conn, dial, go, type Listener, listen } from "coronet";

const { values } = parseArgs({
  options: { path: { type: "string" }, serve: { type: "boolean", default: false } },
});

let last = 0;

if (values.serve) {
  await using listener = await listen("unix", values.path ?? "@tickets");
  console.log(`listening on ${listener.addr}`);
  await serve(listener);
} else {
  const folder = mkdtempSync(join(tmpdir(), "tickets-"));
  const path = values.path ?? join(folder, "tickets.sock");
  await visit(path);
  console.log(`the socket file is ${existsSync(path) ? "still there" : "gone"}`);
  rmSync(folder, { recursive: true });
}

async function serve(listener: Listener) {
  for await (const conn of listener) go(issue, conn);
}

async function issue(conn: Conn) {
  await using _ = conn;
  await conn.write(`${++last}\n`);
}

async function visit(path: string) {
  await using listener = await listen("unix", path);
  go(serve, listener);
  const clients = Array.from({ length: 20 }, () => go(draw, path));
  const tickets = await Promise.all(clients.map((client) => client.join()));
  const different = new Set(tickets).size;
  const most = Math.max(...tickets);
  console.log(`${clients.length} clients, ${different} different tickets, the last is ${most}`);
}

async function draw(path: string) {
  await using conn = await dial("unix", path);
  let text = "";
  for await (const chunk of conn) text += Buffer.from(chunk).toString();
  return Number(text);
}
