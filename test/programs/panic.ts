/** Goroutines that end by an error. The first argument chooses one. */
import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { dial, go, listen, onPanic, stats, type TCPConn } from "../../src/index.ts";

const ANY = "127.0.0.1:0";
const name = (isMainThread ? process.argv[2] : workerData) as string;

async function faultyHandler(): Promise<void> {
  throw new Error("a bug");
}

/** Keeps the program alive, as a server would. */
async function keepAlive(): Promise<void> {
  const listener = await listen("tcp", ANY);
  go(() => listener.accept());
}

async function pair(): Promise<[TCPConn, TCPConn]> {
  const listener = await listen("tcp", ANY);
  const [a, b] = await Promise.all([dial("tcp", String(listener.addr)), listener.accept()]);
  await listener.close();
  return [a, b];
}

const programs: Record<string, () => Promise<void>> = {
  async throws() {
    await keepAlive();
    go(faultyHandler);
  },

  async "throws synchronously"() {
    await keepAlive();
    go(function notAsync() {
      throw new TypeError("not even a promise");
    });
  },

  async "throws what is no error"() {
    await keepAlive();
    go(async () => {
      throw "just text";
    });
  },

  async "throws nothing"() {
    await keepAlive();
    go(() => Promise.reject(undefined));
  },

  async "dials in vain"() {
    const listener = await listen("tcp", ANY);
    await listener.close();
    go(() => dial("tcp", String(listener.addr)));
  },

  async quiet() {
    const [a, b] = await pair();
    const [c, d] = await pair();
    const [e, f] = await pair();
    go(() => a.read(new Uint8Array(1)));
    go(() => c.read(new Uint8Array(1)));
    go(() => d.read(new Uint8Array(1), { signal: AbortSignal.timeout(1) }));
    go(async () => {
      await e.closeWrite();
      await e.write("broken pipe");
    });
    go(() => f.write(new Uint8Array(32 << 20)));
    await new Promise((resolve) => setImmediate(resolve));
    await b.setLinger(0).close();
    c.setReadDeadline(new Date());
    await f.close();
    while (stats().goroutines.live > 0) await new Promise((resolve) => setImmediate(resolve));
    const { ended, panicked } = stats().goroutines;
    console.log(`ended ${ended}, panicked ${panicked}`);
  },

  async handler() {
    console.log(
      onPanic((error, g) => console.log(`${g.name} ${g.id}: ${(error as Error).message}`)),
    );
    go(faultyHandler);
    await new Promise((resolve) => setImmediate(resolve));
    go(faultyHandler);
    await new Promise((resolve) => setImmediate(resolve));
    console.log(`panicked ${stats().goroutines.panicked}`);
    console.log(typeof onPanic(undefined));
  },

  async joined() {
    const g = go(faultyHandler);
    try {
      await g.join();
    } catch (error) {
      console.log(`joiner got "${(error as Error).message}"`);
    }
    const before = go(faultyHandler).join();
    await before.catch((error) => console.log(`joiner got "${error.message}"`));
    console.log(`panicked ${stats().goroutines.panicked}, live ${stats().goroutines.live}`);
  },

  async "joined and dropped"() {
    void go(faultyHandler).join();
    await keepAlive();
  },

  async "uncaughtException listener"() {
    process.on("uncaughtException", (error, origin) => {
      console.log(`${origin}: ${error.message}`);
    });
    go(faultyHandler);
  },

  async "in a worker"() {
    const worker = new Worker(new URL(import.meta.url), { workerData: "throws" });
    const exit = new Promise((resolve) => worker.once("exit", resolve));
    const [error] = await once(worker, "error");
    console.log(`parent got "${error.message}"`);
    const code = await exit;
    console.log(`worker ended with ${code}`);
  },
};

await programs[name]?.();
