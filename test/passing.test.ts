/** passing.test.ts: connections and listeners go from process to process, and no byte is lost. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  type Conn,
  dial,
  ErrGroup,
  go,
  listen,
  receiveConn,
  sendConn,
  sendListener,
  type UnixConn,
} from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { UnixAddr } from "../src/net/addr.ts";
import { connFromFd } from "../src/net/adopt.ts";
import { runtime } from "../src/runtime/runtime.ts";
import { AF_UNIX, SOCK_STREAM } from "../src/syscall/constants.ts";
import { nativeKernel } from "../src/syscall/native.ts";
import { abstractName, connect, socketFolder, tcpPair } from "../testing/conns.ts";
import { openFds, withLeakCheck } from "../testing/leaks.ts";
import {
  assertSameBytes,
  failure,
  pattern,
  pieces,
  readAll,
  readFull,
  readText,
  seeded,
  turn,
} from "../testing/support.ts";
import { Child, lacks, programPath, type StartOptions } from "./child.ts";

function checked(check: (t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return (t) => withLeakCheck(t, () => check(t));
}

/** A socket pair: one end as a connection here, the other as a descriptor for someone else. */
function channelAndFd(): [UnixConn, number] {
  const pair = new Int32Array(2);
  assert.equal(nativeKernel().socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
  const [mine, other] = pair as unknown as [number, number];
  return [connFromFd(runtime(), mine, "unix", new UnixAddr("unix", "")) as UnixConn, other];
}

/** A process with a channel to it. */
class Peer implements AsyncDisposable {
  readonly channel: UnixConn;
  readonly child: Child;

  private constructor(channel: UnixConn, child: Child) {
    this.channel = channel;
    this.child = child;
  }

  static async start(mode: string, options?: StartOptions): Promise<Peer> {
    const [channel, fd] = channelAndFd();
    const child = new Child("passing", [mode], { ...options, fds: [fd] });
    nativeKernel().close(fd);
    const peer = new Peer(channel, child);
    assert.equal(await child.line(), "ready");
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.channel.close();
    await this.child[Symbol.asyncDispose]();
  }
}

/** Sends a stream in odd pieces and checks that it comes back as it was. */
async function checkEcho(address: string, random: Random, length: number): Promise<void> {
  await using conn = await dial("tcp", address);
  const sent = pattern(length, random.below(256));
  const writing = go(async () => {
    for (const piece of pieces(sent, random, 3000)) await conn.write(piece);
    await conn.closeWrite();
  });
  assertSameBytes(await readAll(conn), sent);
  await writing.join();
}

/** Echoes some bytes here, puts others back, and hands the connection on. */
async function echoThenPass(conn: Conn, channel: UnixConn, random: Random): Promise<void> {
  for (let left = random.below(6000); left > 0; ) {
    const buffer = new Uint8Array(1 + random.below(4000));
    const n = await conn.read(buffer);
    if (n === null) break;
    const mine = Math.min(n, left);
    await conn.write(buffer.subarray(0, mine));
    conn.unread(buffer.subarray(mine, n));
    left -= mine;
  }
  await sendConn(channel, conn);
}

describe("a connection that is passed to another process", () => {
  test("1,000 of them, while their peers stream: not a byte is lost or doubled", (t) =>
    withLeakCheck(t, async () => {
      const random = seeded(t);
      await using peer = await Peer.start("echo");
      await using listener = await listen("tcp", "127.0.0.1:0");
      const passing = new ErrGroup();
      const acceptor = go(async () => {
        for await (const conn of listener) {
          const own = new Random(random.next());
          await passing.go(() => echoThenPass(conn, peer.channel, own));
        }
      });
      const clients = new ErrGroup({ limit: 50 });
      for (let i = 0; i < 1000; i++) {
        const own = new Random(random.next());
        await clients.go(() => checkEcho(String(listener.addr), own, 1 + own.below(30_000)));
      }
      await clients.wait();
      await passing.wait();
      await listener.close();
      await acceptor.join();
      await peer.channel.close();
      assert.equal(await peer.child.line(), "received 1000");
      assert.equal((await peer.child.ended).status, 0);
    }));

  test(
    "with a hundred thousand bytes that were put back arrives with them",
    checked(async () => {
      await using peer = await Peer.start("echo");
      await using pair = await tcpPair();
      const sent = pattern(100_000);
      await pair.a.write(sent.subarray(90_000));
      for (const [from, to] of [
        [50_000, 90_000],
        [1, 50_000],
        [0, 1],
      ] as const) {
        pair.b.unread(sent.subarray(from, to));
      }
      await sendConn(peer.channel, pair.b);
      assertSameBytes(await readFull(pair.a, sent.length), sent);
    }),
  );

  test(
    "by a process that exits right after arrives",
    checked(async () => {
      await using peer = await Peer.start("send");
      assert.equal((await peer.child.ended).status, 0);
      await using conn = await receiveConn(peer.channel);
      assert.equal(await readText(conn as Conn, 9), "left over");
      assert.equal(await conn?.read(new Uint8Array(1)), null);
      assert.equal(await receiveConn(peer.channel), null);
    }),
  );

  test(
    "that is killed ends there; those that it did not take stay usable here",
    checked(async () => {
      await using peer = await Peer.start("echo");
      await using taken = await tcpPair();
      await using kept = await tcpPair();
      await sendConn(peer.channel, taken.b);
      await taken.a.write("x");
      assert.equal(await readText(taken.a, 1), "x");
      peer.child.kill();
      await peer.child.ended;
      assert.equal(await taken.a.read(new Uint8Array(1)), null);
      kept.b.unread(Buffer.from("left over"));
      const error = await failure(sendConn(peer.channel, kept.b), "EPIPE");
      assert.equal(error.op, "pass");
      await kept.a.write(", and new");
      assert.equal(await readText(kept.b, 18), "left over, and new");
    }),
  );

  test(
    "without a free descriptor there is EMFILE, and the channel stays in step",
    {
      skip: lacks("prlimit", "--version") ?? false,
    },
    (t) =>
      withLeakCheck(t, async () => {
        await using peer = await Peer.start("out of fds", { prefix: ["prlimit", "--nofile=200"] });
        await using lost = await tcpPair();
        await using arrived = await tcpPair();
        lost.b.unread(pattern(5000));
        await sendConn(peer.channel, lost.b);
        await sendConn(peer.channel, arrived.b);
        assert.equal(await readText(arrived.a, 7), "in step");
        assert.match(await peer.child.line(), /^receive unix.* no free one \(EMFILE\)/);
        assert.equal(await lost.a.read(new Uint8Array(1)), null);
      }),
  );

  test(
    "waits while too many descriptors are in flight",
    {
      skip:
        process.getuid?.() === 0
          ? (lacks("setpriv", "--version") ?? false)
          : "only root can be less",
    },
    (t) =>
      withLeakCheck(t, async () => {
        // The limit does not hold for who may exceed limits.
        const prefix = [
          ...["prlimit", "--nofile=200", "setpriv", "--reuid=65534", "--clear-groups"],
          ...["--inh-caps=-all", "--bounding-set=-all"],
        ];
        await using peer = await Peer.start("flood", { prefix });
        const [, code, count] = /^(\S+) after (\d+)$/.exec(await peer.child.line()) ?? [];
        assert.equal(code, "ERR_CANCELED");
        assert.ok(Number(count) >= 195 && Number(count) <= 205, `${count} were in flight`);
        for (let i = 0; i < Number(count) + 100; i++)
          await (await receiveConn(peer.channel))?.close();
        assert.equal(await peer.child.line(), "sent 100 more");
        assert.equal(await receiveConn(peer.channel), null);
      }),
  );
});

/** Who answers, in a process: its number. */
async function whoAnswers(network: "tcp" | "unix", address: string): Promise<number> {
  await using conn = await dial(network, address);
  return Number(Buffer.from(await readAll(conn)).toString());
}

describe("a listener that is passed to another process", () => {
  test(
    "goes on there: nobody is refused, nobody waits in vain",
    checked(async () => {
      await using peer = await Peer.start("accept");
      await using listener = await listen("tcp", "127.0.0.1:0");
      const address = String(listener.addr);
      let here = 0;
      const acceptor = go(async () => {
        for await (const conn of listener) {
          here++;
          await conn.write(String(process.pid));
          await conn.close();
        }
      });
      const answers = new Map<number, number>();
      let stopped = false;
      const clients = Array.from({ length: 20 }, () =>
        go(async () => {
          while (!stopped) {
            const pid = await whoAnswers("tcp", address);
            answers.set(pid, (answers.get(pid) ?? 0) + 1);
          }
        }),
      );
      const there = peer.child.process.pid as number;
      while ((answers.get(process.pid) ?? 0) < 200) await whoAnswers("tcp", address);
      await sendListener(peer.channel, listener);
      await acceptor.join();
      assert.equal(await peer.child.line(), "accepting");
      while ((answers.get(there) ?? 0) < 200) await whoAnswers("tcp", address);
      stopped = true;
      for (const client of clients) await client.join();
      assert.ok(here >= 200);
      peer.child.say("stop");
      assert.match(await peer.child.line(), /^accepted \d+$/);
      await failure(dial("tcp", address), "ECONNREFUSED");
    }),
  );

  test(
    "takes its path along: the path goes when the other process closes it",
    checked(async () => {
      await using folder = await socketFolder();
      const path = folder.path("s");
      await using peer = await Peer.start("accept");
      const listener = await listen("unix", path);
      // It waits in the backlog meanwhile.
      await using early = await dial("unix", path);
      await sendListener(peer.channel, listener);
      await listener.close();
      assert.equal(await peer.child.line(), "accepting");
      assert.equal(Buffer.from(await readAll(early)).toString(), String(peer.child.process.pid));
      assert.equal(await whoAnswers("unix", path), peer.child.process.pid);
      assert.ok(existsSync(path));
      peer.child.say("stop");
      assert.equal(await peer.child.line(), "accepted 2");
      assert.ok(!existsSync(path));
    }),
  );
});

function openSockets(): number {
  return [...openFds().values()].filter((target) => target.startsWith("socket:")).length;
}

describe("a worker thread", () => {
  test("that is terminated frees what it has received, and half of what it receives", async () => {
    await using pair = await tcpPair();
    const [channel, fd] = channelAndFd();
    assert.equal(nativeKernel().releaseFd(fd), 0);
    const before = openSockets();
    const worker = new Worker(programPath("receiver"), { workerData: fd });
    await once(worker, "message");
    await sendConn(channel, pair.b);
    await pair.a.write("hello");
    assert.equal(await readText(pair.a, 5), "hello");
    // The beginning of a handle, with a descriptor.
    const { sysfd } = channel.fd;
    const fds = Int32Array.of(sysfd);
    assert.equal(nativeKernel().sendmsgFds(sysfd, Buffer.from("CRNT\x01"), 0, 5, fds), 5);
    while (nativeKernel().unsent(sysfd) > 0) await turn();
    await worker.terminate();
    assert.equal(await pair.a.read(new Uint8Array(1)), null);
    assert.equal(await channel.read(new Uint8Array(1)), null);
    await channel.close();
    // Both ends of the channel are gone, and the end that was passed.
    assert.equal(openSockets(), before - 3);
  });
});

/** Sends bytes with a pipe's two ends, as any program may. */
const STRANGER = `
import os, socket, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.connect("\\0" + sys.argv[1])
socket.send_fds(peer, [b"hello"], list(os.pipe()))
print(socket.recv_fds(peer, 100, 5)[1:3], flush=True)
`;

test(
  "a stranger's descriptors are closed, and its bytes can be read",
  {
    skip:
      spawnSync("python3", ["-c", "import socket; socket.send_fds"]).status === 0
        ? false
        : "no python3 here whose sockets can send file descriptors",
  },
  (t) =>
    withLeakCheck(t, async () => {
      const name = abstractName();
      await using listener = await listen("unix", name);
      const stranger = spawn("python3", ["-c", STRANGER, name.slice(1)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await using channel = await listener.accept();
      const before = openFds().size;
      const error = await failure(receiveConn(channel), "EPROTO");
      assert.match(error.message, /no handle that sendConn or sendListener has sent/);
      assert.equal(openFds().size, before);
      await failure(receiveConn(channel), "EPROTO");
      assert.equal(await readText(channel, 5), "hello");
      // It gets a bare descriptor with what we send.
      await using sub = await listen("tcp", "127.0.0.1:0");
      const pair = await connect(sub);
      await sendConn(channel, pair.b);
      const [out] = await once(stranger.stdout, "data");
      assert.match(String(out), /^\(\[\d+\], 0\)/);
      await once(stranger, "exit");
      assert.equal(await pair.a.read(new Uint8Array(1)), null);
      await pair.close();
    }),
);
