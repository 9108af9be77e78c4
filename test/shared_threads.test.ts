/**
 * shared_threads.test.ts: threads that work on the same channels, counters and tables.
 *
 *   CORONET_SEED=1234              repeats a run
 *   CORONET_TERMINATIONS=500       terminates so many threads
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { before, describe, type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { AtomicInt32, SharedChan, Table } from "../src/index.ts";
import type { Random } from "../src/internal/random.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { thread } from "../src/shared/memory.ts";
import { openFds } from "../testing/leaks.ts";
import { seeded, turn } from "../testing/support.ts";
import { programPath, run } from "./child.ts";
import type { Item, SharedColumns, SharedWork } from "./programs/shared_worker.ts";

const TERMINATIONS = Number(process.env.CORONET_TERMINATIONS ?? 50);
const THREADS = 4;

class World {
  readonly items: SharedChan<Item>;
  readonly tokens: [SharedChan<number>, SharedChan<number>];
  readonly rest = new SharedChan<number>({ capacity: 1000 });
  readonly counter = new AtomicInt32(0);
  readonly table = new Table<SharedColumns>({
    rows: 64,
    columns: { n: "int32", sum: "float64", name: "string:32" },
  });
  private readonly random: Random;

  constructor(t: TestContext, capacity: number, bytes: number) {
    this.random = seeded(t);
    this.items = new SharedChan<Item>({ capacity, bytes });
    this.tokens = [new SharedChan({ capacity: 3 }), new SharedChan({ capacity: 2 })];
  }

  start(mode: SharedWork["mode"], thread: number, count: number): Worker {
    const workerData: SharedWork = {
      mode,
      thread,
      count,
      seed: this.random.next() >>> 0,
      items: this.items.handle,
      tokens: this.tokens.map((chan) => chan.handle),
      rest: this.rest.handle,
      counter: this.counter.handle,
      table: this.table.handle,
    };
    return new Worker(programPath("shared_worker"), { workerData });
  }

  startAll(mode: SharedWork["mode"], count: number): Worker[] {
    return Array.from({ length: THREADS }, (_, i) => this.start(mode, i, count));
  }
}

async function answerOf(worker: Worker): Promise<unknown> {
  const [answer] = await once(worker, "message");
  return answer;
}

async function ended(workers: readonly Worker[]): Promise<void> {
  await Promise.all(
    workers.map((worker) => (worker.threadId === -1 ? undefined : once(worker, "exit"))),
  );
}

describe("four threads", () => {
  for (const [capacity, bytes] of [
    [1, 1024],
    [16, 2048],
    [1000, 65_536],
  ] as const) {
    test(`receive every item once, each producer's in order (room for ${capacity})`, async (t) => {
      const count = 1000;
      const world = new World(t, capacity, bytes);
      world.counter.store(THREADS * 2);
      const workers = world.startAll("produce and consume", count);
      const answers = (await Promise.all(workers.map(answerOf))) as [number, number][][][];
      const seen = new Map<number, Set<number>>();
      for (const list of answers.flat()) {
        const last = new Map<number, number>();
        for (const [producer, n] of list) {
          assert.ok(n > (last.get(producer) ?? -1), `producer ${producer}: ${n} comes too late`);
          last.set(producer, n);
          const numbers = seen.get(producer) ?? new Set();
          assert.ok(!numbers.has(n), `producer ${producer}: ${n} came twice`);
          seen.set(producer, numbers.add(n));
        }
      }
      assert.equal(seen.size, THREADS * 2);
      for (const numbers of seen.values()) assert.equal(numbers.size, count);
      assert.equal(world.items.length, 0);
      await ended(workers);
    });
  }

  test("move tokens through selects: none is lost, none is doubled", async (t) => {
    const world = new World(t, 1, 1024);
    const workers = world.startAll("pass tokens", 2000);
    const answers = workers.map(answerOf);
    const given = Array.from({ length: 12 }, (_, i) => i);
    for (const token of given) await world.tokens[token % 2]?.send(token);
    const moved = (await Promise.all(answers)) as number[];
    assert.ok(moved.reduce((sum, n) => sum + n, 0) > given.length);
    const left: number[] = [];
    for (const chan of [...world.tokens, world.rest]) {
      for (let got = chan.tryReceive(); got?.[1] === true; got = chan.tryReceive()) {
        left.push(got[0]);
      }
    }
    assert.deepEqual(
      left.sort((a, b) => a - b),
      given,
    );
    await ended(workers);
  });

  test("learn of the end, however they wait", async (t) => {
    const world = new World(t, 1, 1024);
    const [empty, full] = world.tokens;
    await full.send(0);
    await full.send(0);
    const workers = world.startAll("wait for the end", 0);
    assert.deepEqual(await Promise.all(workers.map(answerOf)), Array(THREADS).fill("waits"));
    const answers = workers.map(answerOf);
    empty.close();
    full.close();
    for (const answer of await Promise.all(answers)) {
      assert.deepEqual(answer, [
        "[null,false]",
        "[null,false]",
        '{"done":true}',
        '{"case":"empty","ok":false}',
        "ERR_CHAN_CLOSED",
        "ERR_CHAN_CLOSED",
        "ERR_CHAN_CLOSED",
      ]);
    }
    assert.equal(full.length, 2);
    await ended(workers);
  });

  test("count exactly, and wake who waits for the sum", async (t) => {
    const world = new World(t, 1, 1024);
    const count = 20_000;
    const workers = world.startAll("count", count);
    for (let sum = 0; sum < THREADS * count; ) sum = await world.counter.wait(sum);
    let total = 0;
    for (let i = 0; i < 7; i++) total += world.table.get(`key ${i}`, "n") ?? 0;
    assert.equal(total, THREADS * count);
    assert.equal(world.table.get("all", "sum"), (THREADS * count) / 2);
    await ended(workers);
  });
});

describe("threads that are terminated", () => {
  before(async () => {
    runtime().start();
    const worker = new Worker("", { eval: true });
    await once(worker, "exit");
  });

  test(`at any moment, ${TERMINATIONS} of them, leave no lock, no fd, and no one behind`, async (t) => {
    const fds = openFds().size;
    const world = new World(t, 8, 4096);
    const random = seeded(t);
    const one = async (n: number): Promise<void> => {
      const worker = world.start("churn", n, 0);
      const failed: unknown[] = [];
      worker.on("error", (error) => failed.push(error));
      const exit = once(worker, "exit");
      if (random.chance(0.9)) await Promise.race([once(worker, "message"), exit]);
      const until = performance.now() + random.below(30);
      while (performance.now() < until) await turn();
      await worker.terminate();
      await exit;
      assert.deepEqual(failed, []);
    };
    const lane = async (first: number): Promise<void> => {
      for (let n = first; n < TERMINATIONS; n += 3) {
        await one(n);
        await survives(world);
      }
    };
    await Promise.all([lane(0), lane(1), lane(2)]);
    for (let got = world.items.tryReceive(); got?.[1] === true; got = world.items.tryReceive());
    // Nobody else is left: what is sent arrives, in order.
    for (let n = 0; n < 20; n++) {
      await world.items.send({ producer: -1, n, body: new Uint8Array(n * 50) });
      assert.equal((await world.items.receive())[0]?.n, n);
    }
    assert.equal(thread().waiting.size, 0);
    const giveUp = Date.now() + 10_000;
    while (openFds().size > fds && Date.now() < giveUp) await turn();
    assert.ok(openFds().size <= fds, `${fds} fds before, now ${[...openFds().values()]}`);
  });

  /** Others may be at work on all of it: whatever it is, it goes on. */
  async function survives({ items, tokens, table, counter }: World): Promise<void> {
    const item = { producer: -1, n: 0, body: new Uint8Array(100) };
    await Promise.all([items.send(item), items.receive()]);
    await Promise.all([tokens[0].send(1), tokens[0].receive()]);
    for (let i = 0; i < 20; i++) table.incr(`row ${i}`, "n");
    counter.add(1);
    counter.notify();
  }

  test("hand on what they were woken for and had not received", async (t) => {
    const world = new World(t, 8, 4096);
    const [chan] = world.tokens;
    for (let round = 0; round < 6; round++) {
      const worker = world.start("wait for one", round, 0);
      assert.equal(await answerOf(worker), "waits");
      const here = chan.receive();
      // One of the two is woken. When it is the other one, that has to end before it comes here.
      await chan.send(round);
      await worker.terminate();
      assert.deepEqual(await here, [round, true]);
    }
  });
});

describe("a process", { concurrency: 2 }, () => {
  const says = {
    "waits for another thread": { status: 0, stdout: "got 42\n" },
    "nobody waits": { status: 0, stdout: "end\n" },
    "waits in a select": { status: 0, stdout: "got 42\n" },
    "waits for a counter": { status: 0, stdout: "got 1\n" },
    "deadlock beside a shared channel": { status: 2, stdout: "" },
  };
  for (const [name, { status, stdout }] of Object.entries(says)) {
    test(`that does this: ${name}`, async () => {
      const end = await run("shared_liveness", [name]);
      assert.equal(end.status, status, end.stderr);
      assert.equal(end.stdout, stdout);
      assert.equal(end.stderr.includes("deadlock"), status === 2);
    });
  }
});
