/** hot_restart_killed.test.ts: one side of a hot restart is killed in the middle of it. */
import { describe, test } from "node:test";
import type { Addr } from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { kill, Mark } from "./marked.ts";
import { until, whoServes } from "./served.ts";
import { isAlive, Program } from "./server_program.ts";

const ROUNDS = 2;

const nameOf = ({ model, placement }: { model: string; placement?: string }): string =>
  placement === undefined ? model : `${model}, ${placement}`;

describe("kill -9 in the middle of a hot restart", () => {
  const seed = Number(process.env.CORONET_SEED ?? Date.now() & 0x7fff_ffff);
  const random = new Random(seed);
  const killed = [
    { model: "process" },
    { model: "thread" },
    { model: "process", placement: "round-robin" },
  ] as const;
  for (const kind of killed) {
    for (const side of ["old", "new"] as const) {
      test(`of the ${side} program leaves a server that serves, or none (${nameOf(kind)})`, async (t) => {
        t.diagnostic(`CORONET_SEED=${seed}`);
        for (let round = 0; round < ROUNDS; round++) await killInRestart(kind, side, random);
      });
    }
  }
});

async function killInRestart(kind: object, side: "old" | "new", random: Random): Promise<void> {
  const mark = new Mark();
  try {
    await using program = await Program.start({ workers: 2, ...kind }, mark.env);
    const before = new Set(mark.processes().keys());
    program.signal("SIGUSR2");
    let victim: number | undefined = program.pid;
    if (side === "new") {
      await until("there is a new program", () => {
        const found = [...mark.processes()].filter(([pid]) => !before.has(pid));
        [victim] = found.find(([, command]) => command.includes("serve.js")) ?? [];
        return victim !== undefined;
      });
    }
    // Any moment will do: that is what is tested.
    await new Promise((resolve) => setTimeout(resolve, random.below(500)));
    kill(victim as number);
    await settled(mark, program.addr);
    for (const [pid, command] of mark.processes()) {
      if (command.includes("serve.js") && isAlive(pid)) process.kill(pid, "SIGTERM");
    }
    await until("nothing is left", () => mark.processes().size === 0);
  } finally {
    mark.killAll();
  }
}

/** Waits until one program with its workers serves, or nothing is left. */
async function settled(mark: Mark, addr: Addr): Promise<void> {
  await until("one program serves, or none", async () => {
    const all = [...mark.processes()];
    if (all.length === 0) return true;
    const programs = all.filter(([, command]) => command.includes("serve.js"));
    const workers = all.filter(([, command]) => command.includes("worker_process"));
    if (programs.length !== 1 || (workers.length !== 2 && workers.length !== 0)) return false;
    return await whoServes(addr).then(
      ({ pid }) => all.some(([one]) => one === pid),
      () => false,
    );
  });
}
