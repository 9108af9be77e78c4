/**
 * duplex_packages.test.ts: packages from npm over our conns: pg against a real PostgreSQL, ioredis
 * against a real redis, ws as client and as server.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { Redis, type RedisOptions } from "ioredis";
import pg from "pg";
import { WebSocket, WebSocketServer } from "ws";
import {
  type Conn,
  connect,
  dial,
  go,
  type Listener,
  listen,
  toDuplex,
  type UnixConn,
} from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { assertSameBytes, pattern } from "../testing/support.ts";
import { lacksPostgres, PostgresServer } from "./postgres_server.ts";
import { lacksRedis, RedisServer } from "./redis_server.ts";

describe("pg over toDuplex", { skip: lacksPostgres }, () => {
  let server: PostgresServer;
  before(async () => {
    if (lacksPostgres === undefined) server = await PostgresServer.start();
  });
  after(() => server?.[Symbol.asyncDispose]());

  async function open(): Promise<{ client: pg.Client; conn: UnixConn }> {
    const conn = await dial("unix", server.address);
    const stream = (): ReturnType<typeof toDuplex> => toDuplex(conn);
    const client = new pg.Client({ user: server.user, database: "postgres", stream });
    await client.connect();
    return { client, conn };
  }

  test("queries with parameters, results of megabytes, both ways", async (t) => {
    await withLeakCheck(t, async () => {
      const { client } = await open();
      const bytes = Buffer.from(pattern(3_000_000));
      await client.query("create temp table files (name text primary key, body bytea)");
      await client.query("insert into files values ($1, $2)", ["ä", bytes]);
      const { rows } = await client.query("select body from files where name = $1", ["ä"]);
      assertSameBytes(rows[0].body, bytes);
      const many = await client.query(
        "select i, repeat('x', i % 100) r from generate_series(1, 50000) i",
      );
      assert.equal(many.rows.length, 50_000);
      assert.deepEqual(many.rows[49_998], { i: 49_999, r: "x".repeat(99) });
      await client.end();
    });
  });

  test("several clients at once get their own answers", async (t) => {
    await withLeakCheck(t, async () => {
      const clients = await Promise.all([open(), open(), open(), open()]);
      const ask = async ({ client }: { client: pg.Client }, own: number): Promise<void> => {
        for (let i = 0; i < 100; i++) {
          const { rows } = await client.query("select $1::int as own, $2::int as i", [own, i]);
          assert.deepEqual(rows, [{ own, i }]);
        }
        await client.end();
      };
      await Promise.all(clients.map(ask));
    });
  });

  test("an error of the server leaves the connection usable", async (t) => {
    await withLeakCheck(t, async () => {
      const { client } = await open();
      await assert.rejects(client.query("select 1/0"), { code: "22012" });
      assert.equal((await client.query("select 1 as one")).rows[0].one, 1);
      await client.end();
    });
  });

  test("a backend that is terminated is an error of the client", async (t) => {
    await withLeakCheck(t, async () => {
      const [victim, other] = [await open(), await open()];
      const pid = (await victim.client.query("select pg_backend_pid() as pid")).rows[0].pid;
      victim.client.on("error", () => {});
      const failed = once(victim.client, "error");
      await other.client.query("select pg_terminate_backend($1)", [pid]);
      const [error] = await failed;
      assert.match(String(error), /terminat/i);
      await other.client.end();
      await victim.conn.close();
    });
  });

  test("closing the conn below is an error of the query that waits", async (t) => {
    await withLeakCheck(t, async () => {
      const { client, conn } = await open();
      client.on("error", () => {});
      const waiting = client.query("select pg_sleep(60)");
      await new Promise((resolve) => setImmediate(resolve));
      await conn.close();
      await assert.rejects(waiting, { code: "ERR_CLOSED" });
    });
  });
});

/** ioredis asks a Connector for its stream. */
function connector(address: string, conns: Conn[]): NonNullable<RedisOptions["Connector"]> {
  return class {
    private stream: ReturnType<typeof toDuplex> | undefined;

    check(): boolean {
      return true;
    }

    async connect(): Promise<ReturnType<typeof toDuplex>> {
      const conn = await connect(address);
      conns.push(conn);
      this.stream = toDuplex(conn);
      return this.stream;
    }

    disconnect(): void {
      this.stream?.end();
    }
  } as unknown as NonNullable<RedisOptions["Connector"]>;
}

describe("ioredis over toDuplex", { skip: lacksRedis }, () => {
  test("commands, pipelines, values of megabytes", async (t) => {
    await withLeakCheck(t, async () => {
      await using server = await RedisServer.start();
      const redis = new Redis({ Connector: connector(server.address, []) });
      const bytes = Buffer.from(pattern(5_000_000));
      assert.equal(await redis.set("big", bytes), "OK");
      assertSameBytes((await redis.getBuffer("big")) as Buffer, bytes);
      const pipeline = redis.pipeline();
      for (let i = 0; i < 2000; i++) pipeline.incr("n");
      const results = (await pipeline.exec()) ?? [];
      assert.deepEqual(
        results.map(([, n]) => n),
        results.map((_, i) => i + 1),
      );
      await redis.quit();
    });
  });

  test("what is published is received by a subscriber", async (t) => {
    await withLeakCheck(t, async () => {
      await using server = await RedisServer.start();
      const options = { Connector: connector(server.address, []) };
      const [subscriber, publisher] = [new Redis(options), new Redis(options)];
      await subscriber.subscribe("news");
      const message = once(subscriber, "message");
      await publisher.publish("news", "hello");
      assert.deepEqual(await message, ["news", "hello"]);
      await Promise.all([subscriber.quit(), publisher.quit()]);
    });
  });

  test("a conn that is lost is dialled again", async (t) => {
    await withLeakCheck(t, async () => {
      await using server = await RedisServer.start();
      const conns: Conn[] = [];
      const redis = new Redis({
        Connector: connector(server.address, conns),
        retryStrategy: () => 1,
      });
      redis.on("error", () => {});
      await redis.set("k", "v");
      // Not once(): that would reject for the error which comes first.
      const again = new Promise((resolve) => redis.on("reconnecting", resolve));
      await conns[0]?.close();
      await again;
      assert.equal(await redis.get("k"), "v");
      assert.equal(conns.length, 2);
      await redis.quit();
    });
  });
});

async function feed(listener: Listener, server: http.Server): Promise<void> {
  for await (const conn of listener) {
    server.emit("connection", toDuplex(conn, { allowHalfOpen: true }));
  }
}

/** An echo server of ws whose sockets are our conns; its client's socket is one too. */
async function withWebSocket(body: (client: WebSocket, server: WebSocketServer) => Promise<void>) {
  await using listener = await listen("tcp", "127.0.0.1:0");
  const httpServer = http.createServer();
  const server = new WebSocketServer({ server: httpServer, perMessageDeflate: true });
  server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("error", () => {});
  });
  go(feed, listener, httpServer);
  const conn = await dial("tcp", String(listener.addr));
  const client = new WebSocket(`ws://${listener.addr}/path`, {
    createConnection: (() => toDuplex(conn)) as never,
  });
  await once(client, "open");
  await body(client, server);
  server.close();
}

describe("ws over toDuplex, as client and as server", () => {
  test("messages of any size come back as they were, in their order", (t) =>
    withLeakCheck(t, () =>
      withWebSocket(async (client) => {
        const sizes = [0, 1, 125, 126, 65_535, 65_536, 1_000_000];
        const echoes: Buffer[] = [];
        const done = new Promise<void>((resolve) => {
          client.on("message", (data: Buffer) => {
            if (echoes.push(data) === sizes.length) resolve();
          });
        });
        for (const size of sizes) client.send(pattern(size, size));
        await done;
        sizes.forEach((size, i) => {
          assertSameBytes(echoes[i] as Buffer, pattern(size, size));
        });
        client.send("text, ä");
        const [text, isBinary] = await once(client, "message");
        assert.deepEqual([String(text), isBinary], ["text, ä", false]);
        client.close(1000, "done");
        const [code, reason] = await once(client, "close");
        assert.deepEqual([code, String(reason)], [1000, "done"]);
      }),
    ));

  test("ping, pong, and a server that closes", (t) =>
    withLeakCheck(t, () =>
      withWebSocket(async (client, server) => {
        client.ping("are you there");
        assert.equal(String((await once(client, "pong"))[0]), "are you there");
        for (const socket of server.clients) socket.close(4000, "go away");
        const [code, reason] = await once(client, "close");
        assert.deepEqual([code, String(reason)], [4000, "go away"]);
      }),
    ));

  test("a client that is terminated is gone for the server", (t) =>
    withLeakCheck(t, () =>
      withWebSocket(async (client, server) => {
        const [socket] = [...server.clients] as [WebSocket];
        const closed = once(socket, "close");
        client.terminate();
        assert.equal((await closed)[0], 1006);
      }),
    ));
});
