/** bubble.test.ts: what a test in a bubble may rely on. */
import assert from "node:assert/strict";
import { pbkdf2, webcrypto } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import {
  after,
  background,
  Chan,
  type Conn,
  dial,
  go,
  listen,
  Mutex,
  now,
  pipe,
  recv,
  select,
  sleep,
  stats,
  Ticker,
  Timer,
  WaitGroup,
  withTimeout,
} from "../src/index.ts";
import { observer } from "../src/runtime/observer.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { type Bubble, BubbleError, bubble } from "./bubble.ts";

/** Sends a text through a real socket of Node's, and gives what came. */
async function overTCP(text: string): Promise<string> {
  const server = createServer((socket) => socket.end(text)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = createConnection((server.address() as AddressInfo).port, "127.0.0.1");
  let got = "";
  for await (const chunk of socket) got += chunk;
  server.close();
  await once(server, "close");
  return got;
}

describe("time in a bubble", () => {
  test("jumps to the next timer when every goroutine is blocked", async () => {
    const began = performance.now();
    await bubble(async (b) => {
      await sleep(3_600_000);
      assert.equal(b.elapsed, 3_600_000);
      await sleep(0.25);
      assert.equal(b.elapsed, 3_600_000.25);
    });
    assert.ok(performance.now() - began < 3_000_000);
  });

  test("starts with the year 2000, for everything of Coronet's", async () => {
    await bubble(async () => {
      assert.equal(new Date(now()).toISOString(), "2000-01-01T00:00:00.000Z");
      await sleep(1000);
      const [date] = await new Timer(500).c.receive();
      assert.equal(date?.toISOString(), "2000-01-01T00:00:01.500Z");
    });
  });

  test("stands still while goroutines work", async () => {
    await bubble(async (b) => {
      const ch = new Chan<number>();
      go(async () => {
        for (let i = 0; i < 20_000; i++) await ch.send(i);
        ch.close();
      });
      const late = select({ late: after(1) });
      for await (const _ of ch) assert.equal(b.elapsed, 0);
      await late;
      assert.equal(b.elapsed, 1);
    });
  });

  test("is exact for sleepers, selects, timers, tickers, contexts and locks", async () => {
    const log: string[] = [];
    await bubble(async (b) => {
      const note = (what: string) => log.push(`${b.elapsed} ${what}`);
      const group = new WaitGroup();
      const mutex = new Mutex();
      group.go(async () => {
        using _ = await mutex.lock();
        await sleep(40);
        note("unlock");
      });
      group.go(async () => {
        await sleep(1);
        using _ = await mutex.lock();
        note("lock");
      });
      group.go(async () => {
        const got = await select({ late: after(30), never: recv(new Chan<number>()) });
        note(got.case);
      });
      group.go(async () => {
        using ticker = new Ticker(10);
        for await (const _ of ticker.c) {
          note("tick");
          if (b.elapsed === 20) break;
        }
      });
      group.go(async () => {
        using ctx = withTimeout(background(), 25)[0];
        await sleep(1e9, { signal: ctx.signal }).catch(() => note("deadline"));
      });
      await group.wait();
      note("end");
    });
    const expected = ["10 tick", "20 tick", "25 deadline", "30 late"];
    assert.deepEqual(log, [...expected, "40 unlock", "40 lock", "40 end"]);
  });

  test("stands still while Node waits for something real", async () => {
    await bubble(async (b) => {
      const sleeper = go(() => sleep(1000));
      const text = await readFile(new URL(import.meta.url), "utf8");
      assert.equal(b.elapsed, 0, "a file");
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(b.elapsed, 0, "a timer");
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(b.elapsed, 0, "immediates");
      await promisify(pbkdf2)("password", "salt", 10_000, 32, "sha256");
      await webcrypto.subtle.digest("SHA-256", Buffer.alloc(1 << 20));
      assert.equal(b.elapsed, 0, "the thread pool");
      assert.equal((await promisify(gunzip)(await promisify(gzip)(text))).toString(), text);
      assert.equal(b.elapsed, 0, "a compressor");
      assert.equal(await overTCP("hello"), "hello");
      assert.equal(b.elapsed, 0, "a socket");
      await sleeper.join();
      assert.equal(b.elapsed, 1000);
    });
  });

  test("stops for good when the function has ended", async () => {
    let woke = false;
    const left = bubble(() => {
      go(async () => {
        await sleep(1);
        woke = true;
      });
    });
    await assert.rejects(left, /its function has ended and left goroutines that are blocked/);
    assert.equal(woke, false);
  });
});

describe("a bubble", () => {
  test("ends when all its goroutines have, and gives what its function returned", async () => {
    let ended = 0;
    const result = await bubble(() => {
      const ch = new Chan<number>(3);
      for (let i = 0; i < 3; i++) {
        go(async () => {
          await ch.send(i);
          ended++;
        });
      }
      return "result";
    });
    assert.deepEqual([result, ended], ["result", 3]);
  });

  test("wait() returns when every other goroutine is blocked, and no time has passed", async () => {
    await bubble(async (b) => {
      const steps: number[] = [];
      const ch = new Chan<number>();
      const worker = go(async () => {
        for (let i = 0; i < 3; i++) {
          await sleep(10);
          steps.push(i);
        }
        await ch.receive();
      });
      await b.wait();
      assert.deepEqual(steps, []);
      await sleep(20);
      await b.wait();
      assert.deepEqual([steps.length, b.elapsed], [2, 20]);
      await ch.send(1);
      await worker.join();
    });
  });

  test("says who is blocked when nothing can go on", async () => {
    async function waitsInVain(ch: Chan<number>): Promise<void> {
      await ch.receive();
    }
    const stuck = bubble(async () => {
      const ch = new Chan<number>();
      go(waitsInVain, ch);
      await select({ never: recv(ch), nor: recv(ch) });
    });
    await assert.rejects(stuck, (error: Error) => {
      assert.ok(error instanceof BubbleError);
      assert.match(error.message, /deadlock: every goroutine is blocked and no timer is pending/);
      assert.match(error.message, /\[waitsInVain\] from .*bubble\.test/);
      assert.match(error.message, /1 × select, 1 × chan receive/);
      assert.match(error.message, /with seed 1/);
      return true;
    });
  });

  test("fails with the error of its function, or of a goroutine that panics", async () => {
    const own = bubble(() => {
      throw new Error("own");
    });
    await assert.rejects(own, /^Error: own/);
    const panics = bubble(async () => {
      go(() => {
        throw new Error("a goroutine's");
      });
      await sleep(1000);
    });
    await assert.rejects(panics, /^Error: a goroutine's/);
  });

  test("restores what was there, however it ends", async () => {
    const before = { runtime: runtime(), ...observer };
    await bubble(() => sleep(1));
    await bubble(() => Promise.reject(new Error("x"))).catch(() => {});
    assert.deepEqual({ runtime: runtime(), ...observer }, before);
  });

  test("is the only one in its thread", async () => {
    await bubble(async () => {
      await assert.rejects(
        bubble(() => {}),
        /another one runs/,
      );
    });
    await bubble(() => {});
  });

  test("gives up on something outside of it that does not end, and names it", async () => {
    const forever = setInterval(() => {}, 1000);
    let inside: NodeJS.Timeout | undefined;
    try {
      const waits = bubble(
        async () => {
          inside = setInterval(() => {}, 1000);
          await sleep(1);
        },
        { patience: 20 },
      );
      await assert.rejects(
        waits,
        /something outside of it did not end in 20 ms[\s\S]*\n {2}Timeout/,
      );
    } finally {
      clearInterval(inside);
      clearInterval(forever);
    }
  });

  test("draws the same for the same seed", async () => {
    const choices = (seed: number): Promise<string> =>
      bubble(
        async () => {
          const [a, b] = [new Chan<number>(64), new Chan<number>(64)];
          for (let i = 0; i < 64; i++) {
            a.trySend(i);
            b.trySend(i);
          }
          let made = "";
          for (let i = 0; i < 64; i++) made += (await select({ a: recv(a), b: recv(b) })).case;
          return made;
        },
        { seed },
      );
    assert.equal(await choices(7), await choices(7));
    assert.notEqual(await choices(7), await choices(8));
  });
});

describe("connections in a bubble", () => {
  async function echo(b: Bubble, [near, far]: readonly [Conn, Conn]): Promise<void> {
    const server = go(async () => {
      for await (const chunk of far) {
        await sleep(50);
        await far.write(chunk);
      }
      await far.close();
    });
    const buffer = new Uint8Array(16);
    await near.write(new Uint8Array([1, 2, 3]));
    near.setReadDeadline(new Date(now() + 20));
    await assert.rejects(near.read(buffer), { code: "ERR_DEADLINE" });
    assert.equal(b.elapsed, 20);
    near.setReadDeadline(null);
    assert.equal(await near.read(buffer), 3);
    assert.equal(b.elapsed, 50);
    await near.close();
    await server.join();
  }

  async function pair(): Promise<readonly [Conn, Conn]> {
    await using listener = await listen("tcp4", "127.0.0.1:0");
    const dialled = dial("tcp4", String(listener.addr));
    return [await dialled, await listener.accept()] as const;
  }

  test("pipe() works, with the bubble's deadlines", async () => {
    await bubble((b) => echo(b, pipe()));
  });

  test("listen and dial reach each other in memory, with the bubble's deadlines", async () => {
    const open = stats().opened;
    await bubble(async (b) => echo(b, await pair()));
    assert.equal(stats().opened, open, "the thread's own poller saw none of it");
  });

  test("nothing outside can be reached: who does not listen inside refuses", async () => {
    await using outside = await listen("tcp4", "127.0.0.1:0");
    const address = String(outside.addr);
    await bubble(async () => {
      await assert.rejects(dial("tcp4", address), { code: "ECONNREFUSED" });
    });
  });
});
