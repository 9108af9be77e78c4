/**
 * async_context.test.ts: AsyncLocalStorage, and with it every tracer, sees the right store: a goroutine has
 * its creator's, keeps it over every kind of wait whoever wakes it, and a request leaves nothing behind.
 */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { fetch as ownFetch, Response, serve } from "../src/http/index.ts";
import {
  AtomicInt32,
  after,
  afterFunc,
  BufReader,
  background,
  Chan,
  Cond,
  type Conn,
  connect,
  dial,
  ErrGroup,
  go,
  gosched,
  listen,
  listenPacket,
  Mutex,
  Once,
  pipe,
  RWMutex,
  recv,
  Semaphore,
  SharedChan,
  SingleFlight,
  select,
  sleep,
  Ticker,
  Timer,
  WaitGroup,
  withCancel,
  withTimeout,
} from "../src/index.ts";
import { turn } from "../testing/support.ts";

const als = new AsyncLocalStorage<string>();

/** Two sides that are made in no context at all: one waits in "waiter", one wakes it in "waker". */
interface Scene {
  wait(): unknown;
  wake?(): unknown;
  end?(): unknown;
}

const scenes: Record<string, () => Scene | Promise<Scene>> = {
  "chan receive": () => {
    const chan = new Chan<number>();
    return { wait: () => chan.receive(), wake: () => chan.send(1) };
  },
  "chan send": () => {
    const chan = new Chan<number>();
    return { wait: () => chan.send(1), wake: () => chan.receive() };
  },
  "chan iteration": () => {
    const chan = new Chan<number>();
    return {
      wait: async () => {
        for await (const _ of chan) return;
      },
      wake: () => chan.send(1),
    };
  },
  "chan close": () => {
    const chan = new Chan<number>();
    return { wait: () => chan.receive(), wake: () => chan.close() };
  },
  "a shared chan": () => {
    const chan = new SharedChan<number>({ capacity: 1 });
    return { wait: () => chan.receive(), wake: () => chan.send(1), end: () => chan.close() };
  },
  "an atomic": () => {
    const atomic = new AtomicInt32();
    return {
      wait: () => atomic.wait(0),
      wake: () => {
        atomic.store(1);
        atomic.notify();
      },
    };
  },
  "select of channels": () => {
    const [a, b] = [new Chan<number>(), new Chan<number>()];
    return { wait: () => select({ a: recv(a), b: recv(b) }), wake: () => b.send(1) };
  },
  "select with after": () => {
    return { wait: () => select({ never: recv(new Chan<number>()), late: after(1) }) };
  },
  "a mutex": async () => {
    const mutex = new Mutex();
    const held = await mutex.lock();
    return {
      wait: async () => {
        using _ = await mutex.lock();
      },
      wake: () => held[Symbol.dispose](),
    };
  },
  "a rwmutex for reading": async () => {
    const mutex = new RWMutex();
    const held = await mutex.lock();
    return {
      wait: async () => {
        using _ = await mutex.rlock();
      },
      wake: () => held[Symbol.dispose](),
    };
  },
  "a rwmutex for writing": async () => {
    const mutex = new RWMutex();
    const held = await mutex.rlock();
    return {
      wait: async () => {
        using _ = await mutex.lock();
      },
      wake: () => held[Symbol.dispose](),
    };
  },
  "a semaphore": async () => {
    const semaphore = new Semaphore(1);
    const held = await semaphore.acquire();
    return {
      wait: async () => {
        using _ = await semaphore.acquire();
      },
      wake: () => held[Symbol.dispose](),
    };
  },
  "a cond": async () => {
    const mutex = new Mutex();
    const cond = new Cond(mutex);
    return {
      wait: async () => {
        using _ = await mutex.lock();
        await cond.wait();
      },
      wake: () => cond.signal(),
    };
  },
  "a wait group": () => {
    const group = new WaitGroup();
    group.add(1);
    return { wait: () => group.wait(), wake: () => group.done() };
  },
  "an ErrGroup": () => {
    const group = new ErrGroup();
    const chan = new Chan<number>();
    void group.go(() => chan.receive());
    return { wait: () => group.wait(), wake: () => chan.send(1) };
  },
  once: () => {
    const once = new Once();
    const chan = new Chan<number>();
    void once.do(() => chan.receive());
    return { wait: () => once.do(() => {}), wake: () => chan.send(1) };
  },
  "a single flight": () => {
    const flight = new SingleFlight<string, number>();
    const chan = new Chan<number>();
    const fn = async () => (await chan.receive())[0] as number;
    void flight.do("key", fn);
    return { wait: () => flight.do("key", fn), wake: () => chan.send(1) };
  },
  join: () => {
    const chan = new Chan<number>();
    const g = go(() => chan.receive());
    return { wait: () => g.join(), wake: () => chan.send(1) };
  },
  sleep: () => ({ wait: () => sleep(1) }),
  gosched: () => ({ wait: () => gosched() }),
  "a timer": () => {
    const timer = new Timer(1);
    return { wait: () => timer.c.receive() };
  },
  "a ticker": () => {
    const ticker = new Ticker(1);
    return { wait: () => ticker.c.receive(), end: () => ticker.stop() };
  },
  "a context that is canceled": () => {
    const [ctx, cancel] = withCancel(background());
    return { wait: () => select({ done: ctx }), wake: () => cancel() };
  },
  "a context that expires": () => {
    const [ctx] = withTimeout(background(), 1);
    return { wait: () => select({ done: ctx }) };
  },
  "a signal that is aborted": () => {
    const controller = new AbortController();
    const { signal } = controller;
    const chan = new Chan<number>();
    return {
      wait: () => chan.receive({ signal }).catch(() => {}),
      wake: () => controller.abort(),
    };
  },
  "read of a pipe": () => {
    const [a, b] = pipe();
    return {
      wait: () => a.read(new Uint8Array(1)),
      wake: () => b.write("x"),
      end: () => Promise.all([a.close(), b.close()]),
    };
  },
  "a deadline": () => {
    const [a, b] = pipe();
    return {
      wait: () => a.read(new Uint8Array(1)).catch(() => {}),
      wake: () => a.setDeadline(new Date(0)),
      end: () => Promise.all([a.close(), b.close()]),
    };
  },
  "close while it reads": () => {
    const [a, b] = pipe();
    return {
      wait: () => a.read(new Uint8Array(1)).catch(() => {}),
      wake: () => a.close(),
      end: () => b.close(),
    };
  },
  "read of tcp": () => tcp((a, b) => [() => a.read(new Uint8Array(1)), () => b.write("x")]),
  "iteration over tcp": () =>
    tcp((a, b) => [
      async () => {
        for await (const _ of a) return;
      },
      () => b.write("x"),
    ]),
  waitReadable: () => tcp((a, b) => [() => a.waitReadable(), () => b.write("x")]),
  "a write that parks": () =>
    tcp((a, b) => [
      () => a.write(new Uint8Array(16 << 20)),
      async () => {
        let left = 16 << 20;
        for await (const chunk of b) {
          left -= chunk.length;
          if (left === 0) return;
        }
      },
    ]),
  "a buffered reader": () =>
    tcp((a, b) => [() => new BufReader(a).readLine(), () => b.write("line\n")]),
  accept: async () => {
    const listener = await listen("tcp", "127.0.0.1:0");
    const conns: Conn[] = [];
    return {
      wait: async () => conns.push(await listener.accept()),
      wake: async () => conns.push(await dial("tcp", String(listener.addr))),
      end: () => Promise.all([listener, ...conns].map((each) => each.close())),
    };
  },
  dial: async () => {
    const listener = await listen("tcp", "127.0.0.1:0");
    const conns: Conn[] = [];
    return {
      wait: async () => conns.push(await dial("tcp", String(listener.addr))),
      wake: async () => conns.push(await listener.accept()),
      end: () => Promise.all([listener, ...conns].map((each) => each.close())),
    };
  },
  "dial by name": async () => {
    const listener = await listen("tcp", "127.0.0.1:0");
    const port = String(listener.addr).split(":")[1];
    const conns: Conn[] = [];
    return {
      wait: async () => conns.push(await dial("tcp4", `localhost:${port}`)),
      wake: async () => conns.push(await listener.accept()),
      end: () => Promise.all([listener, ...conns].map((each) => each.close())),
    };
  },
  "a datagram": async () => {
    const [a, b] = await Promise.all([
      listenPacket("udp", "127.0.0.1:0"),
      listenPacket("udp", "127.0.0.1:0"),
    ]);
    return {
      wait: () => a.readFrom(new Uint8Array(10)),
      wake: () => b.writeTo("x", a.localAddr),
      end: () => Promise.all([a.close(), b.close()]),
    };
  },
  "a place in the pool": async () => {
    const listener = await listen("tcp", "127.0.0.1:0");
    const options = { poolSize: 1, backlog: 5, pool: "async context" };
    const first = await connect(String(listener.addr), options);
    const conns: Conn[] = [];
    return {
      wait: async () => conns.push(await connect(String(listener.addr), options)),
      wake: () => first.close(),
      end: () => Promise.all([listener, ...conns].map((each) => each.close())),
    };
  },
};

async function tcp(sides: (a: Conn, b: Conn) => [() => unknown, () => unknown]): Promise<Scene> {
  const listener = await listen("tcp", "127.0.0.1:0");
  const [a, b] = await Promise.all([dial("tcp", String(listener.addr)), listener.accept()]);
  await listener.close();
  const [wait, wake] = sides(a, b);
  return { wait, wake, end: () => Promise.all([a.close(), b.close()]) };
}

describe("a goroutine keeps its store over", () => {
  for (const [name, make] of Object.entries(scenes)) {
    test(name, async () => {
      const { wait, wake, end } = await make();
      const waiter = als.run("waiter", () =>
        go(async () => {
          await wait();
          return als.getStore();
        }),
      );
      await turn();
      await turn();
      const waker = als.run("waker", () =>
        go(async () => {
          await wake?.();
          return als.getStore();
        }),
      );
      assert.deepEqual([await waiter.join(), await waker.join()], ["waiter", "waker"]);
      assert.equal(als.getStore(), undefined);
      await end?.();
    });
  }
});

describe("a goroutine", () => {
  test("has the store of who started it, and gives it on to those it starts", async () => {
    const inner = als.run("parent", () => go(() => go(() => als.getStore()).join()));
    assert.equal(await inner.join(), "parent");
    const group = new ErrGroup();
    const seen: unknown[] = [];
    als.run("group", () => void group.go(() => seen.push(als.getStore())));
    await group.wait();
    assert.deepEqual(seen, ["group"]);
  });

  test("that changes its store changes nobody else's", async () => {
    await als.run("parent", async () => {
      const child = go(async () => {
        als.enterWith("child");
        await sleep(1);
        return als.getStore();
      });
      const sibling = go(async () => {
        await sleep(2);
        return als.getStore();
      });
      assert.equal(await child.join(), "child");
      assert.equal(await sibling.join(), "parent");
      assert.equal(als.getStore(), "parent");
    });
  });

  test("with many others in one batch and in the run queue has its own all the same", async () => {
    const chan = new Chan<number>();
    const all = Array.from({ length: 500 }, (_, i) =>
      als.run(String(i), () =>
        go(async () => {
          const seen = new Set<unknown>();
          for (let k = 0; k < 5; k++) {
            if (i % 2 === 0) await chan.send(k);
            else await chan.receive();
            seen.add(als.getStore());
            await gosched();
            seen.add(als.getStore());
          }
          return [...seen];
        }),
      ),
    );
    for (const [i, g] of all.entries()) assert.deepEqual(await g.join(), [String(i)]);
  });

  test("of afterFunc has the store of who left it there, not of who cancels", async () => {
    const [ctx, cancel] = withCancel(background());
    const seen = new Chan<unknown>(1);
    als.run("left", () => afterFunc(ctx, () => seen.send(als.getStore())));
    als.run("canceler", cancel);
    assert.deepEqual(await seen.receive(), ["left", true]);
  });

  test("of Timer.func has the store of who set the timer", async () => {
    const seen = new Chan<unknown>(1);
    const timer = als.run("first", () => Timer.func(60_000, () => seen.send(als.getStore())));
    als.run("who resets it", () => timer.reset(1));
    assert.deepEqual(await seen.receive(), ["first", true]);
  });

  test("that accepts hands none of its conns' stores to the next", async () => {
    await using listener = await listen("tcp", "127.0.0.1:0");
    const seen: unknown[] = [];
    als.run("server", () =>
      go(async () => {
        for await (const conn of listener) {
          seen.push(als.getStore());
          go(async () => {
            als.enterWith(`conn ${seen.length}`);
            await conn.close();
          });
        }
      }),
    );
    for (let i = 0; i < 3; i++) {
      const conn = await als.run("client", () => dial("tcp", String(listener.addr)));
      await conn.read(new Uint8Array(1));
      await conn.close();
    }
    assert.deepEqual(seen, ["server", "server", "server"]);
  });
});

describe("an HTTP server", () => {
  const text = async (conn: Conn, path: string): Promise<string> => {
    await conn.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const reader = new BufReader(conn);
    let length = 0;
    for (let line = await reader.readLine(); line !== ""; line = await reader.readLine()) {
      const [, n] = /^content-length: (\d+)/i.exec(line ?? "") ?? [];
      if (n !== undefined) length = Number(n);
    }
    const body = new Uint8Array(length);
    if (length > 0) await reader.readFull(body);
    return new TextDecoder().decode(body);
  };

  for (const how of ["before its first await", "after an await", "without a promise"] as const) {
    test(`keeps what a handler enters ${how} to that request`, async () => {
      await using server = await als.run("server", () =>
        serve("127.0.0.1:0", (request) => {
          const before = als.getStore();
          const answer = () => new Response(`${before} ${als.getStore()}`);
          const { pathname } = new URL(request.url);
          if (how === "without a promise") {
            als.enterWith(pathname);
            return answer();
          }
          return (async () => {
            if (how === "after an await") await sleep(1);
            als.enterWith(pathname);
            await sleep(1);
            return answer();
          })();
        }),
      );
      const conn = await dial("tcp", String(server.addr));
      for (const path of ["/1", "/2", "/3"]) {
        assert.equal(await text(conn, path), `server ${path}`);
      }
      await conn.close();
    });
  }

  test("keeps the requests of one pipelined packet apart", async () => {
    await using server = await serve("127.0.0.1:0", (request) => {
      const before = als.getStore();
      als.enterWith(request.url);
      return new Response(`${before}`);
    });
    const conn = await dial("tcp", String(server.addr));
    const one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    await conn.write(one + one + last);
    let answers = "";
    for await (const chunk of conn) answers += new TextDecoder().decode(chunk);
    assert.equal(answers.match(/\r\n\r\nundefined/g)?.length, 3, answers);
    await conn.close();
  });

  test("gives the context of a request to what its handler streams and starts", async () => {
    await using server = await serve("127.0.0.1:0", (request) => {
      const { pathname } = new URL(request.url);
      return als.run(pathname, () => {
        async function* lines() {
          yield `${als.getStore()} `;
          await sleep(1);
          yield `${als.getStore()} `;
          yield String(await go(() => als.getStore()).join());
        }
        const own = lines();
        const stream = new ReadableStream<Uint8Array>({
          pull: async (controller) => {
            const { done, value } = await own.next();
            if (done) controller.close();
            else controller.enqueue(new TextEncoder().encode(value));
          },
        });
        return new Response(stream);
      });
    });
    for (const path of ["/a", "/b"]) {
      const response = await ownFetch(`http://${server.addr}${path}`);
      assert.match(await response.text(), new RegExp(`^${path} `));
    }
  });
});

describe("a pooled connection", () => {
  test("does not carry the store of the request that made it", async () => {
    await using server = await serve("127.0.0.1:0", async (request) => {
      await sleep(1);
      return new Response(request.url);
    });
    const url = `http://${server.addr}/`;
    for (const name of ["first", "second", "third"]) {
      const seen = await als.run(name, () =>
        go(async () => {
          const response = await ownFetch(url);
          const head = als.getStore();
          await response.text();
          return [head, als.getStore()];
        }).join(),
      );
      assert.deepEqual(seen, [name, name]);
    }
    assert.equal(als.getStore(), undefined);
  });

  test("of two at once gives each its own", async () => {
    await using server = await serve("127.0.0.1:0", async () => {
      await sleep(2);
      return new Response("x");
    });
    const url = `http://${server.addr}/`;
    const all = Array.from({ length: 20 }, (_, i) =>
      als.run(`client ${i}`, async () => {
        for (let k = 0; k < 3; k++) await (await ownFetch(url)).text();
        return als.getStore();
      }),
    );
    assert.deepEqual(
      await Promise.all(all),
      all.map((_, i) => `client ${i}`),
    );
  });
});
