/**
 * chan_memory.test.ts: what has been waited for leaves nothing behind.
 *
 * Each test does one thing very often and looks at the heap after a tenth of it and at the end; in
 * between it must not grow. CORONET_SOAK=1 does ten times as much.
 */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { after, Chan, go, recv, select, send, Timer } from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { turn } from "../testing/support.ts";

const MILLION = 1_000_000 * (process.env.CORONET_SOAK === "1" ? 10 : 1);
/** How much the heap may differ between two moments without a leak; one byte per round is more. */
const NOISE_BYTES = 600_000;

async function heapInUse(): Promise<number> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  await turn();
  gc();
  await turn();
  gc();
  return process.memoryUsage().heapUsed;
}

/** Fails when `rounds` calls of `work`, in ten portions, leave something on the heap. */
async function staysFlat(rounds: number, work: (rounds: number) => Promise<void>): Promise<void> {
  const portion = rounds / 10;
  await work(portion);
  const before = await heapInUse();
  for (let i = 1; i < 10; i++) await work(portion);
  const grown = (await heapInUse()) - before;
  assert.ok(grown < NOISE_BYTES, `${grown} bytes more after ${rounds} rounds`);
}

describe("memory stays flat", () => {
  test(`over ${MILLION} selects on a channel on which nothing ever happens`, async () => {
    const never = new Chan<number>();
    const ready = new Chan<number>(1);
    await staysFlat(MILLION, async (rounds) => {
      for (let i = 0; i < rounds; i++) {
        ready.trySend(i);
        await select({ never: recv(never), ready: recv(ready) });
      }
    });
  });

  test(`over ${MILLION} selects that wait, beside a timer and a signal that lose`, async () => {
    const [never, there, back] = [new Chan<number>(), new Chan<number>(), new Chan<number>()];
    const { signal } = new AbortController();
    const { timers } = runtime();
    const before = timers.size;
    const echo = go(async () => {
      for await (const value of there) await back.send(value);
    });
    await staysFlat(MILLION, async (rounds) => {
      for (let i = 0; i < rounds; i++) {
        await there.send(i);
        const got = await select({
          back: recv(back),
          never: recv(never),
          out: send(never, i),
          late: after(60_000),
          signal,
        });
        if (got.case !== "back") assert.fail(got.case);
      }
    });
    there.close();
    await echo.join();
    assert.equal(timers.size, before);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test(`over ${MILLION} canceled waits`, async () => {
    const ch = new Chan<number>();
    const lasting = new AbortController();
    await staysFlat(MILLION, async (rounds) => {
      const width = 100;
      for (let i = 0; i < rounds; i += 2 * width) {
        const stop = new AbortController();
        const { signal } = stop;
        const waits: Promise<unknown>[] = [];
        for (let n = 0; n < width; n++) {
          waits.push(ch.receive({ signal }).catch(() => {}));
          waits.push(select({ got: recv(ch), out: send(ch, n) }, { signal }).catch(() => {}));
        }
        stop.abort();
        await Promise.all(waits);
        const waiting = ch.receive({ signal: lasting.signal });
        await ch.send(i);
        await waiting;
      }
    });
    assert.equal(ch.trySend(1), false);
    assert.equal(getEventListeners(lasting.signal, "abort").length, 0);
  });

  test(`over ${MILLION} timers that are stopped`, async () => {
    const rt = runtime();
    const [parked, timers] = [rt.parked, rt.timers.size];
    await staysFlat(MILLION, async (rounds) => {
      for (let i = 0; i < rounds; i++) new Timer(60_000).stop();
    });
    assert.deepEqual([rt.parked, rt.timers.size], [parked, timers]);
  });
});
