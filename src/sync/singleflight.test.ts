/** singleflight.test.ts: calls that are the same are one. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { turn } from "../../testing/support.ts";
import { singleflight } from "./singleflight.ts";

/** A function that counts its calls and takes a turn of the loop. */
function counted<V>(result: () => V): { fn: () => Promise<V>; calls: () => number } {
  let calls = 0;
  const fn = async (): Promise<V> => {
    calls++;
    await turn();
    return result();
  };
  return { fn, calls: () => calls };
}

describe("a singleflight", () => {
  test("makes one call for all that come while it is under way", async () => {
    const group = singleflight<string, object>();
    const { fn, calls } = counted(() => ({}));
    const flights = await Promise.all([1, 2, 3].map(() => group.do("key", fn)));
    assert.equal(calls(), 1);
    assert.ok(flights.every(({ value, shared }) => value === flights[0]?.value && shared));
    assert.equal(group.size, 0);
  });

  test("says that a result is not shared when only one asked for it", async () => {
    const group = singleflight<string, number>();
    assert.deepEqual(await group.do("key", () => 7), { value: 7, shared: false });
  });

  test("tells keys apart", async () => {
    const group = singleflight<number, number>();
    const { fn, calls } = counted(() => 1);
    await Promise.all([1, 2, 1, 2].map((key) => group.do(key, fn)));
    assert.equal(calls(), 2);
  });

  test("is no cache: after the end the next call is made", async () => {
    const group = singleflight<string, number>();
    const { fn, calls } = counted(() => 1);
    await group.do("key", fn);
    await group.do("key", fn);
    assert.equal(calls(), 2);
  });

  test("gives an error to every caller, thrown or rejected", async () => {
    const group = singleflight<string, never>();
    const { fn, calls } = counted((): never => {
      throw new Error("no such user");
    });
    for (const caller of [group.do("key", fn), group.do("key", fn)]) {
      await assert.rejects(caller, /no such user/);
    }
    assert.equal(calls(), 1);
    const thrown = group.do("key", () => {
      throw new Error("at once");
    });
    await assert.rejects(thrown, /at once/);
    assert.equal(group.size, 0);
  });

  test("goes on for the others when one caller is canceled, also the first", async () => {
    const group = singleflight<string, number>();
    const { fn, calls } = counted(() => 5);
    const controller = new AbortController();
    const first = group.do("key", fn, { signal: controller.signal });
    const second = group.do("key", fn);
    controller.abort();
    await assert.rejects(first, { code: "ERR_CANCELED" });
    assert.equal((await second).value, 5);
    assert.equal(calls(), 1);
  });

  test("forgets a call under way: the next one is made anew and the old one disturbs nothing", async () => {
    const group = singleflight<string, number>();
    let n = 0;
    const old = group.do("key", async () => {
      await turn();
      return 1;
    });
    group.forget("key");
    const next = group.do("key", async () => {
      n++;
      await turn();
      await turn();
      return 2;
    });
    assert.equal((await old).value, 1);
    assert.equal(group.size, 1, "the end of the old call has not removed the new one");
    const joined = group.do("key", () => assert.fail("a third call"));
    assert.deepEqual([(await next).value, (await joined).value, n], [2, 2, 1]);
  });
});
