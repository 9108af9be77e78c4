/** transfer.test.ts: live connections move from thread to thread. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  type Listener,
  listen,
  NetError,
  pipe,
  type SocketConn,
  type TCPConn,
  type Thread,
  type Threads,
  transfer,
} from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { abstractName, connect, type SocketPair, tcpPair } from "../testing/conns.ts";
import {
  assertSameBytes,
  failure,
  inMs,
  pattern,
  readAll,
  readText,
  turn,
} from "../testing/support.ts";
import { run } from "./child.ts";
import { ask, freed, start } from "./threads_support.ts";

/** A connection whose accepted end is in this thread. */
function pair(): Promise<SocketPair<TCPConn>> {
  return tcpPair();
}

function first(threads: Threads): Thread {
  return threads.threads[0] as Thread;
}

async function text(conn: SocketConn): Promise<string> {
  return Buffer.from(await readAll(conn)).toString();
}

before(async () => {
  runtime().start();
  await (await start()).close();
});

describe("a connection that is transferred", () => {
  test("from thread to thread in mid-stream goes on there, and the peer notices nothing", () =>
    freed(async () => {
      await using threads = await start();
      await using conn = await ask(threads, "wander");
      const sent = pattern(200_000);
      const received = readAll(conn);
      await conn.write(sent);
      await conn.closeWrite();
      assertSameBytes(await received, sent);
      // The handler that transferred it last is told a moment after the one that has taken it.
      while (threads.stats().live > 0) await turn();
      const { transferred } = threads.stats();
      assert.ok(transferred > 0);
      const each = threads.threads.map((t) => t.stats);
      assert.equal(
        each.reduce((sum, t) => sum + t.received, 0),
        transferred,
      );
      assert.equal(
        each.reduce((sum, t) => sum + t.transferred, 0),
        transferred,
      );
    }));

  test("there and back, and waits at each stop, is with one poller at a time", () =>
    freed(async () => {
      await using threads = await start();
      await using conn = await ask(threads, "wander");
      // It comes back under the number that it had, as that was free again.
      for (let i = 0; i < 40; i++) {
        await conn.write(String(i % 10));
        assert.equal(await readText(conn, 1), String(i % 10));
      }
      await conn.close();
      while (threads.stats().live > 0) await turn();
      assert.equal(threads.stats().transferred, 40);
    }));

  test("from the thread that started the others brings its message along", () =>
    freed(async () => {
      await using threads = await start();
      await using conns = await pair();
      const message = { list: [1, 2], map: new Map([["a", 1n]]), when: new Date(0) };
      await transfer(conns.b, threads.threads[1] as Thread, message);
      const plain = { list: [1, 2], map: {}, when: "1970-01-01T00:00:00.000Z" };
      assert.deepEqual(JSON.parse(await text(conns.a)), {
        id: 1,
        from: -1,
        message: plain,
        nth: 1,
      });
    }));

  test("takes bytes along that were put back, also more than one packet holds", () =>
    freed(async () => {
      await using threads = await start();
      for (const size of [1, 40_000, 1_000_000]) {
        await using conns = await pair();
        const bytes = pattern(size);
        conns.b.unread(bytes.subarray(1));
        conns.b.unread(bytes.subarray(0, 1));
        await conns.a.write("the end");
        await conns.a.closeWrite();
        const all = readAll(conns.a);
        await transfer(conns.b, first(threads), "echo");
        assertSameBytes(await all, Buffer.concat([bytes, Buffer.from("the end")]));
      }
    }));

  test("keeps its deadlines and timeouts", () =>
    freed(async () => {
      await using threads = await start();
      const limits: ((conn: TCPConn) => void)[] = [
        (conn) => conn.setReadDeadline(inMs(50)),
        (conn) => conn.setReadDeadline(inMs(-50)),
        (conn) => conn.setTimeouts({ read: 50 }),
        (conn) => conn.setTimeouts({ idle: 50 }),
      ];
      for (const limit of limits) {
        await using conns = await pair();
        limit(conns.b);
        await transfer(conns.b, first(threads), "echo");
        // Its handler's read times out there, which ends the handler and the connection.
        assert.equal(await text(conns.a), "");
      }
    }));

  test("is dead where it was: every method fails, and close does nothing", async () => {
    await using threads = await start();
    await using conns = await pair();
    const { a, b } = conns;
    await transfer(b, first(threads), "echo");
    const calls: (() => unknown)[] = [
      () => b.read(new Uint8Array(1)),
      () => b.write("x"),
      () => b.writev(["x"]),
      () => b.waitReadable(),
      () => b[Symbol.asyncIterator]().next(),
      () => b.closeRead(),
      () => b.closeWrite(),
      () => transfer(b, first(threads)),
    ];
    for (const call of calls) {
      await assert.rejects(async () => call(), { name: "NetError", code: "ERR_TRANSFERRED" });
    }
    const sets: (() => unknown)[] = [
      () => b.setDeadline(null),
      () => b.setTimeouts({}),
      () => b.setNoDelay(),
      () => b.unread(new Uint8Array(1)),
    ];
    for (const set of sets) assert.throws(set, { code: "ERR_TRANSFERRED" });
    await b.close();
    await b[Symbol.asyncDispose]();
    await a.write("still there");
    assert.equal(await readText(a, 11), "still there");
  });

  test("over a unix socket, of bytes or of packets, arrives whole", () =>
    freed(async () => {
      await using threads = await start();
      for (const network of ["unix", "unixpacket"] as const) {
        await using listener: Listener = await listen(network, abstractName());
        await using conns = await connect<SocketConn>(listener);
        await conns.a.write("first");
        await conns.a.write("second");
        await transfer(conns.b, first(threads), "echo");
        assert.equal(await readText(conns.a, 5), "first");
        assert.equal(await readText(conns.a, 6), "second");
      }
    }));

  test("a hundred at once arrive in the order in which they were sent", () =>
    freed(async () => {
      await using threads = await start({ threads: 1, listen: undefined });
      const pairs = await Promise.all(Array.from({ length: 100 }, pair));
      await Promise.all(pairs.map(({ b }, i) => transfer(b, first(threads), i)));
      for (const [i, { a }] of pairs.entries()) {
        assert.deepEqual(JSON.parse(await text(a)), { id: 0, from: -1, message: i, nth: i + 1 });
      }
      for (const each of pairs) await each.close();
    }));
});

describe("a transfer that fails", () => {
  async function works({ a, b }: SocketPair<TCPConn>): Promise<void> {
    await a.write("there");
    assert.equal(await readText(b, 5), "there");
    await b.write("back");
    assert.equal(await readText(a, 4), "back");
  }

  test("because operations wait leaves the connection and them as they were", async () => {
    await using threads = await start();
    await using conns = await pair();
    const buffer = new Uint8Array(10);
    const reading = conns.b.read(buffer);
    await failure(transfer(conns.b, first(threads), "echo"), "ERR_BUSY");
    await conns.a.write("hello");
    assert.equal(await reading, 5);
    await works(conns);
  });

  test("because its message can't be cloned, or nothing can be transferred that way", async () => {
    await using threads = await start();
    await using conns = await pair();
    await assert.rejects(
      transfer(conns.b, first(threads), () => {}),
      /could not be cloned/,
    );
    await works(conns);
    const [a, b] = pipe();
    await assert.rejects(transfer(a, first(threads)), TypeError);
    await assert.rejects(transfer(conns.b, {} as Thread), TypeError);
    await failure(transfer(conns.b, 0), "ERR_THREAD_GONE");
    await a.close();
    await b.close();
    await conns.b.close();
    await failure(transfer(conns.b, first(threads)), "ERR_CLOSED");
  });

  test("because the thread has ended leaves the connection where it was", () =>
    freed(async () => {
      await using threads = await start();
      await using conns = await pair();
      const thread = first(threads);
      await thread.terminate();
      await failure(transfer(conns.b, thread, "echo"), "ERR_THREAD_GONE");
      await works(conns);
    }));

  test("by its signal leaves the connection where it was", async () => {
    await using threads = await start();
    await using conns = await pair();
    const signal = AbortSignal.abort("why");
    const error = await failure(
      transfer(conns.b, first(threads), "echo", { signal }),
      "ERR_CANCELED",
    );
    assert.equal(error.cause, "why");
    await works(conns);
  });

  test("because the thread ends before it takes the connection brings that back", () =>
    freed(async () => {
      const words = new Int32Array(new SharedArrayBuffer(16));
      await using threads = await start({ data: { words } });
      const thread = first(threads);
      await using hog = await pair();
      await transfer(hog.b, thread, "hog");
      // It says who it is, and then does nothing more.
      await readText(hog.a, 1);
      await using conns = await pair();
      conns.b.unread(Buffer.from("put back"));
      conns.b.setTimeouts({ read: 60_000 });
      const moving = transfer(conns.b, thread, "echo");
      // Begun while the connection is under way: it waits for what becomes of that.
      const buffer = new Uint8Array(8);
      const reading = conns.b.read(buffer);
      await turn();
      await thread.terminate();
      await failure(moving, "ERR_THREAD_GONE");
      assert.equal(await reading, 8);
      assert.equal(Buffer.from(buffer).toString(), "put back");
      await works(conns);
      // And it can go elsewhere.
      await transfer(conns.b, first(threads), "echo");
      await conns.a.write("elsewhere");
      assert.equal(await readText(conns.a, 9), "elsewhere");
    }));

  test("between threads for that reason goes on in the thread where it was", () =>
    freed(async () => {
      const words = new Int32Array(new SharedArrayBuffer(16));
      await using threads = await start({ data: { words } });
      const [source, target] = threads.threads as [Thread, Thread];
      await using hog = await pair();
      await transfer(hog.b, target, "hog");
      assert.equal(await readText(hog.a, 1), String(target.id));
      await using conns = await pair();
      await transfer(conns.b, source, "strand");
      // It is under way from source to target when target ends.
      while (source.stats.received === 0) await turn();
      await target.terminate();
      assert.equal(await text(conns.a), `ERR_THREAD_GONE ${source.id}`);
      assert.equal(threads.stats().lost, 0);
    }));

  test("because both threads end closes the connection, and counts it", () =>
    freed(async () => {
      const words = new Int32Array(new SharedArrayBuffer(16));
      await using threads = await start({ data: { words } });
      const [source, target] = threads.threads as [Thread, Thread];
      await using hog = await pair();
      await transfer(hog.b, target, "hog");
      assert.equal(await readText(hog.a, 1), String(target.id));
      await using conns = await pair();
      await transfer(conns.b, source, "strand");
      while (source.stats.received === 0) await turn();
      await source.terminate();
      await target.terminate();
      await readAll(conns.a).catch(() => {});
    }));
});

test("connections of another process wander between two threads: not a byte is lost or doubled", () =>
  freed(async () => {
    const count = Number(process.env.CORONET_TRANSFER_CONNS ?? 500);
    await using threads = await start();
    const args = [String(threads.addr), String(count), "40000"];
    const { stdout, stderr } = await run("transfer_peers", args, { timeout: 110_000 });
    assert.equal(stdout, `${count} intact\n`, stderr);
    assert.equal(threads.stats().lost, 0);
    assert.ok(threads.stats().transferred > count);
  }));

test("a module that serves no connections fails when one is transferred to it", () =>
  freed(async () => {
    const errors: unknown[] = [];
    const module = new URL("data:text/javascript,export const start = () => {}");
    const onExit = (_: Thread, error: unknown): void => void errors.push(error);
    await using threads = await start({ module, threads: 1, listen: undefined, onExit });
    await using conns = await pair();
    await transfer(conns.b, first(threads)).catch(() => {});
    while (errors.length === 0) await turn();
    assert.match(String(errors[0]), /transferred to a module that exports no receive/);
    const wrong = new URL("data:text/javascript,export const receive = 7");
    const starting = start({ module: wrong, listen: undefined });
    await assert.rejects(starting, /its export "receive" must be a function/);
  }));

test("a NetError of a transfer says what it was about", async () => {
  await using threads = await start();
  await using conns = await pair();
  await first(threads).terminate();
  const error = await failure(transfer(conns.b, 99), "ERR_THREAD_GONE");
  assert.ok(error instanceof NetError);
  assert.match(error.message, /^transfer tcp4 127.0.0.1:\d+->127.0.0.1:\d+: there is no thread 99/);
});
