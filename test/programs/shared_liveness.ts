/** A program that waits, or does not, for what it shares with a thread that keeps nothing alive. */
import { Worker } from "node:worker_threads";
import { AtomicInt32, Chan, go, recv, SharedChan, select } from "../../src/index.ts";

/** A thread that sends 42 and adds 1 after a while. */
function other(chan: SharedChan<number>, counter: AtomicInt32): void {
  const body = `
    const { workerData } = require("node:worker_threads");
    import(workerData.coronet).then(({ SharedChan, AtomicInt32 }) => setTimeout(() => {
      SharedChan.from(workerData.chan).trySend(42);
      const counter = AtomicInt32.from(workerData.counter);
      counter.add(1);
      counter.notify();
    }, 100));
  `;
  const coronet = new URL("../../src/index.js", import.meta.url).href;
  const workerData = { coronet, chan: chan.handle, counter: counter.handle };
  new Worker(body, { eval: true, workerData }).unref();
}

const chan = new SharedChan<number>({ capacity: 1 });
const counter = new AtomicInt32(0);

const programs: Record<string, () => Promise<void>> = {
  async "waits for another thread"() {
    other(chan, counter);
    console.log("got", (await chan.receive())[0]);
  },
  async "waits in a select"() {
    other(chan, counter);
    const got = await select({ chan: recv(chan), never: recv(new Chan<number>()) });
    console.log("got", got.value);
  },
  async "waits for a counter"() {
    other(chan, counter);
    console.log("got", await counter.wait(0));
  },
  async "nobody waits"() {
    const stop = new AbortController();
    const canceled = chan.receive({ signal: stop.signal }).catch(() => {});
    stop.abort();
    await canceled;
    console.log("end");
  },
  async "deadlock beside a shared channel"() {
    await chan.send(1);
    go(() => new Chan<number>().receive());
  },
};

await programs[process.argv[2] as string]?.();
