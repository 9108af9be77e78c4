/** context.test.ts: the tree of contexts, fact by fact. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { recv } from "../chan/cases.ts";
import { Chan } from "../chan/chan.ts";
import { select } from "../chan/select.ts";
import { go, liveGoroutines } from "../runtime/goroutine.ts";
import { onPanic } from "../runtime/panic.ts";
import { runtime, stats } from "../runtime/runtime.ts";
import { Mutex } from "../sync/mutex.ts";
import { afterFunc } from "./afterfunc.ts";
import { withCancel } from "./cancel.ts";
import { background, type Context, ContextKey } from "./context.ts";
import { withDeadline, withTimeout } from "./deadline.ts";
import { fromSignal } from "./signal.ts";
import { cause, withoutCancel, withValue } from "./value.ts";

/** ctx.err's code; the compiler would remember what an assertion on ctx.err has said. */
const codeOf = (ctx: Context): string | undefined => ctx.err?.code;
const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;
const timers = (): number => runtime().timers.size;

/** Resolves when a context ends. */
const ended = (ctx: Context): Promise<unknown> => ctx.done.receive();

/** How many dependents a context has in its list. */
function dependents(ctx: Context): number {
  const { watch } = ctx as unknown as { watch: { below: { length: number } } | undefined };
  return watch?.below.length ?? 0;
}

describe("a context", () => {
  test("is alive until it is canceled; then it has an error, an aborted signal and a closed channel", async () => {
    const [ctx, cancel] = withCancel(background());
    assert.deepEqual([codeOf(ctx), cause(ctx), ctx.signal.aborted], [undefined, undefined, false]);
    assert.ok(await staysPending(ended(ctx)));
    cancel();
    assert.equal(ctx.err?.name, "CanceledError");
    assert.equal(ctx.err?.code, "ERR_CANCELED");
    assert.equal(ctx.err?.message, "context: operation was canceled (ERR_CANCELED)");
    assert.equal(ctx.signal.aborted, true);
    assert.deepEqual(await ctx.done.receive(), [undefined, false]);
  });

  test("has one error, one signal and one channel, before and after its end", () => {
    const [ctx, cancel] = withCancel(background());
    const { signal, done } = ctx;
    assert.deepEqual([ctx.signal, ctx.done], [signal, done]);
    cancel();
    assert.ok(ctx.signal === signal && ctx.done === done);
    const { err } = ctx;
    assert.equal(ctx.err, err);
    assert.equal(signal.reason, err);
    assert.equal(cause(ctx), ctx.err);
  });

  test("that has ended gives an aborted signal and a closed channel to who asks only now", async () => {
    const [ctx, cancel] = withCancel(background());
    const [child] = withCancel(ctx);
    cancel("over");
    for (const c of [ctx, child]) {
      assert.ok(c.signal.aborted);
      assert.equal(c.signal.reason, "over");
      assert.equal(c.signal, c.signal);
      assert.deepEqual(await c.done.receive(), [undefined, false]);
    }
  });

  test("keeps the first reason; a later cancel changes nothing", () => {
    const [ctx, cancel] = withCancel(background());
    const reason = new Error("the disk is full");
    cancel(reason);
    cancel("something else");
    assert.equal(cause(ctx), reason);
    assert.equal(ctx.err?.cause, reason);
    assert.equal(ctx.signal.reason, reason);
  });

  test("ends at the end of its owner's scope when it is held by using", () => {
    let inside: Context;
    {
      using ctx = withCancel(background())[0];
      inside = ctx;
      assert.equal(codeOf(inside), undefined);
    }
    assert.equal(codeOf(inside), "ERR_CANCELED");
  });

  test("cancels operations that have its signal, which have its cause", async () => {
    const [ctx, cancel] = withCancel(background());
    const mu = new Mutex();
    await mu.lock();
    const reason = new Error("shutting down");
    const waiting = mu.lock({ signal: ctx.signal });
    cancel(reason);
    await assert.rejects(waiting, { code: "ERR_CANCELED", cause: reason });
  });

  test("can be a case of a select, by itself and by its channel", async () => {
    const [ctx, cancel] = withCancel(background());
    const jobs = new Chan<number>();
    const first = select({ job: recv(jobs), stop: ctx });
    const second = select({ job: recv(jobs), stop: recv(ctx.done) });
    cancel("enough");
    assert.deepEqual(await first, { case: "stop", reason: "enough" });
    assert.equal((await second).case, "stop");
    const third = await select({ job: recv(jobs), stop: ctx });
    assert.deepEqual(third, { case: "stop", reason: "enough" });
  });

  test("needs a context or a signal as its parent", () => {
    assert.throws(() => withCancel(undefined as never), /background\(\) is the root/);
    assert.throws(() => withCancel({} as never), TypeError);
  });
});

describe("canceling a context", () => {
  test("has ended everything below it when it returns, whether or not anybody looks", () => {
    const [top, cancel] = withCancel(background());
    const [watched] = withCancel(top);
    const [unseen] = withCancel(watched);
    const valued = withValue(unseen, new ContextKey<number>("n"), 1);
    const [timed] = withTimeout(valued, 60_000);
    const { signal } = watched;
    const deepest = timed.signal;
    cancel("all of you");
    assert.ok(signal.aborted && deepest.aborted);
    for (const ctx of [top, watched, unseen, valued, timed]) {
      assert.deepEqual([codeOf(ctx), cause(ctx)], ["ERR_CANCELED", "all of you"]);
    }
    assert.equal(timers(), 0);
  });

  test("leaves its parent and its siblings alone", () => {
    const [top] = withCancel(background());
    const [a, cancelA] = withCancel(top);
    const [b] = withCancel(top);
    for (const c of [top, a, b]) assert.ok(!c.signal.aborted);
    cancelA("only a");
    assert.deepEqual([top, a, b].map(codeOf), [undefined, "ERR_CANCELED", undefined]);
    assert.ok(!b.signal.aborted);
  });

  test("does not change a child that had ended before", () => {
    const [top, cancelTop] = withCancel(background());
    const [child, cancelChild] = withCancel(top);
    const [late, cancelLate] = withCancel(top);
    cancelChild("the child's own");
    cancelTop("the parent's");
    cancelLate("too late");
    assert.deepEqual([child, top, late].map(cause), [
      "the child's own",
      "the parent's",
      "the parent's",
    ]);
  });

  test("is decided for all before anybody is told", () => {
    const [top, cancel] = withCancel(background());
    const [a] = withCancel(top);
    const [b] = withCancel(top);
    const seen: unknown[] = [];
    const look = (): void => {
      for (const c of [top, a, b]) seen.push(codeOf(c));
      seen.push(a.signal.aborted && b.signal.aborted && top.signal.aborted);
    };
    top.signal.addEventListener("abort", look, { once: true });
    assert.ok(!a.signal.aborted && !b.signal.aborted);
    cancel();
    assert.deepEqual(seen, ["ERR_CANCELED", "ERR_CANCELED", "ERR_CANCELED", true]);
  });

  test("works through a thousand levels", () => {
    const [top, cancel] = withCancel(background());
    let ctx: Context = top;
    for (let i = 0; i < 1_000; i++) [ctx] = withCancel(ctx);
    const { signal } = ctx;
    assert.equal(codeOf(ctx), undefined);
    cancel("far above");
    assert.equal(signal.reason, "far above");
    assert.equal(cause(ctx), "far above");
  });
});

describe("values", () => {
  const user = new ContextKey<string>("user");
  const trace = new ContextKey<number>("trace");

  test("are inherited, and the nearest one counts", () => {
    const ctx = withValue(withValue(background(), user, "ada"), trace, 1);
    const [below] = withCancel(ctx);
    const nearer = withValue(below, user, "grace");
    assert.deepEqual(
      [below.value(user), nearer.value(user), nearer.value(trace)],
      ["ada", "grace", 1],
    );
    assert.equal(background().value(user), undefined);
  });

  test("are told apart by their keys, not by the names of these", () => {
    const other = new ContextKey<string>("user");
    const ctx = withValue(withValue(background(), user, "a"), other, "b");
    assert.deepEqual([ctx.value(user), ctx.value(other)], ["a", "b"]);
    assert.throws(() => withValue(background(), "user" as never, 1), /not a ContextKey/);
  });

  test("make a context that ends with its parent", () => {
    const [parent, cancel] = withCancel(background());
    const ctx = withValue(parent, user, "ada");
    assert.equal(ctx.signal, parent.signal);
    assert.equal(ctx.done, parent.done);
    cancel("reason");
    assert.deepEqual([codeOf(ctx), cause(ctx), ctx.value(user)], ["ERR_CANCELED", "reason", "ada"]);
  });

  test("are all that withoutCancel keeps", () => {
    const [parent, cancel] = withTimeout(withValue(background(), user, "ada"), 60_000);
    const ctx = withoutCancel(parent);
    cancel();
    assert.deepEqual(
      [ctx.err, ctx.deadline, ctx.signal.aborted, cause(ctx), ctx.value(user)],
      [undefined, undefined, false, undefined, "ada"],
    );
    const [below, cancelBelow] = withCancel(ctx);
    assert.equal(codeOf(below), undefined);
    cancelBelow();
    assert.equal(codeOf(below), "ERR_CANCELED");
  });
});

describe("the background", () => {
  test("never ends, and carries any number of listeners without a warning", async () => {
    const warnings: unknown[] = [];
    const warned = (warning: unknown): void => void warnings.push(warning);
    process.on("warning", warned);
    const { signal, done } = background();
    const listener = (): void => {};
    for (let i = 0; i < 50; i++) signal.addEventListener("abort", () => listener);
    assert.ok(await staysPending(done.receive()));
    await turn();
    process.off("warning", warned);
    assert.deepEqual(warnings, []);
    assert.deepEqual([background().err, background().deadline], [undefined, undefined]);
    assert.equal(background(), background());
  });
});

describe("a deadline", () => {
  test("ends the context when it has come and not earlier", async () => {
    const { clock } = runtime();
    const began = clock.now();
    using ctx = withTimeout(background(), 30)[0];
    await ended(ctx);
    assert.ok(clock.now() - began >= 30);
    assert.equal(ctx.err?.name, "DeadlineExceededError");
    assert.equal(ctx.err?.code, "ERR_DEADLINE");
    assert.equal((ctx.err as { timeout?: boolean }).timeout, true);
    assert.equal(ctx.signal.reason, ctx.err);
  });

  test("ends the context also when nobody watched it: the clock is asked", async () => {
    const [ctx] = withTimeout(background(), 100);
    const [below] = withCancel(ctx);
    assert.equal(codeOf(below), undefined);
    assert.equal(timers(), 0);
    await runtime().sleep(101);
    assert.deepEqual([below, ctx].map(codeOf), ["ERR_DEADLINE", "ERR_DEADLINE"]);
  });

  test("that has passed already ends the context at once", () => {
    const past = [
      withTimeout(background(), 0),
      withTimeout(background(), -5),
      withDeadline(background(), new Date(Date.now() - 1_000)),
    ];
    for (const [ctx] of past)
      assert.deepEqual([codeOf(ctx), ctx.signal.aborted], ["ERR_DEADLINE", true]);
    assert.equal(timers(), 0);
  });

  test("is told by the context, and the earliest one upwards counts", () => {
    const early = new Date(Date.now() + 60_000);
    const late = new Date(Date.now() + 120_000);
    const [parent] = withDeadline(background(), early);
    const [child] = withDeadline(parent, late);
    const [nearer] = withTimeout(parent, 1_000);
    assert.deepEqual([parent.deadline, child.deadline], [early, early]);
    assert.ok(nearer.deadline !== undefined && nearer.deadline < early);
    assert.equal(
      withValue(nearer, new ContextKey("k"), 1).deadline?.getTime(),
      nearer.deadline.getTime(),
    );
    assert.equal(withCancel(background())[0].deadline, undefined);
  });

  test("has the cause that was given for it", async () => {
    using ctx = withTimeout(background(), 1, "too slow")[0];
    await ended(ctx);
    assert.deepEqual(
      [codeOf(ctx), cause(ctx), ctx.err?.cause],
      ["ERR_DEADLINE", "too slow", "too slow"],
    );
  });

  test("does not count when cancel came first, and cancel not when the deadline did", async () => {
    const [canceled, cancel] = withTimeout(background(), 100);
    const [late, cancelLate] = withTimeout(background(), 100);
    const [parent, cancelParent] = withCancel(background());
    const [unseen] = withTimeout(parent, 100);
    cancel("by hand");
    cancelParent("by the parent");
    await runtime().sleep(101);
    cancelLate("by hand");
    assert.deepEqual([canceled, late, unseen].map(codeOf), [
      "ERR_CANCELED",
      "ERR_DEADLINE",
      "ERR_CANCELED",
    ]);
    assert.deepEqual([cause(canceled), cause(unseen)], ["by hand", "by the parent"]);
  });

  test("does count when it passed unseen before the parent was canceled", async () => {
    const [parent, cancelParent] = withCancel(background());
    const [ctx] = withTimeout(parent, 5);
    await runtime().sleep(6);
    cancelParent("later");
    assert.equal(codeOf(ctx), "ERR_DEADLINE");
  });

  test("has a timer only while somebody watches, and none after its end", async () => {
    const before = timers();
    const [ctx, cancel] = withTimeout(background(), 60_000);
    assert.equal(timers(), before);
    const stop = afterFunc(ctx, () => {});
    assert.equal(timers(), before + 1);
    stop();
    assert.equal(timers(), before, "the last one who watched has left");
    assert.ok(!ctx.signal.aborted);
    assert.deepEqual([timers(), stats().parked], [before + 1, 1]);
    cancel();
    assert.deepEqual([timers(), stats().parked], [before, 0]);
  });

  test("must be a number or a valid date", () => {
    assert.throws(() => withTimeout(background(), Number.NaN), TypeError);
    assert.throws(() => withDeadline(background(), new Date("nonsense")), RangeError);
    assert.throws(() => withDeadline(background(), 1_000 as unknown as Date), /expected a Date/);
    const [ctx] = withTimeout(background(), Infinity);
    assert.deepEqual([ctx.deadline, ctx.err], [undefined, undefined]);
  });
});

describe("afterFunc", () => {
  test("starts a goroutine whose origin is the line that left the function there", async () => {
    const [ctx, cancel] = withCancel(background());
    const origins = new Chan<string | undefined>(1);
    const tell = (): void => {
      const g = liveGoroutines().find(({ fn }) => fn === tell);
      origins.trySend(g?.origin);
    };
    afterFunc(ctx, tell);
    cancel();
    assert.match(String((await origins.receive())[0]), /context\.test\.[jt]s:\d+:\d+$/);
  });

  test("calls its function in a goroutine of its own when the context ends", async () => {
    const [ctx, cancel] = withCancel(background());
    const started = stats().goroutines.started;
    let called = 0;
    afterFunc(ctx, () => called++);
    cancel();
    assert.equal(called, 0, "cancel does not run it");
    await turn();
    assert.deepEqual([called, stats().goroutines.started], [1, started + 1]);
  });

  test("calls at once when the context has ended before", async () => {
    const [ctx, cancel] = withCancel(background());
    cancel();
    let called = 0;
    const stop = afterFunc(ctx, () => called++);
    await turn();
    assert.deepEqual([called, stop()], [1, false]);
  });

  test("says whether stop has stopped it", async () => {
    const [ctx, cancel] = withCancel(background());
    let called = 0;
    const stop = afterFunc(ctx, () => called++);
    const other = afterFunc(ctx, () => called++);
    assert.deepEqual([stop(), stop()], [true, false]);
    cancel();
    assert.equal(other(), false);
    await turn();
    assert.equal(called, 1);
    const never = afterFunc(background(), () => assert.fail("the background has ended"));
    assert.deepEqual([never(), never()], [true, false]);
  });

  test("makes an error of its function the panic of that goroutine", async () => {
    const [ctx, cancel] = withCancel(background());
    const seen: string[] = [];
    const before = onPanic((error) => seen.push((error as Error).message));
    afterFunc(ctx, () => {
      throw new Error("in the function");
    });
    cancel();
    await turn();
    onPanic(before);
    assert.deepEqual(seen, ["in the function"]);
    assert.throws(() => afterFunc(ctx, undefined as never), TypeError);
  });
});

describe("an AbortSignal", () => {
  test("can be the parent of every kind of context", () => {
    const controller = new AbortController();
    const { signal } = controller;
    const key = new ContextKey<number>("n");
    const below = [
      withCancel(signal)[0],
      withTimeout(signal, 60_000)[0],
      withDeadline(signal, new Date(Date.now() + 60_000))[0],
      withValue(signal, key, 1),
      fromSignal(signal),
    ];
    for (const ctx of below) assert.ok(!ctx.signal.aborted);
    const kept = withoutCancel(signal);
    controller.abort("from outside");
    for (const ctx of below) {
      assert.deepEqual([codeOf(ctx), cause(ctx)], ["ERR_CANCELED", "from outside"]);
      assert.ok(ctx.signal.aborted);
    }
    assert.equal(kept.err, undefined);
    assert.equal(cause(signal), "from outside");
  });

  test("has one context, whose signal it is", () => {
    const { signal } = new AbortController();
    assert.equal(fromSignal(signal), fromSignal(signal));
    assert.equal(fromSignal(signal).signal, signal);
  });

  test("that was aborted before gives a context that has ended", () => {
    const [ctx] = withCancel(AbortSignal.abort("before"));
    assert.deepEqual([codeOf(ctx), cause(ctx)], ["ERR_CANCELED", "before"]);
  });

  test("of AbortSignal.timeout counts as a deadline", async () => {
    const signal = AbortSignal.timeout(1);
    while (!signal.aborted) await runtime().sleep(1);
    assert.equal(codeOf(fromSignal(signal)), "ERR_DEADLINE");
  });

  test("has one listener while contexts below it are watched, and none afterwards", () => {
    const controller = new AbortController();
    const all = Array.from({ length: 100 }, () => withCancel(controller.signal));
    assert.equal(listeners(controller.signal), 0, "nobody watches");
    for (const [ctx] of all) assert.ok(!ctx.signal.aborted);
    assert.equal(listeners(controller.signal), 1);
    for (const [, cancel] of all) cancel();
    assert.equal(listeners(controller.signal), 0);
  });

  test("of another context works as that context does", () => {
    const [ctx, cancel] = withCancel(background());
    const [below] = withCancel(ctx.signal);
    const { signal } = below;
    cancel("through the signal");
    assert.deepEqual([signal.reason, codeOf(below)], ["through the signal", "ERR_CANCELED"]);
  });
});

describe("a child that ends", () => {
  test("leaves no reference in its parent", () => {
    const [top] = withCancel(background());
    const children = Array.from({ length: 10 }, () => withTimeout(top, 60_000));
    for (const [child] of children) assert.ok(!child.signal.aborted);
    assert.equal(dependents(top), 10);
    for (const [, cancel] of children) cancel();
    assert.equal(dependents(top), 0);
    assert.equal(timers(), 0);
  });

  test("takes those above it off their lists when nobody else watches them", () => {
    const [top] = withCancel(background());
    const [middle] = withCancel(top);
    const [bottom, cancel] = withCancel(middle);
    assert.ok(!bottom.signal.aborted);
    assert.deepEqual([dependents(top), dependents(middle)], [1, 1]);
    cancel();
    assert.deepEqual([dependents(top), dependents(middle)], [0, 0]);
    assert.equal(codeOf(middle), undefined);
    const { signal } = middle;
    assert.deepEqual([dependents(top), signal.aborted], [1, false]);
  });

  test("can be collected when nobody canceled it and nobody watches it", async (t) => {
    if (globalThis.gc === undefined) return t.skip("needs --expose-gc");
    const [top] = withCancel(background());
    const make = (): WeakRef<Context> => new WeakRef(withTimeout(top, 60_000)[0]);
    const refs = Array.from({ length: 10 }, make);
    await turn();
    globalThis.gc();
    assert.ok(refs.every((ref) => ref.deref() === undefined));
  });

  test("costs no memory: a million of them, watched or not, keep the heap flat", async (t) => {
    if (globalThis.gc === undefined) return t.skip("needs --expose-gc");
    const [top] = withCancel(background());
    const round = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const [child, cancel] = withTimeout(top, 60_000);
        if (i % 2 === 0) void child.done;
        if (i % 100 === 0) void child.signal;
        if (i % 3 > 0) cancel("done");
        else (child as Disposable)[Symbol.dispose]();
      }
    };
    const heap = async (): Promise<number> => {
      await turn();
      globalThis.gc?.();
      return process.memoryUsage().heapUsed;
    };
    round(100_000);
    const before = await heap();
    round(900_000);
    const grown = (await heap()) - before;
    assert.ok(grown < 1 << 20, `${grown} bytes more`);
    assert.deepEqual([dependents(top), timers()], [0, 0]);
  });
});

test("a goroutine that throws its context's error ends without a panic", async () => {
  const { panicked, ended: before } = stats().goroutines;
  const [ctx, cancel] = withCancel(background());
  using late = withTimeout(background(), 0)[0];
  cancel();
  for (const c of [ctx, late]) {
    go(async () => {
      throw c.err;
    });
  }
  await turn();
  assert.deepEqual([stats().goroutines.panicked, stats().goroutines.ended], [panicked, before + 2]);
});
