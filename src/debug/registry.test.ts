/** registry.test.ts: who runs, who waits, who started whom; and what is found that began before. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { tcpPair } from "../../testing/conns.ts";
import { turn } from "../../testing/support.ts";
import { Chan } from "../chan/chan.ts";
import { pipe } from "../net/pipe.ts";
import { go } from "../runtime/goroutine.ts";
import { gosched, sleep } from "../time/sleep.ts";
import { setLabels } from "./labels.ts";
import {
  allWaits,
  isWatching,
  knownOf,
  labelsOf,
  openEndpoints,
  queuedGoroutines,
  watchGoroutines,
} from "./registry.ts";
import { framesOf, stackOfWaiter } from "./stacks.ts";
import { currentGoroutine, trackGoroutines } from "./who.ts";

describe("who runs", () => {
  test("is the goroutine itself, across awaits of every kind", async () => {
    const untrack = trackGoroutines();
    const chan = new Chan<number>();
    const seen: boolean[] = [];
    const g = go(async () => {
      const note = (): void => {
        seen.push(currentGoroutine() === g);
      };
      note();
      await Promise.resolve();
      note();
      await chan.receive();
      note();
      await sleep(1);
      note();
      await gosched();
      note();
      await turn();
      note();
    });
    const other = go(async (): Promise<unknown> => {
      await chan.send(1);
      return currentGoroutine();
    });
    await g.join();
    assert.equal(await other.join(), other);
    assert.deepEqual(seen, Array(6).fill(true));
    assert.equal(currentGoroutine(), undefined);
    untrack();
  });

  test("is nobody while nobody asks, and for what was started before", async () => {
    const chan = new Chan<number>();
    const early = go(async () => {
      await chan.receive();
      return currentGoroutine();
    });
    await turn();
    const [one, two] = [trackGoroutines(), trackGoroutines()];
    one();
    one();
    chan.trySend(1);
    assert.equal(await early.join(), undefined);
    const late = go(() => currentGoroutine());
    assert.equal(await late.join(), late);
    two();
    assert.equal(await go(() => currentGoroutine()).join(), undefined);
  });
});

describe("the registry", () => {
  let unwatch = (): void => {};
  before(() => {
    unwatch = watchGoroutines();
  });
  after(() => {
    unwatch();
    assert.equal(isWatching(), false);
    assert.deepEqual(allWaits(), []);
  });

  test("has the waits in the order in which they began, whichever ends first", async () => {
    const chans = [1, 2, 3, 4].map(() => new Chan<number>());
    const waiting = (): object[] =>
      allWaits()
        .map(({ object }) => object)
        .filter((object) => chans.includes(object as Chan<number>));
    for (const chan of chans) go(() => chan.receive());
    await turn();
    assert.deepEqual(waiting(), chans);
    for (const i of [2, 3, 0]) {
      chans[i]?.close();
      await turn();
    }
    assert.deepEqual(waiting(), [chans[1]]);
    go(() => chans[2]?.receive({ signal: AbortSignal.abort() }))
      .join()
      .catch(() => {});
    chans[1]?.close();
    await turn();
    assert.deepEqual(waiting(), []);
  });

  test("knows who started whom, and gives labels on", async () => {
    const parent = go(async function parent() {
      setLabels({ route: "/a" });
      const started = go(async function child() {
        setLabels({ user: "b" });
        await turn();
      });
      await started.join();
      return [started, labelsOf(started)] as const;
    });
    const [child, labels] = await parent.join();
    assert.deepEqual(knownOf(child)?.parent, { id: parent.id, name: "parent" });
    assert.deepEqual(labels, { route: "/a", user: "b" });
    assert.deepEqual(labelsOf(parent), { route: "/a" });
    assert.equal(knownOf(parent)?.parent, undefined);
  });

  test("has who stands in the run queue", async () => {
    const g = go(async () => {
      await gosched();
    });
    await Promise.resolve();
    assert.deepEqual([...queuedGoroutines()], [g]);
    await g.join();
    assert.equal(queuedGoroutines().size, 0);
  });

  test("has the conns and listeners that are open, and who opened them", async () => {
    const ends = await go(async () => pipe()).join();
    const mine = openEndpoints().filter(({ endpoint }) => ends.includes(endpoint as never));
    assert.equal(mine.length, 2);
    for (const end of ends) await end.close();
    assert.ok(!openEndpoints().some(({ endpoint }) => ends.includes(endpoint as never)));
  });
});

describe("what began before anybody looked", () => {
  test("is found where it waits for I/O, with its line; who it is, is unknown", async () => {
    await using pair = await tcpPair();
    const g = go(async function early() {
      await pair.a.read(new Uint8Array(1));
    });
    await turn();
    const unwatch = watchGoroutines();
    const wait = allWaits().find(({ object }) => object === pair.a);
    assert.equal(wait?.kind, "read");
    assert.equal(wait?.goroutine, undefined);
    const frames = framesOf(await stackOfWaiter(wait?.waiter as object));
    assert.match(String(frames[0]), /^early \(.*registry\.test/);
    await pair.b.write("x");
    await g.join();
    assert.ok(!allWaits().some(({ object }) => object === pair.a));
    unwatch();
  });
});

describe("a stack that is asked for afterwards", () => {
  test("has all async functions up to the goroutine's own, and the wait goes on", async () => {
    const unwatch = watchGoroutines();
    const chan = new Chan<number>();
    const inner = async (): Promise<unknown> => (await chan.receive())[0];
    async function outer(): Promise<unknown> {
      const [value] = await Promise.all([inner()]);
      return value;
    }
    const g = go(outer);
    await turn();
    const waiter = allWaits().find(({ object }) => object === chan)?.waiter as object;
    const stacks = await Promise.all([stackOfWaiter(waiter), stackOfWaiter(waiter)]);
    assert.equal(stacks[0], stacks[1]);
    const frames = framesOf(stacks[0] as string);
    assert.match(String(frames[0]), /^inner /);
    assert.match(String(frames.at(-1)), /^outer /);
    await chan.send(7);
    assert.equal(await g.join(), 7);
    unwatch();
  });

  test("loses no wake-up that comes in the same moment, and no cancellation", async () => {
    const unwatch = watchGoroutines();
    const chan = new Chan<number>();
    const stop = new AbortController();
    const received = chan.receive();
    const canceled = chan.receive({ signal: stop.signal });
    const stacks = allWaits()
      .filter(({ object }) => object === chan)
      .map(({ waiter }) => stackOfWaiter(waiter));
    assert.equal(stacks.length, 2);
    chan.trySend(1);
    stop.abort();
    assert.deepEqual(await received, [1, true]);
    await assert.rejects(canceled, { code: "ERR_CANCELED" });
    await Promise.all(stacks);
    unwatch();
  });
});
