/** rwmutex.test.ts: many readers or one writer, and who goes first. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seeded, staysPending, turn } from "../../testing/support.ts";
import { go } from "../runtime/goroutine.ts";
import { RWMutex } from "./rwmutex.ts";

const misuse = { name: "SyncError", code: "ERR_SYNC_MISUSE" };

/** Goroutines whose steps are written down. */
class Steps {
  readonly order: string[] = [];
  readonly mu = new RWMutex();
  private readonly ends: (() => void)[] = [];

  async read(name: string): Promise<void> {
    using _ = await this.mu.rlock();
    await this.stay(name);
  }

  async write(name: string): Promise<void> {
    using _ = await this.mu.lock();
    await this.stay(name);
  }

  /** Lets the one that has been inside for the longest leave, and waits until that has had its effect. */
  async leave(): Promise<void> {
    this.ends.shift()?.();
    await turn();
  }

  private stay(name: string): Promise<void> {
    this.order.push(name);
    return new Promise((resolve) => this.ends.push(resolve));
  }
}

describe("an RWMutex", () => {
  test("is held by any number of readers, or by one writer", async () => {
    const mu = new RWMutex();
    await mu.rlock();
    await mu.rlock();
    assert.equal(mu.tryLock(), undefined);
    const writing = mu.lock();
    mu.runlock();
    assert.ok(await staysPending(writing));
    mu.runlock();
    await writing;
    assert.equal(mu.tryRLock(), undefined);
    assert.equal(mu.tryLock(), undefined);
    mu.unlock();
    assert.ok(mu.tryRLock() !== undefined);
  });

  test("holds new readers back while a writer waits, and goes to the writer first", async () => {
    const steps = new Steps();
    void steps.read("reader 0");
    await turn();
    void steps.write("writer");
    for (const n of [1, 2, 3]) void steps.read(`reader ${n}`);
    await turn();
    assert.deepEqual(steps.order, ["reader 0"]);
    await steps.leave();
    assert.deepEqual(steps.order, ["reader 0", "writer"]);
    await steps.leave();
    assert.deepEqual(steps.order, ["reader 0", "writer", "reader 1", "reader 2", "reader 3"]);
  });

  test("goes to all readers that wait, also to those who came after the next writer", async () => {
    const steps = new Steps();
    void steps.write("writer 1");
    await turn();
    void steps.read("reader 1");
    void steps.write("writer 2");
    void steps.read("reader 2");
    await turn();
    await steps.leave();
    assert.deepEqual(steps.order, ["writer 1", "reader 1", "reader 2"]);
    void steps.read("reader 3");
    await turn();
    assert.equal(steps.order.length, 3, "a reader that comes now waits behind the writer");
    await steps.leave();
    assert.equal(steps.order.length, 3);
    await steps.leave();
    assert.deepEqual(steps.order.slice(3), ["writer 2"]);
    await steps.leave();
    assert.deepEqual(steps.order.slice(4), ["reader 3"]);
    await steps.leave();
  });

  test("goes from writer to writer in the order in which they came", async () => {
    const steps = new Steps();
    for (const n of [1, 2, 3]) void steps.write(`writer ${n}`);
    await turn();
    for (let i = 0; i < 3; i++) await steps.leave();
    assert.deepEqual(steps.order, ["writer 1", "writer 2", "writer 3"]);
    assert.ok(steps.mu.tryLock() !== undefined);
  });

  test("lets the readers go on that a canceled writer held back", async () => {
    const mu = new RWMutex();
    const controller = new AbortController();
    await mu.rlock();
    const writing = mu.lock({ signal: controller.signal });
    const reading = mu.rlock();
    assert.ok(await staysPending(reading));
    controller.abort();
    await assert.rejects(writing, { code: "ERR_CANCELED" });
    await reading;
    mu.runlock();
    mu.runlock();
    assert.ok(mu.tryLock() !== undefined);
  });

  test("still holds readers back when one of two waiting writers gives up", async () => {
    const mu = new RWMutex();
    const controller = new AbortController();
    await mu.rlock();
    const first = mu.lock({ signal: controller.signal });
    const second = mu.lock();
    const reading = mu.rlock();
    controller.abort();
    await assert.rejects(first, { code: "ERR_CANCELED" });
    assert.ok(await staysPending(reading));
    mu.runlock();
    await second;
    mu.unlock();
    await reading;
  });

  test("is held up for ever by a read lock inside a read lock with a writer in between", async () => {
    const mu = new RWMutex();
    await mu.rlock();
    const writing = mu.lock();
    const again = mu.rlock();
    assert.ok(await staysPending(Promise.race([writing, again])));
  });

  test("makes what a writer did known to readers, and what readers did to the next writer", async () => {
    const mu = new RWMutex();
    const log: string[] = [];
    await mu.lock();
    const reader = go(async () => {
      using _ = await mu.rlock();
      log.push("read");
      return log.length;
    });
    await turn();
    log.push("written");
    const writer = go(async () => {
      using _ = await mu.lock();
      return log.length;
    });
    await turn();
    mu.unlock();
    assert.deepEqual([await reader.join(), await writer.join()], [2, 2]);
  });

  test("throws when it is unlocked and nobody holds that side of it", async () => {
    const mu = new RWMutex();
    assert.throws(() => mu.unlock(), { ...misuse, message: "unlock of unlocked RWMutex" });
    assert.throws(() => mu.runlock(), { ...misuse, message: "runlock of unlocked RWMutex" });
    await mu.rlock();
    assert.throws(() => mu.unlock(), misuse);
    mu.runlock();
    await mu.lock();
    assert.throws(() => mu.runlock(), misuse);
    mu.unlock();
    assert.throws(() => mu.unlock(), misuse);
  });
});

describe("the guards of an RWMutex", () => {
  test("that are disposed of twice leave alone who holds the lock by then", async () => {
    const mu = new RWMutex();
    const writer = await mu.lock();
    const waiting = mu.lock();
    writer[Symbol.dispose]();
    writer[Symbol.dispose]();
    const next = await waiting;
    writer[Symbol.dispose]();
    assert.equal(mu.tryRLock(), undefined, "the second writer holds it");
    next[Symbol.dispose]();
    const a = await mu.rlock();
    const b = await mu.rlock();
    a[Symbol.dispose]();
    a[Symbol.dispose]();
    assert.equal(mu.tryLock(), undefined, "the second reader holds it");
    b[Symbol.dispose]();
    await mu.rlock();
    a[Symbol.dispose]();
    b[Symbol.dispose]();
    assert.equal(mu.tryLock(), undefined, "a reader without a guard holds it");
    mu.runlock();
    assert.ok(mu.tryLock() !== undefined);
  });

  test("of readers that come at the same time are told apart", async () => {
    const mu = new RWMutex();
    const guards = await Promise.all([mu.rlock(), mu.rlock(), mu.rlock()]);
    assert.equal(new Set(guards).size, 3);
    for (const guard of guards) {
      assert.equal(mu.tryLock(), undefined);
      guard[Symbol.dispose]();
    }
    assert.ok(mu.tryLock() !== undefined);
  });

  test("cannot be undercut by runlock: the share of a guard is the guard's", async () => {
    const mu = new RWMutex();
    using _ = await mu.rlock();
    assert.throws(() => mu.runlock(), { ...misuse, message: /by their guards/ });
    await mu.rlock();
    mu.runlock();
    assert.throws(() => mu.runlock(), misuse);
  });
});

test("any mixture of readers and writers excludes what it should", async (t) => {
  const random = seeded(t);
  const mu = new RWMutex();
  let readers = 0;
  let writers = 0;
  let most = 0;
  let gaveUp = 0;
  async function stay(): Promise<void> {
    assert.ok(writers === 0 || (writers === 1 && readers === 0), `${readers} and ${writers}`);
    most = Math.max(most, readers);
    for (let i = random.below(4); i > 0; i--) await null;
  }
  async function read(signal: AbortSignal): Promise<void> {
    const byGuard = random.chance(0.5);
    const guard = await mu.rlock({ signal });
    readers++;
    using _ = byGuard ? guard : undefined;
    await stay();
    readers--;
    if (!byGuard) mu.runlock();
  }
  async function write(signal: AbortSignal): Promise<void> {
    using _ = await mu.lock({ signal });
    writers++;
    await stay();
    writers--;
  }
  async function worker(): Promise<void> {
    for (let i = 0; i < 60; i++) {
      const controller = new AbortController();
      if (random.chance(0.2)) queueMicrotask(() => controller.abort());
      await (random.chance(0.7) ? read : write)(controller.signal).catch((error) => {
        assert.equal(error.code, "ERR_CANCELED", error);
        gaveUp++;
      });
    }
  }
  await Promise.all(Array.from({ length: 20 }, () => go(worker).join()));
  assert.ok(most > 1 && gaveUp > 10, `${most} readers at once, ${gaveUp} canceled`);
  assert.ok(mu.tryLock() !== undefined);
});
