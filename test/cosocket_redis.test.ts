/** cosocket_redis.test.ts: a real redis-server behind a pool of connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ConnectOptions,
  closeIdle,
  connect,
  type PooledConn,
  type PoolStats,
  poolStats,
  WaitGroup,
} from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { lacksRedis, RedisServer } from "./redis_server.ts";

const COMMANDS = 100_000;
const CONNECTIONS = 16;
const GOROUTINES = 64;
/** A pair of SET and GET per key, so many keys per lease. */
const KEYS = 20;

const CRLF = "\r\n";

function command(...words: string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}${CRLF}${word}${CRLF}`);
  return `*${words.length}${CRLF}${parts.join("")}`;
}

/** Reads one answer: a status or a bulk string. */
async function answer(conn: PooledConn): Promise<string> {
  const line = (await conn.readLine()) as string;
  if (!line.startsWith("$")) return line;
  const length = Number(line.slice(1));
  const body = (await conn.readFull(length + 2)) as Uint8Array;
  return Buffer.from(body.subarray(0, length)).toString();
}

/** What is stored under a key: of any length, line ends and all. */
function stored(key: number): string {
  return `${key}\r\n${"ä".repeat(key % 300)}`;
}

async function worker(address: string, options: ConnectOptions, first: number): Promise<number> {
  let answers = 0;
  for (let key = first; key < COMMANDS / 2; key += GOROUTINES * KEYS) {
    await using conn = await connect(address, options);
    const keys = Array.from({ length: KEYS }, (_, i) => key + i).filter((k) => k < COMMANDS / 2);
    await conn.writev(
      keys.flatMap((k) => [command("SET", `k${k}`, stored(k)), command("GET", `k${k}`)]),
    );
    for (const k of keys) {
      assert.equal(await answer(conn), "+OK");
      assert.equal(await answer(conn), stored(k));
      answers += 2;
    }
    assert.equal(conn.setKeepalive(), true);
  }
  return answers;
}

test(
  `${COMMANDS} commands of ${GOROUTINES} goroutines over ${CONNECTIONS} connections, each answered right`,
  {
    skip: lacksRedis,
  },
  (t) =>
    withLeakCheck(t, async () => {
      await using redis = await RedisServer.start();
      const options = { poolSize: CONNECTIONS, backlog: GOROUTINES };
      const wg = new WaitGroup();
      let answers = 0;
      for (let i = 0; i < GOROUTINES; i++) {
        wg.go(async () => {
          const got = await worker(redis.address, options, i * KEYS);
          answers += got;
        });
      }
      await wg.wait();
      assert.equal(answers, COMMANDS);
      const stats = poolStats(redis.address)[0] as PoolStats;
      const { idle, live, waiting, hits, misses, ...none } = stats;
      assert.deepEqual([idle, live, waiting], [CONNECTIONS, CONNECTIONS, 0]);
      assert.deepEqual([misses, hits + misses], [CONNECTIONS, COMMANDS / 2 / KEYS]);
      assert.deepEqual([none.refused, none.closedByPeer, none.evicted, none.full], [0, 0, 0, 0]);
      assert.equal(closeIdle(redis.address), CONNECTIONS);
    }),
);

test(
  "a redis that goes away is noticed in the pool, and a new one is dialled",
  {
    skip: lacksRedis,
  },
  (t) =>
    withLeakCheck(t, async () => {
      let address: string;
      {
        await using redis = await RedisServer.start();
        address = redis.address;
        const conn = await connect(address);
        await conn.write(command("PING"));
        assert.equal(await answer(conn), "+PONG");
        conn.setKeepalive();
      }
      while (poolStats(address)[0]?.live !== 0) await new Promise((next) => setImmediate(next));
      await assert.rejects(connect(address), { code: "ENOENT" });
      assert.equal(poolStats(address)[0]?.closedByPeer, 1);
    }),
);
