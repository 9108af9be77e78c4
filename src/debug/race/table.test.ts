/** table.test.ts: programs with and without a race: the detector names the first and not the second. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { after, recv, send } from "../../chan/cases.ts";
import { Chan } from "../../chan/chan.ts";
import { select } from "../../chan/select.ts";
import { afterFunc } from "../../context/afterfunc.ts";
import { withCancel } from "../../context/cancel.ts";
import { background } from "../../context/context.ts";
import { pipe } from "../../net/pipe.ts";
import { go } from "../../runtime/goroutine.ts";
import { AtomicInt32 } from "../../shared/atomic.ts";
import { Cond } from "../../sync/cond.ts";
import { ErrGroup } from "../../sync/errgroup.ts";
import { Mutex } from "../../sync/mutex.ts";
import { Once, onceValue } from "../../sync/once.ts";
import { RWMutex } from "../../sync/rwmutex.ts";
import { Semaphore } from "../../sync/semaphore.ts";
import { singleflight } from "../../sync/singleflight.ts";
import { WaitGroup } from "../../sync/waitgroup.ts";
import { sleep } from "../../time/sleep.ts";
import { Timer } from "../../time/timer.ts";
import { startRaceDetector } from "./detector.ts";
import { type Race, RaceError, raceReport } from "./report.ts";
import { shared } from "./shared.ts";

type Program = () => Promise<unknown>;

/** Runs a program with the detector on; what it found. */
async function races(program: Program): Promise<Race[]> {
  const found: Race[] = [];
  using _ = startRaceDetector({ mode: "warn", onRace: (race) => found.push(race) });
  await program();
  return found;
}

/** Runs each function as a goroutine and waits for all. */
function together(...fns: (() => unknown)[]): Promise<unknown> {
  return Promise.all(fns.map((fn) => go(fn).join()));
}

/** Lets others go first. */
const pause = (): Promise<void> => sleep(1);

const racy: Record<string, Program> = {
  async "a counter that is read before an await and written after it"() {
    const c = shared({ n: 0 });
    const add = async () => {
      const { n } = c;
      await pause();
      c.n = n + 1;
    };
    await together(add, add);
    assert.equal(c.n, 1);
  },
  async "the same written as one statement"() {
    const c = shared({ total: 0 });
    const add = async () => {
      c.total += await pause().then(() => 1);
    };
    await together(add, add);
    assert.equal(c.total, 1);
  },
  async "a balance that is checked before an await and changed after it"() {
    const account = shared({ balance: 50 });
    const withdraw = async () => {
      if (account.balance < 40) return;
      await pause();
      account.balance -= 40;
    };
    await together(withdraw, withdraw);
    assert.equal(account.balance, -30);
  },
  async "a singleton that is made across an await"() {
    const app = shared<{ db: object | undefined }>({ db: undefined });
    let made = 0;
    const use = async () => {
      if (app.db === undefined) {
        made++;
        await pause();
        app.db = { made };
      }
    };
    await together(use, use);
    assert.equal(made, 2);
  },
  async "a cache that is filled across an await"() {
    const cache = shared(new Map<string, number>());
    const load = async () => {
      if (!cache.has("k")) {
        await pause();
        cache.set("k", 1);
      }
    };
    await together(load, load);
  },
  async "members of a set that are looked for before an await"() {
    const visited = shared(new Set<string>());
    const visit = async () => {
      if (visited.has("/")) return;
      await pause();
      visited.add("/");
    };
    await together(visit, visit);
  },
  async "a result that is read without waiting for it"() {
    const result = shared<{ value?: number }>({});
    const g = go(async () => {
      await sleep(5);
      result.value = 1;
    });
    await pause();
    assert.equal(result.value, undefined);
    await g.join();
  },
  async "a result that is read after a time that seemed enough"() {
    const result = shared({ value: 0 });
    go(() => {
      result.value = 1;
    });
    await sleep(5);
    assert.equal(result.value, 1);
  },
  async "a lock that one of two forgets"() {
    const c = shared({ n: 0 });
    const mu = new Mutex();
    const careful = async () => {
      using _ = await mu.lock();
      const { n } = c;
      await pause();
      c.n = n + 1;
    };
    const careless = async () => {
      const { n } = c;
      await pause();
      c.n = n + 1;
    };
    await together(careful, careless);
  },
  async "two locks for one thing"() {
    const c = shared({ n: 0 });
    const add = (mu: Mutex) => async () => {
      using _ = await mu.lock();
      c.n = (await pause().then(() => c.n)) + 1;
      await pause();
      c.n = 7;
    };
    await together(add(new Mutex()), add(new Mutex()));
  },
  async "a write under a read lock"() {
    const c = shared({ n: 0 });
    const mu = new RWMutex();
    const write = async () => {
      using _ = await mu.rlock();
      await pause();
      c.n = 1;
    };
    await together(write, write);
  },
  async "a read that is let go before the lock of a writer"() {
    const c = shared({ n: 0 });
    const mu = new RWMutex();
    await together(
      async () => {
        await mu.lock();
        c.n = 1;
        mu.unlock();
      },
      async () => {
        assert.ok(c.n >= 0);
        await mu.rlock();
        mu.runlock();
      },
    );
  },
  async "a value that is changed after it was sent"() {
    const ch = new Chan<{ n: number }>(1);
    await together(
      async () => {
        const message = shared({ n: 1 });
        await ch.send(message);
        await pause();
        message.n = 2;
      },
      async () => {
        const [message] = await ch.receive();
        await sleep(3);
        assert.ok((message?.n ?? 0) > 0);
      },
    );
  },
  async "a buffered channel taken for a meeting"() {
    const c = shared({ n: 0 });
    const ch = new Chan<void>(1);
    const g = go(async () => {
      await pause();
      c.n = 1;
      await ch.receive();
    });
    await ch.send();
    await sleep(5);
    assert.equal(c.n, 1);
    await g.join();
  },
  async "one more worker than a semaphore channel keeps apart"() {
    const c = shared({ n: 0 });
    const limit = new Chan<void>(2);
    const work = async () => {
      await limit.send();
      c.n = 1;
      await pause();
      await limit.receive();
    };
    await together(work, work);
  },
  async "a group that is waited for too early"() {
    const c = shared({ n: 0 });
    const wg = new WaitGroup();
    const late = go(async () => {
      await pause();
      wg.add();
      await pause();
      c.n = 1;
      wg.done();
    });
    await wg.wait();
    assert.equal(c.n, 0);
    await late.join();
  },
  async "work after done"() {
    const c = shared({ n: 0 });
    const wg = new WaitGroup();
    wg.add();
    const g = go(async () => {
      wg.done();
      await pause();
      c.n = 1;
    });
    await wg.wait();
    assert.equal(c.n, 0);
    await g.join();
  },
  async "a flag that is polled"() {
    const flag = shared({ ready: false, value: 0 });
    await together(
      async () => {
        await pause();
        flag.value = 1;
        flag.ready = true;
      },
      async () => {
        while (!flag.ready) await pause();
        assert.equal(flag.value, 1);
      },
    );
  },
  async "two goroutines that joined different ones"() {
    const c = shared({ n: 0 });
    const a = go(() => {
      c.n = 1;
    });
    const b = go(async () => pause());
    await b.join();
    assert.equal(c.n, 1);
    await a.join();
  },
  async "the same place written outside of goroutines"() {
    const c = shared({ n: 0 });
    const g = go(async () => {
      await sleep(3);
      c.n = 1;
    });
    await pause();
    c.n = 2;
    await g.join();
  },
  async "an object inside of a shared one"() {
    const config = shared({ limits: { most: 1 } });
    const change = async () => {
      const { most } = config.limits;
      await pause();
      config.limits.most = most + 1;
    };
    await together(change, change);
  },
  async "elements of an array"() {
    const list = shared([1, 2, 3]);
    const swap = async () => {
      const [first] = list;
      await pause();
      list[1] = first as number;
    };
    await together(swap, swap);
  },
  async "members of an errgroup"() {
    const c = shared({ n: 0 });
    const group = new ErrGroup();
    const add = async () => {
      const { n } = c;
      await pause();
      c.n = n + 1;
    };
    await group.go(add);
    await group.go(add);
    await group.wait();
  },
  async "a read after a context's end that the writer did not cause"() {
    const c = shared({ n: 0 });
    const [ctx, cancel] = withCancel(background());
    const g = go(async () => {
      await pause();
      c.n = 1;
    });
    const reader = go(async () => {
      await ctx.done.receive();
      await sleep(5);
      assert.equal(c.n, 1);
    });
    cancel();
    await g.join();
    await reader.join();
  },
  async "a condition that is looked at without its lock"() {
    const state = shared({ ready: false });
    const mu = new Mutex();
    await together(
      async () => {
        await mu.lock();
        await pause();
        state.ready = true;
        mu.unlock();
      },
      async () => {
        await sleep(5);
        assert.equal(state.ready, true);
      },
    );
  },
};

const correct: Record<string, Program> = {
  async "a counter that is read and written between two awaits"() {
    const c = shared({ n: 0 });
    const add = async () => {
      for (let i = 0; i < 3; i++) {
        c.n++;
        await pause();
      }
    };
    await together(add, add);
    assert.equal(c.n, 6);
  },
  async "counters of what is under way"() {
    const c = shared({ active: 0, peak: 0 });
    const work = async () => {
      c.active++;
      if (c.active > c.peak) c.peak = c.active;
      await pause();
      c.active--;
    };
    await together(work, work, work);
    assert.deepEqual([c.active, c.peak], [0, 3]);
  },
  async "a counter that others look at"() {
    const c = shared({ requests: 0 });
    const serve = async () => {
      await pause();
      c.requests++;
    };
    const show = async () => {
      for (let i = 0; i < 3; i++) {
        assert.ok(c.requests >= 0);
        await pause();
      }
    };
    await together(serve, show, serve);
  },
  async "a condition that is looked at anew after each wait"() {
    const c = shared({ active: 0 });
    const enter = async () => {
      while (c.active >= 1) await pause();
      c.active++;
      await pause();
      c.active--;
    };
    await together(enter, enter, enter);
  },
  async "a counter under a mutex"() {
    const c = shared({ n: 0 });
    const mu = new Mutex();
    const add = async () => {
      using _ = await mu.lock();
      const { n } = c;
      await pause();
      c.n = n + 1;
    };
    await together(add, add, add);
    assert.equal(c.n, 3);
  },
  async "a counter under a mutex that is tried"() {
    const c = shared({ n: 0 });
    const mu = new Mutex();
    const add = async () => {
      while (mu.tryLock() === undefined) await pause();
      c.n = 1;
      await pause();
      mu.unlock();
    };
    await together(add, add);
  },
  async "readers and writers under an RWMutex"() {
    const c = shared({ n: 0 });
    const mu = new RWMutex();
    const write = async () => {
      using _ = await mu.lock();
      c.n = (await pause().then(() => 1)) + 0;
      await pause();
      c.n = 2;
    };
    const read = async () => {
      using _ = await mu.rlock();
      assert.ok(c.n !== 1);
      await pause();
      assert.ok(c.n !== 1);
    };
    await together(read, write, read, write, read);
  },
  async "ownership that is handed over by an unbuffered channel"() {
    const ch = new Chan<{ n: number }>();
    await together(
      async () => {
        const message = shared({ n: 1 });
        await ch.send(message);
      },
      async () => {
        const [message] = (await ch.receive()) as [{ n: number }, true];
        message.n = 2;
      },
    );
  },
  async "ownership that is handed over by a buffered channel"() {
    const ch = new Chan<{ n: number }>(3);
    await together(
      async () => {
        for (let n = 0; n < 10; n++) {
          const message = shared({ n });
          message.n = n + 1;
          await ch.send(message);
        }
        ch.close();
      },
      async () => {
        for await (const message of ch) message.n = message.n * 2;
      },
    );
  },
  async "an unbuffered send that waits for what its receiver did before"() {
    const c = shared({ n: 0 });
    const ch = new Chan<void>();
    const g = go(async () => {
      c.n = 1;
      await ch.receive();
    });
    await ch.send();
    assert.equal(c.n, 1);
    await g.join();
  },
  async "a lock made of a buffered channel"() {
    const c = shared({ n: 0 });
    const lock = new Chan<void>(1);
    const add = async () => {
      await lock.send();
      const { n } = c;
      await pause();
      c.n = n + 1;
      await lock.receive();
    };
    await together(add, add, add);
    assert.equal(c.n, 3);
  },
  async "a close that says that all is ready"() {
    const c = shared({ n: 0 });
    const ready = new Chan<never>();
    const wait = async () => {
      await ready.receive();
      assert.equal(c.n, 1);
    };
    await together(wait, wait, async () => {
      await pause();
      c.n = 1;
      ready.close();
      await pause();
    });
  },
  async "results of a group, each at a place of its own"() {
    const results = shared<number[]>([]);
    const wg = new WaitGroup();
    for (let i = 0; i < 4; i++) {
      wg.go(async () => {
        await pause();
        results[i] = i;
      });
    }
    await wg.wait();
    assert.deepEqual([...results], [0, 1, 2, 3]);
  },
  async "results that are pushed"() {
    const results = shared<number[]>([]);
    const wg = new WaitGroup();
    for (let i = 0; i < 4; i++) {
      wg.go(async () => {
        await pause();
        results.push(i);
      });
    }
    await wg.wait();
    assert.equal(results.length, 4);
    assert.ok(results.includes(3));
  },
  async "results of an errgroup with a limit"() {
    const results = shared(new Map<number, number>());
    const group = new ErrGroup({ limit: 2 });
    for (let i = 0; i < 5; i++) {
      await group.go(async () => {
        await pause();
        results.set(i, i * i);
      });
    }
    await group.wait();
    assert.equal(results.get(4), 16);
  },
  async "something done once"() {
    const c = shared({ n: 0 });
    const once = new Once();
    const use = async () => {
      await once.do(async () => {
        await pause();
        c.n = 1;
      });
      assert.equal(c.n, 1);
    };
    await together(use, use, async () => {
      await sleep(5);
      await use();
    });
  },
  async "a singleton made by onceValue"() {
    const get = onceValue(async () => {
      await pause();
      const made = shared({ n: 0 });
      made.n = 1;
      return made;
    });
    const use = async () => assert.equal((await get()).n, 1);
    await together(use, use, async () => {
      await sleep(5);
      await use();
    });
  },
  async "a singleton made between two awaits"() {
    const app = shared<{ db: { n: number } | undefined }>({ db: undefined });
    const use = async () => {
      app.db ??= { n: 1 };
      await pause();
      assert.equal(app.db.n, 1);
    };
    await together(use, use);
  },
  async "a promise that is kept for all who come"() {
    const app = shared<{ n: number }>({ n: 0 });
    let ready: Promise<void> | undefined;
    const use = async () => {
      ready ??= (async () => {
        await pause();
        app.n = 1;
      })();
      await ready;
      assert.equal(app.n, 1);
    };
    await together(use, use, async () => {
      await sleep(5);
      await use();
    });
  },
  async "one flight for many"() {
    const flights = singleflight<string, { n: number }>();
    const use = async () => {
      const { value } = await flights.do("k", async () => {
        await pause();
        const made = shared({ n: 0 });
        made.n = 1;
        return made;
      });
      assert.equal(value.n, 1);
    };
    await together(use, use, use);
  },
  async "what an atomic counter guards"() {
    const c = shared({ n: 0 });
    const left = new AtomicInt32(2);
    const work = async () => {
      await pause();
      if (left.sub(1) === 0) c.n = c.n + 1;
      else c.n = 5;
    };
    const first = async () => {
      c.n = 1;
      left.sub(1);
    };
    const second = async () => {
      await pause();
      if (left.sub(1) === 0) c.n = 2;
    };
    await together(first, second);
    assert.equal(c.n, 2);
    left.store(2);
    await together(work);
  },
  async "an atomic that is waited for"() {
    const c = shared({ n: 0 });
    const state = new AtomicInt32(0);
    await together(
      async () => {
        await state.wait(0);
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        c.n = 1;
        state.store(1);
        state.notify();
      },
    );
  },
  async "a condition under its lock"() {
    const queue = shared<number[]>([]);
    const mu = new Mutex();
    const cond = new Cond(mu);
    const seen: number[] = [];
    const take = async () => {
      await mu.lock();
      while (queue.length === 0) await cond.wait();
      seen.push(queue.shift() as number);
      mu.unlock();
    };
    const put = async () => {
      await pause();
      await mu.lock();
      queue.push(1, 2);
      mu.unlock();
      cond.broadcast();
    };
    await together(take, take, put);
    assert.deepEqual(seen, [1, 2]);
  },
  async "a signal of a condition"() {
    const c = shared({ n: 0 });
    const mu = new Mutex();
    const cond = new Cond(mu);
    await together(
      async () => {
        await mu.lock();
        await cond.wait();
        mu.unlock();
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        c.n = 1;
        cond.signal();
      },
    );
  },
  async "a semaphore of one"() {
    const c = shared({ n: 0 });
    const semaphore = new Semaphore(1);
    const add = async () => {
      using _ = await semaphore.acquire();
      const { n } = c;
      await pause();
      c.n = n + 1;
    };
    await together(add, add, add);
    assert.equal(c.n, 3);
  },
  async "a select that receives"() {
    const c = shared({ n: 0 });
    const ch = new Chan<number>();
    const never = new Chan<number>();
    await together(
      async () => {
        const got = await select({ a: recv(ch), b: recv(never), late: after(1000) });
        assert.equal(got.case, "a");
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        c.n = 1;
        await select({ a: send(ch, 1), b: recv(never) });
      },
    );
  },
  async "a select that finds its sender waiting"() {
    const c = shared({ n: 0 });
    const ch = new Chan<number>();
    await together(
      async () => {
        c.n = 1;
        await select({ a: send(ch, 1), late: after(1000) });
      },
      async () => {
        await pause();
        await select({ a: recv(ch), late: after(1000) });
        assert.equal(c.n, 1);
      },
    );
  },
  async "the end of a context, seen by a select"() {
    const c = shared({ n: 0 });
    const [ctx, cancel] = withCancel(background());
    const wait = async () => {
      await select({ stop: ctx, late: after(1000) });
      assert.equal(c.n, 1);
    };
    await together(wait, wait, async () => {
      await pause();
      c.n = 1;
      cancel();
    });
  },
  async "the end of a context, by a canceled wait"() {
    const c = shared({ n: 0 });
    const [ctx, cancel] = withCancel(background());
    const { signal } = ctx;
    const refused = async (wait: Promise<unknown>) => {
      await assert.rejects(wait, { code: "ERR_CANCELED" });
      assert.equal(c.n, 1);
    };
    const ch = new Chan<number>();
    const mu = new Mutex();
    await mu.lock();
    const [a, b] = pipe();
    await together(
      () => refused(ch.receive({ signal })),
      () => refused(new Chan<number>().send(1, { signal })),
      () => refused(mu.lock({ signal })),
      () => refused(sleep(10_000, { signal })),
      () => refused(select({ a: recv(new Chan()) }, { signal })),
      () => refused(a.read(new Uint8Array(1), { signal })),
      async () => {
        await sleep(3);
        c.n = 1;
        cancel();
      },
    );
    await a.close();
    await b.close();
  },
  async "the end of a context, asked for"() {
    const c = shared({ n: 0 });
    const [ctx, cancel] = withCancel(background());
    const [below] = withCancel(ctx);
    await together(
      async () => {
        while (below.err === undefined) await pause();
        assert.equal(c.n, 1);
      },
      async () => {
        while (!ctx.signal.aborted) await pause();
        await ctx.done.receive();
        assert.equal(c.n, 1);
      },
      async () => {
        await sleep(3);
        c.n = 1;
        cancel();
      },
    );
  },
  async "a function after a context"() {
    const c = shared({ n: 0 });
    const [ctx, cancel] = withCancel(background());
    const done = new Chan<void>(1);
    afterFunc(ctx, async () => {
      assert.equal(c.n, 1);
      await done.send();
    });
    await together(async () => {
      c.n = 1;
      cancel();
    });
    await done.receive();
  },
  async "a function after a timer"() {
    const c = shared({ n: 0 });
    const done = new Chan<void>(1);
    await together(async () => {
      c.n = 1;
      Timer.func(2, async () => {
        c.n = c.n + 1;
        await done.send();
      });
      await done.receive();
      c.n = 9;
    });
  },
  async "what is set up after go(), before its first await"() {
    const c = shared({ running: false });
    const ch = new Chan<{ n: number }>(1);
    const g = go(async () => {
      assert.equal(c.running, true);
      const [message] = (await ch.receive()) as [{ n: number }, true];
      assert.equal(message.n, 2);
    });
    c.running = true;
    const message = shared({ n: 1 });
    ch.trySend(message);
    message.n = 2;
    await g.join();
  },
  async "goroutines that are started after a write and joined before a read"() {
    const c = shared({ n: 0 });
    c.n = 1;
    const g = go(async () => {
      assert.equal(c.n, 1);
      c.n = 2;
      await go(async () => {
        c.n = 3;
      }).join();
    });
    await g.join();
    assert.equal(c.n, 3);
  },
  async "a place in a buffered channel that is free again, without a wait"() {
    const c = shared({ n: 0 });
    const limit = new Chan<void>(1);
    const use = (ms: number) => async () => {
      await sleep(ms);
      await limit.send();
      c.n = ms;
      await limit.receive();
    };
    await together(use(1), use(8));
  },
  async "locks that are free again, without a wait"() {
    const c = shared({ a: 0, b: 0, c: 0 });
    const [mu, rw, units] = [new Mutex(), new RWMutex(), new Semaphore(1)];
    const use = (ms: number) => async () => {
      await sleep(ms);
      await mu.lock();
      c.a = ms;
      mu.unlock();
      await rw.rlock();
      assert.ok(c.b >= 0);
      rw.runlock();
      await rw.lock();
      c.b = ms;
      rw.unlock();
      await units.acquire();
      c.c = ms;
      units.release();
    };
    await together(use(1), use(8));
  },
  async "a read lock that is free again, without a wait"() {
    const c = shared({ n: 0 });
    const rw = new RWMutex();
    await together(
      async () => {
        await rw.rlock();
        assert.equal(c.n, 0);
        rw.runlock();
      },
      async () => {
        await sleep(5);
        await rw.lock();
        c.n = 1;
        rw.unlock();
      },
    );
  },
  async "a channel that was closed before anybody came"() {
    const c = shared({ n: 0 });
    const ch = new Chan<void>();
    await together(
      async () => {
        c.n = 1;
        ch.close();
      },
      async () => {
        await sleep(5);
        for await (const _ of ch);
        assert.equal(c.n, 1);
      },
    );
  },
  async "a plain promise that is resolved by hand"() {
    const c = shared({ n: 0 });
    let resolve = (): void => {};
    const promise = new Promise<void>((r) => {
      resolve = r;
    });
    await together(
      async () => {
        await promise;
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        c.n = 1;
        resolve();
      },
    );
  },
  async "both ends of a connection"() {
    const c = shared({ n: 0 });
    const [a, b] = pipe();
    await together(
      async () => {
        await b.read(new Uint8Array(1));
        assert.equal(c.n, 1);
        c.n = 2;
        await b.write(new Uint8Array(1));
      },
      async () => {
        await pause();
        c.n = 1;
        await a.write(new Uint8Array(1));
        await a.read(new Uint8Array(1));
        assert.equal(c.n, 2);
      },
    );
    await a.close();
    await b.close();
  },
};

describe("a program with a race is reported", () => {
  for (const [name, program] of Object.entries(racy)) {
    test(name, async () => {
      const found = await races(program);
      assert.notEqual(found.length, 0);
      for (const race of found) assert.match(race.accesses[1].stack[0] ?? "", /table\.test/);
    });
  }
});

describe("a program without one is not", () => {
  for (const [name, program] of Object.entries(correct)) {
    test(name, async () => {
      const found = await races(program);
      assert.equal(found.map(raceReport).join("\n"), "");
    });
  }
});

test("a report says what, who, where, and where they were started", async () => {
  const [race] = await races(racy["a cache that is filled across an await"] as Program);
  assert.ok(race !== undefined);
  assert.equal(race.place, "map.k");
  assert.match(race.sharedAt ?? "", /table\.test\.[jt]s:\d+/);
  const [before, now] = race.accesses;
  assert.equal(before.goroutine?.name, "load");
  assert.match(before.goroutine.origin ?? "", /table\.test\.[jt]s:\d+/);
  assert.notEqual(before.goroutine.id, now.goroutine?.id);
  assert.match(now.stack[0] ?? "", /load \(.*table\.test\.[jt]s:\d+/);
  const text = raceReport(race);
  assert.match(text, /WARNING: RACE on map\.k, shared at/);
  assert.match(text, /was started at\n {2}.*table\.test/);
});

test("in the mode throw the access that runs into a race throws", async () => {
  using _ = startRaceDetector({ mode: "throw" });
  const c = shared({ n: 0 });
  const write = async () => {
    await pause();
    c.n = 1;
  };
  const first = go(write).join();
  const second = go(write).join();
  await assert.rejects(second, RaceError);
  await first;
});

test("off, an object is given back as it is", () => {
  const object = { n: 0 };
  assert.equal(shared(object), object);
});
