/** goroutine.test.ts: go(), join(), numbers and ends of goroutines. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { drained } from "../../testing/fake_host.ts";
import { CanceledError } from "./canceled.ts";
import { type Goroutine, go, goroutineStats, launch, liveGoroutines } from "./goroutine.ts";
import { observer } from "./observer.ts";
import { onPanic, type PanicHandler } from "./panic.ts";

describe("go()", () => {
  test("does not run the function before its caller's next await", async () => {
    const order: string[] = [];
    go(() => order.push("goroutine"));
    order.push("caller");
    assert.deepEqual(order, ["caller"]);
    await Promise.resolve();
    assert.deepEqual(order, ["caller", "goroutine"]);
  });

  test("starts goroutines in the order in which they were created", async () => {
    const order: number[] = [];
    for (let i = 0; i < 20; i++) go(() => order.push(i));
    await Promise.resolve();
    assert.deepEqual(
      order,
      Array.from({ length: 20 }, (_, i) => i),
    );
  });

  test("one that is created by another starts after those that were there", async () => {
    const order: string[] = [];
    go(() => {
      order.push("a");
      go(() => order.push("a's"));
    });
    go(() => order.push("b"));
    await drained();
    assert.deepEqual(order, ["a", "b", "a's"]);
  });

  test("evaluates its arguments at the call", async () => {
    let n = 1;
    const seen: number[] = [];
    go((value: number) => seen.push(value), n);
    n = 2;
    go((value: number) => seen.push(value), n);
    await Promise.resolve();
    assert.deepEqual(seen, [1, 2]);
  });

  test("throws at once for what is no function", () => {
    for (const wrong of [undefined, null, 5, "name", {}]) {
      assert.throws(() => go(wrong as never), /^TypeError: go: expected a function/);
    }
  });

  test("calls the function without a receiver", async () => {
    const receiver = await go(function (this: unknown) {
      return this;
    }).join();
    assert.equal(receiver, undefined);
  });

  test("lets go of its arguments when it starts", async () => {
    let collected = false;
    const registry = new FinalizationRegistry(() => {
      collected = true;
    });
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    (() => {
      const argument = { large: new Uint8Array(1000) };
      registry.register(argument, "argument");
      go(async (_value: object) => gate, argument);
    })();
    for (let i = 0; i < 20 && !collected; i++) {
      await drained();
      (globalThis as { gc?: () => void }).gc?.();
    }
    release();
    if ((globalThis as { gc?: () => void }).gc !== undefined) assert.ok(collected);
  });
});

describe("join()", () => {
  test("resolves to what the function returned, async or not", async () => {
    assert.equal(await go(async (a: number, b: number) => a + b, 1, 2).join(), 3);
    assert.equal(await go((a: string) => a.length, "four").join(), 4);
    assert.equal(await go(() => {}).join(), undefined);
  });

  test("works before the start, during the run, and after the end, any number of times", async () => {
    let release = (_: string): void => {};
    const g = go(
      () =>
        new Promise<string>((resolve) => {
          release = resolve;
        }),
    );
    const before = g.join();
    await Promise.resolve();
    const during = g.join();
    release("value");
    assert.deepEqual(await Promise.all([before, during]), ["value", "value"]);
    assert.equal(await g.join(), "value");
  });

  test("rejects with what the function threw, at once or later", async () => {
    const sync = go(() => {
      throw new Error("sync");
    });
    const later = go(async () => {
      await drained();
      throw new Error("async");
    });
    await assert.rejects(sync.join(), /sync/);
    await assert.rejects(later.join(), /async/);
    await assert.rejects(later.join(), /async/);
  });

  test("waits for a thenable of the user's as await does", async () => {
    const thenable = {
      // biome-ignore lint/suspicious/noThenProperty: that is what is tested
      then: (resolve: (value: number) => void) => setImmediate(() => resolve(5)),
    };
    assert.equal(await go(() => thenable).join(), 5);
  });
});

describe("what a goroutine ends with", () => {
  let panics: [error: unknown, g: Goroutine<unknown>][];
  let before: PanicHandler | undefined;

  beforeEach(() => {
    panics = [];
    before = onPanic((error, g) => panics.push([error, g]));
  });

  afterEach(() => {
    onPanic(before);
  });

  test("an error that nobody joined is a panic, with its goroutine", async () => {
    const error = new Error("bug");
    const g = go(async () => {
      throw error;
    });
    await drained();
    assert.deepEqual(panics, [[error, g]]);
  });

  test("an error that somebody joined is his", async () => {
    const g = go(() => {
      throw new Error("taken");
    });
    await assert.rejects(g.join(), /taken/);
    await drained();
    assert.deepEqual(panics, []);
  });

  test("the everyday end of a wait is no panic, but is counted", async () => {
    const { ended, panicked } = goroutineStats();
    go(async () => {
      throw new CanceledError("sleep", undefined);
    });
    await drained();
    assert.deepEqual(panics, []);
    assert.equal(goroutineStats().ended, ended + 1);
    assert.equal(goroutineStats().panicked, panicked);
  });

  test("anything may be thrown", async () => {
    for (const value of [undefined, null, 0, "text", Symbol("s")]) {
      go(() => {
        throw value;
      });
    }
    await drained();
    assert.deepEqual(
      panics.map(([error]) => typeof error),
      ["undefined", "object", "number", "string", "symbol"],
    );
  });

  test("each end belongs to its own goroutine, in whatever order they settle", async () => {
    const resolvers: (() => void)[] = [];
    const names = Array.from({ length: 40 }, (_, i) => i);
    const goroutines = names.map((i) =>
      go(async () => {
        await new Promise<void>((resolve) => resolvers.push(resolve));
        if (i % 3 !== 0) throw i;
      }),
    );
    await drained();
    for (const i of [...names].sort((a, b) => ((a * 7) % 40) - ((b * 7) % 40))) resolvers[i]?.();
    await drained();
    assert.equal(panics.length, names.filter((i) => i % 3 !== 0).length);
    for (const [error, g] of panics) assert.equal(g, goroutines[error as number]);
  });

  test("a promise with a then of its own mixes up nobody's ends", async () => {
    class Slow<T> extends Promise<T> {
      // biome-ignore lint/suspicious/noThenProperty: that is what is tested
      override then<A, B>(
        onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
        onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
      ): Promise<A | B> {
        const late = (call: (value: T) => A | PromiseLike<A>) => (value: T) => {
          const wait = drained().then(drained);
          return wait.then(() => call(value)) as Promise<A>;
        };
        return super.then(onFulfilled ? late(onFulfilled) : undefined, onRejected);
      }
    }
    const slow = go(() => new Slow<string>((resolve) => resolve("slow")));
    const failing = [0, 1, 2, 3, 4, 5, 6].map((turns) =>
      go(async () => {
        for (let i = 0; i < turns; i++) await drained();
        throw new Error("bug");
      }),
    );
    for (let i = 0; i < 12; i++) await drained();
    assert.equal(await slow.join(), "slow");
    assert.deepEqual(
      panics.map(([, g]) => g.id),
      failing.map(({ id }) => id),
    );
    for (const g of [slow, ...failing]) {
      assert.ok(!liveGoroutines().includes(g as Goroutine<unknown>));
    }
  });

  test("handlers replace each other, and the one before is given back", () => {
    const one: PanicHandler = () => {};
    const two: PanicHandler = () => {};
    const first = onPanic(one);
    assert.equal(onPanic(two), one);
    assert.equal(onPanic(first), two);
  });
});

describe("goroutines are counted", () => {
  test("numbers go up by one", async () => {
    const a = go(() => {});
    const b = go(() => {});
    assert.equal(b.id, a.id + 1);
    await drained();
    assert.equal(go(() => {}).id, b.id + 1);
    await drained();
  });

  test("live from their creation to their end, with a peak", async () => {
    await drained();
    const start = goroutineStats();
    const resolvers: (() => void)[] = [];
    const goroutines = Array.from({ length: 5 }, () =>
      go(() => new Promise<void>((resolve) => resolvers.push(resolve))),
    );
    assert.equal(goroutineStats().live, start.live + 5);
    assert.equal(goroutineStats().started, start.started + 5);
    assert.ok(goroutineStats().peak >= start.live + 5);
    await drained();
    for (const resolve of resolvers) resolve();
    await Promise.all(goroutines.map((g) => g.join()));
    await drained();
    assert.equal(goroutineStats().live, start.live);
  });

  test("the list of the live ones is in the order of their numbers", async () => {
    await drained();
    const known = new Set(liveGoroutines());
    const resolvers: (() => void)[] = [];
    const goroutines = Array.from({ length: 6 }, () =>
      go(() => new Promise<void>((resolve) => resolvers.push(resolve))),
    );
    await drained();
    const own = (): unknown[] => liveGoroutines().filter((g) => !known.has(g));
    assert.deepEqual(own(), goroutines);
    // From the middle, the beginning and the end.
    for (const i of [2, 0, 5, 3]) {
      resolvers[i]?.();
      await drained();
    }
    assert.deepEqual(own(), [goroutines[1], goroutines[4]]);
    for (const resolve of resolvers) resolve();
    await drained();
    assert.deepEqual(own(), []);
  });

  test("the name is the function's", async () => {
    async function echo(): Promise<void> {}
    assert.equal(go(echo).name, "echo");
    assert.equal(go(() => {}).name, "anonymous");
    await drained();
  });
});

describe("observers", () => {
  test("see every goroutine created, run and end, with its error", async () => {
    const { started, running, ended } = observer;
    const seen: string[] = [];
    let own: Goroutine<unknown>[] = [];
    const note = (what: string, g: Goroutine<unknown>, error?: unknown): void => {
      if (own.length > 0 && !own.includes(g)) return;
      seen.push(`${what} ${g.name}${error === undefined ? "" : ` ${(error as Error).message}`}`);
    };
    observer.started = (g) => note("started", g);
    observer.running = (g) => note("running", g);
    observer.ended = (g, error) => note("ended", g, error);
    try {
      async function good(): Promise<void> {}
      async function bad(): Promise<void> {
        throw new Error("bug");
      }
      const joined = [go(good), go(bad)];
      own = joined as Goroutine<unknown>[];
      await Promise.allSettled(joined.map((g) => g.join()));
      await drained();
    } finally {
      Object.assign(observer, { started, running, ended });
    }
    assert.deepEqual(seen, [
      "started good",
      "started bad",
      "running good",
      "running bad",
      "ended good",
      "ended bad bug",
    ]);
  });

  test("launch() starts a goroutine of a kind of its own", async () => {
    const { Goroutine: Base } = await import("./goroutine.ts");
    const ends: [boolean, unknown][] = [];
    class Member extends Base<number> {
      override ended(failed: boolean, error: unknown): void {
        ends.push([failed, error]);
      }
    }
    const error = new Error("member");
    const good = launch(new Member((n: number) => n * 2), [21]);
    const bad = launch(
      new Member(() => {
        throw error;
      }),
      [],
    );
    const failed = assert.rejects(bad.join(), error);
    assert.equal(await good.join(), 42);
    await failed;
    await drained();
    assert.deepEqual(ends, [
      [false, undefined],
      [true, error],
    ]);
  });
});
