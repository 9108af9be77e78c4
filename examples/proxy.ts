// run: --port 0
// expect: 11 bytes, HELLO PROXY
/**
 * proxy.ts: passes TCP connections on to another address.
 *
 * Two goroutines per connection, one for each direction. The end of one direction is passed on as
 * just that, so a client may say "that was all" and still read its answer. Neither side can be
 * flooded: nothing is read before what was read last has been written. The bytes stay in the kernel.
 *
 *   node dist/examples/proxy.js                                            shows itself, and ends
 *   node dist/examples/proxy.js --serve --port 8080 --to example.com:80    passes connections on
 */
import { parseArgs } from "node:util";
import { type Conn, copy, dial, go, type Listener, listen, NetError, readAll } from "coronet";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    to: { type: "string", default: "127.0.0.1:2333" },
    serve: { type: "boolean", default: false },
  },
});

await using listener = await listen("tcp", `127.0.0.1:${values.port}`);
console.log(`listening on ${listener.addr}`);
if (values.serve) await serve(listener, values.to);
else {
  await using upstream = await listen("tcp", "127.0.0.1:0");
  go(serveUpperCase, upstream);
  go(serve, listener, String(upstream.addr));
  await visit();
}

async function serve(from: Listener, target: string) {
  for await (const client of from) go(proxy, client, target);
}

async function proxy(client: Conn, target: string) {
  await using _ = client;
  try {
    await using upstream = await dial("tcp", target, { timeout: 5000 });
    const answer = go(pass, upstream, client);
    await pass(client, upstream);
    await answer.join();
  } catch (error) {
    if (!(error instanceof NetError)) throw error;
    console.error(`${client.remoteAddr}: ${error.message}`);
  }
}

/** One direction: all that comes from the one goes to the other, and then its end. */
async function pass(from: Conn, to: Conn) {
  await copy(to, from);
  await to.closeWrite();
}

/** A server that answers only when it has heard everything. */
async function serveUpperCase(upstream: Listener) {
  for await (const conn of upstream) {
    const text = await readText(conn);
    await conn.write(`${text.length} bytes, ${text.toUpperCase()}`);
    await conn.close();
  }
}

async function readText(conn: Conn) {
  return Buffer.from(await readAll(conn)).toString("latin1");
}

async function visit() {
  await using conn = await dial("tcp", String(listener.addr));
  await conn.write("hello proxy");
  await conn.closeWrite();
  console.log(await readText(conn));
}
