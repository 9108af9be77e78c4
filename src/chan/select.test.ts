/** select.test.ts: what a Go programmer may rely on in a select, fact by fact. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { seeded, staysPending, turn } from "../../testing/support.ts";
import { background, withCancel } from "../index.ts";
import { Random } from "../internal/random.ts";
import { go } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { runtime } from "../runtime/runtime.ts";
import { after, recv, send } from "./cases.ts";
import { Chan, nilChan, type ReceiveChan } from "./chan.ts";
import { type SelectCases, type Selected, select, trySelect } from "./select.ts";

const closedError = { name: "ChanError", code: "ERR_CHAN_CLOSED" };
const canceledError = { name: "CanceledError", code: "ERR_CANCELED" };

/** Waiters in a channel's two queues. */
function queued(ch: unknown): number {
  const queues = ch as { receivers: { length: number }; senders: { length: number } };
  return queues.receivers.length + queues.senders.length;
}

/** Makes the choices of selects those of a seed while `fn` runs. */
async function withRandom(random: Random, fn: () => void | Promise<void>): Promise<void> {
  const rt = runtime();
  const before = rt.random;
  rt.random = random;
  try {
    await fn();
  } finally {
    rt.random = before;
  }
}

describe("a select with a ready case", () => {
  test("receives", async () => {
    const ch = new Chan<number>(1);
    await ch.send(7);
    assert.deepEqual(await select({ got: recv(ch) }), { case: "got", value: 7, ok: true });
    ch.close();
    assert.deepEqual(await select({ got: recv(ch) }), { case: "got", value: undefined, ok: false });
  });

  test("sends", async () => {
    const ch = new Chan<number>(1);
    assert.deepEqual(await select({ out: send(ch, 1) }), { case: "out" });
    assert.deepEqual(await ch.receive(), [1, true]);
  });

  test("takes the value of a sender that waits, and gives one to a receiver that waits", async () => {
    const ch = new Chan<number>();
    const sent = ch.send(1);
    assert.deepEqual(await select({ got: recv(ch) }), { case: "got", value: 1, ok: true });
    await sent;
    const received = ch.receive();
    assert.deepEqual(await select({ out: send(ch, 2) }), { case: "out" });
    assert.deepEqual(await received, [2, true]);
  });

  test("leaves every other case alone", async () => {
    const ready = new Chan<number>(1);
    const out = new Chan<number>();
    const never = new Chan<number>();
    ready.trySend(1);
    const { signal } = new AbortController();
    await select({ ready: recv(ready), never: recv(never), out: send(out, 1), signal });
    assert.deepEqual([queued(ready), queued(out), queued(never)], [0, 0, 0]);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test("chooses uniformly at random among those that are ready", async (t) => {
    const random = seeded(t);
    await withRandom(random, () => {
      for (const count of [2, 3, 5]) {
        const chans = Array.from({ length: count }, () => new Chan<number>(1));
        const never = new Chan<number>();
        const cases: SelectCases = Object.fromEntries([
          ["never", recv(never)],
          ...chans.map((ch, i) => [`c${i}`, recv(ch)]),
          ["full", send(never, 1)],
        ]);
        const draws = 6000 * count;
        const drawn = new Map<string, number>();
        for (let i = 0; i < draws; i++) {
          for (const ch of chans) ch.trySend(i);
          const { case: name } = trySelect(cases) as { case: string };
          drawn.set(name, (drawn.get(name) ?? 0) + 1);
        }
        assert.equal(drawn.size, count);
        // Chi-squared; these bounds are passed by chance once in ten million runs.
        const expected = draws / count;
        const distance = [...drawn.values()].reduce(
          (d, n) => d + (n - expected) ** 2 / expected,
          0,
        );
        const bounds: Record<number, number> = { 2: 28.4, 3: 32.2, 5: 38.4 };
        assert.ok(distance < (bounds[count] as number), `${distance} for ${[...drawn]}`);
      }
    });
  });

  test("the same seed makes the same choices", async () => {
    const choices = async (seed: number): Promise<string> => {
      const a = new Chan<number>(1);
      const b = new Chan<number>(1);
      let made = "";
      await withRandom(new Random(seed), async () => {
        for (let i = 0; i < 64; i++) {
          a.trySend(1);
          b.trySend(1);
          made += (await select({ a: recv(a), b: recv(b) })).case;
        }
      });
      return made;
    };
    assert.equal(await choices(1), await choices(1));
    assert.notEqual(await choices(1), await choices(2));
  });
});

describe("a select that waits", () => {
  test("goes on with the first case that happens, and the others leave no trace", async () => {
    const [a, b, out] = [new Chan<number>(), new Chan<string>(), new Chan<number>()];
    const stop = new AbortController();
    const cases = {
      a: recv(a),
      b: recv(b),
      out: send(out, 1),
      stop: stop.signal,
      late: after(1e6),
    };
    const timers = runtime().timers.size;
    const held = runtime().parked;
    for (const happen of [
      () => a.trySend(1),
      () => b.trySend("x"),
      () => out.tryReceive() !== undefined,
    ]) {
      const got = select(cases);
      assert.ok(await staysPending(got, 1));
      assert.deepEqual([queued(a), queued(b), queued(out)], [1, 1, 1]);
      assert.equal(runtime().timers.size, timers + 1);
      assert.ok(happen());
      assert.deepEqual([queued(a), queued(b), queued(out)], [0, 0, 0]);
      assert.equal(runtime().timers.size, timers, "the losing timer is stopped");
      assert.equal(runtime().parked, held, "and keeps nothing alive");
      assert.equal(getEventListeners(stop.signal, "abort").length, 0);
      await got;
    }
    const got = select(cases);
    stop.abort("done");
    assert.deepEqual(await got, { case: "stop", reason: "done" });
    assert.deepEqual([queued(a), queued(b), queued(out)], [0, 0, 0]);
  });

  test("exactly one case takes effect though several happen at once", async () => {
    const [a, b] = [new Chan<number>(), new Chan<number>()];
    const got = select({ a: recv(a), b: recv(b) });
    assert.equal(a.trySend(1), true);
    assert.equal(b.trySend(2), false, "the select is no longer waiting");
    assert.deepEqual(await got, { case: "a", value: 1, ok: true });
  });

  test("the same channel may stand in several cases", async () => {
    const ch = new Chan<number>();
    const got = select({ a: recv(ch), b: recv(ch), c: recv(ch) });
    assert.equal(queued(ch), 3);
    assert.equal(ch.trySend(1), true);
    assert.equal(ch.trySend(2), false);
    assert.equal((await got).value, 1);
    const sent = select({ a: send(ch, 1), b: send(ch, 2) });
    assert.deepEqual(await ch.receive(), [1, true]);
    assert.deepEqual(await sent, { case: "a" });
    assert.equal(queued(ch), 0);
  });

  test("sending and receiving on one channel does not meet itself, but meets another", async () => {
    const ch = new Chan<string>();
    const one = select({ out: send(ch, "from one"), got: recv(ch) });
    assert.ok(await staysPending(one));
    const two = select({ out: send(ch, "from two"), got: recv(ch) });
    const [first, second] = await Promise.all([one, two]);
    assert.deepEqual([first.case, second.case].sort(), ["got", "out"]);
    const got = first.case === "got" ? first : second;
    assert.equal((got as { value: string }).value, first.case === "got" ? "from two" : "from one");
    assert.equal(queued(ch), 0);
  });

  test("waits in line with those who came before and after", async () => {
    const ch = new Chan<number>();
    const before = ch.receive();
    const selected = select({ got: recv(ch) });
    const behind = ch.receive();
    for (const i of [1, 2, 3]) await ch.send(i);
    assert.deepEqual([(await before)[0], (await selected).value, (await behind)[0]], [1, 2, 3]);
  });

  test("a channel that is closed while it waits ends it: not ok, or an error for a send", async () => {
    const ch = new Chan<number>();
    const got = select({ got: recv(ch), never: recv(new Chan<number>()) });
    ch.close();
    assert.deepEqual(await got, { case: "got", value: undefined, ok: false });
    const full = new Chan<number>();
    const sent = select({ out: send(full, 1), never: recv(new Chan<number>()) });
    full.close();
    await assert.rejects(sent, closedError);
  });

  test("a send case on a closed channel fails where it is chosen", async () => {
    const ch = new Chan<number>();
    ch.close();
    await assert.rejects(select({ out: send(ch, 1) }), closedError);
    assert.throws(() => trySelect({ out: send(ch, 1) }), closedError);
  });

  test("errors carry the stack of whoever waited", async () => {
    const ch = new Chan<number>();
    async function waiting(signal?: AbortSignal): Promise<void> {
      await select({ out: send(ch, 1) }, { signal });
    }
    const stop = new AbortController();
    const canceled = waiting(stop.signal);
    stop.abort();
    await assert.rejects(canceled, (error: Error) => /at async waiting/.test(error.stack ?? ""));
    const refused = waiting();
    ch.close();
    await assert.rejects(refused, (error: Error) => /at async waiting/.test(error.stack ?? ""));
  });
});

describe("absent cases", () => {
  test("an absent channel never happens, whatever else does", async () => {
    const ch = new Chan<number>(1);
    const cases = {
      none: recv<number>(undefined),
      nil: recv(nilChan<number>()),
      full: send<number>(undefined, 1),
      off: undefined,
      got: recv(ch),
    };
    for (let i = 0; i < 100; i++) {
      ch.trySend(i);
      assert.deepEqual(await select(cases), { case: "got", value: i, ok: true });
    }
  });

  test("with nothing but absent channels it waits for ever, and says so", async () => {
    const kinds: string[] = [];
    const before = observer.parked;
    observer.parked = (_, kind) => kinds.push(kind);
    try {
      const waits = [select({}), select({ a: recv(undefined), b: send(undefined, 1) })];
      assert.ok(await staysPending(Promise.race(waits)));
      const stop = new AbortController();
      const canceled = select({ a: recv(undefined) }, { signal: stop.signal });
      stop.abort();
      await assert.rejects(canceled, canceledError);
    } finally {
      observer.parked = before;
    }
    assert.deepEqual(kinds, ["select (no cases)", "select (no cases)", "select (no cases)"]);
  });

  test("receiving from an absent channel waits for ever", async () => {
    assert.ok(await staysPending(select({ got: recv(undefined) })));
    assert.equal(trySelect({ got: recv(undefined), out: send(undefined, 1) }), undefined);
  });

  test("an absent signal, as an optional parameter gives it, never happens", async () => {
    const options: { signal?: AbortSignal } = {};
    const ch = new Chan<number>(1);
    ch.trySend(1);
    assert.equal((await select({ stop: options.signal, got: recv(ch) })).case, "got");
  });

  test("what is no case is refused", async () => {
    const wrong: unknown[] = [1, null, "x", {}, new Chan(), () => {}];
    for (const value of wrong) {
      await assert.rejects(select({ wrong: value as AbortSignal }), /"wrong" is neither/);
    }
    assert.throws(() => recv({} as ReceiveChan<number>), TypeError);
    assert.throws(() => send(null as never, 1), TypeError);
    assert.throws(() => after(Number.NaN), TypeError);
  });
});

describe("after", () => {
  test("happens when nothing else does, not before its time", async () => {
    const began = performance.now();
    const got = await select({ got: recv(new Chan<number>()), late: after(20) });
    assert.deepEqual(got, { case: "late" });
    assert.ok(performance.now() - began >= 20);
  });

  test("of zero gives way to what is ready, and happens soon otherwise", async () => {
    const ch = new Chan<number>(1);
    for (let i = 0; i < 100; i++) {
      ch.trySend(i);
      assert.equal((await select({ got: recv(ch), late: after(0) })).case, "got");
    }
    assert.equal((await select({ got: recv(ch), late: after(0) })).case, "late");
    assert.equal((await select({ got: recv(ch), late: after(-5) })).case, "late");
  });

  test("counts from the select, so a case may be kept for many of them", async () => {
    const late = after(5);
    const began = performance.now();
    for (let i = 0; i < 3; i++) assert.equal((await select({ late })).case, "late");
    assert.ok(performance.now() - began >= 15);
  });

  test("in a loop leaves nothing behind", async () => {
    const ch = new Chan<number>();
    const { timers } = runtime();
    const before = timers.size;
    go(async () => {
      for (let i = 0; i < 1000; i++) await ch.send(i);
      ch.close();
    });
    for (let i = 0; ; i++) {
      const got = await select({ got: recv(ch), late: after(60_000) });
      if (got.case === "late" || !got.ok) break;
      assert.equal(got.value, i);
    }
    assert.equal(timers.size, before);
  });
});

describe("signals and contexts", () => {
  test("a signal is a case with its reason, now or later", async () => {
    const stop = new AbortController();
    const got = select({ stop: stop.signal });
    assert.ok(await staysPending(got));
    stop.abort("enough");
    assert.deepEqual(await got, { case: "stop", reason: "enough" });
    assert.deepEqual(await select({ stop: stop.signal }), { case: "stop", reason: "enough" });
    assert.deepEqual(trySelect({ stop: stop.signal }), { case: "stop", reason: "enough" });
  });

  test("a context is a case that happens when it ends, with its cause", async () => {
    const [ctx, cancel] = withCancel(background());
    const got = select({ stop: ctx, never: recv(new Chan<number>()) });
    assert.ok(await staysPending(got));
    cancel("enough");
    const outcome = await got;
    assert.equal(outcome.case, "stop");
    assert.deepEqual(await select({ stop: ctx }), outcome);
    assert.deepEqual(trySelect({ stop: ctx }), outcome);
  });

  test("a context is recognised by its shape, and costs its signal no listener", async () => {
    const done = new Chan<never>();
    const stop = new AbortController();
    const ctx = { done, signal: stop.signal };
    const got = select({ stop: ctx });
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
    stop.abort("enough");
    assert.ok(await staysPending(got));
    done.close();
    assert.deepEqual(await got, { case: "stop", reason: "enough" });
  });

  test("the signal of the options ends the wait with an error and leaves no trace", async () => {
    const ch = new Chan<number>();
    const stop = new AbortController();
    const { signal } = stop;
    const timers = runtime().timers.size;
    const got = select({ got: recv(ch), out: send(ch, 1), late: after(1e6) }, { signal });
    assert.equal(queued(ch), 2);
    stop.abort("enough");
    await assert.rejects(got, { ...canceledError, cause: "enough" });
    assert.equal(queued(ch), 0);
    assert.equal(runtime().timers.size, timers);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    await assert.rejects(select({ got: recv(ch) }, { signal }), canceledError);
  });

  test("a signal that is aborted after the choice comes too late", async () => {
    const ch = new Chan<number>();
    const stop = new AbortController();
    const got = select({ got: recv(ch) }, { signal: stop.signal });
    ch.trySend(1);
    stop.abort();
    assert.equal((await got).value, 1);
  });
});

describe("trySelect", () => {
  test("gives undefined when no case is ready, and leaves no trace", () => {
    const ch = new Chan<number>();
    const { signal } = new AbortController();
    assert.equal(
      trySelect({ got: recv(ch), out: send(ch, 1), stop: signal, late: after(0) }),
      undefined,
    );
    assert.equal(queued(ch), 0);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test("meets who waits", async () => {
    const ch = new Chan<number>();
    const received = ch.receive();
    assert.deepEqual(trySelect({ out: send(ch, 1) }), { case: "out" });
    assert.deepEqual(await received, [1, true]);
  });
});

describe("the cases", () => {
  test("are evaluated once, in source order", async () => {
    const order: string[] = [];
    const noted = <T>(name: string, value: T): T => {
      order.push(name);
      return value;
    };
    const [a, b] = [new Chan<number>(1), new Chan<number>(1)];
    await select({
      1: recv(noted("a", a)),
      0: send(noted("b", b), noted("value", 1)),
      late: after(noted("ms", 1000)),
    });
    assert.deepEqual(order, ["a", "b", "value", "ms"]);
  });

  test("may be made in a loop, one for each of many channels", async () => {
    const chans = Array.from({ length: 50 }, () => new Chan<number>());
    const cases = Object.fromEntries(chans.map((ch, i) => [`${i}`, recv(ch)]));
    for (const i of [7, 49, 0]) {
      const got = select(cases);
      chans[i]?.trySend(i * 10);
      assert.deepEqual(await got, { case: `${i}`, value: i * 10, ok: true });
    }
  });

  test("may stand in several selects at once", async () => {
    const ch = new Chan<number>();
    const cases = { got: recv(ch) };
    const both = [select(cases), select(cases)];
    await ch.send(1);
    await ch.send(2);
    assert.deepEqual(
      (await Promise.all(both)).map((got) => got.value),
      [1, 2],
    );
  });
});

describe("turns", () => {
  test("a select that is always ready does not starve the host", async () => {
    const ch = new Chan<number>(1);
    let turned = false;
    void turn().then(() => {
      turned = true;
    });
    for (let i = 0; !turned; i++) {
      ch.trySend(i);
      await select({ got: recv(ch), never: recv(undefined) });
      assert.ok(i < 1_000_000, "the host never had a turn");
    }
  });
});

describe("the types", () => {
  type Equal<A, B> =
    (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
  const holds = <T extends true>(): T => true as T;

  test("an outcome is told apart by its case, a receive by ok", async () => {
    const jobs = new Chan<{ id: number }>(1);
    const names: ReceiveChan<string> = new Chan<string>();
    const out = new Chan<number>();
    const ctx = { done: new Chan<never>(), signal: new AbortController().signal };
    jobs.trySend({ id: 1 });
    const got = await select({
      job: recv(jobs),
      name: recv(names),
      out: send(out, 1),
      late: after(1000),
      stop: ctx,
      abort: AbortSignal.timeout(1000) as AbortSignal | undefined,
      off: undefined,
    });
    holds<
      Equal<
        typeof got,
        | { case: "job"; value: { id: number }; ok: true }
        | { case: "job"; value: undefined; ok: false }
        | { case: "name"; value: string; ok: true }
        | { case: "name"; value: undefined; ok: false }
        | { case: "out" }
        | { case: "late" }
        | { case: "stop"; reason: unknown }
        | { case: "abort"; reason: unknown }
      >
    >();
    switch (got.case) {
      case "job":
        if (got.ok) holds<Equal<typeof got.value, { id: number }>>();
        else holds<Equal<typeof got.value, undefined>>();
        break;
      case "name":
        holds<Equal<typeof got.value, string | undefined>>();
        break;
      case "stop":
        holds<Equal<typeof got.reason, unknown>>();
        break;
      // @ts-expect-error: there is no such case
      case "typo":
        break;
    }
    // @ts-expect-error: not every case has a value
    assert.deepEqual(got.value, { id: 1 });
    assert.equal(got.case, "job");
  });

  test("trySelect may give undefined", () => {
    const got = trySelect({ out: send(new Chan<number>(), 1) });
    holds<Equal<typeof got, { case: "out" } | undefined>>();
    assert.equal(got, undefined);
  });

  test("a sent value has the channel's type", () => {
    const ch = new Chan<number>(1);
    // @ts-expect-error: a string is no number
    trySelect({ out: send(ch, "x") });
    // @ts-expect-error: a channel itself is no case
    const wrong: SelectCases = { ch };
    assert.throws(() => trySelect(wrong), TypeError);
  });

  test("cases whose names are known at run time give the name as a string", () => {
    const cases = Object.fromEntries([["a", recv(new Chan<number>())]]);
    type Got = Selected<typeof cases>;
    holds<
      Equal<
        Got,
        { case: string; value: number; ok: true } | { case: string; value: undefined; ok: false }
      >
    >();
    assert.equal(trySelect(cases), undefined);
  });
});
