/** server.test.ts: servers of every model: what they serve, how they end, reload, limit and recycle. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  createServer,
  type Server,
  type ServerModel,
  type ServerOptions,
  WorkerError,
} from "../src/index.ts";
import { programPath } from "./child.ts";
import { answered, ask, connect, Load, line, pause, until, whoServes } from "./served.ts";

const module = programPath("served");

interface Started extends AsyncDisposable {
  server: Server;
  lines: string[];
}

async function start(options: Partial<ServerOptions>): Promise<Started> {
  const lines: string[] = [];
  const server = await createServer({
    module,
    listen: [["tcp", "127.0.0.1:0"]],
    signals: false,
    log: (text) => lines.push(text),
    ...options,
  });
  return { server, lines, [Symbol.asyncDispose]: () => server.stop() };
}

const addrOf = (server: Server) => server.addrs[0] as NonNullable<(typeof server.addrs)[0]>;

for (const model of ["thread", "process", "base"] satisfies ServerModel[]) {
  for (const workers of [1, 2]) {
    describe(`${workers} worker(s) of model "${model}"`, () => {
      test("serve connections and count them", async () => {
        await using started = await start({ model, workers });
        const { server } = started;
        const load = new Load(addrOf(server), 4);
        await load.more(100);
        await load.stop();
        assert.deepEqual(load.failures, []);
        await until("every connection is over", async () => (await server.stats()).live === 0);
        const stats = await server.stats();
        assert.equal(stats.accepted, load.served);
        assert.equal(stats.closed, load.served);
        assert.equal(stats.requests, load.served);
        assert.equal(stats.bytesIn, load.served * "id\n".length);
        assert.ok(stats.bytesOut > stats.bytesIn);
        assert.equal(stats.workers.length, workers);
        const own = stats.workers.every(({ pid }) => pid === process.pid);
        assert.equal(own, model === "thread" || (model === "base" && workers === 1));
        assert.deepEqual(started.lines, []);
      });

      test("finish what is begun when they are stopped", async () => {
        await using started = await start({ model, workers });
        const { server } = started;
        await using conn = await connect(addrOf(server));
        const slept = ask(conn, "sleep 300");
        await until("it is served", async () => (await server.stats()).bytesIn > 0);
        const stopped = server.stop();
        assert.equal(await slept, "slept");
        await conn.close();
        await stopped;
        await server.closed;
        await assert.rejects(connect(addrOf(server)), { code: "ECONNREFUSED" });
        const { accepted, closed, cut } = await server.stats();
        assert.deepEqual([accepted, closed, cut], [1, 1, 0]);
      });

      test("close what has not ended after the drain timeout", async () => {
        await using started = await start({ model, workers, drainTimeout: 50 });
        const { server } = started;
        await using conn = await connect(addrOf(server));
        await ask(conn, "id");
        await server.stop();
        assert.equal(await line(conn), undefined);
        assert.equal((await server.stats()).cut, 1);
      });

      test("leave nothing behind when the module can't start", async () => {
        const failing = start({ model, workers, data: { failStart: true } });
        await assert.rejects(failing, (error) => {
          assert.ok(error instanceof WorkerError);
          assert.match(error.message, /start was told to fail/);
          return true;
        });
      });
    });
  }
}

for (const model of ["thread", "process"] satisfies ServerModel[]) {
  describe(`workers of model "${model}"`, () => {
    test("are replaced by a reload, twenty times in a row, and no request fails", async () => {
      await using started = await start({ model, workers: 2 });
      const { server } = started;
      const load = new Load(addrOf(server), 8);
      for (let i = 0; i < 20; i++) {
        await server.reload();
        await load.more(20);
      }
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.equal((await server.stats()).generation, 21);
      assert.ok(load.ids.size > 20, `${load.ids.size} workers served`);
      await until("the old ones are gone", async () => {
        return (await server.stats()).workers.length === 2;
      });
      const { accepted, requests, died } = await server.stats();
      assert.deepEqual([accepted, requests, died], [load.served, load.served, 0]);
    });

    test("go on when a reload fails", async () => {
      const folder = mkdtempSync(join(tmpdir(), "coronet-server-"));
      const failWhile = join(folder, "broken");
      await using started = await start({ model, data: { failWhile } });
      const { server } = started;
      const before = await whoServes(addrOf(server));
      writeFileSync(failWhile, "");
      await assert.rejects(server.reload(), /the file is there/);
      assert.deepEqual(await whoServes(addrOf(server)), before);
      rmSync(folder, { recursive: true });
      await server.reload();
      assert.notEqual((await whoServes(addrOf(server))).id, before.id);
    });

    test("finish old connections after a reload while new ones serve", async () => {
      await using started = await start({ model });
      const { server } = started;
      await using conn = await connect(addrOf(server));
      const old = answered(await ask(conn, "id"));
      await server.reload();
      assert.equal(answered(await ask(conn, "id")).id, old.id);
      assert.notEqual((await whoServes(addrOf(server))).id, old.id);
    });

    test("are recycled after some requests, and no request fails", async () => {
      await using started = await start({ model, workers: 2, maxRequests: 20 });
      const { server } = started;
      const load = new Load(addrOf(server), 4);
      await load.more(200);
      await until("workers were recycled", () => load.ids.size > 4 || load.failures.length > 0);
      await load.stop();
      assert.deepEqual(load.failures, []);
      const { accepted, died } = await server.stats();
      assert.deepEqual([accepted, died], [load.served, 0]);
    });

    test("that throw are replaced, others' connections go on", async () => {
      await using started = await start({ model, workers: 2 });
      const { server, lines } = started;
      const addr = addrOf(server);
      // One connection to each worker.
      const [one, other] = await connectToBoth(server);
      await one.conn.write("crash\n");
      await line(one.conn).catch(() => undefined);
      await until("it is known", async () => (await server.stats()).died === 1);
      assert.equal(answered(await ask(other.conn, "id")).id, other.id);
      await until("there is a new one", async () => {
        const { workers } = await server.stats();
        return workers.length === 2 && workers.every(({ state }) => state === "serving");
      });
      const ids = new Set<number>();
      for (let i = 0; i < 40; i++) ids.add((await whoServes(addr)).id);
      assert.ok(!ids.has(one.id));
      assert.ok(
        lines.some((text) => text.includes(`worker ${one.id}`)),
        lines.join("\n"),
      );
      await other.conn.close();
    });

    test("that end at once again and again are started at longer and longer intervals", async () => {
      await using started = await start({ model, data: { exitAtOnce: true } });
      await pause(1500);
      const { died } = await started.server.stats();
      assert.ok(died >= 2 && died <= 7, `${died} died`);
      assert.match(started.lines.join(" "), /is replaced in 100 ms.*is replaced in 200 ms/);
    });
  });
}

async function connectToBoth(server: Server) {
  const found = new Map<number, Awaited<ReturnType<typeof connect>>>();
  while (found.size < 2) {
    const conn = await connect(addrOf(server));
    const { id } = answered(await ask(conn, "id"));
    if (found.has(id)) await conn.close();
    else found.set(id, conn);
  }
  const [a, b] = Array.from(found, ([id, conn]) => ({ id, conn }));
  return [a, b] as [NonNullable<typeof a>, NonNullable<typeof b>];
}

test("at maxConnections accepting stops, and whoever waits is served later", async () => {
  await using started = await start({ maxConnections: 2 });
  const { server } = started;
  const first = await connect(addrOf(server));
  const second = await connect(addrOf(server));
  await ask(first, "id");
  await ask(second, "id");
  await using third = await connect(addrOf(server));
  const answer = ask(third, "id");
  await pause(100);
  const { accepted, live } = await server.stats();
  assert.deepEqual([accepted, live], [2, 2]);
  await first.close();
  assert.match(String(await answer), /^\d+ \d+ \d+$/);
  await second.close();
});

test("the heartbeat closes the silent, and spares those that talk", async () => {
  await using started = await start({ heartbeat: { idle: 200 } });
  const { server } = started;
  await using silent = await connect(addrOf(server));
  await using talking = await connect(addrOf(server));
  let words = 0;
  const ended = line(silent);
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over) {
    await ask(talking, "word");
    words++;
    await pause(20);
  }
  assert.equal(await ended, undefined);
  assert.ok(words > 1);
  assert.equal(await ask(talking, "word"), "word");
  assert.equal((await server.stats()).silent, 1);
});

test("the heartbeat spares whoever the module exempts", async () => {
  await using started = await start({ heartbeat: { idle: 50 }, data: { exempt: true } });
  await using conn = await connect(addrOf(started.server));
  await pause(300);
  assert.match(String(await ask(conn, "id")), /\d/);
  assert.equal((await started.server.stats()).silent, 0);
});

test("what the handler has not read yet counts as heard", async () => {
  await using started = await start({ heartbeat: { idle: 100 } });
  await using conn = await connect(addrOf(started.server));
  await conn.write("sleep 600\n");
  await pause(50);
  await conn.write("more\n");
  assert.match(String(await line(conn)), /^slept/);
});

test("whoever admit() turns away is closed and counted", async () => {
  await using started = await start({ data: { refuse: true } });
  await using conn = await connect(addrOf(started.server));
  assert.equal(await line(conn), undefined);
  const { refused, accepted, closed, live } = await started.server.stats();
  assert.deepEqual([refused, accepted, closed, live], [1, 1, 1, 0]);
});

test("several addresses, unix sockets among them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "coronet-server-"));
  try {
    for (const model of ["thread", "process", "base"] satisfies ServerModel[]) {
      const path = join(folder, "sock");
      await using started = await start({
        model,
        workers: 2,
        listen: [
          ["tcp", "127.0.0.1:0"],
          ["unix", path],
        ],
      });
      const { addrs } = started.server;
      assert.equal(String(addrs[1]), path);
      for (const addr of addrs) assert.ok((await whoServes(addr)).id >= 0);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a request is what the handler counts, where it counts", async () => {
  await using started = await start({});
  await using conn = await connect(addrOf(started.server));
  await ask(conn, "twice");
  assert.equal((await started.server.stats()).requests, 2);
});

test("the only worker of model base can't be reloaded, and says so", async () => {
  await using started = await start({ model: "base" });
  await assert.rejects(started.server.reload(), /use "thread" or "process"/);
});

test("options that make no sense are refused", async () => {
  const wrong: [Partial<ServerOptions>, RegExp][] = [
    [{ listen: [] }, /listen takes a list/],
    [{ listen: ["tcp", ":1"] as never }, /listen takes a list/],
    [{ listen: [["udp" as never, ":1"]] }, /unknown network/],
    [{ model: "fiber" as never }, /unknown model/],
    [{ workers: 0 }, /workers takes a whole number/],
    [{ workers: 4, maxConnections: 3 }, /maxConnections takes a whole number from 4/],
    [{ heartbeat: { idle: 0 } }, /heartbeat/],
    [{ drainTimeout: -1 }, /drainTimeout/],
    [{ module: "" }, /module/],
    [{ data: () => {} }, /data can't be cloned/],
    [{ model: "process", data: new SharedArrayBuffer(1) }, /data can't be cloned/],
    [{ group: "nogroup" }, /group goes with user/],
    [{ user: "no-such-user" }, /there is no user "no-such-user"/],
  ];
  for (const [options, pattern] of wrong) await assert.rejects(start(options), pattern);
});
