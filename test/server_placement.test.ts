/** server_placement.test.ts: a supervisor that accepts and places connections on its workers. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  type Addr,
  type Conn,
  createServer,
  dial,
  type Server,
  type ServerModel,
  type ServerPlacement,
  TCPAddr,
  type WorkerLoad,
} from "../src/index.ts";
import { openFds } from "../testing/leaks.ts";
import { programPath } from "./child.ts";
import { answered, ask, connect, Load, line, numbers, start, until, whoServes } from "./served.ts";

const folder = mkdtempSync(join(tmpdir(), "coronet-placement-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** The path of a file that is not there yet. */
function nothingAt(): string {
  return join(folder, String(files++));
}

function dialFrom(addr: Addr, localAddress: string): Promise<Conn> {
  return dial("tcp", String(addr), { localAddress });
}

async function idFrom(addr: Addr, localAddress: string): Promise<number> {
  await using conn = await dialFrom(addr, localAddress);
  return answered(await ask(conn, "id")).id;
}

async function indexOf(server: Server, id: number): Promise<number> {
  const { workers } = await server.stats();
  return workers.find((worker) => worker.id === id)?.index ?? -1;
}

/** Connections that have asked who serves them, and wait for the answer. */
async function askers(addr: Addr, count: number): Promise<Conn[]> {
  return await Promise.all(
    Array.from({ length: count }, async () => {
      const conn = await connect(addr);
      await conn.write("id\n");
      return conn;
    }),
  );
}

async function idOf(conn: Conn): Promise<number> {
  const { id } = answered(await line(conn));
  await conn.close();
  return id;
}

const isNine = (peer: Addr): boolean => peer instanceof TCPAddr && peer.ip === "127.0.0.9";

for (const model of ["thread", "process"] satisfies ServerModel[]) {
  describe(`placement with model "${model}"`, () => {
    test('"round-robin" uses all workers alike, whatever they have to do', async () => {
      await using started = await start({ model, workers: 3, placement: "round-robin" });
      const { server, addr } = started;
      for (let i = 0; i < 60; i++) await whoServes(addr);
      const { workers } = await numbers(server, { accepted: 60, closed: 60, live: 0 });
      // One that stands still for a moment is passed over.
      for (const { accepted } of workers) assert.ok(accepted >= 5, `${accepted} of 60`);
    });

    test('"least-busy" goes where the fewest connections are', async () => {
      await using started = await start({ model, workers: 2, placement: "least-busy" });
      const { server, addr } = started;
      const held = new Map<number, Conn[]>([
        [0, []],
        [1, []],
      ]);
      for (let i = 0; i < 20; i++) {
        const conn = await connect(addr);
        held.get(answered(await ask(conn, "id")).id)?.push(conn);
      }
      const [few, many] = [held.get(0) as Conn[], held.get(1) as Conn[]];
      assert.ok(few.length >= 5 && many.length >= 5, `${few.length} and ${many.length}`);
      await Promise.all(few.map((conn) => conn.close()));
      await numbers(server, { live: many.length });
      // Unless it stands still for a moment: then another row is tried.
      await until("nearly all of a row go there", async () => {
        const ids: number[] = [];
        for (let i = 0; i < 20; i++) ids.push((await whoServes(addr)).id);
        return ids.filter((id) => id === 0).length >= 16;
      });
      await Promise.all(many.map((conn) => conn.close()));
    });

    test('"peer-hash" and a key keep a peer on its worker, also through reloads', async () => {
      const peers = Array.from({ length: 8 }, (_, i) => `127.0.0.${i + 2}`);
      const key = (peer: Addr): number => Number((peer as TCPAddr).ip.split(".").at(-1));
      for (const placement of ["peer-hash", { key }] as const) {
        await using started = await start({ model, workers: 3, placement });
        const { server, addr } = started;
        const home = new Map<string, number>();
        for (let round = 0; round < 4; round++) {
          for (const peer of peers) {
            const index = await indexOf(server, await idFrom(addr, peer));
            assert.equal(index, home.get(peer) ?? index, peer);
            home.set(peer, index);
          }
          if (round === 1) await server.reload();
        }
        assert.ok(new Set(home.values()).size > 1);
      }
    });

    test("a function chooses, sees who is there, refuses, and may fail", async () => {
      const seen: (readonly WorkerLoad[])[] = [];
      const placement: ServerPlacement = (peer, stats) => {
        seen.push(stats);
        if (isNine(peer)) return "refuse";
        if (String(peer).startsWith("127.0.0.8")) throw new Error("a defect");
        return 1;
      };
      await using started = await start({ model, workers: 2, placement });
      const { server, addr, lines } = started;
      for (let i = 0; i < 10; i++) {
        const before = seen.length;
        const id = await idFrom(addr, "127.0.0.2");
        const asked = seen.slice(before);
        // Only when the chosen one stood still, the other has it.
        const still = asked.length > 1 || asked[0]?.[1]?.stalled === true;
        assert.ok(id === 1 || still, `worker ${id} has it`);
      }
      for (const peer of ["127.0.0.9", "127.0.0.8"]) {
        await using refused = await dialFrom(addr, peer);
        assert.equal(await ask(refused, "id").catch(() => undefined), undefined);
      }
      assert.match(lines.join("\n"), /placement failed, a connection was refused: Error: a defect/);
      assert.deepEqual(
        seen[0]?.map(({ id, index, live, underway, stalled }) => {
          return { id, index, live, underway, stalled };
        }),
        [0, 1].map((n) => ({ id: n, index: n, live: 0, underway: 0, stalled: false })),
      );
      await numbers(server, { accepted: 12, refused: 2, closed: 12, live: 0 });
    });

    test("what a worker that is held does not take goes to another, and later it serves again", async () => {
      await using started = await start({ model, workers: 2, placement: "round-robin" });
      const { addr, server } = started;
      await using hog = await connect(addr);
      const hogged = answered(await ask(hog, "id")).id;
      const release = nothingAt();
      assert.equal(await ask(hog, `hold ${release}`), "holding");
      // Nothing of that worker runs before the file is there: who waited for it would wait for ever.
      const ids = await Promise.all((await askers(addr, 40)).map(idOf));
      assert.deepEqual(new Set(ids), new Set([1 - hogged]));
      writeFileSync(release, "");
      assert.equal(await line(hog), "held");
      let again = 0;
      await until("it serves again", async () => {
        again++;
        return (await whoServes(addr)).id === hogged;
      });
      await hog.close();
      await numbers(server, { accepted: 41 + again, live: 0, died: 0 });
    });

    test("a peer that is kept on one worker waits for it while it is held", async () => {
      const placement: ServerPlacement = { key: (peer) => (isNine(peer) ? "a" : "b") };
      await using started = await start({ model, workers: 2, placement });
      const { addr } = started;
      const [other, home] = [await idFrom(addr, "127.0.0.2"), await idFrom(addr, "127.0.0.9")];
      assert.notEqual(other, home);
      await using hog = await dialFrom(addr, "127.0.0.9");
      const release = nothingAt();
      assert.equal(await ask(hog, `hold ${release}`), "holding");
      const waiting = idFrom(addr, "127.0.0.9");
      for (let i = 0; i < 30; i++) assert.equal(await idFrom(addr, "127.0.0.2"), other);
      writeFileSync(release, "");
      assert.equal(await line(hog), "held");
      assert.equal(await waiting, home);
    });

    test("connections that lie with a worker when it dies are served by its successor", async () => {
      let placed = 0;
      const placement: ServerPlacement = () => {
        placed++;
        return 0;
      };
      await using started = await start({ model, workers: 1, placement });
      const { addr, server } = started;
      await using hog = await connect(addr);
      const first = answered(await ask(hog, "id"));
      const release = nothingAt();
      assert.equal(await ask(hog, `fall ${release}`), "holding");
      const conns = await askers(addr, 20);
      await until("all are placed", () => placed >= 21);
      if (model === "process") process.kill(first.pid, "SIGKILL");
      else writeFileSync(release, "");
      const ids = await Promise.all(conns.map(idOf));
      assert.deepEqual(ids, Array(20).fill(1));
      await numbers(server, { live: 0, died: 1 });
      const { accepted, workers } = await server.stats();
      assert.equal(workers[0]?.accepted, 20);
      assert.ok(accepted === 21 || accepted === 20, String(accepted));
    });

    test("beyond maxConnections nothing is accepted, and everybody's turn comes", async () => {
      const most: number[] = [];
      const placement: ServerPlacement = (_, stats) => {
        most.push(stats.reduce((sum, { live, underway }) => sum + live + underway, 0));
        return most.length % 2;
      };
      await using started = await start({ model, workers: 2, maxConnections: 3, placement });
      const { addr, server } = started;
      const inside = await askers(addr, 3);
      for (const conn of inside) assert.ok(answered(await line(conn)).id >= 0);
      const outside = await askers(addr, 30);
      assert.equal((await server.stats()).accepted, 3);
      for (const conn of inside) await conn.close();
      await Promise.all(outside.map(idOf));
      assert.ok(Math.max(...most) < 3, `placed beside ${Math.max(...most)}`);
      await numbers(server, { accepted: 33, closed: 33, refused: 0, live: 0 });
    });

    test("reloads twenty times in a row under load, and no request fails", async () => {
      await using started = await start({
        model,
        workers: 2,
        drainTimeout: 60_000,
        placement: "round-robin",
      });
      const { server, addr } = started;
      const load = new Load(addr, 8);
      for (let i = 0; i < 20; i++) {
        await server.reload();
        await load.more(20);
      }
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.ok(load.ids.size > 20, `${load.ids.size} workers served`);
      await until("the old ones are gone", async () => {
        return (await server.stats()).workers.length === 2;
      });
      await numbers(server, { accepted: load.served, requests: load.served, died: 0, refused: 0 });
    });

    test("a stop serves everybody who has come, and leaves nothing open", async () => {
      const before = openFds();
      const { server, addr } = await start({ model, workers: 2, placement: "least-busy" });
      const conns = await askers(addr, 40);
      const stopped = server.stop();
      for (const id of await Promise.all(conns.map(idOf))) assert.ok(id === 0 || id === 1);
      await stopped;
      await until("the fds are closed", () => openFds().size <= before.size);
    });

    test("connections of several listeners come with their own addresses", async () => {
      const path = join(folder, `several-${model}.sock`);
      await using server = await createServer({
        module: new URL(
          "data:text/javascript," +
            encodeURIComponent(
              "export default (c, i) => c.write(c.network + ' ' + c.localAddr + ' of ' + i.addrs)",
            ),
        ),
        listen: [
          ["tcp", "127.0.0.1:0"],
          ["unix", path],
        ],
        model,
        placement: "round-robin",
        signals: false,
      });
      const all = server.addrs.join(",");
      for (const addr of server.addrs) {
        await using conn = await connect(addr);
        let text = "";
        for await (const chunk of conn) text += Buffer.from(chunk);
        assert.equal(text, `${addr.network} ${addr} of ${all}`);
      }
    });
  });
}

test("a worker process that is stopped by a signal loses what it has not taken to others", async () => {
  await using started = await start({ model: "process", workers: 2, placement: "round-robin" });
  const { addr, server } = started;
  const { pid, id } = await whoServes(addr);
  process.kill(pid, "SIGSTOP");
  try {
    const ids = await Promise.all((await askers(addr, 40)).map(idOf));
    assert.deepEqual(new Set(ids), new Set([1 - id]));
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await numbers(server, { accepted: 41, died: 0 });
});

test("placement is refused where nobody could place, or for what is no policy", async () => {
  const listen = [["tcp", "127.0.0.1:0"]] as const;
  const module = programPath("served");
  const base = createServer({ module, listen, model: "base", placement: "round-robin" });
  await assert.rejects(base, { name: "TypeError", message: /model "base" has no supervisor/ });
  for (const placement of ["best", 7, null, {}] as never[]) {
    await assert.rejects(createServer({ module, listen, placement }), {
      name: "TypeError",
      message: /createServer: unknown placement/,
    });
  }
});
