/** live_goroutines.test.ts: the list of goroutines that have not ended. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { turn } from "../../testing/support.ts";
import { type Goroutine, go, goroutineStats, liveGoroutines } from "./goroutine.ts";

/** Goroutines that end when they are told to. */
function started(count: number): { all: Goroutine<void>[]; end: (index: number) => Promise<void> } {
  const ends: (() => void)[] = [];
  const all = Array.from({ length: count }, () =>
    go(() => new Promise<void>((resolve) => ends.push(resolve))),
  );
  const end = async (index: number): Promise<void> => {
    ends[index]?.();
    await all[index]?.join();
    await turn();
  };
  return { all, end };
}

const ids = (): number[] => liveGoroutines().map((g) => g.id);

describe("the list of live goroutines", () => {
  test("has all that were started, by number, from the call of go on", async () => {
    const before = ids();
    const { all, end } = started(4);
    assert.deepEqual(ids(), [...before, ...all.map((g) => g.id)]);
    await turn();
    for (const index of [1, 3, 0, 2]) {
      await end(index);
      assert.ok(!ids().includes(all[index]?.id ?? 0));
      assert.equal(liveGoroutines().length, goroutineStats().live);
    }
    assert.deepEqual(ids(), before);
  });

  test("loses those that throw as well", async () => {
    const g = go(async () => {
      throw new Error("joined");
    });
    await assert.rejects(g.join(), /joined/);
    await turn();
    assert.ok(!ids().includes(g.id));
  });

  test("keeps no goroutine that has ended, nor does another one that has", async (t) => {
    if (globalThis.gc === undefined) return t.skip("needs --expose-gc");
    const first = go(async () => {});
    const neighbours = (): WeakRef<object>[] => {
      return Array.from({ length: 10 }, () => new WeakRef(go(async () => {})));
    };
    const refs = neighbours();
    const last = go(async () => {});
    for (let i = 0; i < 3; i++) await turn();
    globalThis.gc();
    const kept = refs.filter((ref) => ref.deref() !== undefined).length;
    assert.equal(kept, 0, `kept by ${first.id} or ${last.id}`);
  });

  test("says of each whether anybody counts on its end", async () => {
    const { all, end } = started(2);
    assert.equal(all[0]?.unref(), all[0]);
    assert.deepEqual(
      liveGoroutines()
        .slice(-2)
        .map((g) => g.referenced),
      [false, true],
    );
    await turn();
    await end(0);
    await end(1);
  });
});
