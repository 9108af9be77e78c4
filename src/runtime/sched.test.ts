/** sched.test.ts: turns, the run queue and the budget. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { drained } from "../../testing/fake_host.ts";
import type { Host } from "./host.ts";
import { Scheduler } from "./sched.ts";

/** What the budget of a turn is, and what an operation costs: the scheduler's own words. */
const BASE = 128;
const PER_GOROUTINE = 8;

class SoonHost implements Host {
  readonly queue: (() => void)[] = [];

  watch(): void {}
  ref(): void {}
  setTimer(): void {}

  soon(callback: () => void): void {
    this.queue.push(callback);
  }

  /** The host's next turn. */
  turn(): void {
    for (const callback of this.queue.splice(0)) callback();
  }
}

function setup(): { host: SoonHost; sched: Scheduler } {
  const host = new SoonHost();
  return { host, sched: new Scheduler(host) };
}

/** How many free operations complete at once before one has to wait. */
function affordable(sched: Scheduler, bytes = 0): number {
  const before = sched.exhausted;
  for (let n = 0; ; n++) {
    void sched.complete(n, bytes);
    if (sched.exhausted > before) return n;
  }
}

describe("the run queue", () => {
  test("asks the host for one further turn, however many wait", () => {
    const { host, sched } = setup();
    for (let i = 0; i < 5; i++) sched.enqueue({ ready: () => {} });
    assert.equal(sched.length, 5);
    assert.equal(host.queue.length, 1);
    host.turn();
    assert.equal(sched.length, 0);
    assert.equal(host.queue.length, 0);
  });

  test("wakes in the order of arrival", () => {
    const { host, sched } = setup();
    const order: number[] = [];
    for (let i = 0; i < 10; i++) sched.enqueue({ ready: () => order.push(i) });
    host.turn();
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("who comes while it runs waits for the turn after", () => {
    const { host, sched } = setup();
    const order: string[] = [];
    const again = (name: string): void => {
      order.push(name);
      if (order.length < 6) sched.enqueue({ ready: () => again(name) });
    };
    sched.enqueue({ ready: () => again("a") });
    sched.enqueue({ ready: () => again("b") });
    host.turn();
    assert.deepEqual(order, ["a", "b"]);
    assert.equal(host.queue.length, 1);
    host.turn();
    assert.deepEqual(order, ["a", "b", "a", "b"]);
  });

  test("wakes few at a time of those who do much, and the others in the turns after", async () => {
    const { host, sched } = setup();
    const order: number[] = [];
    /** A goroutine that writes 1 MiB again and again. */
    const write = async (name: number): Promise<void> => {
      while (order.length < 20) {
        order.push(name);
        await sched.complete(name, 1 << 20);
      }
    };
    for (let name = 0; name < 5; name++) void write(name);
    const woken: number[] = [];
    const light: number[] = [];
    for (let turn = 0; turn < 5; turn++) {
      const before = order.length;
      sched.enqueue({ ready: () => light.push(turn) });
      host.turn();
      await drained();
      woken.push(order.length - before);
      assert.ok(host.queue.length <= 1, "the host was asked twice");
    }
    // What they cost is known from the second turn on.
    assert.equal(woken[0], 5);
    assert.ok(
      woken.slice(1).every((n) => n >= 1 && n <= 2),
      `${woken}`,
    );
    const turns = order.slice(5).map((name, i) => [name, i % 5]);
    assert.ok(
      turns.every(([name, place]) => name === place),
      `${order}`,
    );
  });

  test("later() resolves in the next turn, with its value", async () => {
    const { host, sched } = setup();
    let value: string | undefined;
    void sched.later("done").then((got) => {
      value = got;
    });
    await drained();
    assert.equal(value, undefined);
    host.turn();
    await drained();
    assert.equal(value, "done");
  });
});

describe("the budget", () => {
  test("lets operations complete at once until it is used up", () => {
    const { host, sched } = setup();
    assert.equal(affordable(sched), BASE);
    assert.equal(sched.exhausted, 1);
    assert.equal(host.queue.length, 1);
  });

  test("is used up by bytes as well", () => {
    const { sched } = setup();
    assert.equal(affordable(sched, 64 * 1024), Math.floor(BASE / 65));
    sched.beginTurn(0);
    assert.equal(affordable(sched, 1024), BASE / 2);
  });

  test("is that of an operation on an fd also for a number of bytes", () => {
    const { sched } = setup();
    for (let n = 0; n < BASE; n++) void sched.completeBytes(5);
    assert.equal(sched.exhausted, 0);
    void sched.completeBytes(5);
    assert.equal(sched.exhausted, 1);
  });

  test("lasts sixteen times as long for operations in memory, but not for ever", () => {
    const { sched } = setup();
    let n = 0;
    while (sched.spend()) n++;
    assert.equal(n, BASE * 16);
    sched.beginTurn(0);
    for (let i = 0; i < BASE * 16; i++) void sched.completeLight(i);
    assert.equal(sched.exhausted, 0);
    void sched.completeLight(0);
    assert.equal(sched.exhausted, 1);
  });

  test("begins anew with every turn, and grows with the goroutines that it wakes", () => {
    const { sched } = setup();
    affordable(sched);
    for (const woken of [0, 1, 10, 100]) {
      sched.beginTurn(woken);
      assert.equal(affordable(sched), BASE + PER_GOROUTINE * woken);
    }
  });

  test("begins anew when the run queue runs", () => {
    const { host, sched } = setup();
    affordable(sched);
    host.turn();
    assert.equal(affordable(sched), BASE + PER_GOROUTINE);
  });

  test("what completes in time resolves in this turn, what does not in the next", async () => {
    const { host, sched } = setup();
    const order: string[] = [];
    for (let i = 0; i < BASE - 1; i++) void sched.complete(i, 0);
    void sched.complete("in time", 0).then((value) => order.push(value));
    void sched.complete("late", 0).then((value) => order.push(value));
    void sched.complete("later", 0).then((value) => order.push(value));
    void sched.completeBytes(7).then((n) => order.push(`${n} bytes`));
    await drained();
    assert.deepEqual(order, ["in time"]);
    host.turn();
    await drained();
    assert.deepEqual(order, ["in time", "late", "later", "7 bytes"]);
    assert.equal(sched.exhausted, 3);
  });

  test("a number of bytes is the right one, whichever was asked for before", async () => {
    const { sched } = setup();
    const numbers = [1, 1, 2, 1, 0, 0, 65_536, 1];
    assert.deepEqual(await Promise.all(numbers.map((n) => sched.completeBytes(n))), numbers);
  });
});

test("a firehose leaves its neighbours their turns", async () => {
  const { host, sched } = setup();
  let sprayed = 0;
  let stop = false;
  async function firehose(): Promise<void> {
    while (!stop) {
      await sched.complete(undefined, 64 * 1024);
      sprayed++;
    }
  }
  const done = firehose();
  const counts: number[] = [];
  for (let turn = 0; turn < 5; turn++) {
    await drained();
    counts.push(sprayed);
    host.turn();
  }
  stop = true;
  host.turn();
  await done;
  for (let i = 1; i < counts.length; i++) {
    const inOneTurn = (counts[i] as number) - (counts[i - 1] as number);
    assert.ok(inOneTurn >= 1 && inOneTurn <= 4, `${inOneTurn} operations of 64 KiB in one turn`);
  }
});

test("counts turns and goroutines", () => {
  const { host, sched } = setup();
  sched.beginTurn(3);
  sched.enqueue({ ready: () => {} });
  sched.enqueue({ ready: () => {} });
  host.turn();
  assert.equal(sched.turns, 2);
  assert.equal(sched.woken, 5);
});
