/** passing.test.ts: connections and listeners on their way through a unix socket, within one process. */
import assert from "node:assert/strict";
import { closeSync, existsSync, openSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import {
  abstractPair,
  connect,
  type SocketPair,
  socketFolder,
  tcpPair,
} from "../../testing/conns.ts";
import { openFds, withLeakCheck } from "../../testing/leaks.ts";
import {
  assertSameBytes,
  failure,
  inMs,
  nextChunk,
  pattern,
  readAll,
  readFull,
  readText,
  seeded,
  staysPending,
  turn,
  writeTooMuch,
} from "../../testing/support.ts";
import {
  adoptConn,
  adoptListener,
  type Conn,
  dial,
  go,
  type Listener,
  listen,
  pipe,
  receiveConn,
  receiveListener,
  type SocketConn,
  sendConn,
  sendListener,
  stats,
  TCPConn,
  UnixConn,
} from "../index.ts";
import { FD } from "../poll/fd.ts";
import { runtime } from "../runtime/runtime.ts";
import { AF_UNIX, SOCK_DGRAM, SOCK_STREAM } from "../syscall/constants.ts";
import { ETOOMANYREFS } from "../syscall/errno.ts";
import type { NativeKernel } from "../syscall/kernel.ts";
import { nativeKernel } from "../syscall/native.ts";
import { UnixAddr } from "./addr.ts";
import { connFromFd } from "./adopt.ts";
import { framesOf } from "./handle_wire.ts";
import { NOBODY } from "./socket.ts";

type Channel = SocketPair<UnixConn>;

function channelPair(): Promise<Channel> {
  return abstractPair() as Promise<Channel>;
}

/** A test with a channel and a TCP connection. */
function withBoth(
  check: (channel: Channel, pair: SocketPair<TCPConn>, t: TestContext) => Promise<void>,
): (t: TestContext) => Promise<void> {
  return (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      await using pair = await tcpPair();
      await check(channel, pair, t);
    });
}

async function received(channel: UnixConn): Promise<SocketConn> {
  return (await receiveConn(channel)) ?? assert.fail("the channel has ended");
}

/** A conn on one end of a socket pair, and the other end as a descriptor. */
function connAndFd(): [UnixConn, number] {
  const pair = new Int32Array(2);
  assert.equal(nativeKernel().socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
  const [mine, other] = pair as unknown as [number, number];
  return [connFromFd(runtime(), mine, "unix", new UnixAddr("unix", "")) as UnixConn, other];
}

describe("sendConn and receiveConn", () => {
  test(
    "move a connection that goes on as it was",
    withBoth(async (channel, { a, b }) => {
      const remote = String(b.remoteAddr);
      await a.write("before, ");
      await sendConn(channel.a, b);
      await failure(b.read(new Uint8Array(1)), "ERR_CLOSED");
      const conn = await received(channel.b);
      assert.ok(conn instanceof TCPConn);
      assert.equal(String(conn.remoteAddr), remote);
      assert.equal(String(conn.localAddr), String(a.remoteAddr));
      await a.write("after");
      assert.equal(await readText(conn, 13), "before, after");
      await conn.write("back");
      assert.equal(await readText(a, 4), "back");
      await conn.close();
      assert.equal(await a.read(new Uint8Array(1)), null);
    }),
  );

  test(
    "move unix and unixpacket connections, with each packet that was put back",
    withBoth(async (channel) => {
      await using stream = await abstractPair();
      await sendConn(channel.a, stream.b);
      const conn = await received(channel.b);
      assert.ok(conn instanceof UnixConn);
      assert.equal(conn.network, "unix");
      await stream.a.write("x");
      assert.equal(await readText(conn, 1), "x");
      await conn.close();

      await using packets = await abstractPair("unixpacket");
      await packets.a.write("last");
      packets.b.unread(pattern(5000));
      packets.b.unread(Buffer.from("first"));
      await sendConn(channel.a, packets.b);
      const moved = await received(channel.b);
      assert.equal(moved.network, "unixpacket");
      assert.equal((await nextChunk(moved))?.length, 5);
      assertSameBytes((await nextChunk(moved)) as Uint8Array, pattern(5000));
      assert.equal((await nextChunk(moved))?.length, 4);
      await moved.close();
    }),
  );

  test(
    "move what was put back, however much",
    withBoth(async (channel, { a, b }) => {
      const sent = pattern(3_000_000);
      b.unread(sent);
      const [conn] = await Promise.all([received(channel.b), sendConn(channel.a, b)]);
      await a.closeWrite();
      assertSameBytes(await readAll(conn), sent);
      await conn.close();
    }),
  );

  test(
    "keep what the connection had come to: the end of reading, a failure",
    withBoth(async (channel, { b }) => {
      await b.closeRead();
      await sendConn(channel.a, b);
      const conn = await received(channel.b);
      assert.equal(await conn.read(new Uint8Array(1)), null);
      await conn.close();

      await using other = await tcpPair();
      await other.a.setLinger(0).close();
      await failure(other.b.read(new Uint8Array(1)), "ECONNRESET");
      await sendConn(channel.a, other.b);
      const failed = await received(channel.b);
      await failure(failed.read(new Uint8Array(1)), "ECONNRESET");
      await failed.close();
    }),
  );

  test(
    "stay in order with what is written and read beside them",
    withBoth(async (channel, { b }) => {
      const sending = [channel.a.write("one"), sendConn(channel.a, b), channel.a.write("two")];
      await Promise.all(sending);
      await channel.a.closeWrite();
      assert.equal(await readText(channel.b, 3), "one");
      const conn = await received(channel.b);
      assert.equal(await readText(channel.b, 3), "two");
      assert.equal(await receiveConn(channel.b), null);
      await conn.close();
    }),
  );

  test(
    "several receivers take turns; the end of the channel is null to each",
    withBoth(async (channel, { a, b }) => {
      const receivers = Array.from({ length: 4 }, () => receiveConn(channel.b));
      await turn();
      await sendConn(channel.a, b);
      await sendConn(channel.a, a);
      await channel.a.close();
      const got = await Promise.all(receivers);
      assert.deepEqual(
        got.map((conn) => conn !== null),
        [true, true, false, false],
      );
      for (const conn of got) await conn?.close();
    }),
  );

  test(
    "leave no interest behind: the sender's poller hears no more of the connection",
    withBoth(async (channel, { a, b }) => {
      // It waits first, so that the poller knows the socket.
      const waiting = b.read(new Uint8Array(1));
      await turn();
      await a.write("x");
      await waiting;
      const { staleEvents } = stats();
      await sendConn(channel.a, b);
      const conn = await received(channel.b);
      for (let i = 0; i < 20; i++) {
        const reading = readText(conn, 4);
        await turn();
        await a.write("ping");
        assert.equal(await reading, "ping");
      }
      assert.equal(stats().staleEvents, staleEvents);
      await conn.close();
    }),
  );

  test(
    "fail with ERR_BUSY while an operation waits, which goes on",
    withBoth(async (channel, { a, b }) => {
      const reading = b.read(new Uint8Array(4));
      await turn();
      const error = await failure(sendConn(channel.a, b), "ERR_BUSY");
      assert.equal(error.op, "pass");
      assert.match(error.message, /operations wait on the connection: end them first/);
      await a.write("data");
      assert.equal(await reading, 4);
      const writing = writeTooMuch(b);
      await turn();
      await failure(sendConn(channel.a, b), "ERR_BUSY");
      await b.close();
      await failure(writing, "ERR_CLOSED");
      await failure(sendConn(channel.a, b), "ERR_CLOSED");
    }),
  );

  test(
    "refuse what can't be passed, and what is no channel",
    withBoth(async (channel, { b }) => {
      const [p, q] = pipe();
      await assert.rejects(sendConn(channel.a, p), TypeError);
      await assert.rejects(sendConn(b as never, b), TypeError);
      await assert.rejects(sendConn(channel.a, channel.a), TypeError);
      await assert.rejects(receiveConn(b as never), TypeError);
      await assert.rejects(sendListener(channel.a, b as never), TypeError);
      await using packets = await abstractPair("unixpacket");
      await assert.rejects(sendConn(packets.a as UnixConn, b), TypeError);
      b.unread(new Uint8Array((16 << 20) + 1));
      await failure(sendConn(channel.a, b), "EMSGSIZE");
      await p.close();
      await q.close();
    }),
  );
});

/** Fills a channel with connections until one has to wait; that one's sending, and the others. */
async function fill(channel: UnixConn): Promise<{ sent: number; conn: UnixConn; far: number }> {
  channel.setWriteBuffer(1);
  for (let sent = 0; ; sent++) {
    const [conn, far] = connAndFd();
    const signal = AbortSignal.timeout(50);
    try {
      await sendConn(channel, conn, { signal });
      nativeKernel().close(far);
    } catch (error) {
      assert.equal((error as { code: string }).code, "ERR_CANCELED");
      return { sent, conn, far };
    }
  }
}

describe("a channel that is full", () => {
  test("makes the sender wait; a signal or deadline ends that, and nothing is lost", (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      const { sent, conn, far } = await fill(channel.a);
      channel.a.setWriteDeadline(inMs(20));
      await failure(sendConn(channel.a, conn), "ERR_DEADLINE");
      channel.a.setWriteDeadline(null);
      // The connection is as it was.
      nativeKernel().send(far, Buffer.from("usable"), 0, 6);
      assert.equal(await readText(conn, 6), "usable");
      conn.unread(Buffer.from("usable"));
      const sending = sendConn(channel.a, conn);
      assert.ok(await staysPending(sending));
      for (let i = 0; i < sent; i++) await (await received(channel.b)).close();
      const moved = await received(channel.b);
      await sending;
      assert.equal(await readText(moved, 6), "usable");
      await moved.close();
      nativeKernel().close(far);
    }));

  test("lets operations on the connection wait, and they go on when sending has failed", (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      const { sent, conn, far } = await fill(channel.a);
      const controller = new AbortController();
      const sending = sendConn(channel.a, conn, { signal: controller.signal });
      await turn();
      const reading = conn.read(new Uint8Array(10));
      const writing = conn.write("written");
      nativeKernel().send(far, Buffer.from("read"), 0, 4);
      assert.ok(await staysPending(Promise.race([reading, writing])));
      await failure(sendConn(channel.a, conn), "ERR_BUSY");
      assert.throws(() => conn.unread(Buffer.from("x")), { code: "ERR_BUSY" });
      controller.abort();
      await failure(sending, "ERR_CANCELED");
      assert.equal(await reading, 4);
      assert.equal(await writing, 7);

      const again = sendConn(channel.a, conn);
      await turn();
      const late = failure(conn.read(new Uint8Array(10)), "ERR_CLOSED");
      for (let i = 0; i < sent; i++) await (await received(channel.b)).close();
      const moved = await received(channel.b);
      await again;
      await late;
      await moved.close();
      nativeKernel().close(far);
    }));

  test("a connection that is closed meanwhile arrives all the same, and no fd is left", (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      const { sent, conn, far } = await fill(channel.a);
      const sending = sendConn(channel.a, conn);
      await turn();
      await conn.close();
      for (let i = 0; i < sent; i++) await (await received(channel.b)).close();
      await (await received(channel.b)).close();
      await sending;
      nativeKernel().close(far);
    }));

  test("a transfer that is given up in its middle leaves the channel in step", (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      await using pair = await tcpPair();
      pair.b.unread(pattern(2_000_000));
      const controller = new AbortController();
      const sending = sendConn(channel.a, pair.b, { signal: controller.signal });
      assert.ok(await staysPending(sending));
      controller.abort();
      await failure(sending, "ERR_CANCELED");
      const [moved] = await Promise.all([received(channel.b), sendConn(channel.a, pair.b)]);
      assertSameBytes(await readFull(moved, 2_000_000), pattern(2_000_000));
      await moved.close();
    }));
});

describe("a receiver that is interrupted", () => {
  test("loses nothing, whatever had arrived", (t) =>
    withLeakCheck(t, async () => {
      const random = seeded(t);
      const [channel, far] = connAndFd();
      const [conn, other] = connAndFd();
      const kernel = nativeKernel();
      const parts = [pattern(3000), pattern(100)];
      const details = { kind: "conn", network: "unix", remote: "" } as const;
      const frames = framesOf(details, parts) as Uint8Array[];
      for (const frame of frames) {
        for (let at = 0; at < frame.length; ) {
          const n = Math.min(frame.length - at, 1 + random.below(400));
          const last = frame === frames.at(-1) && at === 0;
          const fds = Int32Array.from(last ? [conn.fd.sysfd] : []);
          assert.equal(kernel.sendmsgFds(far, frame, at, n, fds), n);
          at += n;
          if (at === frame.length && frame === frames.at(-1)) break;
          const signal = AbortSignal.abort();
          await failure(receiveConn(channel, { signal }), "ERR_CANCELED");
          const controller = new AbortController();
          const receiving = receiveConn(channel, { signal: controller.signal });
          await turn();
          controller.abort();
          await failure(receiving, "ERR_CANCELED");
        }
      }
      const moved = await received(channel);
      assert.equal((await readFull(moved, 3100)).length, 3100);
      for (const each of [moved, conn, channel]) await each.close();
      for (const fd of [far, other]) kernel.close(fd);
    }));

  test("closes what it had received in part when the channel is closed", (t) =>
    withLeakCheck(t, async () => {
      const [channel, far] = connAndFd();
      const kernel = nativeKernel();
      const [frame] = framesOf({ kind: "conn", network: "tcp" }, []) as [Uint8Array];
      kernel.sendmsgFds(far, frame, 0, 20, Int32Array.of(far));
      const receiving = receiveConn(channel);
      assert.ok(await staysPending(receiving));
      await channel.close();
      await failure(receiving, "ERR_CLOSED");
      kernel.close(far);
    }));
});

/** What a stranger may send: bytes, descriptors (of a socket that is no conn), and the text of the error. */
const hostile: [name: string, frames: () => [Uint8Array, number][], text: RegExp][] = [
  ["text", () => [[Buffer.from("hello"), 0]], /no handle that sendConn or sendListener has sent/],
  ["text with a descriptor", () => [[Buffer.from("hello"), 1]], /no handle/],
  ["text that begins well", () => [[Buffer.from("CRNX1234567"), 1]], /no handle/],
  ["another version", () => [[Buffer.from("CRNT\x02\x00\x00\x00"), 1]], /speaks version 2/],
  ["a length that is none", () => [[Buffer.from("CRNT\x01\x05\xff\xff", "latin1"), 1]], /65535/],
  ["a rest without its beginning", () => [[frame(4, "{}"), 1]], /without its beginning/],
  ["no descriptor", () => [[whole(), 0]], /no descriptor came along/],
  ["two descriptors", () => [[whole(), 2]], /several descriptors/],
  ["many descriptors", () => [[whole(), 200]], /several descriptors/],
  [
    "two descriptors with different bytes",
    () => [
      [whole().subarray(0, 10), 1],
      [whole().subarray(10), 1],
    ],
    /several descriptors/,
  ],
  ["a descriptor with bytes that were put back", () => [[frame(1, "abc"), 1]], /none belongs/],
  [
    "a put-back without an end",
    () => [
      [frame(1, "abc"), 0],
      [frame(4, '{"kind":"conn","network":"unix"}'), 1],
    ],
    /has no end/,
  ],
  ["details that are no JSON", () => [[frame(5, "{"), 1]], /can't be read/],
  ["details that are null", () => [[frame(5, "null"), 1]], /can't be read/],
  [
    "details of another kind",
    () => [[frame(5, '{"kind":"x","network":"tcp"}'), 1]],
    /can't be read/,
  ],
  [
    "a path with NUL",
    () => [[frame(5, '{"kind":"listener","network":"unix","path":"/a\\u0000b"}'), 1]],
    /can't be read/,
  ],
  ["an empty frame", () => [[frame(5, ""), 1]], /can't be read/],
  ["a datagram socket that is said to be a conn", () => [[whole(), 1]], /is no unix conn/],
];

function frame(flags: number, payload: string): Buffer {
  const header = Buffer.from([0x43, 0x52, 0x4e, 0x54, 1, flags, 0, payload.length]);
  return Buffer.concat([header, Buffer.from(payload)]);
}

function whole(): Uint8Array {
  return frame(5, '{"kind":"conn","network":"unix","remote":""}');
}

describe("a stranger that sends", () => {
  for (const [name, frames, text] of hostile) {
    test(`${name} gets no further: EPROTO, and every descriptor is closed`, (t) =>
      withLeakCheck(t, async () => {
        const kernel = nativeKernel();
        const [channel, far] = connAndFd();
        const sysfd = kernel.socket(AF_UNIX, SOCK_DGRAM, 0);
        const before = openFds().size;
        let sent = "";
        for (const [bytes, count] of frames()) {
          const fds = new Int32Array(count).fill(sysfd);
          assert.equal(kernel.sendmsgFds(far, bytes, 0, bytes.length, fds), bytes.length);
          sent += Buffer.from(bytes).toString("latin1");
        }
        const error = await failure(receiveConn(channel), "EPROTO");
        assert.match(error.message, text);
        assert.equal(error.op, "receive");
        assert.equal(openFds().size, before);
        kernel.shutdown(far, 1);
        if (/no handle|version|65535/.test(error.message)) {
          // What is not ours is still there for who understands it.
          await failure(receiveConn(channel), "EPROTO");
          assert.equal(Buffer.from(await readAll(channel)).toString("latin1"), sent);
        } else {
          assert.equal(await receiveConn(channel), null, "the channel is in step");
        }
        await channel.close();
        kernel.close(far);
        kernel.close(sysfd);
      }));
  }

  test("random frames kills nobody and leaks no descriptor", (t) =>
    withLeakCheck(t, async () => {
      const random = seeded(t);
      const kernel = nativeKernel();
      for (let round = 0; round < 300; round++) {
        const [channel, far] = connAndFd();
        for (let i = random.below(6); i >= 0; i--) {
          const bytes = Buffer.from(
            [whole(), frame(1 + random.below(7), "x".repeat(random.below(200)))][random.below(2)] ??
              "",
          );
          if (random.chance(0.3)) bytes[random.below(bytes.length)] = random.below(256);
          const length = random.chance(0.2) ? 1 + random.below(bytes.length) : bytes.length;
          const fds = new Int32Array(random.below(4)).fill(far);
          kernel.sendmsgFds(far, bytes, 0, length, fds);
        }
        kernel.shutdown(far, 1);
        for (let i = 0; i < 10; i++) {
          const conn = await receiveConn(channel).catch((error) => {
            assert.match(error.code, /^EPROTO$/);
            return undefined;
          });
          await conn?.close();
          if (conn === null) break;
        }
        await channel.close();
        kernel.close(far);
      }
    }));

  test("half a handle and then nothing more: the end is no end but EPROTO, once", (t) =>
    withLeakCheck(t, async () => {
      const [channel, far] = connAndFd();
      nativeKernel().sendmsgFds(far, whole(), 0, 30, Int32Array.of(far));
      nativeKernel().shutdown(far, 1);
      const error = await failure(receiveConn(channel), "EPROTO");
      assert.match(error.message, /ended in the middle of a handle/);
      assert.equal(await receiveConn(channel), null);
      await channel.close();
      nativeKernel().close(far);
    }));
});

/** A channel whose kernel is another one. */
function channelOn(change: (kernel: NativeKernel) => Partial<NativeKernel>): [UnixConn, UnixConn] {
  const pair = new Int32Array(2);
  const native = nativeKernel();
  native.socketpair(AF_UNIX, SOCK_STREAM, pair);
  const rt = runtime();
  const kernel = { ...native, ...change(native) };
  const device = { kernel, poller: rt.poller, runtime: rt };
  const fd = new FD(device, pair[0] as number, NOBODY, false);
  const addr = new UnixAddr("unix", "");
  const other = connFromFd(rt, pair[1] as number, "unix", addr) as UnixConn;
  return [new UnixConn(fd, { network: "unix", addr: undefined }, addr), other];
}

describe("a kernel", () => {
  const oneByte = (native: NativeKernel): Partial<NativeKernel> => ({
    send: (fd, buffer, offset, length) => native.send(fd, buffer, offset, Math.min(length, 1)),
    sendmsgFds: (fd, buffer, offset, length, fds) =>
      native.sendmsgFds(fd, buffer, offset, Math.min(length, 1), fds),
  });

  test("that takes one byte at a time gets them all, and the descriptor once", (t) =>
    withLeakCheck(t, async () => {
      const [a, b] = channelOn(oneByte);
      const [conn, far] = connAndFd();
      conn.unread(pattern(300));
      const [moved] = await Promise.all([received(b), sendConn(a, conn)]);
      assertSameBytes(await readFull(moved, 300), pattern(300));
      for (const each of [a, b, moved]) await each.close();
      nativeKernel().close(far);
    }));

  test("that stops in the middle of a frame: giving up ends the channel, not the connection", (t) =>
    withLeakCheck(t, async () => {
      let calls = 0;
      const [a, b] = channelOn((native) => ({
        ...oneByte(native),
        send: (fd, buffer, offset) => (++calls > 10 ? -11 : native.send(fd, buffer, offset, 1)),
      }));
      const [conn, far] = connAndFd();
      const controller = new AbortController();
      const sending = sendConn(a, conn, { signal: controller.signal });
      assert.ok(await staysPending(sending));
      controller.abort();
      await failure(sending, "ERR_CANCELED");
      await failure(receiveConn(b), "EPROTO");
      nativeKernel().send(far, Buffer.from("usable"), 0, 6);
      assert.equal(await readText(conn, 6), "usable");
      for (const each of [a, b, conn]) await each.close();
      nativeKernel().close(far);
    }));

  test("that has too many descriptors in flight is asked again", (t) =>
    withLeakCheck(t, async () => {
      let calls = 0;
      const [a, b] = channelOn((native) => ({
        sendmsgFds: (...args) => (++calls < 4 ? -ETOOMANYREFS : native.sendmsgFds(...args)),
      }));
      const [conn, far] = connAndFd();
      await sendConn(a, conn);
      assert.equal(calls, 4);
      const [again, farther] = connAndFd();
      calls = -Infinity;
      const controller = new AbortController();
      const sending = sendConn(a, again, { signal: controller.signal });
      assert.ok(await staysPending(sending));
      controller.abort();
      await failure(sending, "ERR_CANCELED");
      const moved = await received(b);
      for (const each of [a, b, moved, again]) await each.close();
      for (const fd of [far, farther]) nativeKernel().close(fd);
    }));
});

describe("sendListener and receiveListener", () => {
  test("move a listener: its loop ends, its backlog is served", (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      const listener = await listen("tcp", "127.0.0.1:0");
      const loop = go(async () => {
        for await (const conn of listener) await conn.close();
      });
      await turn();
      await sendListener(channel.a, listener);
      await loop.join();
      const address = String(listener.addr);
      await using waiting = await dial("tcp", address);
      await using moved = (await receiveListener(channel.b)) as Listener;
      assert.equal(String(moved.addr), address);
      await using conn = await moved.accept();
      assert.equal(String(conn.remoteAddr), String(waiting.localAddr));
      await failure(sendListener(channel.a, listener), "ERR_CLOSED");
    }));

  test("move the path of a unix listener", (t) =>
    withLeakCheck(t, async () => {
      await using folder = await socketFolder();
      await using channel = await channelPair();
      const path = folder.path("s");
      await using listener = await listen("unix", path);
      await sendListener(channel.a, listener);
      await listener.close();
      assert.ok(existsSync(path));
      const moved = (await receiveListener(channel.b)) as Listener;
      await moved.close();
      assert.ok(!existsSync(path));
    }));

  test("leave what is of the other kind to who asks for it", (t) =>
    withLeakCheck(t, async () => {
      await using channel = await channelPair();
      await sendListener(channel.a, await listen("tcp", "127.0.0.1:0"));
      const error = await failure(receiveConn(channel.b), "EPROTO");
      assert.match(error.message, /what arrived is a listener: call receiveListener/);
      await (await receiveListener(channel.b))?.close();
      // Nobody asks for this one: it goes with the channel.
      await sendListener(channel.a, await listen("tcp", "127.0.0.1:0"));
      await failure(receiveConn(channel.b), "EPROTO");
    }));
});

describe("adoptConn and adoptListener", () => {
  test("make of a descriptor what it is", (t) =>
    withLeakCheck(t, async () => {
      const kernel = nativeKernel();
      const pair = new Int32Array(2);
      kernel.socketpair(AF_UNIX, SOCK_STREAM, pair);
      for (const fd of pair) assert.equal(kernel.releaseFd(fd), 0);
      const [a, b] = [...pair].map(adoptConn) as [SocketConn, SocketConn];
      assert.equal(a.network, "unix");
      await a.write("hello");
      assert.equal(await readText(b, 5), "hello");
      assert.throws(() => adoptConn(pair[0] as number), { code: "EEXIST", op: "adopt" });
      await a.close();
      await b.close();
      assert.throws(() => adoptConn(pair[0] as number), { code: "EBADF" });
    }));

  test("make a listener of a socket that listens, and only of that", (t) =>
    withLeakCheck(t, async () => {
      const kernel = nativeKernel();
      const sysfd = kernel.socket(2, SOCK_STREAM, 0);
      kernel.releaseFd(sysfd);
      assert.throws(() => adoptListener(sysfd), { code: "EINVAL" });
      assert.throws(() => adoptConn(sysfd), { code: "ENOTCONN" });
      kernel.listen(sysfd, 5);
      assert.throws(() => adoptConn(sysfd), /the socket listens: use adoptListener/);
      await using listener = adoptListener(sysfd);
      await using ends = await connect(
        listener,
        `127.0.0.1:${String(listener.addr).split(":")[1]}`,
      );
      await ends.a.write("x");
      assert.equal(await readText(ends.b as Conn, 1), "x");
    }));

  test("refuse what is no socket of ours, and leave it alone", () => {
    const file = openSync("/dev/null", "r");
    assert.throws(() => adoptConn(file), { code: "ENOTSOCK", message: /is no socket/ });
    closeSync(file);
    const kernel = nativeKernel();
    const datagrams = kernel.socket(AF_UNIX, SOCK_DGRAM, 0);
    assert.throws(() => adoptListener(datagrams), { code: "ENOTSUP" });
    kernel.close(datagrams);
    for (const wrong of [-1, 1.5, Number.NaN, "3", undefined, 2 ** 31]) {
      assert.throws(() => adoptConn(wrong as never), TypeError);
      assert.throws(() => adoptListener(wrong as never), TypeError);
    }
  });
});
