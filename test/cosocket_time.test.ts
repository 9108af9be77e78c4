/**
 * cosocket_time.test.ts: the times of a connection pool, exact to the millisecond: idle connections,
 * waits for a place, timeouts per operation.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Conn,
  closeIdle,
  connect,
  go,
  type Listener,
  listen,
  type PoolStats,
  poolStats,
  sleep,
} from "../src/index.ts";
import { bubble } from "../testing/bubble.ts";
import { failure } from "../testing/support.ts";

const ADDRESS = "10.0.0.1:6379";

function stats(): PoolStats {
  return poolStats(ADDRESS)[0] as PoolStats;
}

/** Accepts connections and does what it is told with each, until the listener is closed. */
async function serve(listener: Listener, handle: (conn: Conn) => Promise<void>): Promise<void> {
  for await (const conn of listener) go(handle, conn);
}

/** Runs a test beside a server; both are over when the test is. */
function besideServer(
  handle: (conn: Conn) => Promise<void>,
  body: (elapsed: () => number) => Promise<void>,
): Promise<void> {
  return bubble(async (b) => {
    await using listener = await listen("tcp", ADDRESS);
    go(serve, listener, handle);
    await body(() => b.elapsed);
    closeIdle();
  });
}

/** Reads until its peer closes. */
async function drain(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const _chunk of conn);
}

test("an idle connection is closed after a minute", () =>
  besideServer(drain, async () => {
    (await connect(ADDRESS)).setKeepalive();
    await sleep(59_999);
    assert.equal(stats().idle, 1);
    await sleep(1);
    assert.deepEqual([stats().idle, stats().live, stats().expired], [0, 0, 1]);
  }));

test("an idle connection's time may be given when it is dialled or when it goes back", () =>
  besideServer(drain, async () => {
    const conns = [
      await connect(ADDRESS, { idleTimeout: 300 }),
      await connect(ADDRESS, { idleTimeout: 100 }),
      await connect(ADDRESS, { idleTimeout: 100 }),
      await connect(ADDRESS),
      await connect(ADDRESS, { idleTimeout: 300 }),
    ];
    const [a, b, c, d, e] = conns as [Conn & (typeof conns)[number], ...typeof conns];
    a.setKeepalive();
    b?.setKeepalive();
    c?.setKeepalive({ idleTimeout: 200 });
    d?.setKeepalive({ idleTimeout: null });
    e?.setKeepalive();
    const idle = [];
    for (let ms = 50; ms < 400; ms += 100) {
      await sleep(ms === 50 ? 50 : 100);
      idle.push(stats().idle);
    }
    assert.deepEqual(idle, [5, 4, 3, 1]);
    await sleep(86_400_000);
    assert.equal(stats().idle, 1);
  }));

test("a connection that is used and given back begins a new idle time", () =>
  besideServer(drain, async () => {
    (await connect(ADDRESS, { idleTimeout: 100 })).setKeepalive();
    for (let i = 0; i < 5; i++) {
      await sleep(99);
      const conn = await connect(ADDRESS, { idleTimeout: 100 });
      assert.equal(conn.reusedTimes, i + 1);
      conn.setKeepalive();
    }
    await sleep(100);
    assert.deepEqual([stats().live, stats().expired], [0, 1]);
  }));

test("who waits for a place waits as long as its connect timeout, and no longer", () =>
  besideServer(drain, async (elapsed) => {
    const options = { poolSize: 1, backlog: 5 };
    await using conn = await connect(ADDRESS, options);
    const error = await failure(connect(ADDRESS, { ...options, timeout: 250 }), "ERR_DEADLINE");
    assert.equal(error.timeout, true);
    assert.equal(elapsed(), 250);
    assert.deepEqual([stats().waiting, stats().live, conn.reusedTimes], [0, 1, 0]);
  }));

test("the time spent waiting for a place counts for the dial that follows", () =>
  bubble(async (b) => {
    await using _listener = await listen("tcp", ADDRESS);
    const options = { pool: ADDRESS, poolSize: 1, backlog: 5, timeout: 300 };
    const first = await connect(ADDRESS, options);
    const never = { lookupHost: () => new Promise<string[]>(() => {}) };
    const second = connect("name:1", { ...options, resolver: never });
    await sleep(200);
    await first.close();
    await failure(second, "ERR_DEADLINE");
    assert.equal(b.elapsed, 300);
    assert.deepEqual([stats().waiting, stats().live], [0, 0]);
  }));

test("a read timeout begins anew with every read, and leaves the connection usable", () =>
  besideServer(
    async (conn) => {
      await using _ = conn;
      for (const text of ["a\n", "b\n", "c\n", "half"]) {
        await sleep(90);
        await conn.write(text);
      }
      await sleep(200);
      await conn.write(" and half\n");
      for await (const _chunk of conn);
    },
    async (elapsed) => {
      await using conn = await connect(ADDRESS);
      conn.setTimeouts({ read: 100 });
      for (const line of ["a", "b", "c"]) assert.equal(await conn.readLine(), line);
      const error = (await failure(conn.readLine(), "ERR_DEADLINE")) as { partial?: Uint8Array };
      assert.equal(elapsed(), 360 + 100);
      assert.equal(String(Buffer.from(error.partial as Uint8Array)), "half");
      conn.setTimeouts({ read: 1000 });
      assert.equal(await conn.readLine(), " and half");
      assert.equal(conn.setKeepalive(), true);
      const next = await connect(ADDRESS);
      assert.equal(next.reusedTimes, 1);
      await next.close();
    },
  ));

test("a timeout of 0 or less is an error, not the absence of one", () =>
  besideServer(drain, async () => {
    await using conn = await connect(ADDRESS);
    for (const ms of [0, -1, Number.NaN]) {
      assert.throws(() => conn.setTimeouts({ read: ms }), RangeError);
      assert.throws(() => conn.setTimeouts({ write: ms }), RangeError);
      assert.throws(() => conn.setTimeouts({ connect: ms }), RangeError);
    }
    conn.setTimeouts({ connect: 1, read: 1, write: 1 });
  }));
