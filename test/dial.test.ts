/** dial.test.ts: dialling: refusals, timeouts, signals, names with several addresses, retries. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { describe, type TestContext, test } from "node:test";
import {
  type Conn,
  type DialOptions,
  dial,
  go,
  type Listener,
  listen,
  type Resolver,
  type StreamNetwork,
  type TCPAddr,
  type TCPConn,
} from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "../src/syscall/constants.ts";
import { abstractName, connect, lacksIPv6, socketFolder } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure, LATE_MS, readText, seeded, staysPending, turn } from "../testing/support.ts";
import { lacks, run } from "./child.ts";

const ANY = "127.0.0.1:0";
const NEVER_MS = 60_000;

/** A test that checks for leaks. */
function checked(check: (t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return (t) => withLeakCheck(t, () => check(t));
}

/** An address on which nobody listens. */
async function deadAddress(address = ANY): Promise<string> {
  const listener = await listen("tcp", address);
  await listener.close();
  return String(listener.addr);
}

/** A listener whose queue is full: whoever dials it waits, until somebody accepts. */
class Busy implements AsyncDisposable {
  readonly listener: Listener;
  readonly address: string;
  private readonly waiting: Conn[] = [];

  private constructor(listener: Listener) {
    this.listener = listener;
    this.address = String(listener.addr);
  }

  static async on(network: StreamNetwork, address: string): Promise<Busy> {
    const busy = new Busy(await listen(network, address, { backlog: 1 }));
    try {
      for (;;) busy.waiting.push(await dial(network, busy.address, { timeout: 60 }));
    } catch (error) {
      assert.equal((error as { code: string }).code, "ERR_DEADLINE");
    }
    return busy;
  }

  /** Accepts everybody who has been waiting since the queue became full. */
  async drain(): Promise<void> {
    for (const conn of this.waiting.splice(0)) {
      await conn.close();
      await (await this.listener.accept()).close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const conn of this.waiting) await conn.close();
    await this.listener.close();
  }
}

function port(listener: Listener): number {
  return (listener.addr as TCPAddr).port;
}

/** Tries the second step on the port that the first one got, until that port is free for both. */
async function onOnePort<A extends AsyncDisposable, B extends AsyncDisposable>(
  first: () => Promise<[A, number]>,
  second: (port: number) => Promise<B>,
): Promise<[A, B, number]> {
  for (;;) {
    const [a, n] = await first();
    try {
      return [a, await second(n), n];
    } catch (error) {
      await a[Symbol.asyncDispose]();
      if ((error as { code: string }).code !== "EADDRINUSE") throw error;
    }
  }
}

/** A link-local address of this machine: address, zone, index of the zone. */
function linkLocal(): [string, string, number] | undefined {
  for (const [zone, addresses] of Object.entries(networkInterfaces())) {
    for (const each of addresses ?? []) {
      if (each.family === "IPv6" && each.scopeid > 0) return [each.address, zone, each.scopeid];
    }
  }
  return undefined;
}

function names(...ips: string[]): Resolver {
  return { lookupHost: async () => ips };
}

describe("a dial that fails", () => {
  test(
    "is refused with the address and what it means",
    checked(async () => {
      const address = await deadAddress();
      const error = await failure(dial("tcp", address), "ECONNREFUSED");
      assert.equal(error.op, "dial");
      assert.equal(error.network, "tcp");
      assert.equal(error.address, address);
      assert.equal(error.timeout, false);
      assert.equal(
        error.message,
        `dial tcp ${address}: connection refused (ECONNREFUSED); nothing listens there`,
      );
    }),
  );

  test(
    "has its caller in the stack",
    checked(async () => {
      const address = await deadAddress();
      const userFunction = async (options: DialOptions): Promise<void> => {
        await dial("tcp", address, options);
      };
      const refused = await failure(userFunction({}), "ECONNREFUSED");
      assert.match(refused.stack ?? "", /at async userFunction/);
      const canceled = await failure(userFunction({ signal: AbortSignal.abort() }), "ERR_CANCELED");
      assert.match(canceled.stack ?? "", /userFunction/);
      const nonsense = async (): Promise<void> => {
        await dial("tcp", "nonsense");
      };
      assert.match((await failure(nonsense(), "EINVAL")).stack ?? "", /at async nonsense/);
    }),
  );

  test(
    "to two families has its caller in the stack",
    { skip: lacksIPv6() ?? false },
    checked(async () => {
      const address = await deadAddress();
      const userFunction = async (): Promise<void> => {
        const resolver = names("::1", "127.0.0.1");
        await dial("tcp", address.replace("127.0.0.1", "two.families"), { resolver });
      };
      const error = await failure(userFunction(), "ECONNREFUSED");
      assert.match(error.stack ?? "", /at async userFunction/);
    }),
  );

  test(
    "says what is wrong with an address",
    checked(async () => {
      for (const [address, message] of [
        ["127.0.0.1", /no port: write host:port/],
        ["::1:80", /too many colons: put an IPv6 address in brackets/],
        ["127.0.0.1:http", /the port must be a number from 0 to 65535/],
        ["127.0.0.1:65536", /the port must be a number/],
        ["127.0.0.1:-1", /the port must be a number/],
        ["[127.0.0.1]:80", /"127\.0\.0\.1" is not an IPv6 address/],
        ["[::1]", /no port/],
        ["", /no port/],
      ] as const) {
        assert.match((await failure(dial("tcp", address), "EINVAL")).message, message);
        assert.match((await failure(listen("tcp", address), "EINVAL")).message, message);
      }
      await assert.rejects(
        dial("tcpp" as StreamNetwork, ANY),
        /unknown network "tcpp"; known: tcp/,
      );
      await assert.rejects(dial("tcp", 80 as never), TypeError);
    }),
  );

  test(
    "has no address of the family that was asked for",
    checked(async () => {
      await failure(dial("tcp6", "127.0.0.1:80"), "EADDRNOTAVAIL");
      await failure(dial("tcp4", "[::1]:80"), "EADDRNOTAVAIL");
      await failure(dial("tcp", "name:80", { resolver: names() }), "EADDRNOTAVAIL");
      await failure(dial("tcp4", "name:80", { resolver: names("::1") }), "EADDRNOTAVAIL");
    }),
  );

  test(
    "has a resolver that fails, or answers nonsense",
    checked(async () => {
      const cause = Object.assign(new Error("server failure"), { code: "ESERVFAIL" });
      const failing = { lookupHost: () => Promise.reject(cause) };
      const error = await failure(dial("tcp", "name:80", { resolver: failing }), "ESERVFAIL");
      assert.equal(error.cause, cause);
      assert.match(error.message, /the name "name" could not be resolved/);
      const throwing = {
        lookupHost(): never {
          throw new Error("at once");
        },
      };
      await failure(dial("tcp", "name:80", { resolver: throwing }), "ENOTFOUND");
      for (const nonsense of [
        ["nonsense"],
        ["127.0.0.1", "999.1.1.1"],
        [5],
        "127.0.0.1",
        undefined,
      ]) {
        const resolver = { lookupHost: async () => nonsense as string[] };
        await assert.rejects(dial("tcp", "name:80", { resolver }), { code: "ENOTFOUND" });
      }
    }),
  );

  test(
    "refuses a timeout that is none",
    checked(async () => {
      for (const timeout of [0, -5, Number.NaN, "1" as never]) {
        await assert.rejects(dial("tcp", ANY, { timeout }), RangeError);
      }
      for (const fallbackDelay of [-5, Number.NaN, "1" as never]) {
        await assert.rejects(dial("tcp", ANY, { fallbackDelay }), RangeError);
      }
      await assert.rejects(dial("tcp", ANY, { keepAlive: { idle: 0 } }), RangeError);
    }),
  );
});

describe("a dial that has to wait", () => {
  test(
    "ends at its timeout, not before",
    checked(async () => {
      await using busy = await Busy.on("tcp", ANY);
      const start = performance.now();
      const error = await failure(dial("tcp", busy.address, { timeout: 30 }), "ERR_DEADLINE");
      const took = performance.now() - start;
      assert.ok(took >= 30 && took <= 30 + LATE_MS, `${took} ms`);
      assert.equal(error.timeout, true);
      assert.equal(error.op, "dial");
      assert.equal(error.address, busy.address);
    }),
  );

  test(
    "is canceled by its signal: before, meanwhile, and not any more afterwards",
    checked(async () => {
      await using busy = await Busy.on("tcp", ANY);
      const controller = new AbortController();
      const { signal } = controller;
      const waiting = dial("tcp", busy.address, { signal });
      assert.ok(await staysPending(waiting));
      controller.abort("meanwhile");
      const meanwhile = await failure(waiting, "ERR_CANCELED");
      assert.equal(meanwhile.cause, "meanwhile");
      const before = await failure(dial("tcp", busy.address, { signal }), "ERR_CANCELED");
      assert.equal(before.cause, "meanwhile");

      await using listener = await listen("tcp", ANY);
      const later = new AbortController();
      await using pair = await connect(listener, String(listener.addr), { signal: later.signal });
      later.abort();
      await pair.a.write("still open");
      assert.equal(await readText(pair.b, 10), "still open");
    }),
  );

  test(
    "forgets its timeout once it is connected",
    checked(async () => {
      await using listener = await listen("tcp", ANY);
      await using pair = await connect(listener, undefined, { timeout: 50 });
      const reading = pair.a.read(new Uint8Array(4));
      pair.b.setReadDeadline(new Date(Date.now() + 80));
      await failure(pair.b.read(new Uint8Array(1)), "ERR_DEADLINE");
      await pair.a.write("out");
      await pair.b.write("in");
      assert.equal(await reading, 2);
    }),
  );

  test(
    "leaves no socket behind, canceled 1,000 times at any moment",
    checked(async (t) => {
      const random = seeded(t);
      await using listener = await listen("tcp", ANY);
      await using busy = await Busy.on("tcp", ANY);
      const accepting = go(async () => {
        for await (const conn of listener) await conn.close();
      });
      let won = 0;
      const one = async (): Promise<void> => {
        const controller = new AbortController();
        const address = random.chance(0.5) ? busy.address : String(listener.addr);
        const dialling = dial("tcp", address, { signal: controller.signal }).then(
          (conn) => {
            won++;
            return conn.close();
          },
          (error) => assert.equal(error.code, "ERR_CANCELED"),
        );
        for (let turns = random.below(4); turns > 0; turns--) await turn();
        controller.abort();
        await dialling;
      };
      for (let round = 0; round < 20; round++) {
        await Promise.all(Array.from({ length: 50 }, one));
      }
      t.diagnostic(`${won} of 1,000 were connected before they were canceled`);
      await listener.close();
      await accepting.join();
    }),
  );

  test(
    "is canceled, or times out, while its resolver is busy, whether or not that listens to a signal",
    checked(async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const deaf = { lookupHost: () => new Promise<never>(() => {}) };
      await failure(dial("tcp", "name:80", { resolver: deaf, timeout: 20 }), "ERR_DEADLINE");
      const listening: Resolver = {
        lookupHost: (_host, options) =>
          new Promise((_, reject) => {
            options?.signal?.addEventListener("abort", () => reject(new Error("given up")));
          }),
      };
      const late = await failure(
        dial("tcp", "name:80", { resolver: listening, timeout: 20 }),
        "ERR_DEADLINE",
      );
      assert.equal(late.timeout, true);
      const waiting = [deaf, listening].map((resolver) =>
        dial("tcp", "name:80", { resolver, signal, timeout: NEVER_MS }),
      );
      await turn();
      controller.abort("enough");
      for (const dialling of waiting) {
        assert.equal((await failure(dialling, "ERR_CANCELED")).cause, "enough");
      }
    }),
  );

  test(
    "is canceled when its signal is aborted while a name is looked up",
    checked(async () => {
      await using listener = await listen("tcp", ANY);
      for (const ips of [["127.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.1", "::1"]]) {
        const controller = new AbortController();
        const resolver = {
          async lookupHost(): Promise<string[]> {
            controller.abort("meanwhile");
            return ips;
          },
        };
        const options = { resolver, signal: controller.signal };
        const dialling = dial("tcp", `name:${port(listener)}`, options);
        assert.equal((await failure(dialling, "ERR_CANCELED")).cause, "meanwhile");
      }
    }),
  );
});

describe("a name with several addresses", { skip: lacksIPv6() ?? false }, () => {
  test(
    "falls back to the other family after the delay when the first hangs",
    checked(async () => {
      const [busy, listener, n] = await onOnePort(
        async () => {
          const six = await Busy.on("tcp6", "[::1]:0");
          return [six, port(six.listener)];
        },
        (same) => listen("tcp4", `127.0.0.1:${same}`),
      );
      await using _one = busy;
      await using _two = listener;
      const start = performance.now();
      const resolver = names("::1", "127.0.0.1");
      const conn = await dial("tcp", `name:${n}`, { resolver, fallbackDelay: 40 });
      const took = performance.now() - start;
      assert.ok(took >= 40 && took <= 40 + LATE_MS, `${took} ms`);
      assert.equal(String(conn.remoteAddr), `127.0.0.1:${n}`);
      await (await listener.accept()).close();
      await conn.close();
    }),
  );

  test(
    "gives the first family 300 ms, and no socket to the other if that is enough",
    checked(async () => {
      const [busy, listener, n] = await onOnePort(
        async () => {
          const six = await Busy.on("tcp6", "[::1]:0");
          return [six, port(six.listener)];
        },
        (same) => listen("tcp4", `127.0.0.1:${same}`),
      );
      await using _one = busy;
      await using _two = listener;
      const resolver = names("::1", "127.0.0.1");
      const begun: [network: string, at: number][] = [];
      const control: DialOptions["control"] = ({ network }) => {
        begun.push([network, performance.now()]);
      };
      const conn = await dial("tcp", `name:${n}`, { resolver, control });
      const [first, second] = begun as [[string, number], [string, number]];
      assert.deepEqual([first[0], second[0], begun.length], ["tcp6", "tcp4", 2]);
      // Node's clock of timers ticks in whole ms.
      assert.ok(second[1] - first[1] >= 299, `${second[1] - first[1]} ms`);
      await conn.close();
      await (await listener.accept()).close();

      begun.length = 0;
      const turned = { resolver: names("127.0.0.1", "::1"), control };
      await (await dial("tcp", `name:${n}`, turned)).close();
      assert.deepEqual(
        begun.map(([network]) => network),
        ["tcp4"],
      );
      await (await listener.accept()).close();
    }),
  );

  test(
    "falls back to the other family at once when the first is refused",
    checked(async () => {
      await using listener = await listen("tcp4", ANY);
      const resolver = names("::1", "127.0.0.1");
      const options = { resolver, fallbackDelay: NEVER_MS };
      await using pair = await connect(
        { ...listener, accept: () => listener.accept(), network: "tcp" } as never,
        `name:${port(listener)}`,
        options,
      );
      assert.equal(String(pair.a.remoteAddr), String(listener.addr));
    }),
  );

  test(
    "fails with the first family's error when both fail",
    checked(async () => {
      const n = (await deadAddress("127.0.0.1:0")).split(":")[1];
      for (const [ips, expected] of [
        [["::1", "127.0.0.1"], `[::1]:${n}`],
        [["127.0.0.1", "::1"], `127.0.0.1:${n}`],
        [["127.0.0.2", "::1", "127.0.0.1"], `127.0.0.2:${n}`],
      ] as const) {
        const options = { resolver: names(...ips), fallbackDelay: 1 };
        const error = await failure(dial("tcp", `name:${n}`, options), "ECONNREFUSED");
        assert.equal(error.address, expected);
      }
    }),
  );

  test(
    "times out as a whole when both hang",
    checked(async () => {
      const [six, four, n] = await onOnePort(
        async () => {
          const busy = await Busy.on("tcp6", "[::1]:0");
          return [busy, port(busy.listener)];
        },
        (same) => Busy.on("tcp4", `127.0.0.1:${same}`),
      );
      await using _one = six;
      await using _two = four;
      const options = { resolver: names("::1", "127.0.0.1"), fallbackDelay: 10, timeout: 60 };
      const start = performance.now();
      const error = await failure(dial("tcp", `name:${n}`, options), "ERR_DEADLINE");
      assert.ok(performance.now() - start >= 60);
      assert.equal(error.address, `[::1]:${n}`);
      const { signal } = new AbortController();
      const canceled = AbortSignal.any([signal, AbortSignal.timeout(30)]);
      const again = dial("tcp", `name:${n}`, { ...options, timeout: null, signal: canceled });
      await failure(again, "ERR_CANCELED");
    }),
  );

  test(
    "gives one connection and closes the loser, whoever wins",
    checked(async () => {
      const [six, four, n] = await onOnePort(
        async () => {
          const listener = await listen("tcp6", "[::1]:0");
          return [listener, port(listener)];
        },
        (same) => listen("tcp4", `127.0.0.1:${same}`),
      );
      const loops = [six, four].map((listener) =>
        go(async () => {
          for await (const conn of listener) {
            // Also that of a loser: it is seen to be closed.
            assert.equal(await conn.read(new Uint8Array(1)), null);
            await conn.close();
          }
        }),
      );
      for (let i = 0; i < 60; i++) {
        const resolver = i % 2 === 0 ? names("::1", "127.0.0.1") : names("127.0.0.1", "::1");
        const conn = await dial("tcp", `name:${n}`, { resolver, fallbackDelay: 0 });
        await conn.close();
      }
      await six.close();
      await four.close();
      await Promise.all(loops.map((g) => g.join()));
    }),
  );

  test(
    "tries the addresses of one family one after the other",
    checked(async () => {
      await using listener = await listen("tcp4", ANY);
      const resolver = names("127.0.0.2", "127.0.0.3", "127.0.0.1");
      await using pair = await connect(listener, `name:${port(listener)}`, { resolver });
      assert.equal(String(pair.a.remoteAddr), String(listener.addr));
    }),
  );

  test(
    "is looked up by the system when no resolver is given",
    checked(async () => {
      await using listener = await listen("tcp4", ANY);
      await using pair = await connect(listener, `localhost:${port(listener)}`);
      assert.equal(String(pair.a.remoteAddr), String(listener.addr));
      const both = dial("tcp", `localhost:${port(listener)}`);
      const accepted = await listener.accept();
      await (await both).close();
      await accepted.close();
    }),
  );
});

describe("the text of an address", () => {
  test(
    "can be dialled and listened on again, on every network",
    checked(async () => {
      await using folder = await socketFolder();
      const places: [StreamNetwork, string][] = [
        ["tcp", ":0"],
        ["tcp", ANY],
        ["tcp4", ":0"],
        ["tcp4", ANY],
        ["unix", folder.path("stream")],
        ["unix", abstractName()],
        ["unixpacket", folder.path("packet")],
        ["unixpacket", abstractName()],
      ];
      if (lacksIPv6() === undefined) places.push(["tcp6", ":0"], ["tcp", "[::1]:0"]);
      for (const [network, address] of places) {
        const listener = await listen(network, address);
        const text = String(listener.addr);
        const pair = await connect(listener, text);
        const loopback = text.replace("[::]", "[::1]").replace("0.0.0.0", "127.0.0.1");
        assert.equal(String(pair.a.remoteAddr), loopback);
        if (network.startsWith("tcp")) {
          assert.equal(String(pair.b.remoteAddr), String(pair.a.localAddr));
        }
        await pair.close();
        await listener.close();
        const again = await listen(network, text);
        assert.equal(String(again.addr), text);
        await again.close();
      }
    }),
  );

  test(
    "needs no host for this machine",
    checked(async () => {
      await using four = await listen("tcp4", ANY);
      await using pair = await connect(four, `:${port(four)}`);
      assert.equal(String(pair.a.remoteAddr), String(four.addr));
    }),
  );

  test(
    "reads the same, however it was spelled",
    { skip: lacksIPv6() ?? false },
    checked(async () => {
      await using listener = await listen("tcp", ":0");
      const n = port(listener);
      for (const [spelled, expected] of [
        ["[0:0:0:0:0:0:0:1]", "[::1]"],
        ["[::0001]", "[::1]"],
        ["[0::0]", "[::1]"],
        ["[::ffff:127.0.0.1]", "127.0.0.1"],
        ["[::FFFF:7f00:1]", "127.0.0.1"],
        ["0.0.0.0", "127.0.0.1"],
      ]) {
        await using pair = await connect(listener, `${spelled}:${n}`);
        assert.equal(String(pair.a.remoteAddr), `${expected}:${n}`);
        assert.equal(String(pair.b.localAddr), `${expected}:${n}`);
        assert.equal(String(pair.a.localAddr), String(pair.b.remoteAddr));
      }
    }),
  );

  test(
    "carries the zone of a link-local address",
    { skip: linkLocal() === undefined ? "no interface has a link-local address" : false },
    checked(async () => {
      const [ip, zone, index] = linkLocal() as [string, string, number];
      await using listener = await listen("tcp", `[${ip}%${zone}]:0`);
      const text = String(listener.addr);
      assert.equal(text, `[${ip}%${zone}]:${port(listener)}`);
      await using pair = await connect(listener, text);
      assert.equal(String(pair.a.remoteAddr), text);
      assert.equal(String(pair.b.remoteAddr), String(pair.a.localAddr));
      await using numbered = await connect(listener, text.replace(`%${zone}`, `%${index}`));
      assert.equal(String(numbered.a.remoteAddr), text);
      const resolver = names(`${ip}%${zone}`);
      await using named = await connect(listener, `name:${port(listener)}`, { resolver });
      assert.equal(String(named.a.remoteAddr), text);
      const error = await failure(dial("tcp", text.replace(zone, "none")), "EINVAL");
      assert.match(error.message, /no interface "none" has a link-local IPv6 address/);
    }),
  );
});

describe("a dial to a unix listener whose backlog is full", () => {
  test(
    "waits, and succeeds once there is room",
    checked(async () => {
      await using busy = await Busy.on("unix", abstractName());
      const waiting = dial("unix", busy.address, { timeout: NEVER_MS });
      assert.ok(await staysPending(waiting));
      await busy.drain();
      await using conn = await waiting;
      await using accepted = await busy.listener.accept();
      await conn.write("hello");
      assert.equal(await readText(accepted, 5), "hello");
    }),
  );

  test(
    "ends at its timeout, by its signal, or when the listener closes",
    checked(async () => {
      await using busy = await Busy.on("unixpacket", abstractName());
      await failure(dial("unixpacket", busy.address, { timeout: 20 }), "ERR_DEADLINE");
      const signal = AbortSignal.timeout(20);
      await failure(dial("unixpacket", busy.address, { signal }), "ERR_CANCELED");
      const waiting = dial("unixpacket", busy.address);
      assert.ok(await staysPending(waiting));
      await busy.listener.close();
      await failure(waiting, "ECONNREFUSED");
    }),
  );

  test(
    "is refused where nobody listens",
    checked(async () => {
      await using folder = await socketFolder();
      await failure(dial("unix", folder.path("none")), "ENOENT");
      await failure(dial("unix", abstractName()), "ECONNREFUSED");
      await using listener = await listen("unix", folder.path("s"));
      await failure(dial("unixpacket", String(listener.addr)), "EPROTOTYPE");
    }),
  );
});

const NETWORK_OF_ITS_OWN = ["unshare", "--net", "--map-root-user"] as const;

describe("a dial that could meet itself", () => {
  test("is tried again, and refused in the end", {
    skip: lacks("unshare", ...NETWORK_OF_ITS_OWN.slice(1), "true") ?? false,
  }, async () => {
    // A network with two ports to choose from, one of which is dialled: sooner or later the kernel
    // connects the socket with itself.
    const { status, stdout, stderr } = await run("self_connect", [], {
      prefix: NETWORK_OF_ITS_OWN,
    });
    assert.equal(stderr, "");
    assert.equal(stdout.trim(), "refused every time");
    assert.equal(status, 0);
  });
});

describe("the options of TCP", () => {
  function option(conn: Conn, level: number, name: number): number {
    const value = new Int32Array(1);
    const { sysfd } = (conn as TCPConn).fd;
    runtime().kernel.getsockopt(sysfd, level, name, new Uint8Array(value.buffer));
    return value[0] as number;
  }

  function options(conn: Conn): number[] {
    return [
      option(conn, SOL_SOCKET, SO_KEEPALIVE),
      option(conn, IPPROTO_TCP, TCP_KEEPIDLE),
      option(conn, IPPROTO_TCP, TCP_KEEPINTVL),
      option(conn, IPPROTO_TCP, TCP_KEEPCNT),
      option(conn, IPPROTO_TCP, TCP_NODELAY),
    ];
  }

  test(
    "are keep-alive after 15 s, every 15 s, 9 times, and no delay, on both ends",
    checked(async () => {
      await using listener = await listen("tcp", ANY);
      await using pair = await connect(listener);
      assert.deepEqual(options(pair.a), [1, 15, 15, 9, 1]);
      assert.deepEqual(options(pair.b), [1, 15, 15, 9, 1]);
    }),
  );

  test(
    "are those that were asked for",
    checked(async () => {
      const asked = { keepAlive: { idle: 60, interval: 5, count: 3 }, noDelay: false };
      await using listener = await listen("tcp", ANY, asked);
      await using pair = await connect<TCPConn>(listener, undefined, asked);
      assert.deepEqual(options(pair.a), [1, 60, 5, 3, 0]);
      assert.deepEqual(options(pair.b), [1, 60, 5, 3, 0]);
      pair.a.setNoDelay().setKeepAlive(false);
      assert.deepEqual(options(pair.a).slice(0, 1), [0]);
      assert.equal(options(pair.a)[4], 1);
      pair.a.setKeepAlive(true);
      assert.deepEqual(options(pair.a), [1, 15, 15, 9, 1]);
      for (const wrong of [0, -1, 1.5, 40_000]) {
        assert.throws(() => pair.a.setKeepAlive({ idle: wrong }), RangeError);
        assert.throws(() => pair.a.setKeepAlive({ count: wrong }), RangeError);
      }
      pair.a.setReadBuffer(100_000);
      pair.a.setWriteBuffer(100_000);
      assert.throws(() => pair.a.setReadBuffer(0), RangeError);
      await pair.a.close();
      for (const set of [
        () => pair.a.setNoDelay(),
        () => pair.a.setKeepAlive(true),
        () => pair.a.setLinger(0),
        () => pair.a.setReadBuffer(1000),
        () => pair.a.setWriteBuffer(1000),
      ]) {
        assert.throws(set, { code: "ERR_CLOSED", op: "set" });
      }
    }),
  );
});
