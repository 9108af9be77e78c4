// run: --port 0
// expect: 4 connections accepted, 4 transferred
/**
 * threads.ts: two reactor threads on one port. Each connection is accepted by one and moved, alive, to
 * the other.
 *
 *   node dist/examples/threads.js                        shows itself, and ends
 *   node dist/examples/threads.js --serve --port 2333    serves; try: nc 127.0.0.1 2333
 */
import { parseArgs } from "node:util";
import { dial, startThreads } from "coronet";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    serve: { type: "boolean", default: false },
  },
});

const threads = await startThreads({
  threads: 2,
  module: new URL("./threads_handler.js", import.meta.url),
  listen: ["tcp", `127.0.0.1:${values.port}`],
});
console.log(`listening on ${threads.addr}`);

if (!values.serve) {
  for (let i = 0; i < 4; i++) await visit(`visitor ${i}`);
  // A transfer counts when its source has learnt that it was taken: that is a moment after the visitor
  // has the answer, and certain when the threads have ended.
  await threads.close();
  const { accepted, transferred } = threads.stats();
  console.log(`${accepted} connections accepted, ${transferred} transferred`);
}

async function visit(name: string) {
  await using conn = await dial("tcp", String(threads.addr));
  await conn.write(name);
  await conn.closeWrite();
  let text = "";
  for await (const chunk of conn) text += Buffer.from(chunk).toString();
  console.log(text);
}
