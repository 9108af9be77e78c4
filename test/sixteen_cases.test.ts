/**
 * sixteen_cases.test.ts: the programs of docs/sixteen-cases.md do what the page says: the right ones
 * print what they should, the wrong ones are caught by what the page names.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = dirname(fileURLToPath(import.meta.resolve("coronet/package.json")));
// Inside the package, so that the programs find it by its name.
const folder = join(root, "build", `sixteen-cases-${process.pid}`);
const require = createRequire(import.meta.url);

interface Program {
  /** "1-wrong-1": the case, what the page calls it, and its number among those. */
  name: string;
  code: string;
}

interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The programs of the page, by their names. */
function programs(page: string): Map<string, Program> {
  const found = new Map<string, Program>();
  for (const section of page.split(/^## /m).slice(1)) {
    const number = Number.parseInt(section, 10);
    const counts: Record<string, number> = { wrong: 0, right: 0 };
    for (const [, word, code] of section.matchAll(
      /^\*\*(Wrong|Right)[\s\S]*?^```ts.*\n([\s\S]*?)^```$/gm,
    )) {
      const kind = String(word).toLowerCase();
      counts[kind] = (counts[kind] ?? 0) + 1;
      const name = `${number}-${kind}-${counts[kind]}`;
      found.set(name, { name, code: String(code) });
    }
  }
  return found;
}

const all = programs(readFileSync(join(root, "docs/sixteen-cases.md"), "utf8"));

function execute(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return new Promise((resolve) => {
    const {
      NODE_OPTIONS: _,
      NODE_TEST_CONTEXT: __,
      CORONET_TRACEBACK: ___,
      ...inherited
    } = process.env;
    const options = { cwd: folder, env: { ...inherited, ...env }, timeout: 60_000 };
    const child = execFile(process.execPath, args, options, (_error, stdout, stderr) => {
      resolve({ status: child.exitCode, stdout, stderr });
    });
  });
}

/** What the compiler says, by the program's name. */
const complaints = new Map<string, string>();

async function compileAll(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const { name, code } of all.values()) {
    writeFileSync(join(folder, `${name}.ts`), `${code}\nexport {};\n`);
  }
  const config = {
    extends: "../../tsconfig.json",
    compilerOptions: { rootDir: ".", outDir: "out", noUnusedLocals: false, declaration: false },
    include: ["*.ts"],
    exclude: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin/tsc");
  const { stdout } = await execute([tsc, "--pretty", "false"]);
  for (const line of stdout.split("\n").filter((text) => text !== "")) {
    const name = line.replace(/\.ts\(.*$/, "");
    complaints.set(name, `${complaints.get(name) ?? ""}${line}\n`);
  }
}

/** Fails unless the compiler accepts the program and it prints this and ends with status 0. */
async function prints(name: string, stdout: string): Promise<void> {
  assert.equal(complaints.get(name), undefined);
  const finished = await execute([join(folder, "out", `${name}.js`)]);
  assert.deepEqual(finished, { status: 0, stdout, stderr: "" });
}

/** Fails unless the compiler refuses the program with this. */
function refused(name: string, complaint: RegExp): void {
  assert.match(complaints.get(name) ?? "accepted", complaint);
}

/** A goroutine in the report: what it waits for, in which function, and what stands in that line. */
type Expected = readonly [goroutine: string, kind: string, within: string, code: string];

/** "/the/file.js:12": the first line of a function with that code. */
function placeOf(program: string, within: string, code: string): string {
  const lines = readFileSync(program, "utf8").split("\n");
  const begin = lines.findIndex((line) => line.includes(`function ${within}(`));
  const line = lines.findIndex((text, i) => i > begin && text.includes(code));
  assert.ok(begin !== -1 && line !== -1, `"${code}" of ${within} does not stand in ${program}`);
  return `${program}:${line + 1}`;
}

/** Fails unless the program ends in a deadlock, whose report names these, with file and line. */
async function deadlocks(name: string, stdout: string, ...report: Expected[]): Promise<void> {
  assert.equal(complaints.get(name), undefined);
  const program = [join(folder, "out", `${name}.js`)];
  const finished = await execute(program, { CORONET_TRACEBACK: "all" });
  assert.equal(finished.status, 2, finished.stderr);
  assert.equal(finished.stdout, stdout);
  assert.match(finished.stderr, /^fatal error: all goroutines are asleep - deadlock!\n/);
  for (const [goroutine, kind, within, code] of report) {
    const place = placeOf(String(program[0]), within, code).replaceAll(".", "\\.");
    const wait = `\\[${goroutine}\\]\\nwaits for ${kind} since .*\\n {2}at .*${place}:\\d+\\)`;
    assert.match(finished.stderr, new RegExp(wait));
  }
  assert.match(finished.stderr, /started at file:\S*\d+-wrong-1\.js:\d+:\d+/);
}

/** Fails unless the linter finds this in the program. */
async function linted(name: string, rule: string): Promise<void> {
  const config = {
    root: true,
    linter: { rules: { suspicious: { noVar: "error", noShadow: "error" } } },
  };
  writeFileSync(join(folder, "biome.json"), JSON.stringify(config));
  const biome = join(dirname(require.resolve("@biomejs/biome/package.json")), "bin/biome");
  const { status, stdout, stderr } = await execute([biome, "lint", `${name}.ts`]);
  assert.equal(status, 1, stdout + stderr);
  assert.match(stdout + stderr, new RegExp(`lint/\\w+/${rule}\\b`));
}

describe("the sixteen cases", { concurrency: 2 }, () => {
  before(compileAll);
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("are all there, wrong and right", () => {
    for (let n = 1; n <= 16; n++)
      assert.ok(all.has(`${n}-wrong-1`) && all.has(`${n}-right-1`), `${n}`);
    assert.equal(all.size, 33);
  });

  test("1: a receive that does not look at ok is refused by the compiler", () =>
    refused("1-wrong-1", /TS18048: 'task' is possibly 'undefined'/));
  test("1: for await ends with the channel", () => prints("1-right-1", "45\n"));

  test("2: a sender whose receiver has gone is in the report", () =>
    deadlocks("2-wrong-1", "timed out\n", ["job", "chan send", "job", "results.send("]));
  test("2: room for one value lets it finish", () => prints("2-right-1", "timed out\n"));
  test("2: a context tells it to stop", () => prints("2-right-2", "timed out\n"));

  test("3: a result that is read too early is wrong in every run", async () => {
    for (let i = 0; i < 5; i++) await prints("3-wrong-1", "0\n");
  });
  test("3: a joined result is complete", () => prints("3-right-1", "4\n"));

  test("4: a lock held while sending is in the report", () =>
    deadlocks(
      "4-wrong-1",
      "",
      ["producer", "chan send", "producer", "numbers.send("],
      ["consumer", "mutex lock", "consumer", "mu.lock()"],
    ));
  test("4: without it all arrive", () => prints("4-right-1", "0\n1\n2\n3\n"));

  test("5: a return without unlock is in the report", () =>
    deadlocks("5-wrong-1", "", ["main", "mutex lock", "add", "mu.lock()"]));
  test("5: a guard unlocks on every way out", () => prints("5-right-1", "1\n"));

  test("6: readers that wait for each other across a writer are in the report", () =>
    deadlocks(
      "6-wrong-1",
      "",
      ["first", "chan receive", "first", "answer.receive()"],
      ["writer", "rwmutex lock", "writer", "mu.lock()"],
      ["second", "rwmutex rlock", "second", "mu.rlock()"],
    ));
  test("6: the writer goes before the readers that came later", () =>
    prints("6-right-1", "reader 0\nwriter\nreader 1\nreader 2\nreader 3\n"));

  test("7: a recursive read lock is in the report, with the line that asks for it again", () =>
    deadlocks(
      "7-wrong-1",
      "",
      ["outer", "rwmutex rlock", "inner", "mu.rlock()"],
      ["writer", "rwmutex lock", "writer", "mu.lock()"],
    ));
  test("7: locking once is enough", () => prints("7-right-1", "read\nwritten\n"));

  test("8: a variable that a failed Once did not assign is refused by the compiler", () =>
    refused("8-wrong-1", /TS2454: Variable 'config' is used before being assigned/));
  test("8: onceValue throws to everybody", () =>
    prints("8-right-1", "no such file\nno such file\n"));

  test("9: an add inside the goroutine throws", async () => {
    const { status, stdout, stderr } = await execute([join(folder, "out", "9-wrong-1.js")]);
    assert.deepEqual([status, stdout], [2, "0\n"]);
    assert.match(stderr, /^panic: SyncError: WaitGroup\.add came after the wait/);
  });
  test("9: wg.go adds before", () => prints("9-right-1", "1000\n"));

  test("10: a wait for a signal that has been is in the report", () =>
    deadlocks("10-wrong-1", "", ["main", "cond wait", "main", "changed.wait()"]));
  test("10: a fact is not missed", () => prints("10-right-1", "ready\n"));

  test("11: a call in the place of a function is refused by the compiler", () =>
    refused("11-wrong-1", /TS2345: Argument of type 'void' is not assignable/));
  test("11: a function is called at the end", () => prints("11-right-1", "about 10 ms\n"));

  test("12: a change after the return value was taken is not returned, in every run", () =>
    prints("12-wrong-1", "2 1\n"));
  test("12: a change before it is", () => prints("12-right-1", "2 2\n"));

  test("13: a return in finally is found by the linter", () =>
    linted("13-wrong-1", "noUnsafeFinally"));
  test("13: the result is what is returned", () => prints("13-right-1", "2\n"));

  test("14: a loop variable that all share is found by the linter", () =>
    linted("14-wrong-1", "noVar"));
  test("14: what it would have printed", () => prints("14-wrong-1", "3\n3\n3\n"));
  test("14: each round has its own, and arguments are evaluated by the caller", () =>
    prints("14-right-1", "0\n1\n2\n7\n"));

  test("15: a shadowed variable is found by the linter", () => linted("15-wrong-1", "noShadow"));
  test("15: what it would have printed", () => prints("15-wrong-1", "inner: 2 3\nouter: 1\n"));
  test("15: one variable is one variable", () => prints("15-right-1", "inner: 2 3\nouter: 2\n"));

  test("16: a timer that starts anew in each round never goes off, but leaves nothing behind", () =>
    prints("16-wrong-1", "timed out: false, never more than three timers: true\n"));
  test("16: one deadline for the whole loop does", () => prints("16-right-1", "timed out: true\n"));
});
