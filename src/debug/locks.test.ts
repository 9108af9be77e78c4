/** locks.test.ts: locks that will never be free are named while the program runs, others never. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { turn } from "../../testing/support.ts";
import { type Goroutine, go } from "../runtime/goroutine.ts";
import { Mutex } from "../sync/mutex.ts";
import { RWMutex } from "../sync/rwmutex.ts";
import { Semaphore } from "../sync/semaphore.ts";
import { WaitGroup } from "../sync/waitgroup.ts";
import { sleep } from "../time/sleep.ts";
import { WaitGraph } from "./graph.ts";
import { type Lockup, watchLocks } from "./locks.ts";
import { watchGoroutines } from "./registry.ts";

/** The cycle that the watch finds, with numbers of goroutines and things taken out. */
async function cycleOf(begin: () => Promise<unknown> | unknown): Promise<[string, Lockup]> {
  let stop = (): void => {};
  const found = new Promise<Lockup>((resolve) => {
    stop = watchLocks({ delay: 10, onLockup: resolve });
  });
  const keep = setInterval(() => {}, 5);
  await begin();
  const lockup = await found;
  clearInterval(keep);
  stop();
  return [lockup.cycles.join("\n").replace(/ #\d+|goroutine \d+ /g, ""), lockup];
}

const forgotten = <T>(g: Goroutine<T>): Goroutine<T> => g.unref();

async function both(first: Mutex, second: Mutex): Promise<void> {
  await first.lock();
  await sleep(1);
  await second.lock();
}

describe("a watch on locks", () => {
  test("finds three goroutines in a ring, and says where each waits", async () => {
    const [a, b, c] = [new Mutex(), new Mutex(), new Mutex()];
    const [cycle, lockup] = await cycleOf(() => {
      forgotten(go(both, a, b));
      forgotten(go(both, b, c));
      forgotten(go(both, c, a));
    });
    assert.equal(cycle, "[both] ──mutex──▶ [both] ──mutex──▶ [both] ──mutex──▶ [both]");
    assert.equal(lockup.goroutines.length, 3);
    assert.equal(lockup.text.match(/ {2}at both \(.*locks\.test/g)?.length, 3);
    assert.match(lockup.text, /^coronet: 3 goroutines hold each other up for ever\n/);
  });

  test("finds a recursive read lock with a writer between", async () => {
    const rw = new RWMutex();
    const [cycle, { text }] = await cycleOf(async () => {
      forgotten(
        go(async function reader() {
          await rw.rlock();
          await sleep(2);
          await rw.rlock();
        }),
      );
      await turn();
      forgotten(
        go(async function writer() {
          await rw.lock();
        }),
      );
    });
    assert.equal(cycle, "[reader] ──rwmutex──▶ [writer] ──rwmutex──▶ [reader]");
    assert.match(text, /asks for it again for reading, while a writer waits in between/);
  });

  test("finds one that locks what it holds, and those that wait behind it", async () => {
    const mu = new Mutex();
    const [cycle, { goroutines }] = await cycleOf(async () => {
      forgotten(
        go(async function twice() {
          await mu.lock();
          await mu.lock();
        }),
      );
      await turn();
      forgotten(go(() => mu.lock()));
    });
    assert.equal(cycle, "[twice] ──mutex──▶ [twice]");
    assert.equal(goroutines.length, 2);
  });

  test("finds one that joins a goroutine which waits for its lock, also by a group", async () => {
    const mu = new Mutex();
    const [joins] = await cycleOf(() => {
      forgotten(
        go(async function parent() {
          await mu.lock();
          await forgotten(
            go(async function child() {
              await mu.lock();
            }),
          ).join();
        }),
      );
    });
    assert.equal(joins, "[parent] ──[child]──▶ [child] ──mutex──▶ [parent]");
    const [waits] = await cycleOf(() => {
      const other = new Mutex();
      const wg = new WaitGroup();
      forgotten(
        go(async function parent() {
          await other.lock();
          forgotten(
            wg.go(async function member() {
              await other.lock();
            }),
          );
          await wg.wait();
        }),
      );
    });
    assert.equal(waits, "[parent] ──waitgroup──▶ [member] ──mutex──▶ [parent]");
  });

  test("finds two that hold all units that the other needs", async () => {
    const [a, b] = [new Semaphore(1), new Semaphore(1)];
    async function units(first: Semaphore, second: Semaphore): Promise<void> {
      await first.acquire();
      await sleep(1);
      await second.acquire();
    }
    const [cycle] = await cycleOf(() => {
      forgotten(go(units, a, b));
      forgotten(go(units, b, a));
    });
    assert.equal(cycle, "[units] ──semaphore──▶ [units] ──semaphore──▶ [units]");
  });

  test("does not count who has a signal, who waits for several things, and who is needed by none", async () => {
    const unwatch = watchGoroutines();
    const stop = new AbortController();
    const [a, b] = [new Mutex(), new Mutex()];
    const one = go(async () => {
      await a.lock();
      await turn();
      await b.lock({ signal: stop.signal });
    });
    const two = go(async () => {
      await b.lock();
      await turn();
      await Promise.race([a.lock(), sleep(1000, { signal: stop.signal })]);
    });
    for (let i = 0; i < 5; i++) await turn();
    assert.equal(new WaitGraph().lockedUp().size, 0);
    stop.abort();
    await one.join().catch(() => {});
    await two.join().catch(() => {});
    unwatch();
  });

  test("takes no delay that is none", () => {
    assert.throws(() => watchLocks({ delay: 0 }), RangeError);
    assert.throws(() => watchLocks({ delay: Number.NaN }), RangeError);
  });
});
