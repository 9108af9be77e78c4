/** Programs in which everybody waits for somebody, or seems to. The first argument chooses one. */
import { createServer } from "node:net";
import { isMainThread, Worker } from "node:worker_threads";
import {
  background,
  Chan,
  type Conn,
  dial,
  go,
  listen,
  Mutex,
  nilChan,
  RWMutex,
  select,
  sleep,
  WaitGroup,
  withTimeout,
} from "../../src/index.ts";

/** Lets everything that is ready run. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function lockBoth(first: Mutex, second: Mutex): Promise<void> {
  using _ = await first.lock();
  await turn();
  using __ = await second.lock();
}

const programs: Record<string, () => Promise<void> | void> = {
  "two locks"() {
    const [a, b] = [new Mutex(), new Mutex()];
    go(lockBoth, a, b);
    go(lockBoth, b, a);
    process.on("exit", (status) => console.log(`exit ${status}`));
  },

  async "three locks"() {
    const [a, b, c] = [new Mutex(), new Mutex(), new Mutex()];
    go(lockBoth, a, b);
    go(lockBoth, b, c);
    go(lockBoth, c, a);
  },

  "the only sender has ended"() {
    const values = new Chan<number>();
    go(async function producer() {
      await values.send(1);
      throw new DOMException("had enough", "AbortError");
    })
      .join()
      .catch(() => {});
    go(async function consumer() {
      for await (const _ of values);
    });
  },

  async "an accept loop without its listener"() {
    const conns = new Chan<Conn>();
    const listener = await listen("tcp", "127.0.0.1:0");
    go(async function acceptLoop() {
      for (;;) await conns.send(await listener.accept());
    });
    go(async function handler() {
      for await (const conn of conns) await conn.close();
    });
    await (await dial("tcp", String(listener.addr))).read(new Uint8Array(1));
    await listener.close();
  },

  "a lock whose holder has ended"() {
    const mu = new Mutex();
    go(async function forgetful() {
      await mu.lock();
    });
    go(async function patient() {
      await mu.lock();
    });
  },

  async "joined at the top"() {
    const never = new Chan<number>();
    await go(async function receiver() {
      await never.receive();
    }).join();
  },

  async "recursive read lock"() {
    const mu = new RWMutex();
    async function outer(): Promise<void> {
      using _ = await mu.rlock();
      await turn();
      await inner();
    }
    async function inner(): Promise<void> {
      using _ = await mu.rlock();
    }
    async function writer(): Promise<void> {
      using _ = await mu.lock();
    }
    go(outer);
    await Promise.resolve();
    go(writer);
  },

  async "every kind of wait"() {
    const wg = new WaitGroup();
    wg.add();
    go(async function counting() {
      await wg.wait();
    });
    go(async function receiving() {
      await nilChan().receive();
    });
    go(async function selecting() {
      await select({});
    });
    go(async function elsewhere() {
      await new Promise(() => {});
    });
    await turn();
    await new Mutex().lock();
    await nilChan<number>().send(1);
  },

  "a thousand"() {
    const mu = new Mutex();
    const lock = async (): Promise<void> => void (await mu.lock());
    for (let i = 0; i < 1_000; i++) go(lock);
  },

  "in a worker"() {
    if (!isMainThread) return programs["two locks"]?.();
    const worker = new Worker(new URL(import.meta.url), { argv: ["in a worker"] });
    worker.on("exit", (status) => console.log(`worker ${status}`));
  },

  async "a waiting read beside"() {
    const listener = await listen("tcp", "127.0.0.1:0");
    const [near, far] = await Promise.all([dial("tcp", String(listener.addr)), listener.accept()]);
    await listener.close();
    const ready = new Chan<void>();
    go(() => ready.receive());
    go(async () => {
      await near.read(new Uint8Array(1));
      await ready.send();
      console.log("went on");
    });
    setTimeout(() => void far.close(), 20).unref();
  },

  "a pending timer of the host"() {
    const ready = new Chan<void>();
    go(async () => {
      await ready.receive();
      console.log("went on");
    });
    setTimeout(() => ready.trySend(), 20);
  },

  "a handle of the host"() {
    const ready = new Chan<void>();
    go(async () => {
      await ready.receive();
      console.log("went on");
    });
    const server = createServer().listen(0, () => server.close(() => ready.trySend()));
  },

  "a sleeper"() {
    const ready = new Chan<void>();
    go(async () => {
      await ready.receive();
      console.log("went on");
    });
    go(async () => {
      await sleep(20);
      await ready.send();
    });
  },

  "a context's deadline"() {
    go(async () => {
      const mu = new Mutex();
      await mu.lock();
      using ctx = withTimeout(background(), 20)[0];
      await mu
        .lock({ signal: ctx.signal })
        .catch((error) => console.log(error.code, ctx.err?.code));
    });
  },

  "work that comes before the exit"() {
    const ready = new Chan<void>();
    go(async () => {
      await ready.receive();
      console.log("went on");
    });
    process.once("beforeExit", () => setTimeout(() => ready.trySend(), 20));
  },

  async "an unreferenced listener"() {
    const listener = await listen("tcp", "127.0.0.1:0");
    listener.unref();
    go(async () => {
      for await (const conn of listener) await conn.close();
    });
    await turn();
    console.log("done");
  },

  async "an unreferenced goroutine"() {
    const entries = new Chan<string>();
    go(async () => {
      for await (const entry of entries) console.log(entry);
    }).unref();
    await entries.send("done");
  },

  async "all done"() {
    const wg = new WaitGroup();
    const mu = new Mutex();
    for (let i = 0; i < 10; i++) wg.go(lockBoth, mu, new Mutex());
    await wg.wait();
    console.log("done");
  },
};

await programs[process.argv[2] ?? ""]?.();
