/** cosocket_process.test.ts: a pool and the life of the program that it is part of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Child } from "./child.ts";

test("idle connections keep no program alive", async () => {
  await using child = new Child("pool_idle", ["end"]);
  const { status, stdout, stderr } = await child.ended;
  assert.deepEqual([status, stderr], [0, ""]);
  assert.match(stdout, /done/);
});

test("idle connections hide no deadlock", async () => {
  await using child = new Child("pool_idle", ["deadlock"], {
    env: { CORONET_TRACEBACK: "all" },
  });
  const { status, stderr } = await child.ended;
  assert.equal(status, 2);
  assert.match(stderr, /waits for chan receive/);
  assert.doesNotMatch(stderr, /waits for wait/);
});

test("waiting for a connection that nobody gives back is a deadlock, and is called by its name", async () => {
  await using child = new Child("pool_idle", ["place"], {
    env: { CORONET_TRACEBACK: "all" },
  });
  const { status, stderr } = await child.ended;
  assert.equal(status, 2);
  assert.match(stderr, /waits for pool connect/);
});
