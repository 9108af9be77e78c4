/** debugging.test.ts: a running program is asked what it is doing: by signals and by `coronet dump`. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { askControl, controlFolder, openControl } from "../src/debug/control.ts";
import type { Dump } from "../src/debug/index.ts";
import { Child, type Ended, type StartOptions } from "./child.ts";
import { until } from "./served.ts";

const main = resolve(import.meta.dirname, "../src/cli/main.js");

/** A directory for control sockets of its own. */
function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coronet-debug-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What the command prints. */
function coronet(folder: string, ...args: string[]): Promise<Ended> {
  return new Promise((done) => {
    const env = { ...process.env, CORONET_DEBUG_DIR: folder };
    const child = execFile(process.execPath, [main, ...args], { env }, (_, stdout, stderr) =>
      done({ status: child.exitCode, signal: child.signalCode, stdout, stderr }),
    );
  });
}

/** The program, once both of its threads can be asked. */
async function started(
  t: TestContext,
  env: NodeJS.ProcessEnv,
  options: StartOptions = {},
): Promise<{ child: Child; folder: string; stderr: () => string; pid: string; addr: string }> {
  const folder = folderOf(t);
  const child = new Child("debugging", [], {
    env: { CORONET_DEBUG_DIR: folder, ...env },
    ...options,
  });
  t.after(() => child.kill());
  let stderr = "";
  child.process.stderr.on("data", (text: string) => {
    stderr += text;
  });
  const addr = await child.line();
  await until("both sockets are there", () => readdirSync(folder).length === 2);
  return { child, folder, stderr: () => stderr, pid: String(child.process.pid), addr };
}

describe("a program with CORONET_DEBUG=1", () => {
  test("answers coronet dump, each thread for itself", async (t) => {
    const { folder, pid, addr } = await started(t, { CORONET_DEBUG: "1" });
    const { status, stdout, stderr } = await coronet(folder, "dump", pid);
    assert.deepEqual([status, stderr], [0, ""]);
    assert.match(stdout, new RegExp(`^23 goroutines of process ${pid}, thread 0\n`));
    assert.match(stdout, /\n20 goroutines \[echo\]: \d+, .*, …; the first of them\nwaits for read/);
    const accept = `\\[acceptLoop\\]\nwaits for accept since .* s on tcp4? ${addr}\n {2}at acceptLoop .*debugging\\.js:`;
    assert.match(stdout, new RegExp(accept));
    assert.match(stdout, /started at file:\S+debugging\.js:\d+:\d+ by goroutine 1 \[acceptLoop\]/);
    assert.match(
      stdout,
      /\[both\] ──mutex #\d──▶ .*\[both\] ──mutex #\d──▶ .*\[both\] {2}\(a cycle\)/,
    );
    assert.match(
      stdout,
      /\n1 goroutines of process \d+, thread 1\n\ngoroutine 1 \[inTheWorker\]\n/,
    );
  });

  test("as JSON, and every goroutine by itself", async (t) => {
    const { folder, pid } = await started(t, { CORONET_DEBUG: "1" });
    const { stdout } = await coronet(folder, "dump", pid, "--json", "--stacks", "0");
    const [mainThread, worker] = stdout
      .split("\n")
      .map((line) => line && JSON.parse(line)) as Dump[];
    assert.deepEqual([mainThread?.thread, worker?.thread], [0, 1]);
    assert.equal(mainThread?.goroutines.length, 23);
    assert.ok(mainThread?.goroutines.every(({ waits }) => waits[0]?.stack.length === 0));
    const all = await coronet(folder, "dump", pid, "--all");
    assert.equal(all.stdout.match(/^goroutine \d+ \[echo\]$/gm)?.length, 20);
  });

  test("reports the locks that are held up, once, and goes on", async (t) => {
    const env = { CORONET_DEBUG: "1", CORONET_DEBUG_LOCKS: "20" };
    const { child, stderr } = await started(t, env);
    await until("it has reported", () => stderr().includes("started at"));
    child.process.stdin.end();
    const ended = await child.ended;
    assert.equal(ended.status, 0);
    assert.equal(ended.stderr.match(/hold each other up for ever/g)?.length, 1);
    assert.match(ended.stderr, /^coronet: 2 goroutines hold each other up for ever\n/);
  });

  test("prints a dump on SIGUSR2 and goes on; on SIGQUIT it ends with status 2", async (t) => {
    const { child, stderr, folder } = await started(t, {
      CORONET_DEBUG: "1",
      CORONET_DEBUG_LOCKS: "0",
    });
    child.kill("SIGUSR2");
    await until("it has printed", () => stderr().includes("(a cycle)\n"));
    assert.match(stderr(), /^\n23 goroutines of process/);
    child.kill("SIGQUIT");
    const { status, stderr: all } = await child.ended;
    assert.equal(status, 2);
    assert.equal(all.match(/23 goroutines of process/g)?.length, 2);
    assert.ok(!existsSync(join(folder, `${child.process.pid}.0.sock`)));
  });

  test("takes another signal", async (t) => {
    const env = { CORONET_DEBUG: "1", CORONET_DEBUG_LOCKS: "0", CORONET_DEBUG_SIGNAL: "SIGHUP" };
    const { child, stderr } = await started(t, env);
    child.kill("SIGHUP");
    await until("it has printed", () => stderr().includes("goroutines of process"));
  });

  test("can be preloaded instead: node --import coronet/debug", async (t) => {
    const { folder, pid } = await started(t, {}, { execArgv: ["--import", "coronet/debug"] });
    const { stdout } = await coronet(folder, "dump", pid);
    assert.match(stdout, /\[acceptLoop\]\nwaits for accept/);
  });
});

describe("coronet dump", () => {
  test("says what is missing of a process that cannot be asked", async (t) => {
    const folder = folderOf(t);
    const { status, stderr } = await coronet(folder, "dump", String(process.pid));
    assert.equal(status, 1);
    assert.match(stderr, /has no control socket in .*: start it with CORONET_DEBUG=1/);
    const gone = await coronet(folder, "dump", join(folder, "nobody.sock"));
    assert.deepEqual([gone.status, /nobody\.sock: .*ENOENT/.test(gone.stderr)], [1, true]);
    assert.equal((await coronet(folder, "dump")).status, 2);
    assert.equal((await coronet(folder, "dump", "1", "--stacks", "x")).status, 2);
  });

  test("says that a process which was killed has ended", async (t) => {
    const { child, folder, pid } = await started(t, { CORONET_DEBUG: "1" });
    child.kill("SIGKILL");
    await child.ended;
    const { status, stderr } = await coronet(folder, "dump", pid);
    assert.equal(status, 1);
    assert.match(stderr, /the process has ended/);
  });
});

describe("the control socket", () => {
  const withFolder = async (folder: string, fn: () => Promise<void>): Promise<void> => {
    const before = process.env.CORONET_DEBUG_DIR;
    process.env.CORONET_DEBUG_DIR = folder;
    try {
      await fn();
    } finally {
      if (before === undefined) delete process.env.CORONET_DEBUG_DIR;
      else process.env.CORONET_DEBUG_DIR = before;
    }
  };

  test("stands in a directory that nobody else can enter, or is not opened", async (t) => {
    const folder = folderOf(t);
    await withFolder(folder, async () => {
      chmodSync(folder, 0o755);
      await assert.rejects(openControl(), /nobody else can enter \(mode 0700\)/);
    });
    await withFolder(join(folder, "new"), async () => {
      const control = await openControl();
      assert.equal(statSync(controlFolder()).mode & 0o777, 0o700);
      control.close();
      assert.ok(!existsSync(control.path));
    });
  });

  test("answers several requests in order, and what it does not know with an error", async (t) => {
    await withFolder(folderOf(t), async () => {
      const control = await openControl();
      const { goroutines } = (await askControl(control.path, "dump", { stacks: 1 })) as Dump;
      assert.ok(Array.isArray(goroutines));
      await assert.rejects(
        askControl(control.path, "fly"),
        /unknown command "fly"; known: dump, meters, top/,
      );
      control.close();
    });
  });
});
