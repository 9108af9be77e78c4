/** table.test.ts: rows that threads share, within one thread: against a Map, and at every border. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seeded } from "../../testing/support.ts";
import type { Columns } from "./columns.ts";
import { Table } from "./table.ts";

const columns = {
  name: "string:16",
  hits: "int32",
  score: "float64",
  blob: "bytes:5",
} as const satisfies Columns;

function make(rows = 64): Table<typeof columns> {
  return new Table({ rows, columns });
}

const empty = { name: "", hits: 0, score: 0, blob: new Uint8Array(0) };

describe("a table", () => {
  test("gives the row that was set, and single columns of it", () => {
    const t = make();
    assert.equal(t.get("a"), undefined);
    assert.equal(t.get("a", "hits"), undefined);
    const row = { name: "Ä name", hits: -7, score: 1.5, blob: Uint8Array.of(1, 2, 3) };
    t.set("a", row);
    assert.deepEqual(t.get("a"), row);
    assert.equal(t.get("a", "name"), "Ä name");
    assert.equal(t.get("a", "score"), 1.5);
    assert.deepEqual(t.get("a", "blob"), Uint8Array.of(1, 2, 3));
    assert.ok(t.has("a"));
    assert.ok(!t.has("b"));
    assert.equal(t.size, 1);
  });

  test("keeps the columns that a set does not name; a new row begins with nothing", () => {
    const t = make();
    t.set("a", {});
    assert.deepEqual(t.get("a"), empty);
    t.set("a", { name: "first", blob: Uint8Array.of(9) });
    t.set("a", { hits: 3, name: undefined as unknown as string });
    assert.deepEqual(t.get("a"), { ...empty, name: "first", hits: 3, blob: Uint8Array.of(9) });
    t.delete("a");
    t.set("a", { score: 2 });
    assert.deepEqual(t.get("a"), { ...empty, score: 2 });
  });

  test("counts in place", () => {
    const t = make();
    assert.equal(t.incr("a", "hits"), 1);
    assert.equal(t.incr("a", "hits", 41), 42);
    assert.equal(t.decr("a", "hits", 2), 40);
    assert.equal(t.incr("a", "score", 0.25), 0.25);
    assert.equal(t.decr("a", "score"), -0.75);
    assert.deepEqual(t.get("a"), { ...empty, hits: 40, score: -0.75 });
    t.set("a", { hits: 2 ** 31 - 1 });
    assert.equal(t.incr("a", "hits"), -(2 ** 31));
    assert.throws(() => t.incr("a", "hits", 0.5), { name: "RangeError" });
    assert.throws(() => t.incr("a", "name" as "hits"), { name: "TypeError" });
  });

  test("never cuts what is too long", () => {
    const t = make();
    t.set("a", { name: "ä".repeat(8) });
    assert.throws(() => t.set("a", { name: `${"ä".repeat(8)}x` }), {
      name: "RangeError",
      message: /"name": 17 bytes are more than its 16/,
    });
    assert.throws(() => t.set("a", { hits: 5, blob: new Uint8Array(6) }), { name: "RangeError" });
    assert.deepEqual(t.get("a"), { ...empty, name: "ä".repeat(8) }, "nothing was written");
    t.set("k".repeat(64), {});
    for (const key of ["k".repeat(65), "€".repeat(22), "😀".repeat(17), "k".repeat(100_000)]) {
      const tooLong = { name: "RangeError", message: /key is longer than 64 bytes/ };
      assert.throws(() => t.set(key, {}), tooLong);
      assert.throws(() => t.get(key), tooLong);
      assert.throws(() => t.delete(key), tooLong);
    }
    assert.equal(t.size, 2);
  });

  test("refuses values and columns that are none", () => {
    const t = make();
    for (const row of [
      { name: 5 },
      { hits: "5" },
      { score: 1n },
      { blob: "text" },
      { blob: [1] },
      { nothing: 1 },
      { name: "half \ud800" },
    ]) {
      assert.throws(() => t.set("a", row as never), { name: "TypeError" });
    }
    assert.throws(() => t.set("a", { hits: 1.5 }), { name: "RangeError" });
    assert.throws(() => t.set("a", { hits: 2 ** 31 }), { name: "RangeError" });
    assert.throws(() => t.set(5 as unknown as string, {}), { name: "TypeError" });
    assert.throws(() => t.set("half \ud800", {}), { name: "TypeError" });
    assert.throws(() => t.get("a", "nothing" as "name"), { name: "TypeError" });
    assert.equal(t.size, 0);
  });

  test("refuses shapes that make no sense", () => {
    for (const rows of [0, -1, 1.5, 2 ** 24 + 1, Number.NaN]) {
      assert.throws(() => make(rows), { name: "RangeError" });
    }
    for (const type of [
      "string",
      "string:0",
      "string:-1",
      "int64",
      "bytes:x",
      5,
      "string:123456",
    ]) {
      const wrong = { a: type } as unknown as Columns;
      assert.throws(() => new Table({ rows: 1, columns: wrong }), { name: "TypeError" });
    }
    assert.throws(() => new Table({ rows: 1, columns: {} }), { name: "TypeError" });
    assert.throws(() => new Table({ rows: 1, columns: { a: "bytes:70000" } }), {
      name: "RangeError",
    });
    for (const keySize of [0, 1025]) {
      assert.throws(() => new Table({ rows: 1, columns, keySize }), { name: "RangeError" });
    }
  });

  test("says when it is full, and has room again after a delete", () => {
    const t = make(3);
    for (const key of ["a", "b", "c"]) t.set(key, { name: key });
    const full = { name: "RangeError", code: "ERR_TABLE_FULL", message: /full.*3/ };
    assert.throws(() => t.set("d", {}), full);
    assert.throws(() => t.incr("d", "hits"), full);
    t.set("b", { hits: 1 });
    assert.ok(t.delete("a"));
    assert.ok(!t.delete("a"));
    assert.equal(t.incr("d", "hits"), 1);
    assert.deepEqual([...t.keys()].sort(), ["b", "c", "d"]);
    assert.throws(() => t.set("a", {}), full);
  });

  test("takes every key: empty, with zeros, of any script", () => {
    const t = make();
    const keys = ["", "\0", "a\0b", "a", "😀", "ключ", "__proto__", "constructor"];
    for (const [i, key] of keys.entries()) t.set(key, { hits: i });
    for (const [i, key] of keys.entries()) assert.equal(t.get(key, "hits"), i);
    assert.deepEqual([...t.keys()].sort(), [...keys].sort());
  });

  test("iterates over its rows", () => {
    const t = make();
    for (let i = 0; i < 50; i++) t.set(`key ${i}`, { hits: i });
    const seen = new Map([...t].map(([key, row]) => [key, row.hits]));
    assert.equal(seen.size, 50);
    for (let i = 0; i < 50; i++) assert.equal(seen.get(`key ${i}`), i);
  });

  test("never gives a key twice, whatever changes meanwhile", (t) => {
    const random = seeded(t);
    const table = make(200);
    const stays = new Set<string>();
    for (let i = 0; i < 60; i++) {
      table.set(`stays ${i}`, {});
      stays.add(`stays ${i}`);
    }
    for (let round = 0; round < 30; round++) {
      const seen = new Set<string>();
      for (const [key] of table) {
        assert.ok(!seen.has(key), key);
        seen.add(key);
        for (let i = 0; i < 5; i++) {
          const other = `comes and goes ${random.below(120)}`;
          if (random.chance(0.5)) table.set(other, {});
          else table.delete(other);
        }
      }
      for (const key of stays) assert.ok(seen.has(key), key);
    }
  });

  test("does what a Map does", (t) => {
    const random = seeded(t);
    const table = new Table({ rows: 40, columns: { n: "int32", s: "string:12" } });
    const model = new Map<string, { n: number; s: string }>();
    const rowOf = (key: string): { n: number; s: string } => model.get(key) ?? { n: 0, s: "" };
    for (let step = 0; step < 20_000; step++) {
      const key = `k${random.below(60)}`;
      const full = !model.has(key) && model.size === 40;
      const value = random.below(1000);
      switch (random.below(6)) {
        case 0: {
          const set = (): void => table.set(key, { n: value, s: `s${value}` });
          if (full) assert.throws(set, { code: "ERR_TABLE_FULL" });
          else {
            set();
            model.set(key, { n: value, s: `s${value}` });
          }
          break;
        }
        case 1: {
          if (full) assert.throws(() => table.incr(key, "n"), { code: "ERR_TABLE_FULL" });
          else {
            const row = rowOf(key);
            assert.equal(table.incr(key, "n", value), row.n + value);
            model.set(key, { ...row, n: row.n + value });
          }
          break;
        }
        case 2:
        case 3:
          assert.equal(table.delete(key), model.delete(key));
          break;
        case 4:
          assert.deepEqual(table.get(key), model.get(key));
          break;
        default:
          assert.equal(table.has(key), model.has(key));
      }
      assert.equal(table.size, model.size);
      if (step % 500 === 0) assert.deepEqual(new Map(table), model);
    }
  });

  test("of a handle is the same table", () => {
    const t = make();
    const same = Table.from(structuredClone(t.handle));
    same.set("a", { hits: 1 });
    assert.equal(t.get("a", "hits"), 1);
    assert.throws(() => Table.from(undefined as never), { name: "TypeError" });
    assert.throws(() => Table.from({ memory: t.handle.memory } as never), { name: "TypeError" });
    const bare = { memory: new SharedArrayBuffer(4096), columns };
    assert.throws(() => Table.from(bare), { name: "TypeError" });
    const wide = Table.from({ memory: t.handle.memory, columns: { a: "bytes:200" } });
    assert.throws(() => wide.set("a", { a: new Uint8Array(200) }), { name: "RangeError" });
    assert.throws(() => wide.get("a"), { name: "RangeError" });
  });
});

test("the type of a row follows from its columns", () => {
  const t = make();
  t.set("a", { hits: 1, blob: Buffer.from("x") });
  const row = t.get("a");
  const name: string | undefined = row?.name;
  const hits: number | undefined = t.get("a", "hits");
  const blob: Uint8Array | undefined = row?.blob;
  assert.deepEqual([name, hits, blob], ["", 1, Uint8Array.of(120)]);
  // @ts-expect-error the column holds numbers
  assert.throws(() => t.set("a", { hits: "1" }));
  // @ts-expect-error there is no such column
  assert.throws(() => t.set("a", { other: 1 }));
  // @ts-expect-error only numbers are counted
  assert.throws(() => t.incr("a", "name"));
  // @ts-expect-error there is no such column
  assert.throws(() => t.get("a", "other"));
  // @ts-expect-error the column holds a string
  const wrong: number | undefined = t.get("a", "name");
  assert.equal(wrong, "");
  // @ts-expect-error no column type
  assert.throws(() => new Table({ rows: 1, columns: { a: "int8" } }));
  const same = Table.from(new Table({ rows: 1, columns: { a: "float64" } }).handle);
  const a: number | undefined = same.get("x", "a");
  assert.equal(a, undefined);
});
