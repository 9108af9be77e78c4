/**
 * Correct programs, of which no tool may have anything to say. The first argument chooses one; without
 * an argument it prints their names.
 */
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { MessageChannel, Worker } from "node:worker_threads";
import { serve } from "../../src/http/index.ts";
import {
  after,
  background,
  Chan,
  Cond,
  closeIdle,
  connect,
  dial,
  ErrGroup,
  fromSignal,
  go,
  gosched,
  listen,
  listenPacket,
  Mutex,
  onceValue,
  pipe,
  RWMutex,
  recv,
  Semaphore,
  SharedChan,
  select,
  singleflight,
  sleep,
  Ticker,
  task,
  trySelect,
  WaitGroup,
  withCancel,
  withTimeout,
} from "../../src/index.ts";

/** Longer than CORONET_DEBUG_LOCKS in the tests that run these programs. */
const LONG = 120;

async function echoServer(): Promise<{ address: string; close(): Promise<void> }> {
  const listener = await listen("tcp", "127.0.0.1:0");
  const wg = new WaitGroup();
  wg.go(async () => {
    for await (const conn of listener) {
      go(async () => {
        for await (const chunk of conn) await conn.write(chunk);
        await conn.close();
      });
    }
  });
  return { address: String(listener.addr), close: () => listener.close() };
}

const programs: Record<string, () => Promise<void> | void> = {
  async "a sleeper"() {
    await go(sleep, LONG).join();
  },

  async "a server that is closed"() {
    const server = await echoServer();
    const conn = await dial("tcp", server.address);
    await conn.write("x");
    await conn.read(new Uint8Array(1));
    await conn.close();
    await server.close();
  },

  async "an idle connection on both sides"() {
    const server = await echoServer();
    const conn = await dial("tcp", server.address);
    await delay(LONG);
    await conn.close();
    await server.close();
  },

  async "a promise of Node's timers"() {
    await go(async () => delay(LONG)).join();
  },

  async "a promise of Node's file system"() {
    await go(async () => readFile(import.meta.filename)).join();
  },

  async "a promise of a child process"() {
    await go(async () => promisify(execFile)(process.execPath, ["--version"])).join();
  },

  async "an event of a server of Node's"() {
    const server = createServer().listen(0);
    go(async () => {
      await once(server, "close");
    });
    setTimeout(() => server.close(), LONG);
  },

  async "a socket of Node's"() {
    const socket = createSocket("udp4").bind(0);
    go(async () => {
      await once(socket, "listening");
      socket.close();
    });
  },

  "a message channel"() {
    const { port1, port2 } = new MessageChannel();
    const message = new Chan<unknown>();
    port1.on("message", (value) => go(() => message.send(value)));
    go(async () => {
      await message.receive();
      port1.close();
    });
    setTimeout(() => port2.postMessage("x"), LONG);
  },

  "a worker that is waited for"() {
    const worker = new Worker(`setTimeout(() => {}, ${LONG})`, { eval: true });
    const ended = new Chan<number>(1);
    worker.on("exit", (status) => ended.trySend(status));
    go(async () => ended.receive());
  },

  async "a pool with an idle connection"() {
    const server = await echoServer();
    const conn = await connect(server.address);
    conn.setKeepalive();
    await server.close();
    setTimeout(closeIdle, LONG);
  },

  async "a goroutine that nobody expects to end"() {
    const never = new Chan<string>();
    go(async () => {
      for await (const line of never) console.log(line);
    }).unref();
    await sleep(LONG);
  },

  async "a listener that nobody expects to end"() {
    const listener = (await listen("tcp", "127.0.0.1:0")).unref();
    go(async () => {
      for await (const conn of listener) await conn.close();
    });
    await sleep(1);
  },

  async "a lock that is held for long"() {
    const mu = new Mutex();
    const wg = new WaitGroup();
    for (let i = 0; i < 3; i++) {
      wg.go(async () => {
        using _ = await mu.lock();
        await sleep(LONG);
      });
    }
    await wg.wait();
  },

  async "a lock that is held while somebody else's promise is awaited"() {
    const mu = new Mutex();
    const wg = new WaitGroup();
    for (let i = 0; i < 3; i++) {
      wg.go(async () => {
        using _ = await mu.lock();
        await delay(LONG);
      });
    }
    await wg.wait();
  },

  async "a lock that another goroutine unlocks"() {
    const mu = new Mutex();
    await go(async () => {
      await mu.lock();
    }).join();
    const third = go(async () => {
      using _ = await mu.lock();
    });
    go(async () => {
      await sleep(LONG);
      mu.unlock();
    });
    await third.join();
  },

  async "a cycle of locks that a signal ends"() {
    const [a, b] = [new Mutex(), new Mutex()];
    async function both(first: Mutex, second: Mutex): Promise<void> {
      using _ = await first.lock();
      await sleep(1);
      try {
        using __ = await second.lock({ signal: AbortSignal.timeout(LONG) });
      } catch {
        // It gives way.
      }
    }
    const keep = setInterval(() => {}, 10);
    await Promise.all([go(both, a, b).join(), go(both, b, a).join()]);
    clearInterval(keep);
  },

  async "several async functions of one goroutine that share a lock"() {
    const mu = new Mutex();
    async function part(): Promise<void> {
      using _ = await mu.lock();
      await sleep(LONG);
    }
    await go(async () => Promise.all([part(), part(), part()])).join();
  },

  async "readers and writers"() {
    const rw = new RWMutex();
    const wg = new WaitGroup();
    for (let i = 0; i < 6; i++) {
      wg.go(async () => {
        using _ = await (i % 3 === 2 ? rw.lock() : rw.rlock());
        await sleep(LONG / 2);
      });
    }
    await wg.wait();
  },

  async "units that go from hand to hand"() {
    const slots = new Semaphore(2);
    const wg = new WaitGroup();
    for (let i = 0; i < 6; i++) {
      wg.go(async () => {
        using _ = await slots.acquire(1 + (i % 2));
        await sleep(LONG / 3);
      });
    }
    await wg.wait();
  },

  async "units that another goroutine releases"() {
    const slots = new Semaphore(1);
    const waiting = go(async () => {
      await slots.acquire();
      await slots.acquire();
    });
    go(async () => {
      await sleep(LONG);
      slots.release();
    });
    await waiting.join();
  },

  async "a condition"() {
    const mu = new Mutex();
    const changed = new Cond(mu);
    let ready = false;
    const waiting = go(async () => {
      using _ = await mu.lock();
      while (!ready) await changed.wait();
    });
    await sleep(LONG);
    ready = true;
    changed.broadcast();
    await waiting.join();
  },

  async "goroutines that join each other in a row"() {
    let last = go(sleep, LONG);
    for (let i = 0; i < 5; i++) {
      const before = last;
      last = go(async () => before.join());
    }
    await last.join();
  },

  async "a group with an error"() {
    const group = new ErrGroup({ limit: 2 });
    for (let i = 0; i < 5; i++) await group.go(() => sleep(LONG / 3));
    await group.go(() => {
      throw new Error("expected");
    });
    await group.wait().catch(() => {});
  },

  async "something that is made once"() {
    const value = onceValue(async () => {
      await delay(LONG);
      return 1;
    });
    await Promise.all([1, 2, 3].map(() => go(() => value()).join()));
  },

  async "a call that many share"() {
    const flight = singleflight<string, number>();
    const call = (): Promise<unknown> =>
      flight.do("key", async () => {
        await delay(LONG);
        return 1;
      });
    await Promise.all([1, 2, 3].map(() => go(call).join()));
  },

  async "a select with a time limit"() {
    const never = new Chan<number>();
    await go(() => select({ never: recv(never), late: after(LONG) })).join();
  },

  async "contexts that end"() {
    const [ctx, cancel] = withCancel(background());
    const [limited] = withTimeout(ctx, LONG);
    const one = go(() => limited.done.receive());
    const signal = fromSignal(AbortSignal.timeout(LONG * 2));
    const keep = setInterval(() => {}, 10);
    const two = go(() => signal.done.receive());
    await one.join();
    await two.join();
    clearInterval(keep);
    cancel();
  },

  async "a ticker"() {
    const ticker = new Ticker(LONG / 4);
    await go(async () => {
      for (let i = 0; i < 4; i++) await ticker.c.receive();
    }).join();
    ticker.stop();
  },

  async "a pipe"() {
    const [a, b] = pipe();
    go(async () => {
      await sleep(LONG);
      await a.write("x");
      await a.close();
    });
    await go(async () => {
      for await (const _ of b);
      await b.close();
    }).join();
  },

  async datagrams() {
    const a = await listenPacket("udp", "127.0.0.1:0");
    const reading = go(() => a.readFrom(new Uint8Array(10)));
    await sleep(LONG);
    await a.writeTo("x", a.localAddr);
    await reading.join();
    await a.close();
  },

  async "a dial that is refused"() {
    const listener = await listen("tcp", "127.0.0.1:0");
    const address = String(listener.addr);
    await listener.close();
    await go(() => dial("tcp", address))
      .join()
      .catch(() => {});
  },

  async "an HTTP server"() {
    const server = await serve("127.0.0.1:0", () => new Response("hello"));
    const { status } = await fetch(`http://${server.addr}/`);
    if (status !== 200) console.error(status);
    await server.shutdown();
  },

  async "a task on another thread"() {
    const module = new URL("data:text/javascript,export default (n) => n + 1");
    await go(() => task(module, [1])).join();
  },

  async "a channel between threads"() {
    const chan = new SharedChan<number>({ capacity: 1 });
    go(async () => {
      await sleep(LONG);
      await chan.send(1);
    });
    await go(() => chan.receive()).join();
  },

  async "a goroutine that looks for work by itself"() {
    const work = new Chan<number>(1);
    setTimeout(() => work.trySend(1), LONG);
    await go(async () => {
      while (trySelect({ work: recv(work) }) === undefined) await gosched();
    }).join();
  },

  "work that comes before the exit"() {
    const work = new Chan<number>();
    go(() => work.receive());
    process.once("beforeExit", () => go(() => work.send(1)));
  },
};

const [name] = process.argv.slice(2);
if (name === undefined) console.log(JSON.stringify(Object.keys(programs)));
else await programs[name]?.();
