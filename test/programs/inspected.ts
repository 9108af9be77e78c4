/**
 * inspected.ts: a program that does a bit of everything, for the inspector to show.
 *
 * It prints the inspector's address, and takes lines: "connect N" opens N pairs of connections more,
 * "echo MS" measures an echo for so long and prints messages per second, "quit" ends it.
 */
import { createInterface } from "node:readline";
import { Worker } from "node:worker_threads";
import { inspect, setLabels, startDebugging } from "../../src/debug/index.ts";
import { Response, serve } from "../../src/http/index.ts";
import {
  Chan,
  type Conn,
  dial,
  go,
  listen,
  Mutex,
  RWMutex,
  Semaphore,
  sleep,
} from "../../src/index.ts";

const TOKEN = "a-token-of-the-tests-own";

await startDebugging({ signals: [], quit: false, locks: 0 });
const inspector = await inspect({ token: TOKEN });

const listener = await listen("tcp", "127.0.0.1:0");
const address = String(listener.addr);

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

async function acceptLoop(): Promise<void> {
  for await (const conn of listener) go(echo, conn);
}

go(acceptLoop);

const held: Conn[] = [];

async function idleClient(): Promise<void> {
  const conn = await dial("tcp", address);
  held.push(conn);
  await conn.read(new Uint8Array(16));
}

async function connect(pairs: number): Promise<void> {
  for (let left = pairs; left > 0; left -= 100) {
    const before = held.length;
    const batch = Math.min(100, left);
    for (let i = 0; i < batch; i++) go(idleClient);
    while (held.length < before + batch) await sleep(1);
  }
}

/** Some of everything, for pictures. */
async function busyClient(pause: number): Promise<void> {
  setLabels({ client: `every ${pause} ms` });
  await using conn = await dial("tcp", address);
  const message = new Uint8Array(200 + pause * 10);
  const answer = new Uint8Array(4096);
  for (;;) {
    await conn.write(message);
    await conn.read(answer);
    await sleep(pause);
  }
}

for (let i = 0; i < 24; i++) go(busyClient, 1 + (i % 6) * 7);

const jobs = new Chan<number>(64);

async function producer(): Promise<void> {
  for (let n = 0; ; n++) {
    await jobs.send(n);
    if (n % 8 === 0) await sleep(2);
  }
}

async function worker(): Promise<void> {
  for await (const job of jobs) await sleep(job % 3);
}

go(producer);
for (let i = 0; i < 3; i++) go(worker);

const results = new Chan<string>();

async function waitsForEver(): Promise<void> {
  await results.receive();
}

go(async function shortLived() {
  results.trySend("nobody is there yet");
  await sleep(1);
});
go(waitsForEver);

const [a, b, c] = [new Mutex(), new Mutex(), new Mutex()];

async function both(first: Mutex, second: Mutex): Promise<void> {
  using _ = await first.lock();
  await sleep(5);
  using __ = await second.lock();
}

go(both, a, b);
go(both, b, c);
go(both, c, a);

const places = new Semaphore(2);
const table = new RWMutex();

async function careful(): Promise<void> {
  for (;;) {
    using _ = await places.acquire();
    using __ = await table.rlock();
    await sleep(20);
  }
}

for (let i = 0; i < 5; i++) go(careful);

await using web = await serve("127.0.0.1:0", () => new Response("hello"));

async function browser(): Promise<void> {
  for (;;) {
    await (await fetch(`http://${web.addr}/`)).text();
    await sleep(10);
  }
}

go(browser);

const thread = new Worker(new URL("./inspected_thread.js", import.meta.url));
thread.unref();

async function measure(ms: number): Promise<number> {
  const conns = await Promise.all(Array.from({ length: 20 }, () => dial("tcp", address)));
  let messages = 0;
  const end = performance.now() + ms;
  const message = new Uint8Array(64);
  const clients = conns.map((conn) =>
    go(async function measured() {
      const answer = new Uint8Array(64);
      while (performance.now() < end) {
        await conn.write(message);
        await conn.read(answer);
        messages++;
      }
      await conn.close();
    }).join(),
  );
  await Promise.all(clients);
  return Math.round((messages * 1000) / ms);
}

console.log(inspector.url);

for await (const line of createInterface(process.stdin)) {
  const [command, number = "0"] = line.split(" ");
  if (command === "connect") {
    await connect(Number(number));
    console.log(`connected ${held.length}`);
  } else if (command === "echo") console.log(await measure(Number(number)));
  else process.exit(0);
}
