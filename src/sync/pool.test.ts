/** pool.test.ts: objects that are used again. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Pool } from "./pool.ts";

describe("a Pool", () => {
  test("makes an object only when it has none, and gives out last what came back last", () => {
    let made = 0;
    const pool = new Pool(() => ({ number: ++made }));
    const a = pool.get();
    const b = pool.get();
    assert.equal(made, 2);
    pool.put(a);
    pool.put(b);
    assert.equal(pool.size, 2);
    assert.equal(pool.get(), b);
    assert.equal(pool.get(), a);
    assert.equal(made, 2);
    assert.equal(pool.get().number, 3);
  });

  test("holds no reference to what it has given out", () => {
    const pool = new Pool(() => ({}));
    pool.put({});
    pool.get();
    assert.equal(pool.size, 0);
  });

  test("makes an object ready when it comes back", () => {
    const pool = new Pool<number[]>(() => [], {
      reset: (list) => {
        list.length = 0;
      },
    });
    const list = pool.get();
    list.push(1, 2);
    pool.put(list);
    assert.deepEqual(pool.get(), []);
  });

  test("keeps no more than its limit", () => {
    const pool = new Pool(() => ({}), { limit: 2 });
    for (let i = 0; i < 5; i++) pool.put({});
    assert.equal(pool.size, 2);
    const none = new Pool(() => ({}), { limit: 0 });
    none.put({});
    assert.equal(none.size, 0);
    assert.throws(() => new Pool(() => ({}), { limit: -1 }), RangeError);
  });

  test("takes undefined for an object like any other", () => {
    const pool = new Pool<number | undefined>(() => 1);
    pool.put(undefined);
    assert.equal(pool.get(), undefined);
    assert.equal(pool.get(), 1);
  });
});
