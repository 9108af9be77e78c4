/** tls_transfer.test.ts: live connections over TLS move from thread to thread. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import {
  createSecureContext,
  dialTls,
  NetError,
  pipe,
  secure,
  type Thread,
  type TlsConn,
  type TlsListener,
  tlsListen,
  transfer,
} from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { nativeKernel } from "../src/syscall/native.ts";
import { onNodeTls } from "../testing/backend.ts";
import { selfSigned } from "../testing/certificates.ts";
import {
  assertSameBytes,
  failure,
  pattern,
  readAll,
  readText,
  seeded,
  turn,
} from "../testing/support.ts";
import { freed, start } from "./threads_support.ts";

const { cert, key } = selfSigned("127.0.0.1");
const context = createSecureContext({ cert, key, ALPNProtocols: ["echo"] });
const trusting = createSecureContext({ ca: cert, ALPNProtocols: ["echo"] });
const TERMINATIONS = Number(process.env.CORONET_TERMINATIONS ?? 8);
const skip = onNodeTls ? "needs the addon" : false;

interface Pair extends AsyncDisposable {
  /** The client's end, and the server's, which is in this thread. */
  readonly a: TlsConn;
  readonly b: TlsConn;
}

async function pair(listener?: TlsListener): Promise<Pair> {
  const own = listener ?? (await tlsListen("tcp", "127.0.0.1:0", { secureContext: context }));
  const [a, b] = await Promise.all([
    dialTls("tcp", String(own.addr), { secureContext: trusting }),
    own.accept().then(async (conn) => {
      await conn.handshake();
      return conn;
    }),
  ]);
  if (listener === undefined) await own.close();
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      await a.close();
      await b.close();
    },
  };
}

async function works({ a, b }: Pair): Promise<void> {
  await a.write("there");
  assert.equal(await readText(b, 5), "there");
  await b.write("back");
  assert.equal(await readText(a, 4), "back");
}

/** Connections that are kept for threads on their way. */
const parked = (): number => nativeKernel().tlsStranded(-1);

before(async () => {
  runtime().start();
  await (await start()).close();
});

describe("a connection over TLS that is transferred", { skip }, () => {
  test("from thread to thread in mid-stream goes on there, with every byte", () =>
    freed(async () => {
      await using threads = await start();
      await using conns = await pair();
      const sent = pattern(300_000);
      const received = readAll(conns.a);
      await transfer(conns.b, threads.threads[0] as Thread, "wander");
      await conns.a.write(sent);
      await conns.a.closeWrite();
      assertSameBytes(await received, sent);
      while (threads.stats().live > 0) await turn();
      assert.ok(threads.stats().transferred > 2);
      assert.equal(parked(), 0);
    }));

  test("there and back, and waits at each stop, goes on", () =>
    freed(async () => {
      await using threads = await start();
      await using conns = await pair();
      await transfer(conns.b, threads.threads[0] as Thread, "wander");
      for (let i = 0; i < 40; i++) {
        await conns.a.write(String(i % 10));
        assert.equal(await readText(conns.a, 1), String(i % 10));
      }
    }));

  test("is what it was: protocol, ALPN, addresses", () =>
    freed(async () => {
      await using threads = await start();
      await using conns = await pair();
      await transfer(conns.b, threads.threads[1] as Thread, "tls");
      const told = JSON.parse(Buffer.from(await readAll(conns.a)).toString());
      assert.deepEqual(told, ["TLSv1.3", "echo", "tcp", String(conns.a.localAddr)]);
      await failure(conns.b.write("x"), "ERR_TRANSFERRED");
    }));

  test("takes along what was received and not read, and what was sealed and not sent", () =>
    freed(async () => {
      await using threads = await start();
      await using conns = await pair();
      const { a, b } = conns;
      // Several records are received at once, of which one byte is read.
      await a.writev(["first ", "second ", "third "]);
      await a.write("fourth");
      await b.read(new Uint8Array(1));
      b.unread(Buffer.from("F"));
      // The socket is full of records when the write is given up.
      const controller = new AbortController();
      const much = pattern(8 << 20);
      const writing = b.write(much, { signal: controller.signal });
      writing.catch(() => {});
      while (!b.fd.isWaiting(1)) await turn();
      controller.abort();
      const error = await failure(writing, "ERR_CANCELED");
      const written = error.bytesWritten as number;
      assert.ok(written > 0 && written < much.length);
      const got = readAll(a);
      await a.closeWrite();
      await transfer(b, threads.threads[0] as Thread, "echo");
      const expected = [much.subarray(0, written), Buffer.from("First second third fourth")];
      assertSameBytes(await got, Buffer.concat(expected));
    }));
});

describe("a connection over TLS that is not transferred", { skip }, () => {
  test("because its handshake is not done stays where it is", async () => {
    await using threads = await start();
    await using listener = await tlsListen("tcp", "127.0.0.1:0", { secureContext: context });
    const dialling = dialTls("tcp", String(listener.addr), { secureContext: trusting });
    const b = await listener.accept();
    const error = await failure(transfer(b, threads.threads[0] as Thread), "ERR_BUSY");
    assert.match(error.message, /handshake is not done/);
    await b.handshake();
    await works({ a: await dialling, b } as Pair);
    await (await dialling).close();
    await b.close();
  });

  test("because node:tls has it says so", async () => {
    await using threads = await start();
    const [one, other] = pipe();
    const [a, b] = await Promise.all([
      secure(one, { secureContext: trusting, servername: "127.0.0.1" }),
      secure(other, { isServer: true, secureContext: context }),
    ]);
    await assert.rejects(transfer(b, threads.threads[0] as Thread), /node:tls/);
    await a.close();
    await b.close();
  });

  test("because its message can't be cloned, or operations wait, is as it was", async () => {
    await using threads = await start();
    await using conns = await pair();
    const thread = threads.threads[0] as Thread;
    await assert.rejects(
      transfer(conns.b, thread, () => {}),
      /could not be cloned/,
    );
    await works(conns);
    const reading = readText(conns.b, 5);
    await failure(transfer(conns.b, thread), "ERR_BUSY");
    await conns.a.write("hello");
    assert.equal(await reading, "hello");
    assert.equal(parked(), 0);
  });

  test("because the thread ends before it takes it comes back", () =>
    freed(async () => {
      const words = new Int32Array(new SharedArrayBuffer(16));
      await using threads = await start({ data: { words } });
      const thread = threads.threads[0] as Thread;
      await using hog = await pair();
      await transfer(hog.b, thread, "hog");
      await readText(hog.a, 1);
      await using conns = await pair();
      await conns.a.write("unread");
      const moving = transfer(conns.b, thread, "echo");
      await turn();
      assert.equal(parked(), 1);
      await thread.terminate();
      await failure(moving, "ERR_THREAD_GONE");
      assert.equal(parked(), 0);
      assert.equal(await readText(conns.b, 6), "unread");
      await works(conns);
      await transfer(conns.b, threads.threads[0] as Thread, "echo");
      await conns.a.write("elsewhere");
      assert.equal(await readText(conns.a, 9), "elsewhere");
    }));

  test("because both threads end is closed and freed", () =>
    freed(async () => {
      for (const targetFirst of [false, true]) {
        const words = new Int32Array(new SharedArrayBuffer(16));
        await using threads = await start({ data: { words } });
        const [source, target] = threads.threads as [Thread, Thread];
        await using hog = await pair();
        await transfer(hog.b, target, "hog");
        await readText(hog.a, 1);
        await using conns = await pair();
        await transfer(conns.b, source, "strand");
        while (parked() === 0) await turn();
        for (const each of targetFirst ? [target, source] : [source, target]) {
          await each.terminate();
        }
        // The stream was cut off, or the source had it back for a moment and said why.
        await readAll(conns.a).catch((error: NetError) => assert.ok(error instanceof NetError));
        assert.equal(parked(), 0);
      }
    }));
});

test(`${TERMINATIONS} threads end at any moment: no crash, nothing is left`, { skip }, (t) =>
  freed(async () => {
    const random = seeded(t);
    await using threads = await start();
    await using listener = await tlsListen("tcp", "127.0.0.1:0", { secureContext: context });
    let asking = true;
    // Its thread may end under it, which is an error; silence would hang the test.
    const client = async (): Promise<void> => {
      while (asking) {
        await using conns = await pair(listener);
        const list = threads.threads;
        const thread = list[random.below(list.length)] as Thread;
        const verb = ["echo", "wander", "pass"][random.below(3)] as string;
        const moved = await transfer(conns.b, thread, verb).then(
          () => true,
          () => false,
        );
        if (!moved) continue;
        const reading = readAll(conns.a).catch(() => {});
        await conns.a.write(new Uint8Array(1 + random.below(50_000))).catch(() => {});
        await conns.a.closeWrite().catch(() => {});
        await reading;
      }
    };
    const clients = Array.from({ length: 4 }, client);
    for (let i = 0; i < TERMINATIONS; i++) {
      for (let turns = random.below(200); turns > 0; turns--) await turn();
      const victim = threads.threads[random.below(threads.threads.length)] as Thread;
      const next = threads.add();
      await victim.terminate();
      await next;
    }
    asking = false;
    await Promise.all(clients);
    await threads.close();
    assert.equal(parked(), 0);
  }),
);
