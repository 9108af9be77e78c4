// run: --port 0
// expect: quick: tick tick tick
// expect: slow: too slow, goodbye
/**
 * deadline.ts: a server that does not wait for ever.
 *
 * A timeout starts anew with every read: it drops who falls silent. A deadline is a point in time: it
 * ends the whole conversation, however lively it is. A read that timed out leaves the connection
 * usable, so the server can still say why it hangs up.
 *
 *   node dist/examples/deadline.js                        shows itself with two clients, and ends
 *   node dist/examples/deadline.js --serve --port 2333    serves; try it and wait: nc 127.0.0.1 2333
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Conn, dial, go, listen, NetError } from "coronet";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    serve: { type: "boolean", default: false },
    silence: { type: "string", default: "1000" },
  },
});

await using listener = await listen("tcp", `127.0.0.1:${values.port}`);
console.log(`listening on ${listener.addr}`);
if (values.serve) await serve();
else {
  go(serve);
  await Promise.all([visit("quick", 3), visit("slow", 0)]);
}

async function serve() {
  for await (const conn of listener) go(echo, conn);
}

async function echo(conn: Conn) {
  await using _ = conn;
  conn.setTimeouts({ read: Number(values.silence) });
  conn.setDeadline(new Date(Date.now() + 60_000));
  try {
    for await (const chunk of conn) await conn.write(chunk);
  } catch (error) {
    if (!(error instanceof NetError && error.timeout)) throw error;
    await conn.write("too slow, goodbye");
  }
}

/** Says "tick" so many times, well within the timeout; then ends, or falls silent if it was none. */
async function visit(name: string, ticks: number) {
  await using conn = await dial("tcp", String(listener.addr));
  go(async () => {
    for (let i = 0; i < ticks; i++) {
      await conn.write("tick ");
      await sleep(20);
    }
    if (ticks > 0) await conn.closeWrite();
  });
  let heard = "";
  for await (const chunk of conn) heard += Buffer.from(chunk).toString();
  console.log(`${name}: ${heard}`);
}
