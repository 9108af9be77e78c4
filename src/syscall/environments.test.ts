/**
 * environments.test.ts: one instance of the addon per environment: threads do not share, and the end
 * of one, however it comes, frees what it opened and leaves the others alone.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { before, describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { Random } from "../internal/random.ts";
import { AF_UNIX, EPOLL_CTL_ADD, EPOLLIN, SOCK_STREAM } from "./constants.ts";
import { nativeKernel } from "./native.ts";

nativeKernel();
/** The addon that this process has loaded. */
const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
const addon = JSON.stringify(sharedObjects.find((path) => path.endsWith("coronet.node")));

/** What every program here begins with: `kernel`, and a poll handle on an epoll fd. */
const PRELUDE = `
  const { parentPort, workerData } = require("node:worker_threads");
  const shared = (n) => new Int32Array(new SharedArrayBuffer(n * 4));
  const one = new Uint8Array(new BigUint64Array([1n]).buffer);
  // Somebody is parked: the handle counts from its pollRef on.
  function watch(kernel, onBatch) {
    const epfd = kernel.epollCreate1();
    const wake = kernel.eventfd();
    kernel.epollCtl(epfd, 1, wake, 1, 7, 7);
    const counters = shared(2);
    counters[0] = 1;
    const handle = kernel.pollOpen(epfd, shared(30), counters, 8, onBatch);
    return { epfd, wake, counters, handle };
  }
`;

// By require: Node 20 loses the file of a module that it reads when the worker is terminated.
function start(body: string): Worker {
  return new Worker(`${PRELUDE} const kernel = require(${addon}); ${body}`, { eval: true });
}

function program(body: string): { status: number | null; signal: string | null; output: string } {
  const code = `${PRELUDE} const kernel = require(${addon}); ${body}`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ["--eval", code], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status, signal, output: stdout + stderr };
}

function openFds(): number {
  // The folder itself is open while it is read.
  return readdirSync("/proc/self/fd").length - 1;
}

/** Waits until no more fds are open than there were. */
async function freed(limit: number): Promise<void> {
  const giveUp = performance.now() + 10_000;
  while (openFds() > limit && performance.now() < giveUp) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(openFds() <= limit, `${openFds()} fds are open, ${limit} were before`);
}

async function ready(worker: Worker): Promise<void> {
  await once(worker, "message");
}

before(async () => {
  // What the first worker of a process opens for all stays open.
  const worker = start("");
  await once(worker, "exit");
});

describe("a worker that is terminated", () => {
  test("frees the hundred fds that it had open", async () => {
    const limit = openFds();
    const worker = start(`
      const pair = new Int32Array(2);
      for (let i = 0; i < 20; i++) {
        kernel.socketpair(1, 1, pair);
        kernel.socket(2, 1, 0);
        kernel.eventfd();
        kernel.epollCreate1();
      }
      setInterval(() => {}, 1000);
      parentPort.postMessage("ready");
    `);
    await ready(worker);
    assert.ok(openFds() >= limit + 100);
    assert.equal(await worker.terminate(), 1);
    await freed(limit);
  });

  test("frees only what is open still", async () => {
    const limit = openFds();
    const mine = nativeKernel().eventfd();
    const worker = start(`
      const fds = [];
      for (let i = 0; i < 50; i++) fds.push(kernel.eventfd());
      for (const fd of fds) kernel.close(fd);
      setInterval(() => {}, 1000);
      parentPort.postMessage(fds);
    `);
    const [numbers] = (await once(worker, "message")) as [number[]];
    // Their numbers are ours now.
    const reused = numbers.map(() => nativeKernel().eventfd());
    assert.ok(reused.some((fd) => numbers.includes(fd)));
    await worker.terminate();
    for (const fd of [...reused, mine]) assert.equal(nativeKernel().close(fd), 0);
    await freed(limit);
  });

  test("in the middle of a busy poll handle frees it", async () => {
    const limit = openFds();
    const worker = start(`
      let batches = 0;
      // Level-triggered and never read: it is ready for ever.
      const { wake, handle } = watch(kernel, () => {
        if (++batches === 100) parentPort.postMessage("busy");
      });
      kernel.write(wake, one, 0, 8);
      kernel.pollRef(handle);
    `);
    await ready(worker);
    assert.equal(await worker.terminate(), 1);
    await freed(limit);
  });

  test("while handles are closing, and while it waits for ever, frees all", async () => {
    const limit = openFds();
    const worker = start(`
      for (let i = 0; i < 10; i++) kernel.pollClose(watch(kernel, () => {}).handle);
      const { handle } = watch(kernel, () => {});
      kernel.pollRef(handle);
      parentPort.postMessage("ready");
    `);
    await ready(worker);
    await worker.terminate();
    await freed(limit);
  });
});

describe("a worker that ends by itself", () => {
  test("frees what it left open", async () => {
    const limit = openFds();
    const worker = start("watch(kernel, () => {}); kernel.eventfd();");
    const [code] = await once(worker, "exit");
    assert.equal(code, 0);
    await freed(limit);
  });

  test("that exits inside the callback of a poll handle keeps its exit code", async () => {
    const limit = openFds();
    const worker = start(`
      const { wake, handle } = watch(kernel, () => process.exit(7));
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
    `);
    const [code] = await once(worker, "exit");
    assert.equal(code, 7);
    await freed(limit);
  });

  test("that throws inside the callback tells its parent", async () => {
    const limit = openFds();
    const worker = start(`
      const { wake, handle } = watch(kernel, () => { throw new Error("in a batch"); });
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
    `);
    const exit = once(worker, "exit");
    // Listens before it waits: both may come in one turn.
    const [error] = (await once(worker, "error")) as [Error];
    assert.equal(error.message, "in a batch");
    await exit.catch(() => {});
    await freed(limit);
  });
});

describe("many workers", () => {
  const bodies = [
    "watch(kernel, () => {}); kernel.eventfd();",
    `const w = watch(kernel, () => {}); kernel.pollRef(w.handle); parentPort.postMessage("ready");`,
    `const w = watch(kernel, () => kernel.pollClose(w.handle)); kernel.pollRef(w.handle);
     kernel.write(w.wake, one, 0, 8);`,
    `const w = watch(kernel, () => {}); kernel.write(w.wake, one, 0, 8); kernel.pollRef(w.handle);`,
    "const w = watch(kernel, () => process.exit(1)); kernel.write(w.wake, one, 0, 8);",
  ];

  test("200, started and ended at any moment, two at a time: no crash, no fd left", async (t) => {
    const seed = 1 + Math.floor(Math.random() * 0xffff_fff0);
    t.diagnostic(`seed ${seed}`);
    const random = new Random(seed);
    const limit = openFds();
    const life = async (): Promise<void> => {
      const worker = start(bodies[random.below(bodies.length)] as string);
      const exit = once(worker, "exit");
      worker.on("error", () => {});
      if (random.chance(0.6)) {
        await Promise.race([once(worker, "online"), exit]);
        for (let i = random.below(60); i > 0; i--) await new Promise((r) => setImmediate(r));
      }
      await worker.terminate();
      await exit;
    };
    const lane = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await life();
    };
    await Promise.all([lane(100), lane(100)]);
    await freed(limit);
  });
});

test("two threads use their own handles at once, and do not see each other's events", async () => {
  const worker = start(`
    let total = 0;
    const { wake, handle } = watch(kernel, (n) => {
      total += n;
      kernel.read(wake, new Uint8Array(8), 0, 8);
      if (total < 1000) kernel.write(wake, one, 0, 8);
      else { kernel.pollClose(handle); parentPort.postMessage(total); }
    });
    kernel.pollRef(handle);
    kernel.write(wake, one, 0, 8);
  `);
  const exit = once(worker, "exit");
  const kernel = nativeKernel();
  const pair = new Int32Array(2);
  kernel.socketpair(AF_UNIX, SOCK_STREAM, pair);
  const epfd = kernel.epollCreate1();
  const events = new Int32Array(new SharedArrayBuffer(120));
  kernel.epollCtl(epfd, EPOLL_CTL_ADD, pair[0] as number, EPOLLIN, 3, 4);
  let batches = 0;
  const byte = new Uint8Array(1);
  const handle = kernel.pollOpen(epfd, events, new Int32Array(new SharedArrayBuffer(8)), 8, (n) => {
    batches++;
    assert.equal(n, 1);
    assert.deepEqual([...events.subarray(0, 3)], [3, 4, EPOLLIN]);
    kernel.recv(pair[0] as number, byte, 0, 1);
    kernel.send(pair[1] as number, byte, 0, 1);
  });
  assert.ok(typeof handle !== "number");
  kernel.pollRef(handle);
  kernel.send(pair[1] as number, byte, 0, 1);
  const [total] = await once(worker, "message");
  assert.equal(total, 1000);
  assert.ok(batches > 0);
  kernel.pollClose(handle);
  for (const fd of [...pair, epfd]) kernel.close(fd);
  await exit;
});

describe("a process", () => {
  test("that exits inside the callback of a poll handle keeps its exit code", () => {
    const { status, signal, output } = program(`
      const { wake, handle } = watch(kernel, () => process.exit(42));
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
    `);
    assert.deepEqual([status, signal, output], [42, null, ""]);
  });

  test("that throws inside the callback ends with that error, after its exit handlers", () => {
    const { status, output } = program(`
      process.on("exit", (code) => console.log("exit", code));
      const { wake, handle } = watch(kernel, () => { throw new Error("in a batch"); });
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
    `);
    assert.equal(status, 1);
    assert.match(output, /Error: in a batch/);
    assert.match(output, /exit 1/);
  });

  test("whose handler takes what the callback threw goes on", () => {
    const { status, output } = program(`
      let n = 0;
      process.on("uncaughtException", (error) => console.log("caught", error.message));
      const { wake, handle } = watch(kernel, () => {
        kernel.read(wake, new Uint8Array(8), 0, 8);
        if (++n === 3) kernel.pollClose(handle);
        else kernel.write(wake, one, 0, 8);
        throw new Error("number " + n);
      });
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
    `);
    assert.equal(status, 0);
    assert.equal(output, "caught number 1\ncaught number 2\ncaught number 3\n");
  });

  test("ends when nothing is referenced, though handles are open", () => {
    const { status, signal, output } = program(`
      const { wake } = watch(kernel, () => {});
      kernel.write(wake, one, 0, 8);
      console.log("last line");
    `);
    assert.deepEqual([status, signal, output], [0, null, "last line\n"]);
  });

  test("lives while somebody is parked, and ends when the count is 0", () => {
    const { status, signal, output } = program(`
      const { counters, handle } = watch(kernel, () => {});
      kernel.pollRef(handle);
      setTimeout(() => {
        console.log("still here", counters[1]);
        counters[0] = 0;
        // The next turn of the loop lets go.
      }, 5).unref();
      process.on("exit", () => console.log("ended", counters[1]));
    `);
    assert.deepEqual([status, signal, output], [0, null, "still here 1\nended 0\n"]);
  });

  test("closes handles in their own callback, and opens others there", () => {
    const { status, signal, output } = program(`
      let left = 200;
      const next = () => {
        const { epfd, wake, handle } = watch(kernel, (n) => {
          kernel.pollClose(handle);
          kernel.close(wake);
          const closed = kernel.close(epfd);
          if (n !== 1 || closed !== 0) console.log("wrong", n, closed);
          if (--left > 0) next();
          else console.log("done");
        });
        kernel.pollRef(handle);
        kernel.write(wake, one, 0, 8);
      };
      next();
    `);
    assert.deepEqual([status, signal, output], [0, null, "done\n"]);
  });

  test("has its microtasks run after every batch, before the next", () => {
    const { status, output } = program(`
      const order = [];
      const { wake, handle } = watch(kernel, (n) => {
        order.push("batch");
        Promise.resolve().then(() => {
          order.push("microtask");
          process.nextTick(() => order.push("tick"));
        });
        if (order.length > 8) {
          kernel.pollClose(handle);
          setImmediate(() => console.log(order.slice(0, 9).join(" ")));
        }
      });
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
    `);
    assert.equal(status, 0);
    assert.equal(output, `${Array(3).fill("batch microtask tick").join(" ")}\n`);
  });

  test("takes at most so many rounds in one turn of the loop", () => {
    const { status, output } = program(`
      let batches = 0;
      const counts = [];
      const epfd = kernel.epollCreate1();
      const wake = kernel.eventfd();
      kernel.epollCtl(epfd, 1, wake, 1, 7, 7);
      const handle = kernel.pollOpen(epfd, shared(30), shared(2), 5, () => batches++);
      kernel.pollRef(handle);
      kernel.write(wake, one, 0, 8);
      const look = () => {
        counts.push(batches);
        batches = 0;
        if (counts.length < 6) setImmediate(look);
        else { kernel.pollClose(handle); console.log(counts.slice(1).join()); }
      };
      setImmediate(look);
    `);
    assert.equal(status, 0);
    assert.equal(output, "5,5,5,5,5\n");
  });
});
