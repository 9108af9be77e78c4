/**
 * hot_restart_storm.test.ts: the whole program of a server is replaced again and again under load;
 * CORONET_RESTARTS says how often.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, test } from "node:test";
import type { Addr, ServerModel } from "../src/index.ts";
import { lacks } from "./child.ts";
import { Mark } from "./marked.ts";
import { Load, until } from "./served.ts";
import { isAlive, Program } from "./server_program.ts";

const TIMES = Number(process.env.CORONET_RESTARTS ?? 4);
const noWrk = lacks("sh", "-c", "command -v wrk");

/** wrk until it is told to end; what it says then. */
class Wrk {
  private readonly child;
  private readonly said: Promise<string>;

  constructor(addr: Addr) {
    this.child = spawn("wrk", ["-t1", "-c4", "-d150s", `http://${addr}/`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    this.child.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    this.said = new Promise((resolve) => this.child.on("close", () => resolve(text)));
  }

  async stop(): Promise<string> {
    this.child.kill("SIGINT");
    return await this.said;
  }
}

/** Restarts a server again and again; what clients do meanwhile is `load`'s. */
async function restartAgainAndAgain(options: object, load: (addr: Addr) => Promise<void>) {
  const mark = new Mark();
  await using program = await Program.start(
    { workers: 2, drainTimeout: 60_000, ...options },
    mark.env,
  );
  try {
    const first = program.pid;
    for (let i = 0; i < TIMES; i++) {
      await load(program.addr);
      const { pid } = program;
      program.signal("SIGUSR2");
      await program.restarted();
      await until("the old one is gone", () => !isAlive(pid) || pid === first);
    }
    await load(program.addr);
  } finally {
    mark.killAll();
  }
}

const kinds = [
  { model: "process" },
  { model: "thread" },
  { model: "base", workers: 1 },
  { model: "process", placement: "round-robin" },
  { model: "thread", placement: "least-busy" },
] satisfies { model: ServerModel; workers?: number; placement?: string }[];

const nameOf = ({ model, placement }: { model: string; placement?: string }): string =>
  placement === undefined ? model : `${model}, ${placement}`;

describe("hot restarts again and again fail no request, of Coronet's client and of wrk", () => {
  for (const kind of kinds) {
    test(nameOf(kind), async () => {
      let load: Load | undefined;
      let wrk: Wrk | undefined;
      let said = "";
      let rounds = 0;
      try {
        await restartAgainAndAgain(kind, async (addr) => {
          load ??= new Load(addr, 4);
          if (noWrk === undefined) wrk ??= new Wrk(addr);
          await load.more(20);
          if (rounds++ < TIMES) return;
          await load.stop();
          said = (await wrk?.stop()) ?? "";
        });
      } finally {
        await Promise.all([load?.stop(), wrk?.stop()]);
      }
      assert.deepEqual(load?.failures, []);
      if (noWrk !== undefined) return;
      assert.match(said, /[1-9]\d* requests in/);
      assert.doesNotMatch(said, /Socket errors|Non-2xx/);
    });
  }
});
