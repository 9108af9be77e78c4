/** hot_restart.test.ts: a server whose whole program is replaced while it serves. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { ServerModel } from "../src/index.ts";
import { Load, until, whoServes } from "./served.ts";
import { isAlive, Program } from "./server_program.ts";

const folder = mkdtempSync(join(tmpdir(), "coronet-restart-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

describe("a hot restart", () => {
  for (const model of ["process", "thread", "base"] satisfies ServerModel[]) {
    test(`three times under load fails no request (${model})`, async () => {
      await using program = await Program.start({
        model,
        workers: model === "base" ? 1 : 2,
        drainTimeout: 60_000,
      });
      const pids = new Set([program.pid]);
      const load = new Load(program.addr, 4);
      for (let i = 0; i < 3; i++) {
        await load.more(20);
        const { pid } = program;
        program.signal("SIGUSR2");
        await program.restarted();
        await until(
          "the old one is gone",
          () => !isAlive(pid) || pid === program.child.process.pid,
        );
        pids.add(program.pid);
      }
      await load.more(20);
      await load.stop();
      assert.deepEqual(load.failures, []);
      assert.equal(pids.size, 4);
    });
  }

  test("that fails leaves the old program as it was", async () => {
    const failWhile = join(folder, "fail");
    const pidFile = join(folder, "restart.pid");
    await using program = await Program.start({ failWhile, pidFile });
    writeFileSync(failWhile, "");
    const { pid } = program;
    assert.match(await program.command("restart"), /restart failed: .*ended \(status 1\)/);
    assert.ok((await whoServes(program.addr)).id >= 0);
    assert.equal(Number(readFileSync(pidFile, "utf8")), pid);
    rmSync(failWhile);
    program.signal("SIGUSR2");
    await program.restarted();
    assert.equal(Number(readFileSync(pidFile, "utf8")), program.pid);
    program.signal("SIGTERM");
    assert.match(await program.line(), /^closed/);
    assert.ok(!existsSync(pidFile));
  });

  test("keeps the path of a unix socket, and its end removes it", async () => {
    const path = join(folder, "restarted.sock");
    await using program = await Program.start({
      listen: [
        ["tcp", "127.0.0.1:0"],
        ["unix", path],
      ],
    });
    program.signal("SIGUSR2");
    await program.restarted();
    assert.ok(existsSync(path));
    program.signal("SIGTERM");
    assert.match(await program.line(), /^closed/);
    await until("it is gone", () => !existsSync(path));
  });
});
