/** errgroup.test.ts: goroutines that work on one task. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { withCancel } from "../context/cancel.ts";
import { background } from "../context/context.ts";
import { cause } from "../context/value.ts";
import { observer } from "../runtime/observer.ts";
import { stats } from "../runtime/runtime.ts";
import { ErrGroup } from "./errgroup.ts";

describe("an ErrGroup", () => {
  test("waits until all of its goroutines have ended", async () => {
    const group = new ErrGroup();
    let ended = 0;
    for (let i = 0; i < 5; i++) {
      await group.go(async (turns: number) => {
        for (let t = 0; t <= turns; t++) await turn();
        ended++;
      }, i);
    }
    assert.equal(group.count, 5);
    await group.wait();
    assert.deepEqual([ended, group.count], [5, 0]);
  });

  test("rejects with the first error, when all have ended, and nothing panics", async () => {
    const panicked = stats().goroutines.panicked;
    const group = new ErrGroup();
    let ended = false;
    await group.go(async () => {
      await turn();
      throw new Error("second");
    });
    await group.go(() => {
      throw new Error("first");
    });
    await group.go(async () => {
      for (let i = 0; i < 5; i++) await turn();
      ended = true;
    });
    await assert.rejects(group.wait(), /first/);
    assert.ok(ended);
    await assert.rejects(group.wait(), /first/, "for everybody who asks");
    assert.equal(stats().goroutines.panicked, panicked);
  });

  test("cancels its context with the first error, which is the cause", async () => {
    const group = new ErrGroup();
    const { signal } = group.context;
    const failure = new Error("the first one");
    await group.go(async () => {
      await turn();
      throw failure;
    });
    await group.go(
      () => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
    );
    await assert.rejects(group.wait(), failure);
    assert.equal(cause(group.context), failure);
    assert.equal(signal.reason, failure);
  });

  test("ends its context when a wait is over, not earlier", async () => {
    const group = new ErrGroup();
    await group.go(() => {});
    await turn();
    const codes = [group.context.err?.code];
    await group.wait();
    codes.push(group.context.err?.code);
    const empty = new ErrGroup();
    await empty.wait();
    codes.push(empty.context.err?.code);
    assert.deepEqual(codes, [undefined, "ERR_CANCELED", "ERR_CANCELED"]);
  });

  test("has its context below the one it was given, or below a signal", async () => {
    const [ctx, cancel] = withCancel(background());
    const controller = new AbortController();
    const groups = [new ErrGroup({ context: ctx }), new ErrGroup({ context: controller.signal })];
    cancel("from above");
    controller.abort("by signal");
    assert.deepEqual(
      groups.map((group) => cause(group.context)),
      ["from above", "by signal"],
    );
  });

  test("runs no more at once than its limit, and starts the others in their order", async () => {
    const group = new ErrGroup({ limit: 3 });
    let running = 0;
    let most = 0;
    const order: number[] = [];
    for (let i = 0; i < 20; i++) {
      await group.go(async (n: number) => {
        order.push(n);
        most = Math.max(most, ++running);
        await turn();
        running--;
      }, i);
    }
    await group.wait();
    assert.equal(most, 3);
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
    assert.equal(order.length, 20);
  });

  test("holds up who starts one too many until there is a place", async () => {
    const group = new ErrGroup({ limit: 1 });
    let end = (): void => {};
    await group.go(() => new Promise<void>((resolve) => (end = resolve)));
    await turn();
    let ran = false;
    const kinds: string[] = [];
    observer.parked = (_waiter, kind) => kinds.push(kind);
    const second = group.go(() => {
      ran = true;
    });
    observer.parked = null;
    assert.deepEqual(kinds, ["errgroup go"]);
    assert.ok(!group.tryGo(() => assert.fail("beyond the limit")));
    assert.ok(await staysPending(second));
    assert.ok(!ran);
    end();
    await second;
    await group.wait();
    assert.ok(ran);
  });

  test("waits also for those that are still to be started", async () => {
    const group = new ErrGroup({ limit: 1 });
    let ended = 0;
    const starts = Array.from({ length: 5 }, () =>
      group.go(async () => {
        await turn();
        ended++;
      }),
    );
    await group.wait();
    assert.equal(ended, 5);
    await Promise.all(starts);
  });

  test("starts by tryGo what fits", async () => {
    const group = new ErrGroup({ limit: 2 });
    const started = [1, 2, 3].map(() => group.tryGo(turn));
    assert.deepEqual(started, [true, true, false]);
    await group.wait();
  });

  test("goes on when a wait for it is canceled", async () => {
    const group = new ErrGroup();
    let ended = false;
    await group.go(async () => {
      await turn();
      await turn();
      ended = true;
    });
    const controller = new AbortController();
    const impatient = group.wait({ signal: controller.signal });
    controller.abort();
    await assert.rejects(impatient, { code: "ERR_CANCELED" });
    assert.equal(group.context.err, undefined);
    await group.wait();
    assert.ok(ended);
  });

  test("throws for a limit that is none", () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => new ErrGroup({ limit }), RangeError);
    }
  });
});

test("goroutines of an ErrGroup know where they were started, also those that had to wait", async () => {
  const group = new ErrGroup({ limit: 1 });
  const origins: (string | undefined)[] = [];
  const before = observer.started;
  observer.started = (g) => origins.push(g.origin);
  try {
    const starts = [group.go(async () => {}), group.go(async () => {})];
    await group.wait();
    await Promise.all(starts);
    group.tryGo(async () => {});
    await group.wait();
  } finally {
    observer.started = before;
  }
  assert.equal(origins.length, 3);
  for (const origin of origins) assert.match(String(origin), /errgroup\.test/);
});
