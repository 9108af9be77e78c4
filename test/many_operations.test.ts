/** many_operations.test.ts: tens of thousands of operations that wait on one connection. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { go } from "../src/index.ts";
import { tcpPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure, MORE_THAN_FITS, readFull, turn, writeTooMuch } from "../testing/support.ts";

const MANY = 50_000;

/** Queues so many writes behind one that waits, lets them go, and checks their order; ms for each. */
async function queueWrites(count: number): Promise<number> {
  await using pair = await tcpPair();
  const first = writeTooMuch(pair.a);
  const out = new Uint32Array(count).map((_, i) => i);
  const bytes = new Uint8Array(out.buffer);
  const writes = Array.from(out, (i) => pair.a.write(bytes.subarray(i * 4, i * 4 + 4)));
  await readFull(pair.b, MORE_THAN_FITS);
  const start = performance.now();
  const reading = go(() => readFull(pair.b, bytes.length));
  await Promise.all([first, ...writes]);
  const took = performance.now() - start;
  assert.equal(Buffer.compare(await reading.join(), bytes), 0);
  return took / count;
}

describe("one connection", () => {
  test("takes many writes that nobody awaits one by one, in their order, each as cheap as few", (t) =>
    withLeakCheck(t, async () => {
      await queueWrites(MANY / 10);
      const few = await queueWrites(MANY / 10);
      const many = await queueWrites(MANY * 2);
      // In a queue where every step moves all that are left, it is a hundred times as much.
      assert.ok(many < few * 20, `${few} ms each of ${MANY / 10}, ${many} ms each of ${MANY * 2}`);
      t.diagnostic(`${(few * 1000).toFixed(1)} µs, of many ${(many * 1000).toFixed(1)} µs`);
    }));

  test("takes many reads that wait, and many that are canceled", (t) =>
    withLeakCheck(t, async () => {
      await using pair = await tcpPair();
      const first = pair.b.read(new Uint8Array(1));
      const controller = new AbortController();
      const { signal } = controller;
      const canceled: Promise<unknown>[] = [];
      const kept: Promise<number | null>[] = [];
      for (let i = 0; i < MANY; i++) {
        if (i % 10 === 0) kept.push(pair.b.read(new Uint8Array(1)));
        else canceled.push(pair.b.read(new Uint8Array(1), { signal }).catch((error) => error.code));
      }
      await turn();
      controller.abort();
      const codes = new Set(await Promise.all(canceled));
      await pair.a.write(new Uint8Array(kept.length + 1));
      assert.equal(await first, 1);
      assert.deepEqual(new Set(await Promise.all(kept)), new Set([1]));
      assert.deepEqual(codes, new Set(["ERR_CANCELED"]));
    }));

  test("fails many that wait when it closes", (t) =>
    withLeakCheck(t, async () => {
      await using pair = await tcpPair();
      const waiting = Array.from({ length: MANY }, () => pair.a.read(new Uint8Array(1)));
      await pair.a.close();
      for (const operation of waiting) await failure(operation, "ERR_CLOSED");
    }));
});
