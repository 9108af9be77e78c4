/**
 * happens_before.test.ts: what the library tells of its synchronisation, edge by edge, in the order in
 * which a race detector needs it (src/runtime/observer.ts has the table).
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { attach } from "../src/debug/observers.ts";
import { currentGoroutine, trackGoroutines } from "../src/debug/who.ts";
import {
  AtomicInt32,
  Chan,
  Cond,
  ErrGroup,
  type Goroutine,
  go,
  Mutex,
  Once,
  onceValue,
  RWMutex,
  recv,
  Semaphore,
  SharedChan,
  select,
  send,
  singleflight,
  WaitGroup,
} from "../src/index.ts";
import { turn } from "../testing/support.ts";

/** What is told while `run` runs: "a releases lock", "b takes lock"; goroutines by their names. */
async function told(run: () => Promise<unknown>): Promise<string[]> {
  const untrack = trackGoroutines();
  const log: string[] = [];
  const waiters = new Map<object, Goroutine<unknown> | undefined>();
  const who = (waiter: object | undefined): string => {
    if (waiter === undefined) return currentGoroutine()?.name ?? "nobody";
    assert.ok(waiters.has(waiter), "told of a waiter that is not parked");
    return waiters.get(waiter)?.name ?? "nobody";
  };
  const detach = attach({
    parked: (waiter) => waiters.set(waiter, currentGoroutine()),
    resumed: (waiter) => waiters.delete(waiter),
    released: (_, tag, waiter) => log.push(`${who(waiter)} releases ${tag}`),
    acquired: (_, tag, waiter) => log.push(`${who(waiter)} takes ${tag}`),
  });
  try {
    await run();
  } finally {
    detach();
    untrack();
  }
  return log.filter((line) => !line.startsWith("nobody"));
}

/** Two goroutines, the second of which begins when the first has come to its first wait. */
async function two(a: () => unknown, b: () => unknown): Promise<void> {
  const first = go({ a: async () => a() }.a);
  await turn();
  const second = go({ b: async () => b() }.b);
  await Promise.all([first, second].map((g) => g.join()));
}

const table: readonly [name: string, run: () => Promise<unknown>, expected: readonly string[]][] = [
  [
    "a value that is handed to a receiver",
    () => {
      const chan = new Chan<number>();
      return two(
        () => chan.receive(),
        () => chan.send(1),
      );
    },
    ["b releases send", "a takes receive"],
  ],
  [
    "a value that is taken from a sender",
    () => {
      const chan = new Chan<number>();
      return two(
        () => chan.send(1),
        () => chan.receive(),
      );
    },
    ["a releases send", "b takes receive"],
  ],
  [
    "values through a buffer: the oldest comes out before a sender's goes in",
    () => {
      const chan = new Chan<number>(1);
      return two(
        async () => {
          await chan.send(1);
          await chan.send(2);
        },
        () => chan.receive(),
      );
    },
    ["a releases send", "b takes receive", "a releases send"],
  ],
  [
    "a receive that waits for a closing, and one that comes later",
    () => {
      const chan = new Chan<number>();
      return two(
        () => chan.receive(),
        async () => {
          chan.close();
          await chan.receive();
        },
      );
    },
    ["b releases close", "a takes close", "b takes close"],
  ],
  [
    "selects on both sides",
    () => {
      const chan = new Chan<number>();
      const other = new Chan<number>();
      return two(
        () => select({ other: recv(other), chan: recv(chan) }),
        () => select({ chan: send(chan, 1) }),
      );
    },
    ["b releases send", "a takes receive"],
  ],
  [
    "a mutex",
    () => {
      const mu = new Mutex();
      return two(
        async () => {
          using _ = await mu.lock();
          await turn();
        },
        async () => {
          using _ = await mu.lock();
        },
      );
    },
    ["a takes lock", "a releases lock", "b takes lock", "b releases lock"],
  ],
  [
    "a condition, which gives the lock back and takes it again",
    () => {
      const mu = new Mutex();
      const cond = new Cond(mu);
      return two(
        async () => {
          using _ = await mu.lock();
          await cond.wait();
        },
        async () => {
          using _ = await mu.lock();
          cond.signal();
        },
      );
    },
    [
      "a takes lock",
      "a releases lock",
      "b takes lock",
      "b releases signal",
      "a takes signal",
      "b releases lock",
      "a takes lock",
      "a releases lock",
    ],
  ],
  [
    "a read lock and a write lock",
    () => {
      const rw = new RWMutex();
      return two(
        async () => {
          using _ = await rw.rlock();
          await turn();
        },
        async () => {
          using _ = await rw.lock();
        },
      );
    },
    ["a takes read", "a releases read", "b takes write", "b releases write"],
  ],
  [
    "units",
    () => {
      const slots = new Semaphore(1);
      return two(
        async () => {
          using _ = await slots.acquire();
          await turn();
        },
        async () => {
          using _ = await slots.acquire();
        },
      );
    },
    ["a takes units", "a releases units", "b takes units", "b releases units"],
  ],
  [
    "a group",
    () => {
      const wg = new WaitGroup();
      wg.add(1);
      return two(
        () => wg.wait(),
        () => wg.done(),
      );
    },
    ["b releases done", "a takes done"],
  ],
  [
    "a group with errors",
    () => {
      const group = new ErrGroup();
      return two(
        () => group.wait(),
        () => group.go({ member: () => turn() }.member),
      ).then(() => group.wait());
    },
    ["a releases cancel", "a takes done", "member releases done"],
  ],
  [
    "something that is done once",
    () => {
      const once = new Once();
      return two(
        async () => {
          await once.do(turn);
          await once.do(turn);
        },
        () => once.do(turn),
      );
    },
    ["a releases once", "b takes once", "a takes once"],
  ],
  [
    "a value that is made once, for one who waits",
    () => {
      const value = onceValue(async () => {
        for (let i = 0; i < 3; i++) await turn();
      });
      return two(
        () => value(),
        () => value(),
      );
    },
    ["a releases once", "b takes once"],
  ],
  [
    "a call that is shared",
    () => {
      const flight = singleflight<string, void>();
      const call = async (): Promise<void> => {
        for (let i = 0; i < 3; i++) await turn();
      };
      return two(
        () => flight.do("key", call),
        () => flight.do("key", call),
      );
    },
    ["a releases once", "a takes once", "a releases once", "b takes once"],
  ],
  [
    "a channel between threads",
    () => {
      const chan = new SharedChan<number>({ capacity: 1 });
      return two(
        () => chan.send(1),
        () => chan.receive(),
      );
    },
    ["a releases shared", "b takes shared"],
  ],
  [
    "an atomic",
    () => {
      const count = new AtomicInt32(0);
      return two(
        () => count.add(1),
        () => count.load(),
      );
    },
    ["a takes shared", "a releases shared", "b takes shared"],
  ],
];

describe("told is", () => {
  for (const [name, run, expected] of table) {
    test(name, async () => {
      const log = await told(run);
      assert.deepEqual(
        log.filter((line) => !line.endsWith(" end")),
        expected.filter((line) => !line.endsWith(" end")),
      );
    });
  }

  test("the end of a goroutine to who joins it, early or late", async () => {
    const log = await told(async () => {
      const g = go({ ends: () => turn() }.ends);
      await go({ early: async () => g.join() }.early).join();
      await go({ late: async () => g.join() }.late).join();
    });
    assert.deepEqual(
      log.filter((line) => line.endsWith("takes end")),
      ["early takes end", "late takes end"],
    );
  });
});
