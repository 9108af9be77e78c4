// run: --port 0
// expect: 4 words, the longest has 5
// expect: reloaded: generation 2
/**
 * server.ts: a server with supervised workers that takes lines, is reloaded while it serves, and ends.
 *
 *   node dist/examples/server.js                        shows itself with a client, and ends
 *   node dist/examples/server.js --serve --port 2333    serves; try it: nc 127.0.0.1 2333
 */
import { parseArgs } from "node:util";
import { createServer, delimited, dial } from "coronet";

const { values } = parseArgs({
  options: { port: { type: "string", default: "0" }, serve: { type: "boolean", default: false } },
});

const lines = { delimiter: "\n", maxLength: 1000 };

await using server = await createServer({
  module: new URL("./server_handler.js", import.meta.url),
  listen: [["tcp", `127.0.0.1:${values.port}`]],
  workers: 2,
  framing: lines,
  heartbeat: { idle: 60_000 },
});
console.log(`listening on ${server.addrs[0]}`);
if (values.serve) await server.closed;
else {
  await ask("how long are words");
  await server.reload();
  console.log(`reloaded: generation ${(await server.stats()).generation}`);
  await ask("still here");
  const { accepted, requests } = await server.stats();
  console.log(`${accepted} connections, ${requests} requests`);
}

async function ask(question: string): Promise<void> {
  await using conn = await dial("tcp", String(server.addrs[0]));
  const peer = delimited(lines)(conn);
  await peer.write(question);
  console.log(String(Buffer.from((await peer.read()) ?? [])));
}
