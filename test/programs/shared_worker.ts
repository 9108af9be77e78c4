/** A worker thread that works on what it shares with others. Its workerData says what it does. */
import { parentPort, workerData } from "node:worker_threads";
import {
  type AtomicHandle,
  AtomicInt32,
  after,
  Chan,
  go,
  recv,
  SharedChan,
  type SharedChanHandle,
  select,
  send,
  Table,
  type TableHandle,
} from "../../src/index.ts";
import { Random } from "../../src/internal/random.ts";

/** A message of a producer, with bytes that can be checked. */
export interface Item {
  producer: number;
  n: number;
  body: Uint8Array;
}

export type SharedColumns = { n: "int32"; sum: "float64"; name: "string:32" };

export interface SharedWork {
  mode: keyof typeof modes;
  seed: number;
  thread: number;
  count: number;
  items: SharedChanHandle<Item>;
  tokens: SharedChanHandle<number>[];
  rest: SharedChanHandle<number>;
  counter: AtomicHandle<number>;
  table: TableHandle<SharedColumns>;
}

const work = workerData as SharedWork;
const random = new Random(work.seed);
const items = SharedChan.from(work.items);
const counter = AtomicInt32.from(work.counter);
const table = Table.from(work.table);

function report(value: unknown): void {
  parentPort?.postMessage(value);
}

export function makeItem(producer: number, n: number, length: number): Item {
  return { producer, n, body: new Uint8Array(length).fill(n & 0xff) };
}

export function isWhole({ n, body }: Item): boolean {
  return body.every((byte) => byte === (n & 0xff));
}

/** Sends `count` items, by every way there is; the last producer of all threads closes. */
async function produce(producer: number): Promise<void> {
  for (let n = 0; n < work.count; n++) {
    const item = makeItem(producer, n, random.below(200));
    const way = random.below(3);
    if (way === 0 && items.trySend(item)) continue;
    if (way === 1) {
      const got = await select({ out: send(items, item), late: after(random.below(3)) });
      if (got.case === "out") continue;
    }
    await items.send(item);
  }
  if (counter.sub(1) === 0) items.close();
}

/** Receives by every way there is; what it got, as producer and number. */
async function consume(got: [number, number][]): Promise<void> {
  const local = new Chan<number>();
  for (;;) {
    const way = random.below(4);
    let received = way === 0 ? items.tryReceive() : undefined;
    if (way === 1) {
      const chosen = await select({ item: recv(items), local: recv(local), late: after(1) });
      if (chosen.case === "item") received = chosen.ok ? [chosen.value, true] : [undefined, false];
    }
    received ??= await items.receive();
    if (!received[1]) return;
    if (!isWhole(received[0])) throw new Error("an item is damaged");
    got.push([received[0].producer, received[0].n]);
  }
}

const modes = {
  async "produce and consume"() {
    const got: [number, number][][] = [[], []];
    const producers = [0, 1].map((i) => go(produce, work.thread * 2 + i));
    const consumers = got.map((list) => go(consume, list));
    await Promise.all([...producers, ...consumers].map((g) => g.join()));
    report(got);
  },

  /** Moves tokens between two shared channels and one of its own; gives back what it holds. */
  async "pass tokens"() {
    const [a, b] = work.tokens.map((handle) => SharedChan.from(handle)) as [
      SharedChan<number>,
      SharedChan<number>,
    ];
    const own = new Chan<number>(2);
    const held: number[] = [];
    let moved = 0;
    for (let i = 0; i < work.count; i++) {
      const token = held[0];
      const out = token === undefined ? undefined : token;
      const got = await select({
        a: recv(a),
        b: recv(b),
        own: recv(own),
        toA: out === undefined ? undefined : send(a, out),
        toB: out === undefined ? undefined : send(b, out),
        toOwn: out === undefined ? undefined : send(own, out),
        late: after(1),
      });
      if (got.case === "a" || got.case === "b" || got.case === "own") {
        if (got.ok) held.push(got.value);
      } else if (got.case !== "late") {
        held.shift();
        moved++;
      }
    }
    for (let got = own.tryReceive(); got?.[1] === true; got = own.tryReceive()) held.push(got[0]);
    const rest = SharedChan.from(work.rest);
    for (const token of held) await rest.send(token);
    report(moved);
  },

  /** Waits on channels of which one is empty and one is full, in every way there is. */
  async "wait for the end"() {
    const [empty, full] = work.tokens.map((handle) => SharedChan.from(handle)) as [
      SharedChan<number>,
      SharedChan<number>,
    ];
    const word = (p: Promise<unknown>): Promise<string> =>
      p.then(JSON.stringify, (error: { code: string }) => error.code);
    const waits = [
      word(empty.receive()),
      word(empty.receive()),
      word(empty[Symbol.asyncIterator]().next()),
      word(select({ empty: recv(empty) })),
      word(full.send(1)),
      word(full.send(2)),
      word(select({ full: send(full, 3) })),
    ];
    report("waits");
    report(await Promise.all(waits));
  },

  /** Waits, but can never receive: the thread itself is stuck. */
  async "wait for one"() {
    const [chan] = work.tokens.map((handle) => SharedChan.from(handle));
    void chan?.receive();
    report("waits");
    for (;;);
  },

  async count() {
    for (let i = 0; i < work.count; i++) {
      table.incr(`key ${i % 7}`, "n");
      table.incr("all", "sum", 0.5);
      counter.add(1);
    }
    counter.notify();
    report("counted");
  },

  /** Everything at once, for ever: to be terminated at any moment. */
  async churn() {
    const tokens = work.tokens.map((handle) => SharedChan.from(handle));
    const send1 = async (): Promise<never> => {
      for (let n = 0; ; n++) await items.send(makeItem(work.thread, n, random.below(1500)));
    };
    const take = async (): Promise<void> => {
      for await (const item of items) if (!isWhole(item)) throw new Error("an item is damaged");
    };
    const choose = async (): Promise<never> => {
      for (;;) {
        const [a, b] = tokens as [SharedChan<number>, SharedChan<number>];
        await select({ a: recv(a), b: recv(b), toA: send(a, 1), toB: send(b, 2), late: after(1) });
      }
    };
    const wait = async (): Promise<never> => {
      for (;;) {
        counter.add(1);
        counter.notify();
        await counter.wait(counter.load());
      }
    };
    const rows = async (): Promise<never> => {
      for (;;) {
        const key = `row ${random.below(20)}`;
        table.incr(key, "n");
        table.set(key, { name: key, sum: random.below(100) });
        if (random.chance(0.3)) table.delete(key);
        await tokens[random.below(2)]?.receive({ signal: AbortSignal.timeout(1) }).catch(() => {});
      }
    };
    for (const fn of [send1, send1, take, take, choose, choose, wait, rows]) go(fn);
    report("ready");
    await new Promise(() => {});
  },
};

if (parentPort !== null) await modes[work.mode]();
