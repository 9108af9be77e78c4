/** workers.test.ts: Coronet in worker threads: each has its own, and none leaves anything behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { before, describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { dial, go } from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { openFds } from "../testing/leaks.ts";
import { readText, seeded, turn } from "../testing/support.ts";
import { programPath } from "./child.ts";

function start(mode: string): Worker {
  return new Worker(programPath("worker"), { workerData: mode });
}

/**
 * The fds of this process but for modules: Node leaves those open that its loader is reading when a
 * worker is terminated.
 */
function fds(): string[] {
  return [...openFds().values()].filter((target) => !target.endsWith(".js"));
}

/** Waits until this process has no more fds than before. */
async function assertFreed(before: number): Promise<void> {
  const giveUp = Date.now() + 10_000;
  while (fds().length > before && Date.now() < giveUp) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const after = fds();
  assert.ok(after.length <= before, `${before} fds before, then ${after.join(", ")}`);
}

/** Runs a check and fails when the process has more fds afterwards. */
async function freed(check: () => Promise<void>): Promise<void> {
  const before = fds().length;
  await check();
  await assertFreed(before);
}

describe("a worker thread", () => {
  // This thread's own poller, and what the first worker of a process opens for all, stay open.
  before(async () => {
    runtime().start();
    await once(start("ends by itself"), "exit");
  });

  for (const mode of ["read", "write", "accept", "busy", "everything"]) {
    test(`that is terminated in the middle of "${mode}" frees its fds`, () =>
      freed(async () => {
        const worker = start(mode);
        await once(worker, "message");
        assert.equal(await worker.terminate(), 1);
      }));
  }

  test("terminated 50 times at any moment frees its fds, and the process lives", async (t) => {
    const random = seeded(t);
    const modes = [
      "read",
      "write",
      "accept",
      "busy",
      "everything",
      "ends by itself",
      "echo server",
    ];
    await freed(async () => {
      const one = async (): Promise<void> => {
        const worker = start(modes[random.below(modes.length)] as string);
        const exit = once(worker, "exit");
        if (random.chance(0.5)) await Promise.race([once(worker, "message"), exit]);
        const until = performance.now() + random.below(40);
        while (performance.now() < until) await turn();
        await worker.terminate();
        await exit;
      };
      for (let round = 0; round < 25; round++) await Promise.all([one(), one()]);
    });
  });

  test("that ends by itself with open connections frees their fds", () =>
    freed(async () => {
      const worker = start("ends by itself");
      const [code] = await once(worker, "exit");
      assert.equal(code, 0);
    }));

  test("that exits while a read waits frees its fds", () =>
    freed(async () => {
      const worker = start("exits");
      const [code] = await once(worker, "exit");
      assert.equal(code, 3);
    }));

  test("is one of four that serve at once, each by its own poller", () =>
    freed(async () => {
      const workers = Array.from({ length: 4 }, () => start("echo server"));
      const addresses = await Promise.all(
        workers.map(async (worker) => (await once(worker, "message"))[0] as string),
      );
      const client = async (address: string, name: string): Promise<void> => {
        await using conn = await dial("tcp", address);
        for (let i = 0; i < 50; i++) {
          const message = `${name} says ${i}`;
          await conn.write(message);
          assert.equal(await readText(conn, message.length), message);
        }
      };
      const clients = addresses.flatMap((address, w) =>
        Array.from({ length: 20 }, (_, i) => go(client, address, `client ${i} of ${w}`)),
      );
      await Promise.all(clients.map((g) => g.join()));
      const exits = workers.map(async (worker) => (await once(worker, "exit"))[0]);
      for (const worker of workers) worker.postMessage("close");
      assert.deepEqual(await Promise.all(exits), [0, 0, 0, 0]);
    }));
});
