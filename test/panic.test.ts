/** panic.test.ts: what becomes of an error that ends a goroutine. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Ended, run } from "./child.ts";

async function panics(name: string, report: RegExp): Promise<string> {
  const { status, stdout, stderr } = await run("panic", [name]);
  assert.equal(status, 2, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, report);
  return stderr;
}

async function succeeds(name: string, ...lines: string[]): Promise<Ended> {
  const ended = await run("panic", [name]);
  assert.equal(ended.stdout, lines.map((line) => `${line}\n`).join(""), ended.stderr);
  assert.equal(ended.stderr, "");
  assert.equal(ended.status, 0);
  return ended;
}

describe("a goroutine that throws", { concurrency: 2 }, () => {
  test("ends the process with status 2, telling number, function, place and stack", async () => {
    const report = await panics("throws", /^panic: Error: a bug\n/);
    assert.match(report, /\n {4}at .*faultyHandler .*panic\.js:\d+:\d+/);
    assert.match(report, /\ngoroutine \d+ \[faultyHandler\]\n/);
    assert.match(report, /\nstarted at file:\/\/.*programs\/panic\.js:\d+:\d+\n$/);
  });

  test("panics as well when its function is not async", async () => {
    await panics(
      "throws synchronously",
      /^panic: TypeError: not even a promise\n[\s\S]*\[notAsync\]/,
    );
  });

  test("panics as well with what is no error", async () => {
    await panics("throws what is no error", /^panic: just text\n[\s\S]*\[anonymous\]/);
    await panics("throws nothing", /^panic: undefined\n/);
  });

  test("panics when its dial fails: that is no end of a connection", async () => {
    await panics(
      "dials in vain",
      /^panic: NetError: dial tcp 127\.0\.0\.1:\d+: connection refused/,
    );
  });

  test("ends alone by reset, close, deadline, cancellation or a broken pipe", async () => {
    await succeeds("quiet", "ended 5, panicked 0");
  });

  test("is handed to the handler that onPanic installed, and the program goes on", async () => {
    await succeeds(
      "handler",
      "undefined",
      "faultyHandler 1: a bug",
      "faultyHandler 2: a bug",
      "panicked 2",
      "function",
    );
  });

  test("hands its error to who joins it, and does not panic", async () => {
    const got = 'joiner got "a bug"';
    await succeeds("joined", got, got, "panicked 0, live 0");
  });

  test("is an unhandled rejection when its joiner drops the promise", async () => {
    const { status, stderr } = await run("panic", ["joined and dropped"]);
    assert.equal(status, 1);
    assert.match(stderr, /Error: a bug/);
  });

  test("is handed to a listener for uncaught exceptions", async () => {
    await succeeds("uncaughtException listener", "uncaughtException: a bug");
  });

  test("in a worker is an error event of the worker in its parent", async () => {
    await succeeds("in a worker", 'parent got "a bug"', "worker ended with 1");
  });
});
