/** once.test.ts: what is done once. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { Once, onceValue } from "./once.ts";

/** A function that ends when it is told to, and the number of its calls. */
function slow(): { fn: () => Promise<void>; end: () => void; calls: () => number } {
  let calls = 0;
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const fn = (): Promise<void> => {
    calls++;
    return ended;
  };
  return { fn, end, calls: () => calls };
}

describe("a Once", () => {
  test("runs its function once, and nobody goes on before that has ended", async () => {
    const once = new Once();
    const { fn, end, calls } = slow();
    const all = Promise.all([once.do(fn), once.do(fn), once.do(fn)]);
    assert.ok(await staysPending(all));
    assert.ok(!once.isDone);
    end();
    await all;
    await once.do(fn);
    assert.equal(calls(), 1);
    assert.ok(once.isDone);
  });

  test("takes functions that are not async", async () => {
    const once = new Once();
    let calls = 0;
    await Promise.all([once.do(() => calls++), once.do(() => calls++)]);
    assert.equal(calls, 1);
  });

  test("is done when its function throws: only the call that ran it gets the error", async () => {
    const once = new Once();
    const first = once.do(async () => {
      await turn();
      throw new Error("half way");
    });
    const second = once.do(() => assert.fail("it ran twice"));
    await assert.rejects(first, /half way/);
    await second;
    await once.do(() => assert.fail("it ran twice"));
    assert.ok(once.isDone);
  });

  test("is done as well when its function throws before it has returned a promise", async () => {
    const once = new Once();
    const first = once.do(() => {
      throw new Error("at once");
    });
    await assert.rejects(first, /at once/);
    await once.do(() => assert.fail("it ran twice"));
  });

  test("makes what its function did known to everybody who returns from do", async () => {
    const once = new Once();
    let ready = false;
    const set = async (): Promise<void> => {
      await turn();
      ready = true;
    };
    const seen = Promise.all([1, 2, 3].map(() => once.do(set).then(() => ready)));
    assert.deepEqual(await seen, [true, true, true]);
  });

  test("goes on when a call that waits for it is canceled", async () => {
    const once = new Once();
    const { fn, end } = slow();
    const running = once.do(fn);
    const controller = new AbortController();
    const impatient = once.do(fn, { signal: controller.signal });
    controller.abort();
    await assert.rejects(impatient, { code: "ERR_CANCELED" });
    end();
    await running;
  });
});

describe("onceValue", () => {
  test("gives every caller the one value", async () => {
    let calls = 0;
    const value = onceValue(async () => {
      calls++;
      await turn();
      return { calls };
    });
    const [a, b] = await Promise.all([value(), value()]);
    assert.equal(a, b);
    assert.equal(await value(), a);
    assert.equal(calls, 1);
  });

  test("rethrows to every caller, those who waited and those who come later", async () => {
    let calls = 0;
    const value = onceValue(() => {
      calls++;
      throw new Error("no configuration");
    });
    const callers = [value(), value(), value()];
    for (const caller of callers) await assert.rejects(caller, /no configuration/);
    await assert.rejects(value(), /no configuration/);
    assert.equal(calls, 1);
  });

  test("rejects with the same error for all who waited while it ran", async () => {
    const error = new Error("late");
    const value = onceValue(async () => {
      await turn();
      throw error;
    });
    const seen = await Promise.all([1, 2, 3].map(() => value().catch((e) => e)));
    assert.deepEqual(seen, [error, error, error]);
  });
});
