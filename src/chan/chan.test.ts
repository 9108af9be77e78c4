/** chan.test.ts: what a Go programmer may rely on in a channel, fact by fact. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { CanceledError } from "../runtime/canceled.ts";
import { go } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { onPanic } from "../runtime/panic.ts";
import { runtime } from "../runtime/runtime.ts";
import { recv } from "./cases.ts";
import { Chan, nilChan, type ReceiveChan, type SendChan } from "./chan.ts";
import { select } from "./select.ts";
import { ChanError } from "./waiter.ts";

const closedError = { name: "ChanError", code: "ERR_CHAN_CLOSED" };
const canceledError = { name: "CanceledError", code: "ERR_CANCELED" };

/** Waiters in a channel's two queues. */
function queued(ch: unknown): { receivers: number; senders: number } {
  const queues = ch as { receivers: { length: number }; senders: { length: number } };
  return { receivers: queues.receivers.length, senders: queues.senders.length };
}

const nobody = { receivers: 0, senders: 0 };

/** Everything that can be received now, without waiting. */
function drain<T>(ch: ReceiveChan<T>): T[] {
  const values: T[] = [];
  for (let got = ch.tryReceive(); got?.[1] === true; got = ch.tryReceive()) values.push(got[0]);
  return values;
}

describe("an open channel", () => {
  test("without capacity: a send waits for its receive", async () => {
    const ch = new Chan<number>();
    const sent = ch.send(1);
    assert.ok(await staysPending(sent));
    assert.deepEqual(await ch.receive(), [1, true]);
    await sent;
  });

  test("without capacity: a receive waits for its send", async () => {
    const ch = new Chan<number>();
    const received = ch.receive();
    assert.ok(await staysPending(received));
    await ch.send(1);
    assert.deepEqual(await received, [1, true]);
  });

  test("with capacity: that many sends need no receiver, the next one waits", async () => {
    const ch = new Chan<number>(2);
    await ch.send(1);
    await ch.send(2);
    const third = ch.send(3);
    assert.ok(await staysPending(third));
    assert.equal(ch.length, 2);
    assert.deepEqual(await ch.receive(), [1, true]);
    await third;
    assert.equal(ch.length, 2);
  });

  test("values come out in the order in which they went in, also those of waiting senders", async () => {
    for (const capacity of [0, 1, 3, 20, 100]) {
      const ch = new Chan<number>(capacity);
      const sends = Array.from({ length: 40 }, (_, i) => ch.send(i));
      const values: number[] = [];
      for (let i = 0; i < 40; i++) values.push((await ch.receive())[0] as number);
      await Promise.all(sends);
      assert.deepEqual(
        values,
        Array.from({ length: 40 }, (_, i) => i),
        `capacity ${capacity}`,
      );
    }
  });

  test("receivers are served in the order in which they came", async () => {
    for (const capacity of [0, 2]) {
      const ch = new Chan<string>(capacity);
      const order: string[] = [];
      const receivers = ["a", "b", "c"].map(async (name) => {
        const [value] = await ch.receive();
        order.push(`${name}${value}`);
      });
      for (const value of ["1", "2", "3"]) await ch.send(value);
      await Promise.all(receivers);
      assert.deepEqual(order, ["a1", "b2", "c3"]);
    }
  });

  test("trySend succeeds only when nobody has to wait", async () => {
    const ch = new Chan<number>(1);
    assert.equal(ch.trySend(1), true);
    assert.equal(ch.trySend(2), false);
    const meet = new Chan<number>();
    assert.equal(meet.trySend(1), false);
    const received = meet.receive();
    assert.equal(meet.trySend(2), true);
    assert.deepEqual(await received, [2, true]);
  });

  test("tryReceive succeeds only when nobody has to wait", async () => {
    const ch = new Chan<number>();
    assert.equal(ch.tryReceive(), undefined);
    const sent = ch.send(1);
    assert.deepEqual(ch.tryReceive(), [1, true]);
    await sent;
    assert.equal(ch.tryReceive(), undefined);
  });

  test("undefined, null and promises are ordinary values", async () => {
    const promise = Promise.resolve(1);
    const values = [undefined, null, promise, {}];
    for (const capacity of [0, 4]) {
      const ch = new Chan<unknown>(capacity);
      const first = ch.receive();
      for (const value of values) void ch.send(value);
      assert.deepEqual(await first, [undefined, true]);
      assert.deepEqual(await ch.receive(), [null, true]);
      assert.equal((await ch.receive())[0], promise);
      for await (const value of ch) {
        assert.equal(value, values[3]);
        break;
      }
    }
  });

  test("it knows its length and its capacity", async () => {
    const ch = new Chan<number>(2);
    assert.deepEqual([ch.length, ch.capacity], [0, 2]);
    await ch.send(1);
    assert.deepEqual([ch.length, ch.capacity], [1, 2]);
    assert.deepEqual([new Chan().length, new Chan().capacity], [0, 0]);
  });

  test("a capacity that is no whole number from 0 is refused", () => {
    for (const wrong of [-1, 1.5, Number.NaN, Infinity, "1" as never]) {
      assert.throws(() => new Chan(wrong), RangeError);
    }
  });

  test("a large capacity costs nothing until it is used", async () => {
    const ch = new Chan<number>(1_000_000_000);
    for (let i = 0; i < 1000; i++) ch.trySend(i);
    assert.equal(ch.length, 1000);
    assert.deepEqual(
      drain(ch),
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });
});

describe("a closed channel", () => {
  test("gives what is buffered, then says that there is no more, again and again", async () => {
    const ch = new Chan<number>(2);
    await ch.send(1);
    await ch.send(2);
    ch.close();
    assert.deepEqual(await ch.receive(), [1, true]);
    assert.deepEqual(ch.tryReceive(), [2, true]);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await ch.receive(), [undefined, false]);
      assert.deepEqual(ch.tryReceive(), [undefined, false]);
    }
  });

  test("refuses a send and a trySend", async () => {
    for (const capacity of [0, 1]) {
      const ch = new Chan<number>(capacity);
      ch.close();
      await assert.rejects(ch.send(1), { ...closedError, message: "send on closed channel" });
      assert.throws(() => ch.trySend(1), closedError);
    }
  });

  test("cannot be closed again", () => {
    const ch = new Chan();
    ch.close();
    assert.throws(() => ch.close(), { ...closedError, message: "close of closed channel" });
  });

  test("closing wakes every receiver with not ok", async () => {
    const ch = new Chan<number>();
    const receivers = [ch.receive(), ch.receive(), ch.receive()];
    ch.close();
    assert.deepEqual(await Promise.all(receivers), [
      [undefined, false],
      [undefined, false],
      [undefined, false],
    ]);
    assert.deepEqual(queued(ch), nobody);
  });

  test("closing makes every waiting sender fail; what is buffered stays", async () => {
    const ch = new Chan<number>(1);
    await ch.send(1);
    const senders = [ch.send(2), ch.send(3)];
    const outcomes = Promise.allSettled(senders);
    ch.close();
    for (const outcome of await outcomes) {
      assert.equal(outcome.status, "rejected");
      assert.ok((outcome as PromiseRejectedResult).reason instanceof ChanError);
    }
    assert.deepEqual(drain(ch), [1]);
    assert.deepEqual(queued(ch), nobody);
  });
});

describe("an absent channel", () => {
  test("receive, send and iteration wait for ever", async () => {
    const ch = nilChan<number>();
    const iteration = ch[Symbol.asyncIterator]().next();
    const waits = Promise.race([ch.receive(), ch.send(1), iteration]);
    assert.ok(await staysPending(waits));
  });

  test("trySend and tryReceive would block, also when somebody waits", async () => {
    const ch = nilChan<number>();
    void ch.receive();
    void ch.send(1);
    assert.equal(ch.trySend(1), false);
    assert.equal(ch.tryReceive(), undefined);
    assert.equal(ch.length, 0);
  });

  test("close throws", () => {
    assert.throws(() => nilChan().close(), { name: "ChanError", message: "close of nil channel" });
  });

  test("a wait on it ends with its signal", async () => {
    const ch = nilChan<number>();
    const stop = new AbortController();
    const waits = [ch.receive({ signal: stop.signal }), ch.send(1, { signal: stop.signal })];
    const outcomes = Promise.allSettled(waits);
    stop.abort();
    for (const outcome of await outcomes) assert.equal(outcome.status, "rejected");
    await assert.rejects(ch.receive({ signal: stop.signal }), canceledError);
    await assert.rejects(ch.send(1, { signal: stop.signal }), canceledError);
    assert.deepEqual(queued(ch), nobody);
  });
});

describe("iteration", () => {
  test("ends when the channel is closed and drained", async () => {
    for (const capacity of [0, 2]) {
      const ch = new Chan<number>(capacity);
      go(async () => {
        for (let i = 0; i < 5; i++) await ch.send(i);
        ch.close();
      });
      const values: number[] = [];
      for await (const value of ch) values.push(value);
      assert.deepEqual(values, [0, 1, 2, 3, 4]);
      for await (const _ of ch) assert.fail("a drained channel has no more values");
    }
  });

  test("leaving the loop closes nothing and loses nothing", async () => {
    const ch = new Chan<number>();
    const sender = go(async () => {
      for (let i = 0; i < 4; i++) await ch.send(i);
    });
    for await (const value of ch) if (value === 1) break;
    await turn();
    assert.deepEqual(queued(ch), { receivers: 0, senders: 1 });
    assert.deepEqual(await ch.receive(), [2, true]);
    for await (const value of ch) {
      assert.equal(value, 3);
      break;
    }
    await sender.join();
  });

  test("several loops share the values", async () => {
    const ch = new Chan<number>();
    const values: number[] = [];
    const loops = [1, 2, 3].map(() =>
      go(async () => {
        for await (const value of ch) values.push(value);
      }),
    );
    for (let i = 0; i < 30; i++) await ch.send(i);
    ch.close();
    for (const loop of loops) await loop.join();
    assert.deepEqual(
      values.sort((a, b) => a - b),
      Array.from({ length: 30 }, (_, i) => i),
    );
  });
});

describe("a signal", () => {
  test("that was aborted before takes and sends nothing", async () => {
    const ch = new Chan<number>(1);
    const signal = AbortSignal.abort("why");
    await assert.rejects(ch.send(1, { signal }), { ...canceledError, cause: "why" });
    assert.equal(ch.length, 0);
    await ch.send(2);
    await assert.rejects(ch.receive({ signal }), { ...canceledError, cause: "why" });
    assert.equal(ch.length, 1);
  });

  test("ends a wait, which leaves no trace in the queue or on the signal", async () => {
    const ch = new Chan<number>();
    const stop = new AbortController();
    const { signal } = stop;
    const receive = ch.receive({ signal });
    assert.equal(getEventListeners(signal, "abort").length, 1);
    stop.abort("enough");
    await assert.rejects(receive, { ...canceledError, cause: "enough" });
    assert.deepEqual(queued(ch), nobody);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    assert.equal(ch.trySend(1), false, "nobody is there to take it");
  });

  test("that ends a send keeps its value back", async () => {
    for (const capacity of [0, 1]) {
      const ch = new Chan<number>(capacity);
      const stop = new AbortController();
      if (capacity === 1) await ch.send(0);
      const canceled = ch.send(1, { signal: stop.signal });
      const kept = ch.send(2);
      stop.abort();
      await assert.rejects(canceled, canceledError);
      assert.deepEqual(drain(ch), capacity === 1 ? [0, 2] : [2]);
      await kept;
    }
  });

  test("in the middle of a queue leaves the order of the others", async () => {
    const ch = new Chan<number>();
    const stop = new AbortController();
    const first = ch.receive();
    const second = ch.receive({ signal: stop.signal });
    const third = ch.receive();
    stop.abort();
    await assert.rejects(second, canceledError);
    await ch.send(1);
    await ch.send(3);
    assert.deepEqual(
      [await first, await third],
      [
        [1, true],
        [3, true],
      ],
    );
  });

  test("that is aborted after the value was handed over comes too late", async () => {
    for (const capacity of [0, 1]) {
      const ch = new Chan<number>(capacity);
      const stop = new AbortController();
      const received = ch.receive({ signal: stop.signal });
      assert.equal(ch.trySend(1), true);
      stop.abort();
      assert.deepEqual(await received, [1, true]);
      assert.equal(getEventListeners(stop.signal, "abort").length, 0);
    }
  });

  test("is left alone by operations that need no wait", async () => {
    const ch = new Chan<number>(1);
    const { signal } = new AbortController();
    await ch.send(1, { signal });
    await ch.receive({ signal });
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test("shared by many waits has one listener, and ends all of them, oldest first", async () => {
    const ch = new Chan<number>();
    const stop = new AbortController();
    const { signal } = stop;
    const ended: number[] = [];
    const waits = Array.from({ length: 20_000 }, (_, i) =>
      ch.receive({ signal }).catch(() => ended.push(i)),
    );
    assert.equal(getEventListeners(signal, "abort").length, 1);
    await ch.send(0);
    stop.abort();
    await Promise.all(waits);
    assert.deepEqual(
      ended,
      Array.from({ length: 19_999 }, (_, i) => i + 1),
    );
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});

describe("errors", () => {
  async function sender(ch: Chan<number>, signal?: AbortSignal): Promise<void> {
    await ch.send(1, { signal });
  }

  test("of a wait carry the stack of whoever waited", async () => {
    const ch = new Chan<number>();
    const stop = new AbortController();
    const canceled = sender(ch, stop.signal);
    stop.abort();
    await assert.rejects(canceled, (error: Error) => /at async sender/.test(error.stack ?? ""));
    const refused = sender(ch);
    ch.close();
    await assert.rejects(refused, (error: Error) => /at async sender/.test(error.stack ?? ""));
  });

  test("a goroutine that sends on a closed channel panics, a canceled one ends quietly", async () => {
    const panics: unknown[] = [];
    const before = onPanic((error) => panics.push(error));
    try {
      const closed = new Chan<number>();
      closed.close();
      go(sender, closed);
      const stop = new AbortController();
      go(sender, new Chan<number>(), stop.signal);
      await turn();
      stop.abort();
      await turn();
    } finally {
      onPanic(before);
    }
    assert.equal(panics.length, 1);
    assert.ok(panics[0] instanceof ChanError);
    assert.ok(!(panics[0] instanceof CanceledError));
  });
});

describe("turns", () => {
  test("goroutines that keep each other busy do not starve the host", async () => {
    for (const capacity of [0, 1, 128]) {
      const there = new Chan<number>(capacity);
      const back = new Chan<number>(capacity);
      const echo = go(async () => {
        for await (const value of there) await back.send(value);
        back.close();
      });
      let turns = 0;
      let rounds = 0;
      const count = (): void => {
        if (++turns < 10) setImmediate(count);
      };
      setImmediate(count);
      while (turns < 10) {
        await there.send(rounds++);
        await back.receive();
        assert.ok(rounds < 1_000_000, "ten turns of the host were never had");
      }
      there.close();
      await echo.join();
    }
  });

  test("a goroutine that is woken by ever new ones does not starve the host", async () => {
    for (const capacity of [0, 1]) {
      const meet: ((i: number) => Promise<unknown>)[] = [
        async (i) => {
          const ch = new Chan<number>(capacity);
          go(() => ch.send(i));
          await ch.receive();
        },
        async (i) => {
          const ch = new Chan<number>(capacity);
          if (capacity > 0) await ch.send(i);
          go(() => ch.receive());
          await ch.send(i);
        },
        async (i) => {
          const ch = new Chan<number>(capacity);
          go(() => ch.send(i));
          await select({ got: recv(ch), never: recv(new Chan<number>()) });
        },
      ];
      for (const once of meet) {
        let turned = false;
        void turn().then(() => {
          turned = true;
        });
        for (let i = 0; !turned; i++) {
          await once(i);
          assert.ok(i < 100_000, "the host never had a turn");
        }
        await turn();
      }
    }
  });

  test("a value that was taken in an exhausted turn arrives in a later one", async () => {
    const { sched } = runtime();
    const ch = new Chan<number>(100_000);
    for (let i = 0; i < 100_000; i++) ch.trySend(i);
    const before = sched.exhausted;
    for (let i = 0; i < 100_000; i++) assert.deepEqual(await ch.receive(), [i, true]);
    assert.ok(sched.exhausted > before);
  });

  test("a producer and a consumer of a buffered channel seldom wait for each other", async () => {
    const before = { ...observer };
    let parks = 0;
    observer.parked = () => parks++;
    try {
      const ch = new Chan<number>(16);
      go(async () => {
        for (let i = 0; i < 10_000; i++) await ch.send(i);
        ch.close();
      });
      let sum = 0;
      for await (const value of ch) sum += value;
      assert.equal(sum, 49_995_000);
    } finally {
      Object.assign(observer, before);
    }
    assert.ok(parks < 100, `${parks} waits for 10000 values`);
  });
});

describe("the observer", () => {
  test("learns of every wait and of its end", async () => {
    const before = { ...observer };
    const waiting = new Map<object, string>();
    const log: string[] = [];
    observer.parked = (waiter, kind) => {
      waiting.set(waiter, kind);
      log.push(kind);
    };
    observer.resumed = (waiter) => assert.ok(waiting.delete(waiter));
    try {
      const ch = new Chan<number>();
      const stop = new AbortController();
      const first = ch.receive();
      const canceled = ch.receive({ signal: stop.signal });
      await ch.send(1);
      stop.abort();
      await Promise.allSettled([first, canceled]);
      const step = ch[Symbol.asyncIterator]().next();
      await ch.send(1);
      await step;
      const sent = ch.send(2);
      await ch.receive();
      const refused = ch.send(3);
      ch.close();
      await Promise.allSettled([sent, refused]);
      assert.equal(waiting.size, 0);
      void nilChan().receive();
      void nilChan().send(1);
    } finally {
      Object.assign(observer, before);
    }
    const receives = ["chan receive", "chan receive", "chan receive"];
    const nil = ["chan receive (nil chan)", "chan send (nil chan)"];
    assert.deepEqual(log, [...receives, "chan send", "chan send", ...nil]);
  });
});

describe("the types", () => {
  type Equal<A, B> =
    (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
  const holds = <T extends true>(): T => true as T;

  test("a view takes the place of a wider receiver or a narrower sender only", async () => {
    const ch = new Chan<string | number>(4);
    const narrower: SendChan<string> = ch;
    const wider: ReceiveChan<string | number | boolean> = ch;
    // @ts-expect-error: a number could come out
    const wrongReceiver: ReceiveChan<string> = ch;
    // @ts-expect-error: a boolean could go in
    const wrongSender: SendChan<string | number | boolean> = ch;
    // @ts-expect-error: a channel of another type is another channel
    const wrongChan: Chan<string> = ch;
    // @ts-expect-error: the receiving view does not send
    wider.send;
    // @ts-expect-error: the sending view does not receive
    narrower.receive;
    assert.ok(wrongReceiver === wrongChan && wrongSender === ch);
    await narrower.send("a");
    const result = await wider.receive();
    holds<Equal<typeof result, [string | number | boolean, true] | [undefined, false]>>();
    if (result[1]) holds<Equal<(typeof result)[0], string | number | boolean>>();
    const [value, ok] = await ch.receive({ signal: AbortSignal.abort() }).catch(() => ["", true]);
    assert.ok(ok && value === "");
    // @ts-expect-error: not a value of the channel
    const refused = ch.trySend(true);
    assert.equal(refused, true);
  });

  test("ok tells a value from the end", async () => {
    const ch = new Chan<{ id: number }>(1);
    await ch.send({ id: 1 });
    const [job, ok] = await ch.receive();
    if (!ok) assert.fail();
    holds<Equal<typeof job, { id: number }>>();
    assert.equal(job.id, 1);
  });
});
