/** waitgroup.test.ts: counting goroutines. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { onPanic } from "../runtime/panic.ts";
import { WaitGroup } from "./waitgroup.ts";

const misuse = { name: "SyncError", code: "ERR_SYNC_MISUSE" };

describe("a WaitGroup", () => {
  test("lets everybody who waits go on when the counter is zero", async () => {
    const wg = new WaitGroup();
    wg.add(2);
    const all = Promise.all([wg.wait(), wg.wait(), wg.wait()]);
    wg.done();
    assert.ok(await staysPending(all));
    wg.done();
    await all;
    assert.equal(wg.count, 0);
  });

  test("lets a wait through at once when there is nothing to wait for", async () => {
    await new WaitGroup().wait();
  });

  test("throws when the counter would go below zero, and does not change", async () => {
    const wg = new WaitGroup();
    assert.throws(() => wg.done(), { ...misuse, message: "negative WaitGroup counter" });
    wg.add(2);
    assert.throws(() => wg.add(-3), misuse);
    assert.equal(wg.count, 2);
    assert.throws(() => wg.add(0.5), RangeError);
    assert.equal(wg.count, 2);
  });

  test("adds with go before the goroutine starts, and counts down when it has ended", async () => {
    const wg = new WaitGroup();
    let ran = 0;
    for (let i = 0; i < 100; i++) {
      wg.go(async (n: number) => {
        await null;
        ran += n;
      }, 2);
    }
    assert.deepEqual([wg.count, ran], [100, 0]);
    await wg.wait();
    assert.equal(ran, 200);
  });

  test("gives with go a goroutine like any other", async () => {
    const wg = new WaitGroup();
    function multiply(a: number, b: number): number {
      return a * b;
    }
    const g = wg.go(multiply, 6, 7);
    assert.equal(g.name, "multiply");
    assert.match(String(g.origin), /waitgroup\.test/);
    assert.equal(await g.join(), 42);
    await wg.wait();
    const failing = wg.go(async () => {
      throw new Error("joined");
    });
    await assert.rejects(failing.join(), /joined/);
    await wg.wait();
  });

  test("counts a goroutine down that throws; its panic is reported as ever", async () => {
    const wg = new WaitGroup();
    const seen: string[] = [];
    const before = onPanic((error, g) => seen.push(`${g.name}: ${(error as Error).message}`));
    try {
      wg.go(async function faulty() {
        throw new Error("a bug");
      });
      await wg.wait();
      await turn();
    } finally {
      onPanic(before);
    }
    assert.deepEqual(seen, ["faulty: a bug"]);
  });

  test("reports a done() too many as a panic of the goroutine that it took the count of", async () => {
    const wg = new WaitGroup();
    const seen: unknown[] = [];
    const before = onPanic((error) => seen.push((error as Error).message));
    try {
      await wg.go(() => wg.done()).join();
      await turn();
    } finally {
      onPanic(before);
    }
    assert.deepEqual(seen, ["negative WaitGroup counter"]);
  });

  test("throws when a goroutine adds itself after the wait that should know of it", async () => {
    const wg = new WaitGroup();
    const caught: unknown[] = [];
    go(async () => {
      try {
        wg.add(1);
      } catch (error) {
        caught.push((error as Error).message);
      }
    });
    await wg.wait();
    assert.match(String(caught), /call add before go/);
    assert.equal(wg.count, 0);
  });

  test("may be used again when a wait is over", async () => {
    const wg = new WaitGroup();
    for (let round = 0; round < 3; round++) {
      let ended = 0;
      for (let i = 0; i < 5; i++) wg.go(async () => void ended++);
      await wg.wait();
      assert.equal(ended, 5);
      await wg.wait();
    }
  });

  test("makes what happened before done known to who waited", async () => {
    const wg = new WaitGroup();
    const results: number[] = [];
    for (const n of [1, 2, 3]) {
      wg.add();
      go(async () => {
        await turn();
        results.push(n);
        wg.done();
      });
    }
    await wg.wait();
    assert.deepEqual(results.sort(), [1, 2, 3]);
  });
});
