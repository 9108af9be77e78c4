/**
 * debug_waits.test.ts: every wait of the library stands in a dump: by its goroutine, with what it waits
 * for, on what, and in which line.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { dump, type GoroutineDump, watchGoroutines } from "../src/debug/index.ts";
import {
  AtomicInt32,
  after,
  background,
  Chan,
  Cond,
  connect,
  dial,
  ErrGroup,
  type Goroutine,
  go,
  listen,
  listenPacket,
  Mutex,
  nilChan,
  onceValue,
  pipe,
  RWMutex,
  recv,
  Semaphore,
  SharedChan,
  select,
  send,
  singleflight,
  sleep,
  Ticker,
  task,
  WaitGroup,
  withCancel,
} from "../src/index.ts";
import { tcpPair } from "../testing/conns.ts";
import { turn } from "../testing/support.ts";

/** What the goroutine does, and what ends its wait. */
interface Waiting {
  wait: () => Promise<unknown>;
  end: () => unknown;
}

type Scene = () => Waiting | Promise<Waiting>;

/** How the dump names the wait: its kind and its object. */
const table: readonly [name: string, kind: RegExp, object: RegExp, scene: Scene][] = [
  [
    "a read",
    /^read$/,
    /^tcp4? 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+$/,
    async () => {
      const pair = await tcpPair();
      return { wait: () => pair.a.read(new Uint8Array(1)), end: () => pair.close() };
    },
  ],
  [
    "a read behind another one",
    /^read$/,
    /^tcp/,
    async () => {
      const pair = await tcpPair();
      pair.a.read(new Uint8Array(1)).catch(() => {});
      return { wait: () => pair.a.read(new Uint8Array(1)), end: () => pair.close() };
    },
  ],
  [
    "a step of an iteration",
    /^read$/,
    /^tcp/,
    async () => {
      const pair = await tcpPair();
      const wait = async (): Promise<void> => {
        for await (const _ of pair.a);
      };
      return { wait, end: () => pair.close() };
    },
  ],
  [
    "a write",
    /^write$/,
    /^tcp/,
    async () => {
      const pair = await tcpPair();
      return { wait: () => pair.a.write(new Uint8Array(64 << 20)), end: () => pair.close() };
    },
  ],
  [
    "waitReadable",
    /^wait$/,
    /^tcp/,
    async () => {
      const pair = await tcpPair();
      return { wait: () => pair.a.waitReadable(), end: () => pair.close() };
    },
  ],
  [
    "a read of a pipe",
    /^read$/,
    /^pipe pipe->pipe$/,
    () => {
      const [a, b] = pipe();
      return {
        wait: () => a.read(new Uint8Array(1)),
        end: async () => {
          await a.close();
          await b.close();
        },
      };
    },
  ],
  [
    "an accept",
    /^accept$/,
    /^tcp4? 127\.0\.0\.1:\d+$/,
    async () => {
      const listener = await listen("tcp", "127.0.0.1:0");
      return { wait: () => listener.accept(), end: () => listener.close() };
    },
  ],
  [
    "a datagram",
    /^read$/,
    /^udp4? 127\.0\.0\.1:\d+$/,
    async () => {
      const socket = await listenPacket("udp", "127.0.0.1:0");
      return { wait: () => socket.readFrom(new Uint8Array(1)), end: () => socket.close() };
    },
  ],
  [
    "a name",
    /^resolve$/,
    /^somewhere\.example$/,
    () => {
      const found = new Chan<string[]>(1);
      const lookupHost = async (): Promise<string[]> => (await found.receive())[0] as string[];
      return {
        wait: () => dial("tcp", "somewhere.example:1", { resolver: { lookupHost } }),
        end: () => found.send([]),
      };
    },
  ],
  [
    "a place in a pool",
    /^pool connect$/,
    /^pool "p"$/,
    async () => {
      const listener = await listen("tcp", "127.0.0.1:0");
      const options = { pool: "p", poolSize: 1, backlog: 1 };
      const first = await connect(String(listener.addr), options);
      return {
        wait: () => connect(String(listener.addr), options).then((conn) => conn.close()),
        end: async () => {
          await first.close();
          await listener.close();
        },
      };
    },
  ],
  [
    "a receive",
    /^chan receive$/,
    /^chan #\d+ \(0 of 2 inside\)$/,
    () => {
      const chan = new Chan<number>(2);
      return { wait: () => chan.receive(), end: () => chan.close() };
    },
  ],
  [
    "a step of an iteration of a channel",
    /^chan receive$/,
    /^chan #\d+$/,
    () => {
      const chan = new Chan<number>();
      const wait = async (): Promise<void> => {
        for await (const _ of chan);
      };
      return { wait, end: () => chan.close() };
    },
  ],
  [
    "a send",
    /^chan send$/,
    /^chan #\d+ \(1 of 1 inside\)$/,
    () => {
      const chan = new Chan<number>(1);
      chan.trySend(1);
      return { wait: () => chan.send(2), end: () => chan.receive() };
    },
  ],
  [
    "a nil channel",
    /^chan receive \(nil chan\)$/,
    /^nil chan$/,
    () => {
      const stop = new AbortController();
      return {
        wait: () => nilChan<number>().receive({ signal: stop.signal }),
        end: () => stop.abort(),
      };
    },
  ],
  [
    "a select",
    /^select$/,
    /^a: receive from chan #\d+, b: send on chan #\d+, late: after 60000 ms, off: absent$/,
    () => {
      const a = new Chan<number>();
      const b = new Chan<number>();
      const wait = (): Promise<unknown> =>
        select({ a: recv(a), b: send(b, 1), late: after(60_000), off: undefined });
      return { wait, end: () => a.close() };
    },
  ],
  [
    "a context",
    /^chan receive$/,
    /^chan #\d+$/,
    () => {
      const [ctx, cancel] = withCancel(background());
      return { wait: () => ctx.done.receive(), end: () => cancel() };
    },
  ],
  [
    "a mutex",
    /^mutex lock$/,
    /^mutex #\d+ \(held by nobody known\)$/,
    () => {
      const mu = new Mutex();
      const guard = mu.tryLock();
      return { wait: () => mu.lock(), end: () => guard?.[Symbol.dispose]() };
    },
  ],
  [
    "a read lock",
    /^rwmutex rlock$/,
    /^rwmutex #\d+ \(held by nobody known\)$/,
    () => {
      const mu = new RWMutex();
      mu.tryLock();
      return { wait: () => mu.rlock(), end: () => mu.unlock() };
    },
  ],
  [
    "a write lock",
    /^rwmutex lock$/,
    /^rwmutex #\d+ \(read by nobody known\)$/,
    () => {
      const mu = new RWMutex();
      mu.tryRLock();
      return { wait: () => mu.lock(), end: () => mu.runlock() };
    },
  ],
  [
    "units",
    /^semaphore acquire$/,
    /^semaphore #\d+ \(2 of 2 taken, held by nobody known\)$/,
    () => {
      const slots = new Semaphore(2);
      slots.tryAcquire(2);
      return { wait: () => slots.acquire(), end: () => slots.release(2) };
    },
  ],
  [
    "a group",
    /^waitgroup wait$/,
    /^waitgroup #\d+ \(1 left\)$/,
    () => {
      const wg = new WaitGroup();
      wg.add();
      return { wait: () => wg.wait(), end: () => wg.done() };
    },
  ],
  [
    "a group with errors",
    /^errgroup wait$/,
    /^errgroup #\d+$/,
    async () => {
      const group = new ErrGroup();
      const chan = new Chan<number>();
      await group.go(() => chan.receive());
      return { wait: () => group.wait(), end: () => chan.close() };
    },
  ],
  [
    "a condition",
    /^cond wait$/,
    /^cond #\d+ \(of mutex #\d+\)$/,
    () => {
      const mu = new Mutex();
      const cond = new Cond(mu);
      mu.tryLock();
      return { wait: () => cond.wait(), end: () => cond.signal() };
    },
  ],
  [
    "what is made once",
    /^once do$/,
    /^$/,
    () => {
      const chan = new Chan<number>();
      const value = onceValue(() => chan.receive());
      void value();
      return { wait: () => value(), end: () => chan.close() };
    },
  ],
  [
    "a call that is shared",
    /^singleflight do$/,
    /^$/,
    () => {
      const chan = new Chan<number>();
      const flight = singleflight<string, unknown>();
      return { wait: () => flight.do("key", () => chan.receive()), end: () => chan.close() };
    },
  ],
  [
    "a sleep",
    /^sleep$/,
    /^$/,
    () => {
      const stop = new AbortController();
      return { wait: () => sleep(60_000, { signal: stop.signal }), end: () => stop.abort() };
    },
  ],
  [
    "a ticker",
    /^chan receive$/,
    /^chan #\d+/,
    () => {
      const ticker = new Ticker(60_000);
      const stop = new AbortController();
      return {
        wait: () => ticker.c.receive({ signal: stop.signal }),
        end: () => {
          stop.abort();
          ticker.stop();
        },
      };
    },
  ],
  [
    "a join",
    /^join$/,
    /^goroutine \d+ \[joined\]$/,
    () => {
      const chan = new Chan<number>();
      const g = go(function joined() {
        return chan.receive();
      });
      return { wait: () => g.join(), end: () => chan.close() };
    },
  ],
  [
    "a channel between threads",
    /^shared chan receive$/,
    /^shared chan #\d+ \(0 of 1 inside\)$/,
    () => {
      const chan = new SharedChan<number>({ capacity: 1 });
      return { wait: () => chan.receive(), end: () => chan.close() };
    },
  ],
  [
    "an atomic",
    /^atomic wait$/,
    /^$/,
    () => {
      const count = new AtomicInt32(1);
      return {
        wait: () => count.wait(1),
        end: () => {
          count.store(2);
          count.notify();
        },
      };
    },
  ],
  [
    "a task",
    /^task$/,
    /^default of data:/,
    () => {
      const stop = new AbortController();
      const module = new URL("data:text/javascript,export default () => new Promise(() => {})");
      return { wait: () => task(module, [], { signal: stop.signal }), end: () => stop.abort() };
    },
  ],
];

/** The goroutine in a dump, once it waits. */
async function whenWaiting(g: Goroutine<unknown>): Promise<GoroutineDump> {
  for (let left = 2000; ; left--) {
    const found = (await dump()).goroutines.find(({ id }) => id === g.id);
    assert.ok(found !== undefined && left > 0, "the goroutine does not wait");
    // Several waits at once: a shared call also waits for what it makes.
    if (found.waits.length > 0) return found;
    await turn();
  }
}

describe("a dump shows", () => {
  for (const [name, kind, object, scene] of table) {
    test(name, async () => {
      const unwatch = watchGoroutines();
      try {
        const { wait, end } = await scene();
        const g = go(async function theOneThatWaits() {
          await wait();
        });
        const found = await whenWaiting(g);
        const shown = found.waits.find((each) => kind.test(each.kind));
        assert.ok(shown !== undefined, JSON.stringify(found));
        assert.match(shown.object, object);
        assert.equal(found.state, "waiting");
        const stack = shown.stack.join("\n");
        assert.match(stack, /theOneThatWaits \(.*debug_waits\.test\.[jt]s:\d+:\d+\)/);
        assert.ok(shown.milliseconds >= 0 && shown.milliseconds < 60_000);
        await end();
        await g.join().catch(() => {});
        const after = await dump();
        assert.ok(!after.goroutines.some(({ id }) => id === g.id));
      } finally {
        unwatch();
      }
    });
  }
});
