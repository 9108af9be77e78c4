/** pipe.test.ts: what is special about connections in memory; the rest is in the conformance suite. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pipePair } from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { assertSameBytes, pattern, readFull, staysPending } from "../../testing/support.ts";

const CAPACITY = 65_536;

test("a pipe holds 64 KiB, and not a byte more", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a, b } = pair;
    assert.equal(await a.write(new Uint8Array(CAPACITY)), CAPACITY);
    const more = a.write("x");
    assert.ok(await staysPending(more));
    assert.equal(await b.read(new Uint8Array(1)), 1);
    assert.equal(await more, 1);
    assert.equal((await readFull(b, CAPACITY)).length, CAPACITY);
  }));

// When every byte read moves all that are left, this is not done within the runner's time limit.
test("64 Ki writes of one byte are read at once or one by one", async (t) => {
  const content = pattern(CAPACITY);
  await withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a, b } = pair;
    for (const step of [CAPACITY, 1]) {
      for (let i = 0; i < CAPACITY; i++) await a.write(content.subarray(i, i + 1));
      const read = new Uint8Array(CAPACITY);
      for (let at = 0; at < CAPACITY; at += step) await b.read(read.subarray(at, at + step));
      assertSameBytes(read, content);
    }
  });
});

test("a pipe says of itself that it is one", async () => {
  await using pair = await pipePair();
  assert.equal(String(pair.a.localAddr), "pipe");
  assert.equal(pair.a.remoteAddr.network, "pipe");
});
