/** threads_terminate.test.ts: reactor threads that are ended in the middle of whatever they do. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { AcceptMode, Thread } from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { readAll, seeded, turn } from "../testing/support.ts";
import { answer, ask, freed, start } from "./threads_support.ts";

before(async () => {
  // This thread's own poller, and what the first worker of a process opens for all, stay open.
  runtime().start();
  await (await start()).close();
});

const modes: AcceptMode[] = ["shared", "reuseport", "placed"];
/** Threads that are terminated, in all. */
const terminations = Number(process.env.CORONET_TERMINATIONS ?? 50);

for (const accept of modes) {
  const rounds = Math.ceil(terminations / modes.length);
  test(`"${accept}": ${rounds} of them at any moment: no crash, no fd left, the others serve`, (t) =>
    freed(async () => {
      const random = seeded(t);
      await using threads = await start({ accept });
      let asking = true;
      // Its thread may end under it, which is an error; silence would hang the test.
      const client = async (): Promise<void> => {
        while (asking) {
          const verb = ["who", "echo", "wander", "pass"][random.below(4)] as string;
          await using conn = await ask(threads, verb).catch(() => undefined);
          if (conn === undefined) continue;
          await conn.write(new Uint8Array(1 + random.below(50_000))).catch(() => {});
          await conn.closeWrite().catch(() => {});
          await readAll(conn).catch(() => {});
        }
      };
      const clients = Array.from({ length: 6 }, client);
      for (let i = 0; i < rounds; i++) {
        for (let turns = random.below(200); turns > 0; turns--) await turn();
        const victim = threads.threads[random.below(threads.threads.length)] as Thread;
        const next = threads.add();
        await victim.terminate();
        await next;
      }
      asking = false;
      await Promise.all(clients);
      assert.match(await answer(threads, "who"), /^\d+$/);
    }));
}
