import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { programPath, run } from "../../test/child.ts";
import { CanceledError, TaskTimeoutError, task } from "../index.ts";

const tasks = programPath("tasks");

test("a task runs on another thread and its result is a copy", async () => {
  assert.equal(await task<number>(tasks, [20, 22]), 42);
  assert.notEqual(await task(tasks, [], { name: "where" }), 0);
  const value = { list: [1, new Date(0)], bytes: new Uint8Array([1, 2]) };
  const copy = await task(tasks, [value], { name: "later" });
  assert.deepEqual(copy, value);
  assert.notEqual(copy, value);
});

test("the caller's thread goes on while a task computes", async () => {
  let turns = 0;
  let done = false;
  const running = task(tasks, [100], { name: "spin" }).then(() => {
    done = true;
  });
  while (!done) {
    await turn();
    turns++;
  }
  await running;
  assert.ok(turns > 20, `only ${turns} turns`);
});

test("an error keeps its message, stack, name, code and cause", async () => {
  const error = await task(tasks, [], { name: "fails" }).catch((e: unknown) => e);
  assert.ok(error instanceof Error);
  assert.equal(error.name, "RangeError");
  assert.equal(error.message, "too far");
  assert.equal((error as { code?: string }).code, "ERR_FAR");
  assert.match(String(error.stack), /at fails .*tasks/);
  assert.equal((error.cause as Error).message, "root");
  await assert.rejects(task(tasks, [], { name: "throwsText" }), (e) => e === "plain text");
});

test("a result that can't be copied, a missing export, a missing module say so", async () => {
  await assert.rejects(task(tasks, [], { name: "unclonable" }), /could not be cloned/);
  await assert.rejects(task(tasks, [() => {}]), /could not be cloned/);
  await assert.rejects(task(tasks, [], { name: "nothing" }), /exports no function "nothing"/);
  await assert.rejects(task("/no/such/module.js"), /\/no\/such\/module\.js/);
  await assert.rejects(task("relative.js"), TypeError);
  await assert.rejects(task(tasks, 1 as never), TypeError);
  await assert.rejects(task(tasks, [], { timeout: 0 }), RangeError);
});

test("a signal ends a task that runs, and its thread", { timeout: 30_000 }, async () => {
  const flag = new SharedArrayBuffer(4);
  const counter = new Int32Array(flag);
  const abort = new AbortController();
  const reason = new Error("no longer wanted");
  const running = task(tasks, [flag], { name: "forever", signal: abort.signal });
  while (Atomics.load(counter, 0) === 0) await turn();
  abort.abort(reason);
  await assert.rejects(running, (error) => {
    assert.ok(error instanceof CanceledError);
    assert.equal(error.code, "ERR_CANCELED");
    return error.cause === reason;
  });
  // The thread's end is asynchronous: after it, nobody counts any more.
  for (let last = -1; last !== Atomics.load(counter, 0); ) {
    last = Atomics.load(counter, 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(await task(tasks, [1, 1]), 2);
  const aborted = task(tasks, [1, 1], { signal: abort.signal });
  await assert.rejects(aborted, CanceledError);
});

test("a timeout fails with ERR_DEADLINE", async () => {
  const flag = new SharedArrayBuffer(4);
  const late = task(tasks, [flag], { name: "forever", timeout: 50 });
  await assert.rejects(late, (error) => {
    assert.ok(error instanceof TaskTimeoutError);
    return error.code === "ERR_DEADLINE" && error.timeout;
  });
});

test("a task that ends its thread fails, and the next one has another", async () => {
  await assert.rejects(task(tasks, [], { name: "exits" }), /exited with code: 3/);
  assert.equal(await task(tasks, [2, 3]), 5);
});

test("more tasks than threads all get their turn", async () => {
  const results = await Promise.all(Array.from({ length: 50 }, (_, i) => task(tasks, [i, 1])));
  assert.deepEqual(
    results,
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
});

test("idle threads of the pool don't keep the process alive", async () => {
  const { status, stdout, stderr } = await run("tasks", [], { timeout: 8_000 });
  assert.deepEqual([status, stdout, stderr], [0, "3\n", ""]);
});
