/** syncmap.test.ts: a map that changes while it is walked. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seeded, turn } from "../../testing/support.ts";
import { SyncMap } from "./syncmap.ts";

function filled(...keys: string[]): SyncMap<string, number> {
  const map = new SyncMap<string, number>();
  keys.forEach((key, i) => {
    map.store(key, i);
  });
  return map;
}

/** The keys that a walk yields, with something done after each. */
function walk(map: SyncMap<string, number>, change: (key: string) => void): string[] {
  const keys: string[] = [];
  map.range((key) => {
    keys.push(key);
    change(key);
  });
  return keys;
}

describe("a SyncMap", () => {
  test("stores, loads and deletes", () => {
    const map = new SyncMap<string, number | undefined>();
    map.store("a", 1);
    map.store("a", 2);
    assert.deepEqual([map.load("a"), map.has("a"), map.size], [2, true, 1]);
    assert.deepEqual([map.delete("a"), map.delete("a"), map.load("a")], [true, false, undefined]);
    map.store("u", undefined);
    assert.ok(map.has("u"));
    map.clear();
    assert.equal(map.size, 0);
  });

  test("loads or stores in one step", () => {
    const map = new SyncMap<string, number>();
    assert.deepEqual(map.loadOrStore("a", 1), { value: 1, loaded: false });
    assert.deepEqual(map.loadOrStore("a", 2), { value: 1, loaded: true });
    assert.equal(map.loadAndDelete("a"), 1);
    assert.equal(map.loadAndDelete("a"), undefined);
    assert.equal(map.swap("a", 3), undefined);
    assert.equal(map.swap("a", 4), 3);
    assert.equal(map.load("a"), 4);
  });

  test("compares and swaps, and compares and deletes, in one step", () => {
    const map = filled("zero");
    assert.ok(!map.compareAndSwap("zero", 1, 5));
    assert.ok(map.compareAndSwap("zero", 0, Number.NaN));
    assert.ok(map.compareAndSwap("zero", Number.NaN, 7), "NaN is the same as NaN");
    assert.ok(!map.compareAndSwap("absent", 0, 1));
    assert.ok(!map.compareAndDelete("zero", 0));
    assert.ok(map.compareAndDelete("zero", 7));
    assert.ok(!map.compareAndDelete("zero", 7));
    assert.equal(map.size, 0);
  });

  test("lets exactly one of many win a compare-and-swap", async () => {
    const map = filled("leader");
    const tries = Array.from({ length: 20 }, async (_, i) => {
      const seen = map.load("leader") as number;
      await turn();
      return map.compareAndSwap("leader", seen, i + 1);
    });
    assert.equal((await Promise.all(tries)).filter((won) => won).length, 1);
  });

  test("yields no key twice, also one that is deleted and stored again meanwhile", () => {
    const map = filled("a", "b", "c");
    const keys = walk(map, (key) => {
      map.delete(key);
      map.store(key, 9);
    });
    assert.deepEqual(keys, ["a", "b", "c"]);
    assert.equal(map.size, 3);
  });

  test("yields neither what has gone nor what came while it is walked", () => {
    const map = filled("a", "b", "c", "d");
    const keys = walk(map, (key) => {
      map.delete("c");
      map.store(`${key}${key}`, 0);
    });
    assert.deepEqual(keys, ["a", "b", "d"]);
    assert.deepEqual(
      walk(map, () => {}),
      ["a", "b", "d", "aa", "bb", "dd"],
    );
  });

  test("yields the present value, and ends when the function returns false", () => {
    const map = filled("a", "b", "c");
    const seen: [string, number][] = [];
    map.range((key, value) => {
      seen.push([key, value]);
      map.store("b", 20);
      return key !== "b";
    });
    assert.deepEqual(seen, [
      ["a", 0],
      ["b", 20],
    ]);
  });

  test("may be walked with awaits in between", async () => {
    const map = filled("a", "b", "c");
    const keys: string[] = [];
    for (const [key] of map) {
      keys.push(key);
      await turn();
      map.delete("b");
      map.store("new", 1);
    }
    assert.deepEqual(keys, ["a", "c"]);
  });

  test("ends a walk that another one changes under it", () => {
    const map = filled("a", "b", "c");
    const outer = walk(map, () => {
      walk(map, (key) => {
        map.delete(key);
        map.store(key, 1);
      });
    });
    assert.deepEqual(outer, ["a"], "what the inner walk stored anew is younger than the outer one");
  });

  test("yields each key at most once under any changes", (t) => {
    const random = seeded(t);
    const name = (): string => `k${random.below(30)}`;
    for (let round = 0; round < 200; round++) {
      const map = filled(...Array.from({ length: 20 }, name));
      const start = new Set(walk(map, () => {}));
      const keys = walk(map, () => {
        for (let i = random.below(3); i > 0; i--) map.delete(name());
        for (let i = random.below(3); i > 0; i--) map.store(name(), 1);
      });
      assert.equal(new Set(keys).size, keys.length);
      assert.ok(keys.every((key) => start.has(key)));
    }
  });

  test("keeps nothing of entries that were stored and deleted without being read", (t) => {
    if (globalThis.gc === undefined) return t.skip("needs --expose-gc");
    const map = new SyncMap<number, Uint8Array>();
    const measure = (): number => {
      globalThis.gc?.();
      return process.memoryUsage().heapUsed;
    };
    const churn = (): void => {
      for (let i = 0; i < 200_000; i++) {
        map.store(i, new Uint8Array(8));
        if (i > 0) map.delete(i - 1);
      }
    };
    churn();
    const before = measure();
    churn();
    const grown = measure() - before;
    assert.equal(map.size, 1);
    assert.ok(grown < 1 << 20, `${grown} bytes more`);
  });
});
