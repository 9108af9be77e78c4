/**
 * chan_liveness.test.ts: what keeps a program alive that waits on channels and timers, and what is
 * reported as a deadlock.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "./child.ts";

describe("a program stays for", { concurrency: 2 }, () => {
  const says = {
    "a sleeping goroutine": "slept",
    "a pending timer": "went off",
    "a ticker": "3 ticks",
    "an after": "late",
  };
  for (const [name, what] of Object.entries(says)) {
    test(name, async () => {
      const ended = await run("waiting", [name]);
      assert.deepEqual(ended, { status: 0, signal: null, stdout: `${what}\n`, stderr: "" });
    });
  }
});

describe("a program ends at once after", { concurrency: 2 }, () => {
  const says = {
    "a losing after": "got\n",
    "a canceled sleep": "ERR_CANCELED\n",
    "stopped timers": "",
  };
  for (const [name, stdout] of Object.entries(says)) {
    test(name, async () => {
      const ended = await run("waiting", [name]);
      assert.deepEqual(ended, { status: 0, signal: null, stdout, stderr: "" });
    });
  }
});

describe("the deadlock report names", { concurrency: 2 }, () => {
  const kinds = {
    "a receive": "chan receive",
    "a send": "chan send",
    "a select": "select",
    "a select without cases": "select (no cases)",
    "an absent channel": "chan receive (nil chan)",
  };
  for (const [name, kind] of Object.entries(kinds)) {
    test(name, async () => {
      const ended = await run("waiting", [name], { env: { CORONET_TRACEBACK: "all" } });
      assert.equal(ended.status, 2, ended.stderr);
      assert.match(ended.stderr, /all goroutines are asleep - deadlock!/);
      assert.ok(ended.stderr.includes(`waits for ${kind} since`), ended.stderr);
      assert.match(ended.stderr, /at .*waiting\.[jt]s:\d+/);
    });
  }
});
