/** deadlock.test.ts: a program whose goroutines are all asleep says so; no other program does. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "./child.ts";

const HEADLINE = "fatal error: all goroutines are asleep - deadlock!\n";
const HINT = "\nCORONET_TRACEBACK=all in the environment adds what each of them waits for\n";

/** The report of a program that cannot go on. */
async function report(name: string, env?: NodeJS.ProcessEnv): Promise<string> {
  const { status, stderr } = await run("deadlock", [name], env === undefined ? {} : { env });
  assert.equal(status, 2, stderr);
  assert.ok(stderr.startsWith(HEADLINE), stderr);
  return stderr.slice(HEADLINE.length);
}

/** A program that ends well and says nothing but this. */
async function ends(name: string, stdout: string): Promise<void> {
  const ended = await run("deadlock", [name]);
  assert.deepEqual(ended, { status: 0, signal: null, stdout: `${stdout}\n`, stderr: "" });
}

describe("a program whose goroutines are all asleep", { concurrency: 2 }, () => {
  test("ends with status 2, and says which ones and where they were started", async () => {
    const place = String.raw`started at file:///.*programs/deadlock\.js:\d+:\d+\n`;
    const one = String.raw`\ngoroutine \d+ \[lockBoth\]\n${place}`;
    assert.match(await report("two locks"), new RegExp(`^${one}${one}${HINT}$`));
  });

  test("runs its exit handlers, which see the status", async () => {
    assert.equal((await run("deadlock", ["two locks"])).stdout, "exit 2\n");
  });

  test("is reported as well when it joins one of them at the top level", async () => {
    assert.match(await report("joined at the top"), /\[receiver\]/);
  });

  test("says with CORONET_TRACEBACK=all what each waits for: the recursive read lock", async () => {
    const text = await report("recursive read lock", { CORONET_TRACEBACK: "all" });
    assert.match(
      text,
      /\[outer\]\nwaits for rwmutex rlock since \d\.\d s on rwmutex #1 .*\n {2}at inner \(file:.*\)\n {2}at outer /,
    );
    assert.match(
      text,
      /\[writer\]\nwaits for rwmutex lock since \d\.\d s on rwmutex #1 .*\n {2}at writer \(file:.*\)\n/,
    );
    assert.ok(!text.includes(HINT));
  });

  test("is told apart by what each waits for, also outside of goroutines", async () => {
    const text = await report("every kind of wait", { CORONET_TRACEBACK: "all" });
    assert.match(text, /\[counting\]\nwaits for waitgroup wait since/);
    assert.match(text, /\[receiving\]\nwaits for chan receive.* since/);
    assert.match(text, /\[selecting\]\nwaits for select.* since/);
    assert.match(text, /\[elsewhere\]\nwaits for a promise that is none of Coronet's operations\n/);
    assert.match(text, /^\noutside of goroutines\nwaits for chan send.* since/);
  });

  test("tells those that are alike once, with their number", async () => {
    const text = await report("a thousand");
    assert.match(text, /\n999 goroutines \[\w+\]: \d+, \d+.*, …; the first of them\n/);
    assert.ok(text.split("\n").length < 20, text);
  });

  test("draws who waits for whom: a cycle of three locks", async () => {
    const text = await report("three locks", { CORONET_TRACEBACK: "all" });
    const step = (n: number): string => String.raw`goroutine ${n} \[lockBoth\]`;
    const cycle = `${step(1)} ──mutex #\\d──▶ ${step(2)} ──mutex #\\d──▶ ${step(3)} ──mutex #\\d──▶ ${step(1)}`;
    assert.match(text, new RegExp(`who waits for whom\n  ${cycle} {2}\\(a cycle\\)\n`));
    assert.equal(text.match(/\(held by goroutine \d \[lockBoth\]\)/g)?.length, 3);
    const starts = [...text.matchAll(/started at (\S+)/g)].map(([, place]) => place);
    assert.equal(new Set(starts).size, 3, text);
  });

  test("says that the only sender has ended, and with what", async () => {
    const text = await report("the only sender has ended", { CORONET_TRACEBACK: "all" });
    assert.match(
      text,
      /\[consumer\]\nwaits for chan receive.*\n {2}at consumer .*\n {2}the only one that has sent on it, goroutine \d \[producer\], has ended: had enough\n/,
    );
    assert.match(
      text,
      /goroutine \d \[consumer\] ──chan #1──▶ goroutine \d \[producer\] \(ended\)/,
    );
  });

  test("says that the accept loop has ended, and that its listener was closed", async () => {
    const text = await report("an accept loop without its listener", { CORONET_TRACEBACK: "all" });
    assert.match(
      text,
      /the only one that has sent on it, goroutine \d \[acceptLoop\], has ended: accept tcp 127\.0\.0\.1:\d+: .*closed/,
    );
  });

  test("says that the holder of a lock has ended and not unlocked it", async () => {
    const text = await report("a lock whose holder has ended", { CORONET_TRACEBACK: "all" });
    assert.match(text, /goroutine \d \[forgetful\] ended and has not unlocked it\n/);
  });

  test("can be a worker thread: only that one ends", async () => {
    const { status, stdout, stderr } = await run("deadlock", ["in a worker"]);
    assert.deepEqual([status, stdout], [0, "exit 2\nworker 2\n"], stderr);
    assert.ok(stderr.startsWith(HEADLINE), stderr);
  });
});

describe("no deadlock is reported", { concurrency: 2 }, () => {
  test("while a read waits", () => ends("a waiting read beside", "went on"));
  test("while a timer of the host is pending", () =>
    ends("a pending timer of the host", "went on"));
  test("while a handle of the host is open", () => ends("a handle of the host", "went on"));
  test("while a goroutine sleeps", () => ends("a sleeper", "went on"));
  test("while a context's deadline is to come", () =>
    ends("a context's deadline", "ERR_CANCELED ERR_DEADLINE"));
  test("when somebody has work for it before the exit", () =>
    ends("work that comes before the exit", "went on"));
  test("for a goroutine that waits on an unreferenced listener", () =>
    ends("an unreferenced listener", "done"));
  test("for a goroutine that is unreferenced", () => ends("an unreferenced goroutine", "done"));
  test("when all goroutines have ended", () => ends("all done", "done"));
});
