/** http_workers.test.ts: HTTP in workers: reloads, restarts and drains that fail no request. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { type ServerModel, startThreads } from "../src/index.ts";
import { RawClient } from "../testing/http_client.ts";
import { lacks, programPath } from "./child.ts";
import { HTTPLoad, whoAnswers } from "./http_load.ts";
import { numbers, start, until } from "./served.ts";
import { isAlive, Program } from "./server_program.ts";

const run = promisify(execFile);
const PATHS = ["/id", "/slow", "/stream", "/id"];
const GET = "GET /id HTTP/1.1\r\nHost: a\r\n\r\n";

for (const module of ["http_served", "node_served"]) {
  for (const model of ["thread", "process"] satisfies ServerModel[]) {
    describe(`${module} in workers of model "${model}"`, () => {
      test("is reloaded three times under load, and no request fails", async () => {
        await using started = await start({
          module: programPath(module),
          model,
          workers: 2,
          drainTimeout: 60_000,
        });
        const { server, addr } = started;
        const load = new HTTPLoad(addr, 8, PATHS);
        for (let i = 0; i < 3; i++) {
          await load.more(50);
          await server.reload();
        }
        await load.more(50);
        await load.stop();
        assert.deepEqual(load.failures, []);
        assert.ok(load.closed >= 3, `${load.closed} connections were told to close`);
        assert.ok(load.ids.size > 3, `${load.ids.size} workers answered`);
        await numbers(server, { requests: load.served, died: 0, cut: 0 });
      });
    });
  }
}

describe("HTTP in workers", () => {
  for (const model of ["process", "thread", "base"] satisfies ServerModel[]) {
    test(`survives two hot restarts under load (${model})`, async () => {
      await using program = await Program.start({
        module: programPath("http_served"),
        model,
        workers: model === "base" ? 1 : 2,
        drainTimeout: 60_000,
      });
      const load = new HTTPLoad(program.addr, 4, PATHS);
      for (let i = 0; i < 2; i++) {
        await load.more(50);
        const { pid } = program;
        program.signal("SIGUSR2");
        await program.restarted();
        await until(
          "the old one is gone",
          () => !isAlive(pid) || pid === program.child.process.pid,
        );
      }
      await load.more(20);
      await load.stop();
      assert.deepEqual(load.failures, []);
    });
  }

  const noWrk = lacks("which", "wrk");
  test("is reloaded under wrk, which sees no error", { skip: noWrk ?? false }, async () => {
    await using started = await start({
      module: programPath("http_served"),
      workers: 2,
      drainTimeout: 60_000,
    });
    const { server, addr } = started;
    const wrk = run("wrk", ["-t1", "-c16", "-d60s", `http://${addr}/id`]);
    for (let i = 0; i < 3; i++) {
      const { requests } = await server.stats();
      await until("more were served", async () => (await server.stats()).requests > requests + 100);
      await server.reload();
    }
    wrk.child.kill("SIGINT");
    const { stdout } = await wrk;
    assert.match(stdout, /requests in/);
    assert.doesNotMatch(stdout, /Socket errors|Non-2xx/, stdout);
  });

  test("gives an idle connection time for one request more, and says that it was the last", async () => {
    await using started = await start({ module: programPath("http_served"), drainTimeout: 60_000 });
    const { server, addr } = started;
    await using client = await RawClient.to(addr);
    const old = await whoAnswers(client);
    await server.reload();
    await client.send(GET);
    const last = await client.response();
    assert.equal(last?.headers.get("connection"), "close");
    assert.equal(last?.body, `${old.pid} ${old.thread} ${old.id}`);
    assert.equal(await client.response(), undefined);
    await numbers(server, { cut: 0, requests: 2, accepted: 1, closed: 1 });
  });

  test("closes an idle connection on which no request comes any more", async () => {
    await using started = await start({ module: programPath("http_served"), drainTimeout: 60_000 });
    const { server, addr } = started;
    await using client = await RawClient.to(addr);
    await whoAnswers(client);
    await server.reload();
    assert.equal(await client.response(), undefined);
    await numbers(server, { cut: 0, closed: 1 });
  });

  test("answers requests that were pipelined before it is asked to end", async () => {
    await using started = await start({ module: programPath("http_served"), drainTimeout: 60_000 });
    const { server, addr } = started;
    await using client = await RawClient.to(addr);
    await client.send(GET + GET.replace("/id", "/last") + GET + GET);
    await client.response();
    const reloaded = server.reload();
    const others = await client.responses();
    await reloaded;
    assert.deepEqual(
      others.map(({ headers }) => headers.get("connection")),
      [undefined, undefined, "close"],
    );
  });

  test("keeps an upgraded connection until its own end", async () => {
    await using started = await start({ module: programPath("http_served"), drainTimeout: 60_000 });
    const { server, addr } = started;
    await using client = await RawClient.to(addr);
    await client.send(
      "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    assert.equal((await client.response())?.status, 101);
    await server.reload();
    await client.send("still here");
    await client.conn.closeWrite();
    assert.equal(await client.rest(), "still here");
    await numbers(server, { cut: 0, closed: 1 });
  });

  test("is recycled after some requests, and none fails", async () => {
    await using started = await start({
      module: programPath("http_served"),
      workers: 2,
      maxRequests: 50,
      drainTimeout: 60_000,
    });
    const { server, addr } = started;
    const load = new HTTPLoad(addr, 4);
    await until("workers were recycled", () => load.ids.size > 4 || load.failures.length > 0);
    await load.stop();
    assert.deepEqual(load.failures, []);
    await numbers(server, { requests: load.served, died: 0 });
  });

  test("runs in threads of startThreads, which end when their last response is sent", async () => {
    const threads = await startThreads({
      threads: 2,
      module: programPath("http_served"),
      listen: ["tcp", "127.0.0.1:0"],
    });
    const load = new HTTPLoad(threads.addr as never, 4, PATHS);
    await load.more(100);
    const [first] = threads.threads;
    assert.ok(first !== undefined);
    await threads.replace(first);
    await load.more(50);
    await load.stop();
    await threads.close();
    assert.deepEqual(load.failures, []);
    assert.ok(load.ids.size >= 2);
  });
});
