/** panic.test.ts: how a panic is reported and how it ends the process. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { Goroutine } from "./goroutine.ts";
import { ENDS_GOROUTINE, endsQuietly, panicReport } from "./panic.ts";

/** Runs a program that has `go`, `onPanic` and `Worker`. */
function run(code: string): { status: number | null; stdout: string; stderr: string } {
  const modules = ["goroutine", "panic"].map((name) =>
    JSON.stringify(new URL(`./${name}.js`, import.meta.url).href),
  );
  const program = `
    import { Worker } from "node:worker_threads";
    import { go } from ${modules[0]};
    import { onPanic } from ${modules[1]};
    ${code}
  `;
  return spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
  });
}

describe("a panic", () => {
  test("ends the process with status 2 and says who panicked and where it was started", () => {
    const { status, stdout, stderr } = run(`
      process.on("exit", (code) => console.log("exit", code));
      function handler() { throw new Error("bug in the handler"); }
      go(handler);
      setTimeout(() => console.log("never"), 10_000);
    `);
    assert.equal(status, 2);
    assert.equal(stdout, "exit 2\n");
    assert.match(stderr, /^panic: Error: bug in the handler\n\s+at handler/);
    assert.match(stderr, /\ngoroutine 1 \[handler\]\nstarted at .*:\d+:\d+\n/);
  });

  test("goes to the handler, and the process goes on", () => {
    const { status, stdout, stderr } = run(`
      onPanic((error, g) => console.log("caught", error.message, g.id, g.name));
      async function one() { throw new Error("first"); }
      go(one);
      setTimeout(() => console.log("still here"), 1);
    `);
    assert.equal(stderr, "");
    assert.equal(stdout, "caught first 1 one\nstill here\n");
    assert.equal(status, 0);
  });

  test("goes to whoever listens for uncaught exceptions, as an exception", () => {
    const { status, stdout } = run(`
      process.on("uncaughtException", (error, origin) => console.log(error.message, origin));
      go(async () => { throw new Error("bug"); });
    `);
    assert.equal(stdout, "bug uncaughtException\n");
    assert.equal(status, 0);
  });

  test("of a worker goes to the worker's parent", () => {
    const module = JSON.stringify(new URL("./goroutine.js", import.meta.url).href);
    const { status, stdout } = run(`
      const code = 'import(' + JSON.stringify(${module}) + ').then(({ go }) => ' +
        'go(() => { throw new Error("bug in a worker"); }))';
      const worker = new Worker(code, { eval: true });
      worker.on("error", (error) => console.log("parent:", error.message));
      worker.on("exit", (code) => console.log("worker ended", code));
    `);
    assert.equal(stdout, "parent: bug in a worker\nworker ended 1\n");
    assert.equal(status, 0);
  });

  test("with a standard error that is closed still ends the process with status 2", () => {
    const { status } = run(`
      import { closeSync } from "node:fs";
      closeSync(2);
      go(() => { throw new Error("unseen"); });
    `);
    assert.equal(status, 2);
  });
});

describe("the report", () => {
  test("shows what was thrown, also when it is no error", () => {
    const g = new Goroutine<unknown>(function work() {});
    assert.match(panicReport(g, "just text"), /^panic: just text\n\ngoroutine \d+ \[work\]\n/);
    assert.match(panicReport(g, undefined), /^panic: undefined\n/);
    assert.match(panicReport(g, Symbol("s")), /^panic: Symbol\(s\)\n/);
    const bare = new Error("no stack");
    delete (bare as { stack?: string }).stack;
    assert.match(panicReport(g, bare), /^panic: Error: no stack\n/);
    g.leave(undefined);
  });

  test("says how to find out where a goroutine was started when that is unknown", () => {
    const g = new Goroutine<unknown>(() => {});
    assert.match(panicReport(g, "x"), /started at a place not recorded \(CORONET_TRACEBACK=all/);
    g.leave(undefined);
  });
});

test("an error ends its goroutine quietly only when it is marked, and marked with true", () => {
  assert.equal(endsQuietly(Object.assign(new Error(), { [ENDS_GOROUTINE]: true })), true);
  assert.equal(endsQuietly(Object.assign(new Error(), { [ENDS_GOROUTINE]: "yes" })), false);
  for (const other of [new Error(), undefined, null, 5, "text"]) {
    assert.equal(endsQuietly(other), false);
  }
});
