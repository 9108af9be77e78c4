/** chan.test.ts: a SharedChan within one thread: the facts of Chan, and what it carries. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { staysPending, turn } from "../../testing/support.ts";
import { after, recv, send } from "../chan/cases.ts";
import { Chan, type ReceiveChan, type SendChan } from "../chan/chan.ts";
import { select, trySelect } from "../chan/select.ts";
import { go } from "../runtime/goroutine.ts";
import { observer } from "../runtime/observer.ts";
import { runtime } from "../runtime/runtime.ts";
import { SharedChan, type SharedChanHandle } from "./chan.ts";
import { thread } from "./memory.ts";

const closedError = { name: "ChanError", code: "ERR_CHAN_CLOSED" };
const canceledError = { name: "CanceledError", code: "ERR_CANCELED" };

function queued(ch: unknown): number {
  const queues = ch as { receivers: { length: number }; senders: { length: number } };
  return queues.receivers.length + queues.senders.length;
}

/** Nobody waits any more, and nothing keeps the process alive. */
function assertNoTrace(...chans: SharedChan<never>[]): void {
  for (const ch of chans) assert.equal(queued(ch), 0);
  assert.equal(thread().waiting.size, 0);
  assert.equal(runtime().parked, 0);
}

type AnyChan<T> = Chan<T> | SharedChan<T>;

// What a buffered channel promises, whichever it is.
for (const [name, make] of [
  ["Chan", <T>(capacity: number): AnyChan<T> => new Chan<T>(capacity)],
  ["SharedChan", <T>(capacity: number): AnyChan<T> => new SharedChan<T>({ capacity })],
] as const) {
  describe(`as every buffered channel, a ${name}`, () => {
    test("has room for its capacity, and the next send waits", async () => {
      const ch = make<number>(2);
      assert.equal(ch.capacity, 2);
      await ch.send(1);
      await ch.send(2);
      const third = ch.send(3);
      assert.ok(await staysPending(third));
      assert.equal(ch.length, 2);
      assert.deepEqual(await ch.receive(), [1, true]);
      await third;
      assert.equal(ch.length, 2);
    });

    test("gives values in the order in which they went in, also those of waiting senders", async () => {
      for (const capacity of [1, 3, 20, 100]) {
        const ch = make<number>(capacity);
        const sends = Array.from({ length: 40 }, (_, i) => ch.send(i));
        const values: unknown[] = [];
        for (let i = 0; i < 40; i++) values.push((await ch.receive())[0]);
        await Promise.all(sends);
        assert.deepEqual(
          values,
          Array.from({ length: 40 }, (_, i) => i),
        );
      }
    });

    test("serves receivers in the order in which they came", async () => {
      const ch = make<number>(4);
      const order: string[] = [];
      const receivers = ["a", "b", "c"].map(async (who) => {
        const [value] = await ch.receive();
        order.push(`${who}${value}`);
      });
      for (let i = 1; i <= 3; i++) await ch.send(i);
      await Promise.all(receivers);
      assert.deepEqual(order, ["a1", "b2", "c3"]);
    });

    test("carries undefined and null as values", async () => {
      const ch = make<undefined | null>(2);
      await ch.send(undefined);
      await ch.send(null);
      ch.close();
      assert.deepEqual(await ch.receive(), [undefined, true]);
      assert.deepEqual(ch.tryReceive(), [null, true]);
      assert.deepEqual(await ch.receive(), [undefined, false]);
    });

    test("tries without waiting", () => {
      const ch = make<number>(1);
      assert.equal(ch.tryReceive(), undefined);
      assert.equal(ch.trySend(1), true);
      assert.equal(ch.trySend(2), false);
      assert.deepEqual(ch.tryReceive(), [1, true]);
      ch.close();
      assert.deepEqual(ch.tryReceive(), [undefined, false]);
      assert.throws(() => ch.trySend(1), closedError);
    });

    test("once closed is drained, then ended; sends and a second close fail", async () => {
      const ch = make<number>(3);
      await ch.send(1);
      await ch.send(2);
      ch.close();
      assert.throws(() => ch.close(), closedError);
      await assert.rejects(ch.send(3), closedError);
      assert.deepEqual(await ch.receive(), [1, true]);
      const rest: number[] = [];
      for await (const value of ch) rest.push(value);
      assert.deepEqual(rest, [2]);
      assert.deepEqual(await ch.receive(), [undefined, false]);
    });

    test("wakes everybody who waits when it is closed", async () => {
      const [empty, full] = [make<number>(1), make<number>(1)];
      full.trySend(0);
      const receivers = [empty.receive(), empty.receive()];
      const senders = [full.send(1), full.send(2)].map((sent) => assert.rejects(sent, closedError));
      const loop = go(async () => {
        for await (const _ of empty) assert.fail("nothing was sent");
      }).join();
      await turn();
      empty.close();
      full.close();
      assert.deepEqual(await Promise.all(receivers), [
        [undefined, false],
        [undefined, false],
      ]);
      await Promise.all([...senders, loop]);
      assert.deepEqual(await full.receive(), [0, true]);
    });

    test("forgets who was canceled, and loses nothing", async () => {
      const ch = make<number>(1);
      const stop = new AbortController();
      const { signal } = stop;
      const received = ch.receive({ signal });
      const first = ch.receive();
      stop.abort(new Error("enough"));
      await assert.rejects(received, (error: Error) => {
        assert.equal((error.cause as Error).message, "enough");
        return true;
      });
      await ch.send(1);
      assert.deepEqual(await first, [1, true]);
      await ch.send(2);
      const again = new AbortController();
      const sent = ch.send(3, { signal: again.signal });
      again.abort();
      await assert.rejects(sent, canceledError);
      assert.deepEqual(ch.tryReceive(), [2, true]);
      assert.equal(ch.tryReceive(), undefined);
      await assert.rejects(ch.receive({ signal }), canceledError);
      await assert.rejects(ch.send(4, { signal }), canceledError);
      assert.equal(ch.length, 0);
      assert.equal(getEventListeners(signal, "abort").length, 0);
    });

    test("goes on where a loop was left", async () => {
      const ch = make<number>(5);
      for (let i = 0; i < 5; i++) await ch.send(i);
      for await (const value of ch) if (value === 1) break;
      assert.deepEqual(await ch.receive(), [2, true]);
      assert.equal(ch.length, 2);
    });

    test("gives the others turns while two keep each other busy", async () => {
      const [there, back] = [make<number>(1), make<number>(1)];
      let stop = false;
      const g = go(async () => {
        for await (const value of there) await back.send(value);
      });
      setImmediate(() => {
        stop = true;
      });
      let rounds = 0;
      while (!stop) {
        await there.send(rounds++);
        await back.receive();
      }
      there.close();
      await g.join();
    });
  });
}

describe("a shared channel carries", () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  const values: Record<string, unknown> = {
    "a number": -1.5,
    "no number": Number.NaN,
    "minus zero": -0,
    "a string": "text",
    "an empty string": "",
    "a string of two-byte units": "äö€😀",
    "half of a surrogate pair": "a\ud800b",
    "a long string": "ä€😀".repeat(30_000),
    "a string with zeros": "a\0b",
    true: true,
    false: false,
    "a bigint": 2n ** 70n,
    "an object": { a: [1, { b: new Date(5) }], m: new Map([[1, new Set([2])]]) },
    "an error": new RangeError("kept"),
    "a cycle": cyclic,
    "an array buffer": new Uint8Array([1, 2, 3]).buffer,
    "floats in an object": { f: new Float64Array([1.5, 2.5]) },
    "no bytes": new Uint8Array(0),
    "a byte": new Uint8Array([7]),
    "many bytes": new Uint8Array(200_000).fill(9, 100_000),
  };
  for (const [name, value] of Object.entries(values)) {
    test(name, async () => {
      const ch = new SharedChan<unknown>({ capacity: 2, bytes: 1 << 20 });
      await ch.send(value);
      const [got, ok] = await ch.receive();
      assert.equal(ok, true);
      assert.deepEqual(got, value);
      assert.ok(ch.trySend(value));
      assert.deepEqual(ch.tryReceive()?.[0], value);
    });
  }

  test("bytes as the receiver's own: neither the sender's nor a neighbour's", async () => {
    const ch = new SharedChan<Uint8Array>({ capacity: 8 });
    const sent = Buffer.from("mine");
    await ch.send(sent);
    await ch.send(sent);
    sent.fill(0);
    const [first] = await ch.receive();
    assert.equal(first?.constructor, Uint8Array);
    first?.fill(1);
    assert.equal(Buffer.from((await ch.receive())[0] as Uint8Array).toString(), "mine");
  });

  test("messages around the end of its ring, of every size", async () => {
    const ch = new SharedChan<Uint8Array>({ capacity: 100, bytes: 256 });
    for (let n = 0; n <= 248; n++) {
      const message = new Uint8Array(n).map((_, i) => i + n);
      await ch.send(message);
      assert.deepEqual((await ch.receive())[0], message);
    }
  });

  test("no function, and says so at once", async () => {
    const ch = new SharedChan<unknown>({ capacity: 1 });
    await assert.rejects(
      ch.send(() => {}),
      { name: "TypeError", message: /could not be cloned/ },
    );
    assert.throws(() => ch.trySend({ f() {} }), {
      name: "TypeError",
      message: /could not be cloned/,
    });
    assert.throws(() => send(ch, Symbol("s")), {
      name: "TypeError",
      message: /could not be cloned/,
    });
    assert.equal(ch.length, 0);
  });

  test("nothing larger than its ring, also behind others who wait", async () => {
    const ch = new SharedChan<unknown>({ capacity: 1, bytes: 64 });
    const tooLarge = { name: "RangeError", message: /57 bytes is too large.*56/ };
    await assert.rejects(ch.send(new Uint8Array(57)), tooLarge);
    assert.throws(() => ch.trySend("x".repeat(57)), tooLarge);
    await ch.send(new Uint8Array(56));
    const waits = ch.send(1);
    await assert.rejects(ch.send(new Uint8Array(57)), tooLarge);
    assert.throws(() => send(ch, new Uint8Array(57)), tooLarge);
    await ch.receive();
    await waits;
    assert.deepEqual(await ch.receive(), [1, true]);
    await ch.send("ä".repeat(28));
  });

  test("a large message when there is room for it, before those that came later", async () => {
    const ch = new SharedChan<Uint8Array>({ capacity: 10, bytes: 128 });
    await ch.send(new Uint8Array(40));
    await ch.send(new Uint8Array(40));
    const large = ch.send(new Uint8Array(100));
    const small = ch.send(new Uint8Array(1));
    assert.equal(ch.trySend(new Uint8Array(1)), false);
    await ch.receive();
    assert.ok(await staysPending(large));
    await ch.receive();
    await large;
    assert.equal((await ch.receive())[0]?.length, 100);
    await small;
    assert.equal((await ch.receive())[0]?.length, 1);
  });
});

describe("a shared channel", () => {
  test("refuses a capacity or a ring that makes no sense", () => {
    for (const capacity of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      assert.throws(() => new SharedChan({ capacity }), { name: "RangeError" });
    }
    for (const bytes of [0, -1, 1.5, 2 ** 27 + 1, Number.NaN]) {
      assert.throws(() => new SharedChan({ capacity: 1, bytes }), { name: "RangeError" });
    }
  });

  test("is one object, however often its handle comes", async () => {
    const ch = new SharedChan<string>({ capacity: 2 });
    const again = SharedChan.from(structuredClone(ch.handle));
    assert.equal(again, ch);
    assert.equal(SharedChan.from(structuredClone(again.handle)), ch);
  });

  test("is made of its handle only", () => {
    const wrong = [
      undefined,
      null,
      5,
      {},
      { memory: new ArrayBuffer(1024) },
      { memory: new SharedArrayBuffer(1024) },
      { memory: new SharedArrayBuffer(0) },
    ];
    for (const handle of wrong) {
      assert.throws(
        () => SharedChan.from(handle as unknown as SharedChanHandle<unknown>),
        (e) => {
          return e instanceof TypeError || e instanceof RangeError;
        },
      );
    }
  });

  test("whose memory was overwritten fails those who wait", async () => {
    const ch = new SharedChan<number>({ capacity: 4 });
    const words = new Int32Array(ch.handle.memory);
    const waits = [ch.receive(), ch.receive()];
    words[128] = -1; // the length of the first message
    words[65] = 64; // the position behind it
    const failed = waits.map((wait) => assert.rejects(wait, { name: "TypeError" }));
    ch.close();
    await Promise.all(failed);
    assertNoTrace(ch as never);
  });

  test("tells an observer who waits for what", async () => {
    const ch = new SharedChan<number>({ capacity: 1 });
    const seen: string[] = [];
    observer.parked = (_, kind) => seen.push(kind);
    observer.resumed = () => seen.push("resumed");
    try {
      const received = ch.receive();
      await ch.send(1);
      await received;
      await ch.send(2);
      const sent = ch.send(3);
      await ch.receive();
      await sent;
    } finally {
      observer.parked = observer.resumed = null;
    }
    assert.deepEqual(seen, ["shared chan receive", "resumed", "shared chan send", "resumed"]);
  });

  test("keeps the process alive exactly while somebody waits", async () => {
    const ch = new SharedChan<number>({ capacity: 1 });
    const before = runtime().parked;
    const received = ch.receive();
    assert.equal(runtime().parked, before + 1);
    await ch.send(1);
    await received;
    assert.equal(runtime().parked, before);
  });
});

describe("a select with shared channels", () => {
  test("takes what is ready, each case with the same probability", async () => {
    const local = new Chan<number>(1);
    const shared = new SharedChan<number>({ capacity: 1 });
    const out = new SharedChan<number>({ capacity: 1 });
    const counts: Record<string, number> = { local: 0, shared: 0, out: 0 };
    for (let i = 0; i < 300; i++) {
      local.trySend(1);
      shared.trySend(2);
      out.tryReceive();
      const got = await select({ local: recv(local), shared: recv(shared), out: send(out, 3) });
      (counts[got.case] as number)++;
      const left = local.length + shared.length + (1 - out.length);
      assert.equal(left, 2, "exactly one took effect");
    }
    for (const [name, count] of Object.entries(counts)) assert.ok(count > 50, `${name} ${count}`);
  });

  test("waits for all of them, and leaves no trace in those that lost", async () => {
    const [a, b] = [
      new SharedChan<number>({ capacity: 1 }),
      new SharedChan<string>({ capacity: 1 }),
    ];
    const full = new SharedChan<number>({ capacity: 1 });
    const local = new Chan<number>();
    full.trySend(0);
    const waits = select({
      a: recv(a),
      b: recv(b),
      again: recv(a),
      full: send(full, 1),
      local: recv(local),
      late: after(60_000),
    });
    assert.ok(await staysPending(waits));
    await b.send("b");
    assert.deepEqual(await waits, { case: "b", value: "b", ok: true });
    assertNoTrace(a as never, b as never, full as never);
    assert.equal(local.trySend(1), false);
    assert.deepEqual([a.length, full.length], [0, 1]);
  });

  test("a local case that wins takes the shared ones back, and the other way round", async () => {
    const shared = new SharedChan<number>({ capacity: 1 });
    const local = new Chan<number>();
    const first = select({ shared: recv(shared), local: recv(local) });
    await local.send(1);
    assert.equal((await first).case, "local");
    assertNoTrace(shared as never);
    const second = select({ shared: recv(shared), local: recv(local) });
    await shared.send(2);
    assert.equal((await second).case, "shared");
    assert.equal(local.trySend(1), false);
  });

  test("sends when there is room", async () => {
    const ch = new SharedChan<Uint8Array>({ capacity: 4, bytes: 64 });
    await ch.send(new Uint8Array(32));
    // There is room for something small, but not for this.
    const waits = select({ out: send(ch, new Uint8Array(48)), never: recv<number>(undefined) });
    assert.ok(await staysPending(waits));
    assert.equal(trySelect({ out: send(ch, new Uint8Array(48)) }), undefined);
    await ch.receive();
    assert.deepEqual(await waits, { case: "out" });
    assert.equal((await ch.receive())[0]?.length, 48);
  });

  test("is told of the end, and fails with a send on a closed one", async () => {
    const ch = new SharedChan<number>({ capacity: 1 });
    const received = select({ ch: recv(ch) });
    ch.trySend(1);
    await received;
    const ended = select({ ch: recv(ch) });
    ch.trySend(2);
    assert.deepEqual(await ended, { case: "ch", value: 2, ok: true });
    ch.trySend(3);
    const refused = assert.rejects(select({ out: send(ch, 4) }), closedError);
    ch.close();
    await refused;
    await assert.rejects(select({ out: send(ch, 4) }), closedError);
    assert.deepEqual(await select({ ch: recv(ch) }), { case: "ch", value: 3, ok: true });
    assert.deepEqual(await select({ ch: recv(ch) }), { case: "ch", value: undefined, ok: false });
    assertNoTrace(ch as never);
  });

  test("is canceled without a trace", async () => {
    const ch = new SharedChan<number>({ capacity: 1 });
    const stop = new AbortController();
    const waits = select({ ch: recv(ch), stop: stop.signal });
    stop.abort();
    assert.equal((await waits).case, "stop");
    assertNoTrace(ch as never);
    await ch.send(1);
    assert.equal(ch.length, 1);
  });

  test("100,000 times beside a case that never happens leaves nothing behind", async () => {
    const never = new SharedChan<number>({ capacity: 1 });
    const ticks = new SharedChan<number>({ capacity: 1 });
    for (let i = 0; i < 100_000; i++) {
      ticks.trySend(i);
      await select({ never: recv(never), tick: recv(ticks) });
    }
    assertNoTrace(never as never, ticks as never);
  });
});

test("the two views hold for a shared channel, and types travel with the handle", async () => {
  const ch = new SharedChan<string>({ capacity: 1 });
  const out: SendChan<string> = ch;
  const into: ReceiveChan<string> = ch;
  // @ts-expect-error a channel of strings takes no number
  const wrong: SendChan<string | number> = ch;
  assert.equal(wrong, ch);
  await out.send("typed");
  const again = SharedChan.from(ch.handle);
  const got = await select({ into: recv(into), again: recv(again) });
  if (got.ok) assert.equal(got.value.toUpperCase(), "TYPED");
  // @ts-expect-error the handle is of a channel of strings
  const numbers: SharedChan<number> = again;
  assert.equal(numbers, ch);
});

test("channels that nobody holds any more give their memory back", async () => {
  const { gc } = globalThis as { gc?: () => void };
  assert.ok(gc !== undefined, "run with --expose-gc");
  const highest = (): number => (new SharedChan({ capacity: 1 }) as unknown as { id: number }).id;
  const before = highest();
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 100; i++) new SharedChan({ capacity: 1 }).trySend(i);
    gc();
    await turn();
    await turn();
  }
  // Ids are given again once their channel is gone.
  assert.ok(highest() < before + 500);
});
