/** mutex.test.ts: mutual exclusion, fact by fact. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seeded, staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { runtime } from "../runtime/runtime.ts";
import { Mutex } from "./mutex.ts";

const unlocked = {
  name: "SyncError",
  code: "ERR_SYNC_MISUSE",
  message: "unlock of unlocked Mutex",
};

describe("a Mutex", () => {
  test("keeps others out of a stretch with awaits inside", async () => {
    const mu = new Mutex();
    let inside = 0;
    let most = 0;
    let total = 0;
    const work = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await mu.lock();
        most = Math.max(most, ++inside);
        const before = total;
        await null;
        total = before + 1;
        inside--;
        mu.unlock();
      }
    };
    await Promise.all(Array.from({ length: 10 }, () => go(work).join()));
    assert.deepEqual({ most, total, locked: mu.locked }, { most: 1, total: 200, locked: false });
  });

  test("goes to those who wait in the order in which they came", async () => {
    const mu = new Mutex();
    const order: number[] = [];
    await mu.lock();
    const waiting = Array.from({ length: 5 }, async (_, i) => {
      await mu.lock();
      order.push(i);
      mu.unlock();
    });
    mu.unlock();
    await Promise.all(waiting);
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  });

  test("is handed over by unlock: nobody overtakes the one that waits", async () => {
    const mu = new Mutex();
    await mu.lock();
    const first = mu.lock();
    mu.unlock();
    assert.ok(mu.locked);
    assert.equal(mu.tryLock(), undefined);
    const overtaker = mu.lock();
    await first;
    assert.ok(await staysPending(overtaker));
    mu.unlock();
    await overtaker;
  });

  test("throws when it is unlocked and nobody holds it, and can be used on", async () => {
    const mu = new Mutex();
    assert.throws(() => mu.unlock(), unlocked);
    await mu.lock();
    mu.unlock();
    assert.throws(() => mu.unlock(), unlocked);
    assert.ok(!mu.locked);
    await mu.lock();
    assert.ok(mu.locked);
  });

  test("makes what happened before unlock known to the next holder", async () => {
    const mu = new Mutex();
    let message = "";
    await mu.lock();
    const reader = go(async () => {
      using _ = await mu.lock();
      return message;
    });
    await turn();
    message = "written under the lock";
    mu.unlock();
    assert.equal(await reader.join(), "written under the lock");
  });

  test("is taken by tryLock only when it is free", async () => {
    const mu = new Mutex();
    {
      using held = mu.tryLock();
      assert.ok(held !== undefined && mu.locked);
      assert.equal(mu.tryLock(), undefined);
    }
    assert.ok(!mu.locked);
  });

  test("is not consumed by a canceled lock: the next one in line gets it", async () => {
    const mu = new Mutex();
    const controller = new AbortController();
    const order: string[] = [];
    await mu.lock();
    const lock = async (name: string, signal?: AbortSignal): Promise<void> => {
      await mu.lock({ signal });
      order.push(name);
      mu.unlock();
    };
    const a = lock("a");
    const b = lock("b", controller.signal);
    const c = lock("c");
    controller.abort();
    await assert.rejects(b, { code: "ERR_CANCELED" });
    assert.ok(mu.locked);
    mu.unlock();
    await Promise.all([a, c]);
    assert.deepEqual(order, ["a", "c"]);
    assert.ok(!mu.locked);
  });

  test("is free after its last waiter was canceled and its holder has left", async () => {
    const mu = new Mutex();
    const controller = new AbortController();
    await mu.lock();
    const canceled = mu.lock({ signal: controller.signal });
    controller.abort();
    mu.unlock();
    await assert.rejects(canceled, { code: "ERR_CANCELED" });
    assert.ok(!mu.locked);
  });
});

describe("the guard of a Mutex", () => {
  test("unlocks at the end of its scope, also when that throws", async () => {
    const mu = new Mutex();
    const work = async (): Promise<void> => {
      using _ = await mu.lock();
      throw new Error("in the middle");
    };
    await assert.rejects(work(), /in the middle/);
    assert.ok(!mu.locked);
  });

  test("that is disposed of twice leaves alone who holds the lock by then", async () => {
    const mu = new Mutex();
    const first = await mu.lock();
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    const second = await mu.lock();
    first[Symbol.dispose]();
    assert.ok(mu.locked, "held by the guard of the second");
    second[Symbol.dispose]();
    await mu.lock();
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    assert.ok(mu.locked, "held without a guard");
    mu.unlock();
    const tried = mu.tryLock();
    first[Symbol.dispose]();
    assert.ok(mu.locked && tried !== undefined, "held by tryLock");
  });

  test("that is disposed of twice leaves alone who was handed the lock", async () => {
    const mu = new Mutex();
    const first = await mu.lock();
    const waiting = mu.lock();
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    const second = await waiting;
    assert.ok(mu.locked);
    first[Symbol.dispose]();
    assert.ok(mu.locked);
    second[Symbol.dispose]();
    assert.ok(!mu.locked);
  });

  test("does nothing at the end of its scope when unlock was called inside", async () => {
    const mu = new Mutex();
    const other = go(async () => {
      await turn();
      using _ = await mu.lock();
      await turn();
      await turn();
      return mu.locked;
    });
    {
      using _ = await mu.lock();
      mu.unlock();
      await turn();
      await turn();
    }
    assert.ok(await other.join());
    assert.ok(!mu.locked);
  });

  test("is used again only if nobody has looked at it", async () => {
    const mu = new Mutex();
    const seen = mu.lock();
    await seen;
    mu.unlock();
    assert.equal(mu.lock(), seen, "a lock without a guard costs no new promise");
    const held = await seen;
    held[Symbol.dispose]();
    const next = mu.lock();
    assert.notEqual(next, seen);
    assert.notEqual(await next, held);
  });
});

describe("goroutines that keep a Mutex busy", () => {
  /** How many locks two goroutines get in while a timer of the host fires. */
  async function during(work: (mu: Mutex, over: () => boolean) => Promise<void>): Promise<void> {
    const mu = new Mutex();
    let over = false;
    setTimeout(() => {
      over = true;
    }, 1);
    const exhausted = runtime().sched.exhausted;
    await Promise.all([go(work, mu, () => over).join(), go(work, mu, () => over).join()]);
    assert.ok(runtime().sched.exhausted > exhausted);
  }

  test("leave turns to the host while nobody else wants it", () =>
    during(async (mu, over) => {
      while (!over()) {
        await mu.lock();
        mu.unlock();
      }
    }));

  test("leave turns to the host while they hand it to each other", () =>
    during(async (mu, over) => {
      while (!over()) {
        await mu.lock();
        await null;
        mu.unlock();
      }
    }));
});

test("any mixture of locks, tries, guards and cancellations has one holder at a time", async (t) => {
  const random = seeded(t);
  const mu = new Mutex();
  let holders = 0;
  let got = 0;
  let gaveUp = 0;
  async function hold(): Promise<void> {
    assert.equal(++holders, 1);
    got++;
    for (let i = random.below(3); i > 0; i--) await null;
    if (random.chance(0.1)) await turn();
    holders--;
  }
  async function one(): Promise<void> {
    const controller = new AbortController();
    if (random.chance(0.3)) queueMicrotask(() => controller.abort());
    const way = random.below(3);
    if (way === 0) {
      using held = mu.tryLock();
      if (held !== undefined) await hold();
    } else if (way === 1) {
      using _ = await mu.lock({ signal: controller.signal });
      await hold();
    } else {
      await mu.lock({ signal: controller.signal });
      await hold();
      mu.unlock();
    }
  }
  async function worker(): Promise<void> {
    for (let i = 0; i < 50; i++) {
      await one().catch((error) => {
        assert.equal(error.code, "ERR_CANCELED", error);
        gaveUp++;
      });
    }
  }
  await Promise.all(Array.from({ length: 20 }, () => go(worker).join()));
  assert.ok(got > 100 && gaveUp > 10, `${got} locks, ${gaveUp} canceled`);
  assert.ok(!mu.locked);
});
