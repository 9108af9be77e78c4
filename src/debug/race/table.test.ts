/** table.test.ts: programs with and without a race: the detector names the first and not the second. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { after, recv, send } from "../../chan/cases.ts";
import { Chan } from "../../chan/chan.ts";
import { select } from "../../chan/select.ts";
import { afterFunc } from "../../context/afterfunc.ts";
import { type OwnedContext, withCancel } from "../../context/cancel.ts";
import { background } from "../../context/context.ts";
import { withTimeout } from "../../context/deadline.ts";
import { connect, type PooledConn } from "../../net/cosocket.ts";
import { listen } from "../../net/listen.ts";
import { pipe } from "../../net/pipe.ts";
import { go } from "../../runtime/goroutine.ts";
import { AtomicInt32 } from "../../shared/atomic.ts";
import { SharedChan } from "../../shared/chan.ts";
import { Table } from "../../shared/table.ts";
import { Cond } from "../../sync/cond.ts";
import { ErrGroup } from "../../sync/errgroup.ts";
import { Mutex } from "../../sync/mutex.ts";
import { Once, onceValue } from "../../sync/once.ts";
import { Pool } from "../../sync/pool.ts";
import { RWMutex } from "../../sync/rwmutex.ts";
import { Semaphore } from "../../sync/semaphore.ts";
import { singleflight } from "../../sync/singleflight.ts";
import { SyncMap } from "../../sync/syncmap.ts";
import { WaitGroup } from "../../sync/waitgroup.ts";
import { sleep } from "../../time/sleep.ts";
import { Ticker } from "../../time/ticker.ts";
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

/** Puts steps of goroutines in order behind the detector's back: plain variables are nothing to it. */
class Order {
  private done = 0;

  /** Returns once so many steps are done. */
  async after(steps: number): Promise<void> {
    while (this.done < steps) await pause();
  }

  step(): void {
    this.done++;
  }
}

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
    const order = new Order();
    await together(
      async () => {
        await mu.lock();
        await pause();
        state.ready = true;
        mu.unlock();
        order.step();
      },
      async () => {
        await order.after(1);
        assert.equal(state.ready, true);
      },
    );
  },
  async "a key of a map that says nothing of another key"() {
    const c = shared({ n: 0 });
    const map = new SyncMap<string, number>();
    await together(
      async () => {
        c.n = 1;
        map.store("a", 1);
      },
      async () => {
        await sleep(5);
        map.load("b");
        assert.equal(c.n, 1);
      },
    );
  },
  async "a value that is changed after it was stored in a map"() {
    const map = new SyncMap<string, { n: number }>();
    await together(
      async () => {
        const value = shared({ n: 0 });
        map.store("k", value);
        await pause();
        value.n = 1;
      },
      async () => {
        await sleep(5);
        assert.equal(map.load("k")?.n, 1);
      },
    );
  },
  async "a compare-and-swap of a map that did not happen"() {
    const c = shared({ n: 0 });
    const map = new SyncMap<string, number>();
    map.store("k", 0);
    await together(
      async () => {
        c.n = 1;
        assert.equal(map.compareAndSwap("k", 5, 6), false);
      },
      async () => {
        await sleep(5);
        map.load("k");
        assert.equal(c.n, 1);
      },
    );
  },
  async "a stored value that somebody else has stored over"() {
    const c = shared({ n: 0 });
    const map = new SyncMap<string, number>();
    await together(
      async () => {
        c.n = 1;
        map.store("k", 1);
      },
      async () => {
        await sleep(3);
        map.store("k", 2);
      },
      async () => {
        await sleep(8);
        assert.equal(map.load("k"), 2);
        assert.equal(c.n, 1);
      },
    );
  },
  async "an object that is used after it went back to its pool"() {
    const objects = new Pool(() => shared({ n: 0 }));
    await together(
      async () => {
        const object = objects.get();
        objects.put(object);
        await pause();
        object.n = 1;
      },
      async () => {
        await sleep(5);
        objects.get().n = 2;
      },
    );
  },
  async "another object of the same pool"() {
    const c = shared({ n: 0 });
    const objects = new Pool(() => ({}));
    await together(
      async () => {
        c.n = 1;
        objects.put({});
      },
      async () => {
        await sleep(5);
        const own = {};
        objects.put(own);
        assert.equal(objects.get(), own);
        assert.equal(c.n, 1);
      },
    );
  },
  async "work after a connection went back to its pool"() {
    const c = shared({ n: 0 });
    await using peer = await listen("tcp", "127.0.0.1:0");
    const pooled = (): Promise<PooledConn> => connect(String(peer.addr));
    const order = new Order();
    await together(
      async () => {
        const conn = await pooled();
        conn.setKeepalive();
        await pause();
        c.n = 1;
        order.step();
      },
      async () => {
        await order.after(1);
        const conn = await pooled();
        assert.equal(conn.reusedTimes, 1);
        assert.equal(c.n, 1);
        await conn.close();
      },
    );
  },
  async "work before a connection of an unbounded pool is closed"() {
    const c = shared({ n: 0 });
    const order = new Order();
    await using peer = await listen("tcp", "127.0.0.1:0");
    await together(
      async () => {
        const conn = await connect(String(peer.addr));
        c.n = 1;
        await conn.close();
        order.step();
      },
      async () => {
        await order.after(1);
        const conn = await connect(String(peer.addr));
        assert.equal(c.n, 1);
        await conn.close();
      },
    );
  },
  async "work after a timer was set"() {
    const c = shared({ n: 0 });
    const order = new Order();
    const timer = new Timer(60_000);
    await together(
      async () => {
        timer.reset(5);
        await pause();
        c.n = 1;
        order.step();
      },
      async () => {
        await timer.c.receive();
        await order.after(1);
        assert.equal(c.n, 1);
      },
    );
  },
  async "work after a context's deadline was set"() {
    const c = shared({ n: 0 });
    const order = new Order();
    const [ctx] = withTimeout(background(), 5);
    await together(
      async () => {
        await pause();
        c.n = 1;
        order.step();
      },
      async () => {
        await ctx.done.receive();
        await order.after(1);
        assert.equal(c.n, 1);
      },
    );
  },
  async "work after a connection's deadline was set"() {
    const c = shared({ n: 0 });
    const order = new Order();
    const [a, b] = pipe();
    await together(
      async () => {
        await pause();
        a.setReadDeadline(new Date(Date.now() + 5));
        await pause();
        c.n = 1;
        order.step();
      },
      async () => {
        await assert.rejects(a.read(new Uint8Array(1)), { timeout: true });
        await order.after(1);
        assert.equal(c.n, 1);
      },
    );
    await a.close();
    await b.close();
  },
  async "work after a connection was closed"() {
    const c = shared({ n: 0 });
    const [a, b] = pipe();
    const order = new Order();
    await together(
      async () => {
        await a.close();
        c.n = 1;
        order.step();
      },
      async () => {
        await order.after(1);
        await assert.rejects(a.read(new Uint8Array(1)), { code: "ERR_CLOSED" });
        assert.equal(c.n, 1);
      },
    );
    await b.close();
  },
  async "a compare-and-swap that did not happen"() {
    const c = shared({ n: 0 });
    const state = new AtomicInt32(0);
    await together(
      async () => {
        c.n = 1;
        assert.equal(state.compareAndSwap(5, 6), false);
      },
      async () => {
        await sleep(5);
        state.load();
        assert.equal(c.n, 1);
      },
    );
  },
  async "work after a row was set"() {
    const c = shared({ n: 0 });
    const table = new Table({ rows: 8, columns: { n: "int32" } });
    await together(
      async () => {
        table.set("ready", { n: 1 });
        await pause();
        c.n = 1;
      },
      async () => {
        await sleep(5);
        assert.ok(table.has("ready"));
        assert.equal(c.n, 1);
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
  async "a value that a map hands over"() {
    const map = new SyncMap<string, { n: number }>();
    await together(
      async () => {
        await pause();
        const value = shared({ n: 0 });
        value.n = 1;
        map.store("k", value);
      },
      async () => {
        while (!map.has("k")) await pause();
        const value = map.load("k") as { n: number };
        assert.equal(value.n, 1);
        value.n = 2;
        map.swap("k", value);
      },
      async () => {
        let value: { n: number } | undefined;
        while (value?.n !== 2) {
          await sleep(3);
          const entries = [...map];
          value = entries[0]?.[1];
        }
      },
    );
  },
  async "a key of a map that is taken out: all is done"() {
    const c = shared({ a: 0, b: 0, c: 0, d: 0 });
    const map = new SyncMap<string, number>();
    for (const key of ["a", "b", "c", "d"]) map.store(key, 1);
    await together(
      async () => {
        await pause();
        c.a = 1;
        map.delete("a");
        await pause();
        c.b = 1;
        assert.equal(map.loadAndDelete("b"), 1);
        await pause();
        c.c = 1;
        assert.ok(map.compareAndDelete("c", 1));
        await pause();
        c.d = 1;
        map.clear();
      },
      async () => {
        for (const key of ["a", "b", "c", "d"] as const) {
          while (map.load(key) !== undefined) await pause();
          assert.equal(c[key], 1);
        }
      },
    );
  },
  async "a lock made of a map's compare-and-swap"() {
    const c = shared({ n: 0 });
    const map = new SyncMap<string, string>();
    map.store("owner", "");
    const add = (name: string) => async () => {
      while (!map.compareAndSwap("owner", "", name)) await pause();
      const { n } = c;
      await pause();
      c.n = n + 1;
      map.store("owner", "");
    };
    await together(add("a"), add("b"), add("c"));
    assert.equal(c.n, 3);
  },
  async "a value that the first one has put into a map"() {
    const map = new SyncMap<string, { n: number }>();
    const use = async () => {
      const mine = shared({ n: 0 });
      mine.n = 1;
      const { value } = map.loadOrStore("k", mine);
      assert.equal(value.n, 1);
    };
    await together(use, async () => {
      await pause();
      await use();
    });
  },
  async "a map that has all that is waited for"() {
    const c = shared<number[]>([]);
    const map = new SyncMap<number, boolean>();
    const work = (i: number) => async () => {
      await pause();
      c[i] = i;
      map.store(i, true);
    };
    await together(work(0), work(1), async () => {
      while (map.size < 2) await pause();
      assert.deepEqual([c[0], c[1]], [0, 1]);
    });
  },
  async "an object of a pool, one after the other"() {
    const objects = new Pool(() => shared({ n: 0 }), { reset: (object) => (object.n = 0) });
    const order = new Order();
    const use = (turn: number) => async () => {
      await order.after(turn);
      const object = objects.get();
      object.n = turn;
      await pause();
      assert.equal(object.n, turn);
      objects.put(object);
      order.step();
    };
    await together(use(0), use(1), use(2));
    assert.equal(objects.size, 1);
  },
  async "a connection of a pool, one after the other"() {
    const c = shared({ n: 0 });
    await using peer = await listen("tcp", "127.0.0.1:0");
    const order = new Order();
    let reused = 0;
    const use = (turn: number) => async () => {
      await order.after(turn);
      const conn = await connect(String(peer.addr));
      reused += conn.reusedTimes;
      c.n = turn;
      if (turn === 0) conn.setKeepalive();
      else await conn.close();
      order.step();
    };
    await together(use(0), use(1));
    assert.equal(reused, 1);
  },
  async "a connection that goes to who waits for it"() {
    const c = shared({ n: 0 });
    await using peer = await listen("tcp", "127.0.0.1:0");
    const use = (end: "close" | "setKeepalive") => async () => {
      const conn = await connect(String(peer.addr), { poolSize: 1, backlog: 5 });
      c.n = 1;
      await pause();
      c.n = 2;
      await conn[end]();
    };
    await together(use("setKeepalive"), use("close"), use("close"));
  },
  async "a place in a bounded pool that is free again, without a wait"() {
    const c = shared({ n: 0 });
    await using peer = await listen("tcp", "127.0.0.1:0");
    const order = new Order();
    const use = (turn: number) => async () => {
      await order.after(turn);
      const conn = await connect(String(peer.addr), { poolSize: 1, backlog: 0 });
      c.n = turn;
      await conn.close();
      order.step();
    };
    await together(use(0), use(1));
  },
  async "a timer that is set anew, and its value"() {
    const c = shared({ n: 0 });
    const timer = new Timer(60_000);
    const ticker = new Ticker(60_000);
    await together(
      async () => {
        await pause();
        c.n = 1;
        timer.reset(3);
      },
      async () => {
        await timer.c.receive();
        assert.equal(c.n, 1);
        c.n = 2;
        ticker.reset(3);
      },
      async () => {
        await ticker.c.receive();
        await ticker.c.receive();
        assert.equal(c.n, 2);
        ticker.stop();
      },
    );
  },
  async "a context's deadline, by who waits and by who looks"() {
    const c = shared({ n: 0 });
    const made: Record<string, OwnedContext> = {};
    const contexts = Array.from({ length: 4 }, (_, i) => String(i));
    await together(
      async () => {
        c.n = 1;
        for (const name of contexts) made[name] = withTimeout(background(), 5)[0];
      },
      async () => {
        await pause();
        await made["0"]?.done.receive();
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        while (made["1"]?.err === undefined) await pause();
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        const { signal } = made["2"] as OwnedContext;
        await assert.rejects(new Chan<number>().receive({ signal }));
        assert.equal(c.n, 1);
      },
      async () => {
        await pause();
        await select({ stop: made["3"] as OwnedContext });
        assert.equal(c.n, 1);
      },
    );
  },
  async "a connection's deadline, set for one who waits and for one who will"() {
    const c = shared({ n: 0, m: 0 });
    const [a, b] = pipe();
    const late = () => new Date(Date.now() + 5);
    await together(
      async () => {
        await pause();
        c.n = 1;
        a.setReadDeadline(late());
      },
      async () => {
        await assert.rejects(a.read(new Uint8Array(1)), { timeout: true });
        assert.equal(c.n, 1);
      },
      async () => {
        c.m = 1;
        b.setReadDeadline(late());
      },
      async () => {
        await pause();
        await assert.rejects(b.read(new Uint8Array(1)), { timeout: true });
        assert.equal(c.m, 1);
      },
    );
    await a.close();
    await b.close();
  },
  async "the close of what others read, write and accept"() {
    const c = shared({ n: 0 });
    const [a, b] = pipe();
    const peer = await listen("tcp", "127.0.0.1:0");
    const order = new Order();
    const closed = { code: "ERR_CLOSED" };
    await together(
      async () => {
        await pause();
        c.n = 1;
        await Promise.all([a.close(), peer.close()]);
        order.step();
      },
      async () => {
        await assert.rejects(a.read(new Uint8Array(1)), closed);
        assert.equal(c.n, 1);
      },
      async () => {
        await assert.rejects(peer.accept(), closed);
        assert.equal(c.n, 1);
      },
      async () => {
        await order.after(1);
        await assert.rejects(a.write(new Uint8Array(1)), closed);
        assert.equal(c.n, 1);
      },
      async () => {
        await order.after(1);
        await assert.rejects(peer.accept(), closed);
        assert.equal(c.n, 1);
      },
    );
    await b.close();
  },
  async "a lock made of an atomic's compare-and-swap"() {
    const c = shared({ n: 0 });
    const state = new AtomicInt32(0);
    const add = async () => {
      while (!state.compareAndSwap(0, 1)) await pause();
      const { n } = c;
      await pause();
      c.n = n + 1;
      state.store(0);
    };
    await together(add, add, add);
    assert.equal(c.n, 3);
  },
  async "a row of a table that says that all is ready"() {
    const c = shared({ n: 0 });
    const table = new Table({ rows: 8, columns: { n: "int32" } });
    await together(
      async () => {
        await pause();
        c.n = 1;
        table.set("ready", { n: 1 });
      },
      async () => {
        while (!table.has("ready")) await pause();
        assert.equal(c.n, 1);
        c.n = 2;
        table.incr("ready", "n");
      },
      async () => {
        while (table.get("ready", "n") !== 2) await pause();
        assert.equal(c.n, 2);
        c.n = 3;
        table.delete("ready");
      },
      async () => {
        await sleep(30);
        while (table.size > 0) await pause();
        assert.equal(c.n, 3);
      },
    );
  },
  async "a message on a channel between threads"() {
    const c = shared({ n: 0 });
    const ch = new SharedChan<number>({ capacity: 1 });
    await together(
      async () => {
        await pause();
        c.n = 1;
        await ch.send(1);
      },
      async () => {
        await ch.receive();
        assert.equal(c.n, 1);
      },
    );
    ch.close();
  },
  async "members of an errgroup that wait for a place"() {
    const c = shared({ n: 0 });
    const group = new ErrGroup({ limit: 1 });
    for (let i = 1; i < 4; i++) {
      c.n = 0;
      await group.go(async () => pause());
    }
    await group.wait();
    assert.equal(c.n, 0);
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
