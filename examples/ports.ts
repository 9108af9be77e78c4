// run:
// expect: 2 of 6 ports are open
/**
 * ports.ts: which ports of a machine are open?
 *
 * A few goroutines take ports from one shared iterator until it is empty: as many dials are under way
 * as there are goroutines. join() gives back what a goroutine returned.
 *
 *   node dist/examples/ports.js                                       opens two, and looks for them
 *   node dist/examples/ports.js --host 127.0.0.1 --from 1 --to 10000
 */
import { parseArgs } from "node:util";
import { dial, go, listen, NetError, type TCPAddr } from "coronet";

const { values } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    from: { type: "string" },
    to: { type: "string" },
    dials: { type: "string", default: "50" },
  },
});

if (values.from !== undefined) {
  const first = Number(values.from);
  await look(first, Number(values.to ?? first));
} else {
  await visit();
}

async function look(first: number, last: number) {
  const ports = range(first, last);
  const searchers = Array.from({ length: Number(values.dials) }, () => go(search, ports));
  const found = await Promise.all(searchers.map((searcher) => searcher.join()));
  report(found.flat(), last - first + 1);
}

function* range(first: number, last: number) {
  for (let port = first; port <= last; port++) yield port;
}

async function search(ports: Iterable<number>) {
  const open: number[] = [];
  for (const port of ports) if (await isOpen(port)) open.push(port);
  return open;
}

async function isOpen(port: number) {
  try {
    await using _ = await dial("tcp", `${values.host}:${port}`, { timeout: 1000 });
    return true;
  } catch (error) {
    if (error instanceof NetError) return false; // refused, or no answer in time
    throw error;
  }
}

function report(open: number[], all: number) {
  for (const port of open.sort((a, b) => a - b)) console.log(`${values.host}:${port}`);
  console.log(`${open.length} of ${all} ports are open`);
}

/** Six ports, two of which are listened on. */
async function visit() {
  const listeners = await Promise.all(
    Array.from({ length: 6 }, () => listen("tcp", `${values.host}:0`)),
  );
  const ports = listeners.map(({ addr }) => (addr as TCPAddr).port);
  for (const listener of listeners.slice(2)) await listener.close();
  report(await go(search, ports).join(), ports.length);
  for (const listener of listeners) await listener.close();
}
