/**
 * cosocket_pool.test.ts: what OpenResty's programmers rely on in a pool of connections, fact by fact,
 * over real TCP and unix sockets.
 */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import {
  type Conn,
  type ConnectOptions,
  closeIdle,
  connect,
  type Listener,
  listen,
  type PooledConn,
  type PoolStats,
  poolStats,
  type Resolver,
} from "../src/index.ts";
import { abstractName, resetTCP, socketFolder } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure, nextChunk, readAll, staysPending, thrown } from "../testing/support.ts";

/** A listener, the connections that it accepted in their order, and a pool of that address. */
class Server {
  readonly listener: Listener;
  readonly address: string;

  constructor(listener: Listener) {
    this.listener = listener;
    this.address = String(listener.addr);
  }

  get stats(): PoolStats {
    return poolStats(this.address)[0] as PoolStats;
  }

  /** A new connection of the pool and its other end. */
  async open(options: ConnectOptions = {}): Promise<[PooledConn, Conn]> {
    const [conn, peer] = await Promise.all([
      connect(this.address, options),
      this.listener.accept(),
    ]);
    return [conn, peer];
  }
}

const NETWORKS = ["tcp4", "unix", "unix abstract"] as const;
type Network = (typeof NETWORKS)[number];

async function withServer(
  t: TestContext,
  network: Network,
  body: (server: Server) => Promise<void>,
): Promise<void> {
  await withLeakCheck(t, async () => {
    await using folder = await socketFolder();
    const address =
      network === "tcp4" ? "127.0.0.1:0" : network === "unix" ? folder.path("s") : abstractName();
    await using listener = await listen(network === "tcp4" ? "tcp4" : "unix", address);
    const server = new Server(listener);
    try {
      await body(server);
    } finally {
      closeIdle(server.address);
    }
  });
}

/** Waits until the pool has noticed something. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function closeAll(...conns: Conn[]): Promise<void> {
  for (const conn of conns) await conn.close();
}

for (const network of NETWORKS) {
  const fact = (name: string, body: (server: Server) => Promise<void>): void => {
    test(name, (t) => withServer(t, network, body));
  };

  describe(`a pool of connections, ${network}`, () => {
    fact("a connection that was given back serves the next caller", async (server) => {
      const [first, peer] = await server.open();
      assert.equal(first.reusedTimes, 0);
      assert.equal(first.setKeepalive(), true);
      for (let times = 1; times <= 3; times++) {
        const conn = await connect(server.address);
        assert.equal(conn.reusedTimes, times);
        await conn.write("who?");
        assert.equal(String(Buffer.from((await nextChunk(peer)) as Uint8Array)), "who?");
        await peer.write("me\r\n");
        assert.equal(await conn.readLine(), "me");
        conn.setKeepalive();
      }
      const { idle, live, hits, misses } = server.stats;
      assert.deepEqual({ idle, live, hits, misses }, { idle: 1, live: 1, hits: 3, misses: 1 });
      await peer.close();
    });

    fact("the connection that was used last is given out first", async (server) => {
      const opened = [await server.open(), await server.open(), await server.open()];
      for (const [conn] of opened) conn.setKeepalive();
      const again = [
        await connect(server.address),
        await connect(server.address),
        await connect(server.address),
      ];
      for (const [i, conn] of again.entries()) await conn.write(`${i}`);
      const seen = await Promise.all(
        opened.map(async ([, peer]) => Number(Buffer.from((await nextChunk(peer)) as Uint8Array))),
      );
      assert.deepEqual(seen, [2, 1, 0]);
      await closeAll(...again, ...opened.map(([, peer]) => peer));
    });

    fact("beyond poolSize the least recently used connection is closed", async (server) => {
      const opened = [];
      for (let i = 0; i < 3; i++) opened.push(await server.open({ poolSize: 2 }));
      for (const [conn] of opened) conn.setKeepalive();
      const [oldest, ...others] = opened.map(([, peer]) => peer) as [Conn, Conn, Conn];
      assert.equal(await nextChunk(oldest), null);
      for (const peer of others) assert.ok(await staysPending(peer.waitReadable()));
      assert.equal(server.stats.evicted, 1);
      assert.equal(server.stats.idle, 2);
      await closeAll(oldest, ...others);
    });

    fact("30 connections are kept unless another number is given", async (server) => {
      const opened = [];
      for (let i = 0; i < 31; i++) opened.push(await server.open());
      for (const [conn] of opened) conn.setKeepalive();
      assert.equal(server.stats.idle, 30);
      await closeAll(...opened.map(([, peer]) => peer));
    });

    fact("a pooled connection on which bytes arrive is closed", async (server) => {
      const [conn, peer] = await server.open();
      conn.setKeepalive();
      await peer.write("surprise");
      await until(() => server.stats.live === 0);
      assert.equal(server.stats.closedByPeer, 1);
      await peer.close();
    });

    fact("a pooled connection whose peer closes is closed", async (server) => {
      const [conn, peer] = await server.open();
      conn.setKeepalive();
      await peer.close();
      await until(() => server.stats.live === 0);
      assert.equal(server.stats.closedByPeer, 1);
    });

    fact("what has only just arrived keeps a connection from being given out", async (server) => {
      const [conn, peer] = await server.open();
      conn.setKeepalive();
      // In the same turn: the poller has had no chance to look.
      void peer.write("surprise");
      const next = connect(server.address);
      assert.equal(server.stats.closedByPeer, 1);
      assert.equal((await next).reusedTimes, 0);
      await closeAll(await next, await server.listener.accept(), peer);
    });

    fact("a connection with bytes read ahead is refused until they are read", async (server) => {
      const [conn, peer] = await server.open();
      await peer.write("one\ntwo\n");
      assert.equal(await conn.readLine(), "one");
      const error = await thrown(() => conn.setKeepalive(), "ERR_NOT_REUSABLE");
      assert.match(error.message, /4 bytes .* unread/);
      assert.equal(await conn.readLine(), "two");
      assert.equal(conn.setKeepalive(), true);
      assert.equal(server.stats.refused, 1);
      await peer.close();
    });

    fact("a connection with bytes in the kernel is refused until they are read", async (server) => {
      const [conn, peer] = await server.open();
      void peer.write("x");
      await thrown(() => conn.setKeepalive(), "ERR_NOT_REUSABLE");
      assert.equal(await conn.read(new Uint8Array(9)), 1);
      assert.equal(conn.setKeepalive(), true);
      await peer.close();
    });

    fact("a connection on which somebody waits is refused", async (server) => {
      const [conn, peer] = await server.open();
      for (const wait of [() => conn.read(new Uint8Array(9)), () => conn.readLine()]) {
        const waiting = wait();
        const error = await thrown(() => conn.setKeepalive(), "ERR_NOT_REUSABLE");
        assert.match(error.message, /under way/);
        await peer.write("\n");
        await waiting;
      }
      assert.equal(conn.setKeepalive(), true);
      await peer.close();
    });

    fact("a connection with one direction closed is refused", async (server) => {
      const [conn, peer] = await server.open();
      await conn.closeWrite();
      await thrown(() => conn.setKeepalive(), "ERR_NOT_REUSABLE");
      await closeAll(conn, peer);
      assert.equal(server.stats.live, 0);
    });

    fact("a connection whose peer has closed is closed instead of kept", async (server) => {
      const [conn, peer] = await server.open();
      await peer.close();
      assert.equal(conn.setKeepalive(), false);
      await failure(conn.write("x"), "ERR_CLOSED");
      assert.deepEqual([server.stats.live, server.stats.refused], [0, 1]);
    });

    fact("who has given a connection back can do nothing with it any more", async (server) => {
      const [conn, peer] = await server.open();
      const iterator = conn[Symbol.asyncIterator]();
      const pieces = conn.until("!");
      const { readable, writable } = conn;
      await peer.write("a!");
      assert.equal(String(await conn.readUntil("!")), "97");
      conn.setKeepalive();
      const p = new Uint8Array(1);
      const uses = [
        () => conn.read(p),
        () => conn.readLine(),
        () => conn.readFull(1),
        () => conn.readAtMost(1),
        () => conn.readAll(),
        () => conn.readUntil("x"),
        () => conn.waitReadable(),
        () => conn.write("x"),
        () => conn.writev(["x"]),
        () => conn.closeRead(),
        () => conn.closeWrite(),
        () => iterator.next(),
        () => pieces.read(p),
        () => readable.getReader().read(),
        () => writable.getWriter().write(p),
      ];
      for (const use of uses) {
        const error = await failure(use(), "ERR_CLOSED");
        assert.match(error.message, /given back to its pool/);
      }
      const settings = [
        () => conn.setKeepalive(),
        () => conn.setDeadline(null),
        () => conn.setTimeouts({ read: 1 }),
        () => conn.ref(),
      ];
      for (const set of settings) await thrown(set, "ERR_CLOSED");
      await conn.close();
      assert.equal(server.stats.idle, 1);
      assert.match(String(conn.remoteAddr), /./);
      await peer.close();
    });

    fact("leaving the scope closes a connection, unless it was given back", async (server) => {
      {
        const [opened, peer] = await server.open();
        await using _ = opened;
        await peer.close();
      }
      assert.equal(server.stats.live, 0);
      const [opened, peer] = await server.open();
      {
        await using conn = opened;
        conn.setKeepalive();
      }
      assert.equal(server.stats.idle, 1);
      await peer.close();
    });

    fact("a user's deadlines, timeouts and unref end with his use", async (server) => {
      const [conn, peer] = await server.open();
      conn.setDeadline(new Date(0));
      conn.setTimeouts({ read: 1, write: 1, idle: 1 });
      conn.unref();
      conn.setKeepalive();
      const next = await connect(server.address);
      assert.equal(await next.write("x"), 1);
      const reading = next.read(new Uint8Array(1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await peer.write("y");
      assert.equal(await reading, 1);
      await closeAll(next, peer);
    });

    fact("those beyond the bound wait, and are served in their order", async (server) => {
      const options = { poolSize: 2, backlog: 10 };
      const [a, b] = [await server.open(options), await server.open(options)];
      const order: number[] = [];
      const waiting = [0, 1, 2, 3].map(async (i) => {
        const conn = await connect(server.address, options);
        order.push(i);
        conn.setKeepalive();
      });
      assert.ok(await staysPending(Promise.race(waiting)));
      assert.equal(server.stats.waiting, 4);
      assert.equal(server.stats.live, 2);
      a[0].setKeepalive();
      await Promise.all(waiting);
      assert.deepEqual(order, [0, 1, 2, 3]);
      assert.deepEqual([server.stats.misses, server.stats.hits], [2, 4]);
      await closeAll(b[0], a[1], b[1]);
    });

    fact("a connection that is closed makes room for one who waits", async (server) => {
      const options = { poolSize: 1, backlog: 1 };
      const [conn, peer] = await server.open(options);
      const waiting = connect(server.address, options);
      await conn.close();
      assert.equal((await waiting).reusedTimes, 0);
      assert.equal(server.stats.live, 1);
      await closeAll(await waiting, peer, await server.listener.accept());
    });

    fact("beyond the backlog connect fails at once", async (server) => {
      const options = { poolSize: 1, backlog: 1 };
      const [conn, peer] = await server.open(options);
      const waiting = connect(server.address, options);
      const error = await failure(connect(server.address, options), "ERR_POOL_FULL");
      assert.match(error.message, /1 connections in use and 1 callers waiting/);
      assert.equal(server.stats.full, 1);
      conn.setKeepalive();
      await closeAll(await waiting, peer);
    });

    fact("a backlog of 0 lets nobody wait", async (server) => {
      const options = { poolSize: 1, backlog: 0 };
      const [conn, peer] = await server.open(options);
      await failure(connect(server.address, options), "ERR_POOL_FULL");
      await closeAll(conn, peer);
    });

    fact("one who is canceled while he waits leaves no trace", async (server) => {
      const options = { poolSize: 1, backlog: 2 };
      const [conn, peer] = await server.open(options);
      const controller = new AbortController();
      const canceled = connect(server.address, { ...options, signal: controller.signal });
      const next = connect(server.address, options);
      controller.abort(new Error("enough"));
      const error = await failure(canceled, "ERR_CANCELED");
      assert.equal((error.cause as Error).message, "enough");
      assert.equal(server.stats.waiting, 1);
      conn.setKeepalive();
      assert.equal((await next).reusedTimes, 1);
      await closeAll(await next, peer);
      const aborted = { signal: AbortSignal.abort() };
      await failure(connect(server.address, aborted), "ERR_CANCELED");
      assert.equal(server.stats.live, 0);
    });

    fact("a dial that fails passes its place on", async (server) => {
      let reject: (error: Error) => void = () => {};
      const fate = new Promise<string[]>((_, no) => {
        reject = no;
      });
      fate.catch(() => {});
      const resolver: Resolver = { lookupHost: () => fate };
      const options = { pool: server.address, poolSize: 1, backlog: 1 };
      const name = network === "tcp4" ? "tcp4" : "unix";
      const bad =
        name === "tcp4"
          ? connect("name:1", { ...options, network: name, resolver })
          : connect("/no/such/socket", { ...options, network: name });
      const good = connect(server.address, { ...options, network: name });
      reject(new Error("no such name"));
      await assert.rejects(bad);
      const conn = await good;
      assert.equal(poolStats(server.address)[0]?.live, 1);
      await closeAll(conn, await server.listener.accept());
    });

    fact("closeIdle closes what is idle and leaves what is used", async (server) => {
      const [idle, used] = [await server.open(), await server.open()];
      idle[0].setKeepalive();
      assert.equal(closeIdle(server.address), 1);
      assert.equal((await readAll(idle[1])).length, 0);
      assert.deepEqual([server.stats.idle, server.stats.live], [0, 1]);
      assert.equal(closeIdle(server.address), 0);
      await closeAll(used[0], used[1], idle[1]);
    });
  });
}

test("a pooled connection whose peer resets it is closed", (t) =>
  withServer(t, "tcp4", async (server) => {
    const [conn, peer] = await server.open({ network: "tcp4" });
    conn.setKeepalive();
    await resetTCP(peer);
    await until(() => server.stats.live === 0);
    assert.equal(server.stats.closedByPeer, 1);
  }));

test("pools of different names do not share connections", (t) =>
  withServer(t, "tcp4", async (server) => {
    const [conn, peer] = await server.open({ pool: "mine" });
    conn.setKeepalive();
    const [other, otherPeer] = await server.open({ pool: "yours" });
    assert.equal(other.reusedTimes, 0);
    const [mine] = poolStats("mine");
    assert.deepEqual([mine?.name, mine?.network, mine?.idle], ["mine", "tcp", 1]);
    assert.ok(poolStats().some(({ name }) => name === "yours"));
    assert.deepEqual(poolStats("nobody's"), []);
    closeIdle();
    await closeAll(other, peer, otherPeer);
  }));

test("pools of one name but different networks do not share connections", (t) =>
  withServer(t, "tcp4", async (server) => {
    const [conn, peer] = await server.open({ network: "tcp4" });
    conn.setKeepalive();
    const [other, otherPeer] = await server.open({ network: "tcp" });
    assert.equal(other.reusedTimes, 0);
    assert.deepEqual(
      poolStats(server.address).map((pool) => [pool.network, pool.idle]),
      [
        ["tcp4", 1],
        ["tcp", 0],
      ],
    );
    closeIdle();
    await closeAll(other, peer, otherPeer);
  }));

test("an option that is none is an error, and leaves nothing behind", (t) =>
  withServer(t, "tcp4", async ({ address }) => {
    const wrong: ConnectOptions[] = [
      { poolSize: 0 },
      { poolSize: 1.5 },
      { backlog: -1 },
      { idleTimeout: 0 },
      { idleTimeout: -1 },
      { timeout: 0 },
      { timeout: -5 },
    ];
    for (const options of wrong) await assert.rejects(connect(address, options), RangeError);
    await assert.rejects(connect(address, { network: "udp" as "tcp" }), TypeError);
    await failure(connect("nonsense"), "EINVAL");
    assert.ok(poolStats().every(({ live, waiting }) => live === 0 && waiting === 0));
  }));

test("a pool may shrink: what is too many goes when the next one comes back", (t) =>
  withServer(t, "tcp4", async (server) => {
    const opened = [];
    for (let i = 0; i < 4; i++) opened.push(await server.open({ poolSize: 4 }));
    for (const [conn] of opened) conn.setKeepalive();
    const conn = await connect(server.address, { poolSize: 2 });
    conn.setKeepalive();
    assert.deepEqual([server.stats.idle, server.stats.evicted], [2, 2]);
    await closeAll(...opened.map(([, peer]) => peer));
  }));
