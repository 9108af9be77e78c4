/** liveness.test.ts: a program stays while something waits, and ends by itself when nothing does. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Child, run } from "./child.ts";

/** A program that has to end by itself, with what it printed. */
async function ends(name: string, stdout = "", status = 0): Promise<void> {
  const ended = await run("liveness", [name]);
  assert.deepEqual(ended, { status, signal: null, stdout: stdout && `${stdout}\n`, stderr: "" });
}

/** A program that has to stay until it is killed. */
async function stays(name: string): Promise<void> {
  await using child = new Child("liveness", [name]);
  assert.equal(await child.line(), "still here");
  assert.ok(child.running);
  child.kill("SIGTERM");
  assert.equal((await child.ended).signal, "SIGTERM");
}

describe("a program ends by itself", { concurrency: 2 }, () => {
  test("with nothing but a closed listener", () => ends("closed listener"));
  test("when a listener closes under its loop", () =>
    ends("closed listener, woken accept", "loop ended"));
  test("with an accept that waits on an unreferenced listener", () =>
    ends("unreferenced listener"));
  test("when the listener that it waits on is unreferenced", () =>
    ends("listener unreferenced while it waits"));
  test("with a read that waits on an unreferenced connection", () =>
    ends("unreferenced connection"));
  test("with an open connection on which nobody waits", () =>
    ends("open connection on which nobody waits"));
  test("with a deadline on which nobody waits", () => ends("deadline on which nobody waits"));
  test("after a read has reached its deadline", () => ends("read with a deadline", "ERR_DEADLINE"));
  test("after a read has timed out", () => ends("read with a timeout", "ERR_DEADLINE"));
  test("when its last connection closes", () => ends("last connection closes", "4 bytes"));
  test("when it used timers, fetch and files beside", () =>
    ends("beside the host", "from http, from a file, from a timer, 4 bytes"));
  test("after work that began when it was about to end", () =>
    ends("work that begins before the exit", "4 bytes"));
  test("with its own status when it exits while operations wait", () =>
    ends("exit in the middle", "", 7));
});

describe("a program stays", { concurrency: 2 }, () => {
  test("while an accept waits", () => stays("waiting accept"));
  test("while a read waits", () => stays("waiting read"));
  test("while a read waits on a pipe", () => stays("waiting read on a pipe"));
  test("while an accept waits on a listener that is referenced again", () =>
    stays("listener referenced again"));
});
