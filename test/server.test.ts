/** server.test.ts: servers of every model: what they serve, count and refuse, and how they end. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type ServerModel, type ServerOptions, WorkerError } from "../src/index.ts";
import { ask, connect, Load, line, numbers, pause, start, until, whoServes } from "./served.ts";

for (const model of ["thread", "process", "base"] satisfies ServerModel[]) {
  for (const workers of [1, 2]) {
    describe(`${workers} worker(s) of model "${model}"`, () => {
      test("serve connections and count them", async () => {
        await using started = await start({ model, workers });
        const { server, addr } = started;
        const load = new Load(addr, 4);
        await load.more(100);
        await load.stop();
        assert.deepEqual(load.failures, []);
        const n = load.served;
        const stats = await numbers(server, { live: 0, accepted: n, closed: n, requests: n });
        assert.equal(stats.bytesIn, load.served * "id\n".length);
        assert.ok(stats.bytesOut > stats.bytesIn);
        assert.equal(stats.workers.length, workers);
        const own = stats.workers.every(({ pid }) => pid === process.pid);
        assert.equal(own, model === "thread" || (model === "base" && workers === 1));
        assert.deepEqual(started.lines, []);
      });

      test("finish what is begun when they are stopped", async () => {
        await using started = await start({ model, workers });
        const { server, addr } = started;
        await using conn = await connect(addr);
        const slept = ask(conn, "sleep 300");
        await until("it is served", async () => (await server.stats()).bytesIn > 0);
        const stopped = server.stop();
        assert.equal(await slept, "slept");
        await conn.close();
        await stopped;
        await server.closed;
        await assert.rejects(connect(addr), { code: "ECONNREFUSED" });
        const { accepted, closed, cut } = await server.stats();
        assert.deepEqual([accepted, closed, cut], [1, 1, 0]);
      });

      test("close what has not ended after the drain timeout", async () => {
        await using started = await start({ model, workers, drainTimeout: 50 });
        const { server, addr } = started;
        await using conn = await connect(addr);
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

test("at maxConnections accepting stops, and whoever waits is served later", async () => {
  await using started = await start({ maxConnections: 2 });
  const { server, addr } = started;
  const first = await connect(addr);
  const second = await connect(addr);
  await ask(first, "id");
  await ask(second, "id");
  await using third = await connect(addr);
  const answer = ask(third, "id");
  await pause(100);
  await numbers(server, { accepted: 2, live: 2 });
  await first.close();
  assert.match(String(await answer), /^\d+ \d+ \d+$/);
  await second.close();
});

test("the heartbeat closes the silent, and spares those that talk", async () => {
  await using started = await start({ heartbeat: { idle: 1000 } });
  const { server, addr } = started;
  await using silent = await connect(addr);
  await using talking = await connect(addr);
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
  await numbers(server, { silent: 1, live: 1 });
});

test("the heartbeat spares whoever the module exempts", async () => {
  await using started = await start({ heartbeat: { idle: 50 }, data: { exempt: true } });
  await using conn = await connect(started.addr);
  await pause(300);
  assert.match(String(await ask(conn, "id")), /\d/);
  assert.equal((await started.server.stats()).silent, 0);
});

test("what the handler has not read yet counts as heard", async () => {
  await using started = await start({ heartbeat: { idle: 100 } });
  await using conn = await connect(started.addr);
  await conn.write("sleep 600\n");
  await pause(50);
  await conn.write("more\n");
  assert.match(String(await line(conn)), /^slept/);
});

test("whoever admit() turns away is closed and counted", async () => {
  await using started = await start({ data: { refuse: true } });
  await using conn = await connect(started.addr);
  assert.equal(await line(conn), undefined);
  await numbers(started.server, { refused: 1, accepted: 1, closed: 1, live: 0 });
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
  await using conn = await connect(started.addr);
  await ask(conn, "twice");
  await numbers(started.server, { requests: 2 });
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
