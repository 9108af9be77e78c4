// run: --port 0
// expect: 12 jobs done by 3 workers, never more than 3 at once
/**
 * workers.ts: a pool of workers, without a queue.
 *
 * Several goroutines accept from one listener, and each serves its connection before it accepts the
 * next. So there is never more work in progress than there are workers: whoever comes then waits in
 * the kernel, at no cost to this process.
 *
 *   node dist/examples/workers.js                                    shows itself, and ends
 *   node dist/examples/workers.js --serve --port 2333 --workers 8    serves; try: nc 127.0.0.1 2333
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Conn, dial, go, listen } from "coronet";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    workers: { type: "string", default: "3" },
    serve: { type: "boolean", default: false },
  },
});

let busy = 0;
let mostBusy = 0;

await using listener = await listen("tcp", `127.0.0.1:${values.port}`);
console.log(`listening on ${listener.addr}`);
const pool = Array.from({ length: Number(values.workers) }, (_, i) =>
  go(worker, `worker ${i + 1}`),
);
if (!values.serve) await visit(12);
await Promise.all(pool.map((each) => each.join()));

async function worker(name: string) {
  for await (const conn of listener) {
    mostBusy = Math.max(mostBusy, ++busy);
    await work(name, conn);
    busy--;
  }
}

async function work(name: string, conn: Conn) {
  await using _ = conn;
  try {
    await sleep(20); // what takes long: a query, a file, another server
    await conn.write(`${name} was here\n`);
  } catch {
    // The client has gone: the next one is waiting.
  }
}

async function visit(jobs: number) {
  const clients = Array.from({ length: jobs }, () => go(request));
  const answers = await Promise.all(clients.map((client) => client.join()));
  const workers = new Set(answers).size;
  console.log(`${jobs} jobs done by ${workers} workers, never more than ${mostBusy} at once`);
  await listener.close();
}

async function request() {
  await using conn = await dial("tcp", String(listener.addr));
  let text = "";
  for await (const chunk of conn) text += Buffer.from(chunk).toString();
  return text;
}
