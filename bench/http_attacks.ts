// What clients that mean harm cost everybody else: `node dist/bench/http_attacks.js [seconds]`.
//
// The victim (test/programs/http_victim.ts) has a core; the attacker and a well-behaved client share the other.
// That client asks on eight connections, first alone, then beside each attack of testing/http_attacks.ts, so
// its p99 is that of a busy server and holds what the attacker takes of the client's own core. What the
// server holds is its heap and buffers after a collection, before and after.
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ATTACKS, type Attack } from "../testing/http_attacks.ts";
import { killChildrenAtExit, placement, start, stop } from "./children.ts";
import { generate } from "./generator.ts";
import { rootDir } from "./paths.ts";

const self = fileURLToPath(import.meta.url);
const places = placement();

interface Report {
  held: number;
  rss: number;
  connections: number;
}

async function attackUntil(name: string, port: number, count: number, end: number): Promise<void> {
  const attack = ATTACKS.find((other) => other.name === name);
  if (attack === undefined) throw new Error(`no attack is called ${name}`);
  let rounds = 0;
  let last = "";
  do {
    last = JSON.stringify((await attack.run(port, count)).statuses);
    rounds++;
  } while (Date.now() < end);
  console.log(`${rounds} × ${last}`);
}

async function firstLine(child: ReturnType<typeof start>): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) return line;
  return "";
}

async function report(port: number): Promise<Report> {
  const answer = await fetch(`http://127.0.0.1:${port}/report`);
  return (await answer.json()) as Report;
}

/** Once the connections of an attack have gone. */
async function settled(port: number): Promise<Report> {
  for (let i = 0; ; i++) {
    const now = await report(port);
    if (now.connections <= 2 || i === 100) return now;
    await delay(200);
  }
}

async function latency(port: number, pid: number, seconds: number): Promise<number> {
  const options = { addr: `127.0.0.1:${port}`, conns: 8, request: "hello", seconds, warmup: 0.3 };
  const { latency } = await generate("http", places.generator, { ...options, "server-pid": pid });
  return latency.p99;
}

async function measure(attack: Attack, port: number, pid: number, seconds: number): Promise<void> {
  const earlier = await settled(port);
  const alone = await latency(port, pid, seconds);
  const end = Date.now() + (seconds + 0.6) * 1000;
  const command = [process.execPath, self, "--attack", attack.name, `${port}`, `${attack.many}`];
  const env = { CORONET_ATTACK_MS: "1000" };
  const attacker = start([...command, `${end}`], { core: places.generator, env });
  const told = firstLine(attacker);
  await delay(300);
  const beside = await latency(port, pid, seconds);
  const outcome = await told;
  await stop(attacker);
  const later = await settled(port);
  const grown = ((later.held - earlier.held) / 1024 / 1024).toFixed(1);
  const rss = ((later.rss - earlier.rss) / 1024 / 1024).toFixed(1);
  const ratio = (beside / alone).toFixed(2);
  stdout.write(
    `| ${attack.name} | ${attack.many.toLocaleString("en-US")} | ${alone.toFixed(0)} | ${beside.toFixed(0)} | ${ratio} | ${grown} | ${rss} | ${outcome} |\n`,
  );
}

async function main(seconds: number): Promise<void> {
  killChildrenAtExit();
  stdout.write(
    "| attack | count | p99 alone, µs | beside it | ratio | held, MB more | RSS, MB more | told |\n",
  );
  stdout.write("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  const program = join(rootDir, "dist", "test", "programs", "http_victim.js");
  const command = [process.execPath, "--expose-gc", program];
  const server = start([...command, JSON.stringify({ write: 5_000, idle: 5_000 })], {
    core: places.server,
  });
  const port = Number(/\d+/.exec(await firstLine(server))?.[0]);
  await latency(port, server.pid!, 1);
  for (const attack of ATTACKS) await measure(attack, port, server.pid!, seconds);
  await stop(server);
}

const [, , mode, name = "", port, count, end] = argv;
if (mode === "--attack") await attackUntil(name, Number(port), Number(count), Number(end));
else await main(Number(mode ?? 3));
