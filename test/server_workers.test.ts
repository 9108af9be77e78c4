/** server_workers.test.ts: workers that are reloaded, recycled, and replaced when they die. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Addr, ServerModel } from "../src/index.ts";
import { answered, ask, connect, Load, line, numbers, start, until, whoServes } from "./served.ts";

for (const model of ["thread", "process"] satisfies ServerModel[]) {
  describe(`workers of model "${model}"`, () => {
    test("are replaced by a reload, twenty times in a row, and no request fails", async () => {
      await using started = await start({ model, workers: 2, drainTimeout: 60_000 });
      const { server, addr } = started;
      const load = new Load(addr, 8);
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
      await numbers(server, { accepted: load.served, requests: load.served, died: 0 });
    });

    test("go on when a reload fails", async () => {
      const folder = mkdtempSync(join(tmpdir(), "coronet-server-"));
      const failWhile = join(folder, "broken");
      await using started = await start({ model, data: { failWhile } });
      const { server, addr } = started;
      const before = await whoServes(addr);
      writeFileSync(failWhile, "");
      await assert.rejects(server.reload(), /the file is there/);
      assert.deepEqual(await whoServes(addr), before);
      rmSync(folder, { recursive: true });
      await server.reload();
      assert.notEqual((await whoServes(addr)).id, before.id);
    });

    test("finish old connections after a reload while new ones serve", async () => {
      await using started = await start({ model });
      const { server, addr } = started;
      await using conn = await connect(addr);
      const old = answered(await ask(conn, "id"));
      await server.reload();
      assert.equal(answered(await ask(conn, "id")).id, old.id);
      assert.notEqual((await whoServes(addr)).id, old.id);
    });

    test("are recycled after some requests, and no request fails", async () => {
      await using started = await start({
        model,
        workers: 2,
        maxRequests: 20,
        drainTimeout: 60_000,
      });
      const { server, addr } = started;
      const load = new Load(addr, 4);
      await load.more(200);
      await until("workers were recycled", () => load.ids.size > 4 || load.failures.length > 0);
      await load.stop();
      assert.deepEqual(load.failures, []);
      await numbers(server, { accepted: load.served, died: 0 });
    });

    test("that throw are replaced, others' connections go on", async () => {
      await using started = await start({ model, workers: 2 });
      const { server, addr, lines } = started;
      // One connection to each worker.
      const [one, other] = await connectToBoth(addr);
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
      const { lines } = started;
      await until("it is the third time", () => lines.some((text) => text.includes("in 200 ms")));
      const pauses = lines.flatMap((text) => /is replaced in (\d+) ms/.exec(text)?.[1] ?? []);
      assert.deepEqual(pauses, ["100", "200"]);
    });
  });
}

async function connectToBoth(addr: Addr) {
  const found = new Map<number, Awaited<ReturnType<typeof connect>>>();
  while (found.size < 2) {
    const conn = await connect(addr);
    const { id } = answered(await ask(conn, "id"));
    if (found.has(id)) await conn.close();
    else found.set(id, conn);
  }
  const [a, b] = Array.from(found, ([id, conn]) => ({ id, conn }));
  return [a, b] as [NonNullable<typeof a>, NonNullable<typeof b>];
}
