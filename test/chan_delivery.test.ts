/**
 * chan_delivery.test.ts: whatever goroutines do to each other, a value that was sent is received once,
 * and one whose send failed is not.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CanceledError, Chan, go, gosched, recv, select, send } from "../src/index.ts";
import type { Random } from "../src/internal/random.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { seeded } from "../testing/support.ts";

const PRODUCERS = 8;
const CONSUMERS = 5;
const EACH = 500;

interface Value {
  producer: number;
  number: number;
}

/** A signal that is aborted soon, at once, or never. */
function fickle(random: Random): AbortSignal | undefined {
  const stop = new AbortController();
  const mood = random.below(8);
  if (mood > 2) return undefined;
  if (mood === 0) stop.abort();
  else if (mood === 1) void Promise.resolve().then(() => stop.abort());
  else setImmediate(() => stop.abort());
  return stop.signal;
}

/** True when the operation was done, false when its signal came first. */
async function unlessCanceled(operation: Promise<unknown>): Promise<boolean> {
  try {
    await operation;
    return true;
  } catch (error) {
    assert.ok(error instanceof CanceledError);
    return false;
  }
}

async function produce(random: Random, chans: readonly Chan<Value>[], producer: number) {
  const sent: Value[] = [];
  for (let number = 0; number < EACH; number++) {
    const value = { producer, number };
    const options = { signal: fickle(random) };
    const [a, b] = [pick(random, chans), pick(random, chans)];
    const done = random.chance(0.5)
      ? unlessCanceled(a.send(value, options))
      : unlessCanceled(select({ a: send(a, value), b: send(b, value) }, options));
    if (await done) sent.push(value);
    if (random.chance(0.05)) await gosched();
  }
  return sent;
}

async function consume(random: Random, chans: readonly Chan<Value>[], done: Chan<never>) {
  const received: Value[] = [];
  for (;;) {
    const options = { signal: fickle(random) };
    // On every channel: a producer that no signal stops must find a receiver.
    const receives = chans.map((ch, i) => [`${i}`, recv<Value>(ch)] as const);
    const cases = {
      ...Object.fromEntries(receives),
      again: recv(pick(random, chans)),
      done: recv(done),
    };
    const got = await select(cases, options).catch(() => undefined);
    if (got?.ok) received.push(got.value as Value);
    else if (got !== undefined) return received;
    if (random.chance(0.05)) await gosched();
  }
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

const key = ({ producer, number }: Value): number => producer * EACH + number;

describe("canceled and competing operations", () => {
  for (const capacity of [0, 1, 16]) {
    test(`lose and repeat nothing on channels of capacity ${capacity}`, (t) =>
      withLeakCheck(t, async () => {
        const random = seeded(t);
        runtime().random = random;
        const chans = Array.from({ length: 3 }, () => new Chan<Value>(capacity));
        const done = new Chan<never>();
        const consumers = Array.from({ length: CONSUMERS }, () => go(consume, random, chans, done));
        const producers = Array.from({ length: PRODUCERS }, (_, i) =>
          go(produce, random, chans, i),
        );
        const sent = (await Promise.all(producers.map((g) => g.join()))).flat();
        const left: Value[] = [];
        for (const ch of chans) {
          for (let got = ch.tryReceive(); got?.[1]; got = ch.tryReceive()) left.push(got[0]);
        }
        done.close();
        const received = (await Promise.all(consumers.map((g) => g.join()))).flat();
        const keys = [...received, ...left].map(key).sort((a, b) => a - b);
        assert.deepEqual(keys, sent.map(key));
        assert.ok(sent.length < PRODUCERS * EACH, "some were canceled");
        assert.ok(sent.length > (PRODUCERS * EACH) / 2, "most were not");
      }));
  }
});

test("each consumer sees a producer's values in their order", async (t) => {
  const random = seeded(t);
  const ch = new Chan<Value>(4);
  const consumers = Array.from({ length: CONSUMERS }, () =>
    go(async () => {
      const last = new Map<number, number>();
      for await (const { producer, number } of ch) {
        assert.ok(number > (last.get(producer) ?? -1));
        last.set(producer, number);
        if (random.chance(0.1)) await gosched();
      }
    }),
  );
  const producers = Array.from({ length: PRODUCERS }, (_, producer) =>
    go(async () => {
      for (let number = 0; number < EACH; number++) await ch.send({ producer, number });
    }),
  );
  for (const g of producers) await g.join();
  ch.close();
  for (const g of consumers) await g.join();
});
