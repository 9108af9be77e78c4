/** listener.test.ts: listening and accepting, from the backlog to the path of a unix socket. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import {
  type Conn,
  dial,
  go,
  type Listener,
  type ListenOptions,
  listen,
  type StreamNetwork,
  stats,
  TCPConn,
} from "../src/index.ts";
import { abstractName, connect, socketFolder } from "../testing/conns.ts";
import { openFds, withLeakCheck } from "../testing/leaks.ts";
import {
  failure,
  inMs,
  LATE_MS,
  readText,
  staysPending,
  thrown,
  turn,
} from "../testing/support.ts";
import { Child, lacks } from "./child.ts";

const ANY = "127.0.0.1:0";

/** A test with a listener that is closed at its end. */
function listening(
  check: (listener: Listener, t: TestContext) => Promise<void>,
  options?: ListenOptions,
): (t: TestContext) => Promise<void> {
  return (t) =>
    withLeakCheck(t, async () => {
      await using listener = await listen("tcp", ANY, options);
      await check(listener, t);
    });
}

async function closeAll(conns: readonly Conn[]): Promise<void> {
  for (const conn of conns) await conn.close();
}

describe("accept", () => {
  test(
    "takes a connection only when it is asked: the others wait in the kernel",
    listening(async (listener) => {
      const clients: Conn[] = [];
      for (let i = 0; i < 5; i++) {
        clients.push(await dial("tcp", String(listener.addr)));
        await clients[i]?.write(`client ${i}`);
      }
      const { open } = stats();
      for (let i = 0; i < 5; i++) {
        await turn();
        assert.equal(stats().open, open + i, "accepted without being asked");
        const conn = await listener.accept();
        assert.equal(await readText(conn, 8), `client ${i}`);
        clients.push(conn);
      }
      await closeAll(clients);
    }),
  );

  test(
    "serves goroutines that wait in their order",
    listening(async (listener) => {
      const accepting = [1, 2, 3].map(() => go(() => listener.accept()));
      await turn();
      const clients: Conn[] = [];
      for (let i = 0; i < 3; i++) clients.push(await dial("tcp", String(listener.addr)));
      const conns = await Promise.all(accepting.map((g) => g.join()));
      assert.deepEqual(
        conns.map((conn) => String(conn.remoteAddr)),
        clients.map((conn) => String(conn.localAddr)),
      );
      await closeAll([...clients, ...conns]);
    }),
  );

  test(
    "leaving a loop over a listener loses no connection",
    listening(async (listener) => {
      const clients: Conn[] = [];
      for (let i = 0; i < 6; i++) clients.push(await dial("tcp", String(listener.addr)));
      for await (const conn of listener) {
        clients.push(conn);
        break;
      }
      clients.push(await listener.accept());
      for await (const conn of listener) if (clients.push(conn) === 12) break;
      const dialled = clients.slice(0, 6).map((conn) => String(conn.localAddr));
      const accepted = clients.slice(6).map((conn) => String(conn.remoteAddr));
      assert.deepEqual(accepted, dialled);
      await closeAll(clients);
    }),
  );

  test(
    "takes connections that were reset while they waited, and goes on",
    listening(async (listener) => {
      for (let i = 0; i < 3; i++) {
        const gone = await dial("tcp", String(listener.addr));
        await gone.setLinger(0).close();
      }
      const client = await dial("tcp", String(listener.addr));
      for (;;) {
        await using conn = await listener.accept();
        if (String(conn.remoteAddr) === String(client.localAddr)) break;
        await failure(conn.read(new Uint8Array(1)), "ECONNRESET");
      }
      await client.close();
    }),
  );

  test(
    "fails at its deadline, not before, and loses no connection",
    listening(async (listener) => {
      const due = inMs(20);
      listener.setDeadline(due);
      const error = await failure(listener.accept(), "ERR_DEADLINE");
      const now = Date.now();
      assert.ok(now >= due.getTime() && now <= due.getTime() + LATE_MS);
      assert.equal(error.timeout, true);
      assert.equal(error.op, "accept");
      assert.equal(error.address, String(listener.addr));
      const client = await dial("tcp", String(listener.addr));
      await failure(listener.accept(), "ERR_DEADLINE");
      listener.setDeadline(null);
      await closeAll([client, await listener.accept()]);
      const waiting = listener.accept();
      listener.setDeadline(new Date(0));
      await failure(waiting, "ERR_DEADLINE");
      assert.throws(() => listener.setDeadline(5 as never), TypeError);
    }),
  );

  test(
    "is canceled by its signal alone",
    listening(async (listener) => {
      const controller = new AbortController();
      const canceled = listener.accept({ signal: controller.signal });
      const waiting = listener.accept();
      await turn();
      controller.abort("not now");
      assert.equal((await failure(canceled, "ERR_CANCELED")).cause, "not now");
      assert.ok(await staysPending(waiting));
      const client = await dial("tcp", String(listener.addr));
      await closeAll([client, await waiting]);
      const before = listener.accept({ signal: controller.signal });
      assert.equal((await failure(before, "ERR_CANCELED")).cause, "not now");
    }),
  );

  test(
    "names its caller in the stack of an error",
    listening(async (listener) => {
      async function userFunction(): Promise<void> {
        await listener.accept();
      }
      const waiting = failure(userFunction(), "ERR_CLOSED");
      await turn();
      await listener.close();
      assert.match((await waiting).stack ?? "", /at async userFunction/);
      assert.match((await failure(userFunction(), "ERR_CLOSED")).stack ?? "", /userFunction/);
    }),
  );

  test("survives running out of file descriptors: nothing is dropped", async () => {
    // The limits are lowered for the shell's child, since Node raises the soft one to the hard one. Not
    // lower than this: Node opens the modules of the program all at once.
    const prefix = ["/bin/sh", "-c", 'ulimit -n 200 && exec "$0" "$@"'];
    await using child = new Child("out_of_fds", [], { prefix });
    const address = await child.line();
    const clients: Conn[] = [];
    for (let i = 0; i < 240; i++) {
      clients.push(await dial("tcp", address));
      await clients[i]?.write(`${i}\n`);
    }
    // A dial of its own cannot wait for others to close: it fails and says what to do.
    assert.match(await child.line(), /^out of fds: dial .* \(EMFILE\); .* raise its limit/);
    // Each that the server closes makes room for the next.
    for (const [i, client] of clients.entries()) {
      await client.write("done");
      assert.equal(await readText(client, 100), `served ${i}\n`);
      await client.close();
    }
    assert.equal(await child.line(), "accepted 240");
    assert.equal((await child.ended).status, 0);
  });
});

describe("close of a listener", () => {
  test(
    "wakes every accept with ERR_CLOSED and ends iteration",
    listening(async (listener) => {
      const accepts = [listener.accept(), listener.accept()];
      const loop = go(async () => {
        for await (const _ of listener) assert.fail("accepted");
      });
      await turn();
      await listener.close();
      for (const operation of accepts) await failure(operation, "ERR_CLOSED");
      await loop.join();
      for await (const _ of listener) assert.fail("accepted");
      await failure(listener.accept(), "ERR_CLOSED");
      await thrown(() => listener.setDeadline(null), "ERR_CLOSED");
      await listener.close();
    }),
  );

  test(
    "leaves the port free to be listened on again at once, with connections still there",
    listening(async (first) => {
      const address = String(first.addr);
      const one = await connect(first);
      const two = await connect(first);
      // This end closes first, so the port has a connection in TIME_WAIT and one that lives.
      await one.b.close();
      await one.a.close();
      await first.close();
      await using again = await listen("tcp", address);
      assert.equal(String(again.addr), address);
      const three = await connect(again);
      await three.a.write("new");
      assert.equal(await readText(three.b, 3), "new");
      await two.a.write("old");
      assert.equal(await readText(two.b, 3), "old");
      await closeAll([two.a, two.b, three.a, three.b]);
    }),
  );

  test(
    "leaves its connections alone",
    listening(async (listener) => {
      await using pair = await connect(listener);
      await listener.close();
      await pair.a.write("still");
      assert.equal(await readText(pair.b, 5), "still");
      assert.equal(String(pair.b.localAddr), String(listener.addr));
    }),
  );

  test("100 listeners one after the other leave nothing", (t) =>
    withLeakCheck(t, async () => {
      for (let i = 0; i < 100; i++) {
        await using listener = await listen("tcp", ANY);
        const accepting = failure(listener.accept(), "ERR_CLOSED");
        await listener.close();
        await accepting;
      }
    }));
});

describe("the sockets of a process", () => {
  test(
    "are not inherited by its children",
    { skip: lacks("ls", "/proc/self/fd") ?? false },
    listening(async (listener) => {
      await using pair = await connect(listener);
      await using folder = await socketFolder();
      await using other = await listen("unix", folder.path("s"));
      const own = [...openFds().values()].filter((target) => target.startsWith("socket:"));
      assert.ok(own.length >= 4);
      const { stdout } = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" });
      assert.match(stdout, / -> /);
      for (const socket of own) assert.ok(!stdout.includes(socket), stdout);
      assert.ok(!/eventpoll|eventfd/.test(stdout), stdout);
      await pair.a.write("x");
      await other.close();
    }),
  );
});

describe("listen", () => {
  test(
    "says which port is in use and what to do",
    listening(async (listener) => {
      const address = String(listener.addr);
      const error = await failure(listen("tcp", address), "EADDRINUSE");
      assert.equal(error.op, "listen");
      assert.equal(error.address, address);
      assert.ok(error.message.startsWith(`listen tcp ${address}: `), error.message);
      assert.match(
        error.message,
        /address already in use \(EADDRINUSE\); another socket listens there/,
      );
    }),
  );

  test("shares a port with reusePort, and every connection is accepted by one of both", (t) =>
    withLeakCheck(t, async () => {
      await using one = await listen("tcp", ANY, { reusePort: true });
      const address = String(one.addr);
      await failure(listen("tcp", address), "EADDRINUSE");
      await using two = await listen("tcp", address, { reusePort: true });
      const accepted: Conn[] = [];
      const loops = [one, two].map((listener) =>
        go(async () => {
          for await (const conn of listener) accepted.push(conn);
        }),
      );
      const clients: Conn[] = [];
      for (let i = 0; i < 40; i++) clients.push(await dial("tcp", address));
      while (accepted.length < clients.length) await turn();
      await closeAll([...clients, ...accepted]);
      await one.close();
      await two.close();
      await Promise.all(loops.map((g) => g.join()));
    }));

  test(
    "lets no more connections wait than its backlog, and the rest dial again once there is room",
    listening(
      async (listener) => {
        const clients: Conn[] = [];
        for (;;) {
          assert.ok(clients.length < 20, "the backlog has no end");
          try {
            clients.push(await dial("tcp", String(listener.addr), { timeout: 150 }));
          } catch (error) {
            assert.equal((error as { code: string }).code, "ERR_DEADLINE");
            break;
          }
        }
        const accepted = [await listener.accept()];
        clients.push(await dial("tcp", String(listener.addr), { timeout: 20_000 }));
        while (accepted.length < clients.length) accepted.push(await listener.accept());
        await closeAll([...clients, ...accepted]);
      },
      { backlog: 1 },
    ),
  );

  test("refuses options that make no sense", async () => {
    for (const wrong of [0, -1, 1.5, Number.NaN, "5"] as number[]) {
      await assert.rejects(listen("tcp", ANY, { backlog: wrong }), RangeError);
      await assert.rejects(listen("tcp", ANY, { readBuffer: wrong }), RangeError);
      await assert.rejects(listen("tcp", ANY, { writeBuffer: wrong }), RangeError);
      await assert.rejects(listen("tcp", ANY, { keepAlive: { idle: wrong } }), RangeError);
    }
    await assert.rejects(listen("tpc" as StreamNetwork, ANY), /unknown network "tpc"/);
    await assert.rejects(listen("constructor" as StreamNetwork, ANY), TypeError);
    await assert.rejects(listen("tcp", undefined as never), TypeError);
  });

  test("finds a name's address, and says when there is none", async () => {
    const resolver = { lookupHost: async () => ["::1", "127.0.0.1"] };
    await using listener = await listen("tcp", "some.name:0", { resolver });
    assert.match(String(listener.addr), /^127\.0\.0\.1:\d+$/);
    const failing = { lookupHost: () => Promise.reject(new Error("no such name")) };
    const error = await failure(listen("tcp", "x:0", { resolver: failing }), "ENOTFOUND");
    assert.match(error.message, /the name "x" could not be resolved/);
    const empty = { lookupHost: async () => [] };
    await failure(listen("tcp", "x:0", { resolver: empty }), "EADDRNOTAVAIL");
  });

  test("says when an address is not this machine's", async () => {
    const error = await failure(listen("tcp", "203.0.113.1:0"), "EADDRNOTAVAIL");
    assert.match(error.message, /no interface of this machine has that address/);
  });
});

describe("a unix listener", () => {
  test("removes its path when it closes", async () => {
    await using folder = await socketFolder();
    const path = folder.path("s");
    const listener = await listen("unix", path);
    assert.ok(statSync(path).isSocket());
    assert.equal(String(listener.addr), path);
    await failure(listen("unix", path), "EADDRINUSE");
    await listener.close();
    assert.ok(!existsSync(path));
  });

  test("leaves a path alone that is not its own any more", async () => {
    await using folder = await socketFolder();
    const path = folder.path("s");
    const first = await listen("unix", path);
    rmSync(path);
    await using second = await listen("unix", path);
    await first.close();
    assert.ok(statSync(path).isSocket(), "the second listener's path is gone");
    await using pair = await connect(second);
    await pair.a.write("x");
    assert.equal(await readText(pair.b, 1), "x");
  });

  test("leaves alone what stands at its path instead: a file, or nothing", async () => {
    await using folder = await socketFolder();
    const [path, moved] = [folder.path("s"), folder.path("moved")];
    const listener = await listen("unix", path);
    renameSync(path, moved);
    writeFileSync(path, "not a socket");
    await listener.close();
    assert.ok(statSync(path).isFile());
    assert.ok(statSync(moved).isSocket());
    const other = await listen("unix", folder.path("t"));
    rmSync(folder.path("t"));
    await other.close();
  });

  test("listens on an abstract name, which leaves with it", async () => {
    const name = abstractName();
    for (let i = 0; i < 2; i++) {
      await using listener = await listen("unix", name);
      assert.equal(String(listener.addr), name);
      await failure(listen("unix", name), "EADDRINUSE");
      await using pair = await connect(listener);
      assert.equal(String(pair.a.remoteAddr), name);
      assert.equal(String(pair.b.localAddr), name);
      assert.equal(String(pair.a.localAddr), "");
    }
    await failure(dial("unix", name), "ECONNREFUSED");
  });

  test("says when a path is too long, how long it is and how long it may be", async () => {
    await using folder = await socketFolder();
    const room = 107 - Buffer.byteLength(folder.path("")) - 1;
    const longest = folder.path("x".repeat(room));
    await using listener = await listen("unix", longest);
    assert.equal(String(listener.addr), longest);
    await using pair = await connect(listener);
    assert.equal(String(pair.a.remoteAddr), longest);
    const error = await failure(listen("unix", `${longest}x`), "EINVAL");
    assert.match(error.message, /has 108 bytes; a unix socket's has 107 at most/);
    await failure(dial("unix", `/${"é".repeat(60)}`), "EINVAL");
    await failure(listen("unix", ""), "EINVAL");
    await failure(listen("unix", "/tmp/a\0b"), "EINVAL");
    await failure(listen("unix", "/no/such/folder/s"), "ENOENT");
  });

  test("gives its connections the paths of both ends, also in errors", async () => {
    await using folder = await socketFolder();
    await using listener = await listen("unix", folder.path("é 协程"));
    await using pair = await connect(listener);
    assert.ok(!(pair.b instanceof TCPConn));
    assert.equal(String(pair.a.remoteAddr), folder.path("é 协程"));
    assert.equal(String(pair.b.remoteAddr), "");
    const error = await failure(
      pair.b.read(new Uint8Array(1), { signal: AbortSignal.abort() }),
      "ERR_CANCELED",
    );
    assert.ok(error.message.includes(folder.path("é 协程")), error.message);
  });
});
