/** cli_run.test.ts: `coronet run` as its users run it. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import { dial } from "../src/index.ts";
import { ask, until } from "./served.ts";

const main = resolve(import.meta.dirname, "../src/cli/main.js");

class Command {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<number | null>;
  stdout = "";
  stderr = "";

  constructor(t: TestContext, args: readonly string[]) {
    this.child = spawn(process.execPath, [main, "run", ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((settle) => this.child.once("close", settle));
    t.after(() => this.child.kill("SIGKILL"));
  }

  async address(): Promise<string> {
    const pattern = /^listening on (\S+)\n/;
    await until("it listens", () => pattern.test(this.stdout) || this.child.exitCode !== null);
    const match = pattern.exec(this.stdout);
    assert.ok(match, this.stdout + this.stderr);
    return match[1] as string;
  }
}

/** A folder with a module that answers every word with this one. */
function folderWith(t: TestContext, word: string): { module: string; write(word: string): void } {
  const folder = mkdtempSync(join(tmpdir(), "coronet-run-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "lib"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const module = join(folder, "handler.js");
  writeFileSync(
    module,
    `import { threadId } from "node:worker_threads";
import { word } from "./lib/word.js";
export default async (conn) => {
  for await (const _ of conn) await conn.write(\`\${word} \${process.pid} \${threadId}\\n\`);
};`,
  );
  const write = (text: string): void => {
    writeFileSync(join(folder, "lib/word.js"), `export const word = ${text};`);
  };
  write(JSON.stringify(word));
  return { module, write };
}

async function answer(address: string): Promise<string[]> {
  await using conn = await dial("tcp", address);
  return String(await ask(conn, "?")).split(" ");
}

test("serves with threads, by default, and ends with status 0", async (t) => {
  const { module } = folderWith(t, "one");
  const command = new Command(t, [module, "--listen", "127.0.0.1:0", "--threads", "2"]);
  const address = await command.address();
  const [word, pid, thread] = await answer(address);
  assert.deepEqual([word, Number(pid)], ["one", command.child.pid]);
  assert.ok(Number(thread) > 0);
  command.child.kill("SIGTERM");
  assert.equal(await command.ended, 0);
  assert.equal(command.stderr, "");
});

test("serves with processes", async (t) => {
  const { module } = folderWith(t, "one");
  const command = new Command(t, [module, "--listen", "127.0.0.1:0", "--workers", "1"]);
  const [word, pid, thread] = await answer(await command.address());
  assert.deepEqual([word, thread], ["one", "0"]);
  assert.notEqual(Number(pid), command.child.pid);
  command.child.kill("SIGINT");
  assert.equal(await command.ended, 0);
});

test("--watch reloads on a change, and goes on after a broken one", async (t) => {
  const { module, write } = folderWith(t, "one");
  const command = new Command(t, [module, "--listen", "127.0.0.1:0", "--watch"]);
  const address = await command.address();
  assert.equal((await answer(address))[0], "one");
  write('"two"');
  await until("it is reloaded", async () => (await answer(address))[0] === "two");
  await until("it says so", () => /lib\/word\.js changed: reloaded\n/.test(command.stderr));
  write("broken(");
  await until("it says so", () => /changed, going on as before/.test(command.stderr));
  assert.equal((await answer(address))[0], "two");
  write('"three"');
  await until("it is reloaded", async () => (await answer(address))[0] === "three");
  command.child.kill("SIGTERM");
  assert.equal(await command.ended, 0);
});

test("says in one line what is wrong with its arguments", async (t) => {
  const { module } = folderWith(t, "one");
  const listen = ["--listen", "127.0.0.1:0"];
  const wrong: [string[], number, RegExp][] = [
    [[], 2, /MODULE is missing/],
    [[module], 2, /--listen is missing/],
    [[module, ...listen, "--threads", "0"], 2, /--threads takes a whole number from 1/],
    [[module, ...listen, "--threads", "1", "--workers", "1"], 2, /not both/],
    [["/no/such.js", ...listen], 1, /there is no file \/no\/such\.js/],
    [[module, "--listen", "nonsense"], 2, /nonsense/],
  ];
  for (const [args, status, pattern] of wrong) {
    const command = new Command(t, args);
    assert.equal(await command.ended, status, command.stderr);
    assert.match(command.stderr, pattern);
    assert.equal(command.stderr.trim().split("\n").length, 1, command.stderr);
  }
});
