// run:
// expect: 1000 increments by 50 goroutines over 4 connections: 1000
/**
 * redis.ts: a Redis client in forty lines: a connection out of the pool for every command, and back.
 *
 * The pool is bounded. Fifty goroutines share four connections; the others wait in line. A command that
 * fails leaves its scope before the connection was given back, so the connection is closed: what is left
 * of its answer can reach nobody else.
 *
 *   node dist/examples/redis.js                          against a small imitation of Redis
 *   node dist/examples/redis.js --redis 127.0.0.1:6379   against yours (the key is coronet:example)
 */
import { parseArgs } from "node:util";
import {
  BufReader,
  type Conn,
  closeIdle,
  connect,
  go,
  type Listener,
  listen,
  type PooledConn,
  poolStats,
  WaitGroup,
} from "coronet";

const { values } = parseArgs({ options: { redis: { type: "string" } } });

class Redis {
  readonly address: string;

  constructor(address: string) {
    this.address = address;
  }

  async command(...words: string[]): Promise<string | null> {
    await using conn = await connect(this.address, { poolSize: 4, backlog: 100, timeout: 5000 });
    conn.setTimeouts({ read: 1000 });
    await conn.write(encode(words));
    const answer = await decode(conn);
    conn.setKeepalive();
    return answer;
  }
}

/** An array of bulk strings. */
function encode(words: readonly string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join("")}`;
}

/** A status, a number, or a string of known length. */
async function decode(conn: PooledConn): Promise<string | null> {
  const line = (await conn.readLine()) ?? "-the server has closed the connection";
  if (line.startsWith("-")) throw new Error(line.slice(1));
  if (!line.startsWith("$")) return line.slice(1);
  const length = Number(line.slice(1));
  if (length < 0) return null;
  const body = Buffer.from((await conn.readFull(length + 2)) ?? []);
  return body.toString("utf8", 0, length);
}

await using imitation = await listen("tcp", "127.0.0.1:0");
go(serve, imitation);

const redis = new Redis(values.redis ?? String(imitation.addr));
await redis.command("DEL", "coronet:example");
const wg = new WaitGroup();
for (let i = 0; i < 50; i++) {
  wg.go(async () => {
    for (let n = 0; n < 20; n++) await redis.command("INCR", "coronet:example");
  });
}
await wg.wait();
const [stats] = poolStats(redis.address);
const total = await redis.command("GET", "coronet:example");
closeIdle(redis.address);
console.log(`1000 increments by 50 goroutines over ${stats?.live} connections: ${total}`);

/** DEL, INCR and GET. */
async function serve(listener: Listener) {
  const store = new Map<string, number>();
  for await (const conn of listener) go(answer, conn, store);
}

async function answer(conn: Conn, store: Map<string, number>) {
  await using _ = conn;
  const reader = new BufReader(conn);
  for (let head = await reader.readLine(); head !== null; head = await reader.readLine()) {
    const words: string[] = [];
    for (let left = Number(head.slice(1)); left > 0; left--) {
      await reader.readLine();
      words.push((await reader.readLine()) ?? "");
    }
    const [name, key = ""] = words;
    const value = store.get(key) ?? 0;
    if (name === "INCR") store.set(key, value + 1);
    if (name === "DEL") store.delete(key);
    await conn.write(name === "GET" ? `$${`${value}`.length}\r\n${value}\r\n` : `:${value}\r\n`);
  }
}
