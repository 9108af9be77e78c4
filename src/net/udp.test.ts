/** udp.test.ts: datagram sockets with a peer: dial of "udp" and "unixgram". */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { nativeOnly, onPortable } from "../../testing/backend.ts";
import { abstractName, lacksIPv6, socketFolder } from "../../testing/conns.ts";
import { openFds, withLeakCheck } from "../../testing/leaks.ts";
import { failure, inMs, nextChunk, pattern, staysPending } from "../../testing/support.ts";
import {
  type Conn,
  dial,
  listenPacket,
  type PacketConn,
  type PacketNetwork,
  UDPConn,
  UnixConn,
} from "../index.ts";

interface Subject {
  server: PacketConn;
  conn: Conn;
}

const networks: [PacketNetwork, string, string | undefined][] = [
  ["udp4", "127.0.0.1:0", undefined],
  ["udp6", "[::1]:0", lacksIPv6()],
  ["unixgram", "", nativeOnly("Node has no unixgram") || undefined],
];

const facts: Record<string, (subject: Subject) => Promise<void>> = {
  "a write is one datagram, and the server can answer": async ({ server, conn }) => {
    await conn.write("question");
    const buffer = Buffer.alloc(64);
    const { n, addr } = await server.readFrom(buffer);
    assert.equal(buffer.toString("utf8", 0, n), "question");
    assert.equal(String(addr), String(conn.localAddr));
    await server.writeTo("answer", addr);
    assert.equal(await conn.read(buffer), 6);
    assert.equal(String(conn.remoteAddr), String(server.localAddr));
    assert.ok(conn instanceof (server.network === "unixgram" ? UnixConn : UDPConn));
  },

  "chunks of writev form one datagram, also very many": async ({ server, conn }) => {
    for (const chunks of [["head", "", "body"], [], Array.from({ length: 3000 }, () => "x")]) {
      const text = chunks.join("");
      assert.equal(await conn.writev(chunks), text.length);
      const [datagram] = await server.readBatch();
      assert.equal(Buffer.from(datagram?.data ?? []).toString(), text);
    }
  },

  "an empty write sends an empty datagram, and reading one answers 0": async ({ server, conn }) => {
    assert.equal(await conn.write(""), 0);
    const { n, addr } = await server.readFrom(new Uint8Array(8));
    assert.equal(n, 0);
    for (const text of ["", "", "x"]) await server.writeTo(text, addr);
    const buffer = new Uint8Array(8);
    assert.equal(await conn.read(buffer), 0);
    assert.equal((await nextChunk(conn))?.length, 0);
    assert.equal(await conn.read(new Uint8Array(0)), 0);
    assert.equal(await conn.read(buffer), 1);
    const waiting = conn.read(buffer);
    assert.ok(await staysPending(waiting));
    await server.writeTo("", addr);
    assert.equal(await waiting, 0);
  },

  "a datagram larger than the buffer is EMSGSIZE, and the next one follows": async ({
    server,
    conn,
  }) => {
    await server.writeTo("far too long", conn.localAddr);
    await server.writeTo("fits", conn.localAddr);
    await failure(conn.read(new Uint8Array(4)), "EMSGSIZE");
    assert.equal(await conn.read(new Uint8Array(4)), 4);
    await failure(conn.write(new Uint8Array(8 << 20)), "EMSGSIZE");
    await failure(conn.writev([new Uint8Array(8 << 20)]), "EMSGSIZE");
    await conn.write("still works");
  },

  "iteration gives whole datagrams and loses none when it is left": async ({ server, conn }) => {
    for (const text of ["1", "22", "333", "", "55555"]) {
      await server.writeTo(text, conn.localAddr);
    }
    const lengths: number[] = [];
    for await (const chunk of conn) {
      lengths.push(chunk.length);
      if (lengths.length === 2) break;
    }
    await conn.waitReadable();
    lengths.push((await conn.read(new Uint8Array(10))) as number);
    for await (const chunk of conn) {
      lengths.push(chunk.length);
      if (lengths.length === 5) break;
    }
    assert.deepEqual(lengths, [1, 2, 3, 0, 5]);
    await server.writeTo(pattern(10_000), conn.localAddr);
    assert.equal((await nextChunk(conn))?.length, 10_000);
  },

  "deadlines, signals and close end what waits": async ({ server, conn }) => {
    const buffer = new Uint8Array(8);
    conn.setReadDeadline(inMs(10));
    await failure(conn.read(buffer), "ERR_DEADLINE");
    await failure(nextChunk(conn), "ERR_DEADLINE");
    conn.setReadDeadline(null);
    await failure(conn.read(buffer, { signal: AbortSignal.timeout(5) }), "ERR_CANCELED");
    await server.writeTo("x", conn.localAddr);
    assert.equal(await conn.read(buffer), 1);
    const waiters = [conn.read(buffer), nextChunk(conn), conn.waitReadable()];
    assert.ok(await staysPending(Promise.race(waiters)));
    await conn.close();
    for (const waiter of waiters) await failure(waiter, "ERR_CLOSED");
    await conn.close();
    await failure(conn.write("x"), "ERR_CLOSED");
    await failure(conn.writev(["x"]), "ERR_CLOSED");
  },

  "closeRead ends reads, closeWrite ends writes": async ({ server, conn }) => {
    const reading = conn.read(new Uint8Array(8));
    assert.ok(await staysPending(reading));
    await conn.closeRead();
    assert.equal(await reading, null);
    assert.equal(await conn.read(new Uint8Array(8)), null);
    assert.equal(await nextChunk(conn), null);
    await conn.waitReadable();
    await conn.write("out");
    assert.equal((await server.readFrom(new Uint8Array(8))).n, 3);
    await conn.closeWrite();
    await failure(conn.write("x"), "EPIPE");
  },

  "only the peer is heard": async ({ server, conn }) => {
    const isUDP = server.network !== "unixgram";
    const stranger = await listenPacket(server.network, isUDP ? address(server) : "");
    const sent = stranger.writeTo("stranger", conn.localAddr);
    if (isUDP) await sent;
    else await failure(sent, "EPERM");
    await server.writeTo("peer", conn.localAddr);
    assert.equal(await conn.read(new Uint8Array(64)), 4);
    await stranger.close();
  },

  "the web streams carry datagrams; empty ones have no place in a stream": async ({
    server,
    conn,
  }) => {
    const writer = conn.writable.getWriter();
    await writer.write(new Uint8Array(5));
    const { n, addr } = await server.readFrom(new Uint8Array(8));
    assert.equal(n, 5);
    await server.writeTo("", addr);
    await server.writeTo("four", addr);
    const reader = conn.readable.getReader();
    assert.equal((await reader.read()).value?.length, 4);
    await reader.cancel();
  },
};

function address(server: PacketConn): string {
  return String(server.localAddr).replace(/:\d+$/, ":0");
}

for (const [network, local, lacking] of networks) {
  describe(`dial of ${network}`, { skip: lacking ?? false }, () => {
    for (const [fact, check] of Object.entries(facts)) {
      test(fact, { timeout: 60_000 }, (t) =>
        withLeakCheck(t, async () => {
          await using server = await listenPacket(network, local);
          await using conn = await dial(network, String(server.localAddr));
          await check({ server, conn });
        }),
      );
    }
  });
}

describe("dial of udp", () => {
  const checked =
    (check: () => Promise<void>) =>
    (t: TestContext): Promise<void> =>
      withLeakCheck(t, check);

  /** The address of a port on which nobody listens (any more). */
  async function nobody(): Promise<string> {
    await using conn = await listenPacket("udp4", "127.0.0.1:0");
    return String(conn.localAddr);
  }

  test(
    "what nobody takes is ECONNREFUSED of the next operation, and the conn goes on",
    { skip: nativeOnly("Node tells it a turn later") },
    checked(async () => {
      const gone = await nobody();
      await using conn = await dial("udp", gone);
      const buffer = new Uint8Array(8);
      const waiting = conn.read(buffer);
      await conn.write("x");
      const error = await failure(waiting, "ECONNREFUSED");
      assert.equal(error.op, "read");
      await conn.write("x");
      await failure(conn.write("y"), "ECONNREFUSED");
      await conn.write("x");
      await conn.waitReadable();
      await conn.waitReadable();
      await failure(nextChunk(conn), "ECONNREFUSED");
      assert.ok(await staysPending(conn.read(buffer).catch(() => {})));
      await using server = await listenPacket("udp", gone);
      await conn.write("heard");
      assert.equal((await server.readFrom(buffer)).n, 5);
    }),
  );

  test(
    "datagrams that came before an error are not lost to it",
    checked(async () => {
      const server = await listenPacket("udp", "127.0.0.1:0");
      await using conn = await dial("udp", String(server.localAddr));
      for (const text of ["1", "22", "333"]) await server.writeTo(text, conn.localAddr);
      await server.close();
      await conn.write("refused");
      const got: unknown[] = [];
      for (let i = 0; i < 4; i++) {
        got.push(
          await nextChunk(conn).then(
            (chunk) => chunk?.length,
            ({ code }) => code,
          ),
        );
      }
      assert.deepEqual(got.sort(), [1, 2, 3, "ECONNREFUSED"].sort());
    }),
  );

  test(
    "takes a name, and no host for this machine",
    checked(async () => {
      await using server = await listenPacket("udp4", "127.0.0.1:0");
      const port = String(server.localAddr).split(":")[1];
      const resolver = { lookupHost: async () => ["127.0.0.1"] };
      await using named = await dial("udp", `anywhere:${port}`, { resolver });
      await using local = await dial("udp4", `:${port}`, { readBuffer: 1 << 16, timeout: 1000 });
      for (const conn of [named, local]) {
        await conn.write("x");
        assert.equal(
          String((await server.readFrom(new Uint8Array(1))).addr),
          String(conn.localAddr),
        );
      }
    }),
  );

  test("fails without leaving a socket behind", async () => {
    const before = openFds().size;
    await failure(dial("udp", "255.255.255.255:9"), "EACCES");
    await failure(dial("udp4", "[::1]:9"), "EADDRNOTAVAIL");
    await failure(dial("unixgram", abstractName()), onPortable ? "EOPNOTSUPP" : "ECONNREFUSED");
    if (!onPortable) await failure(dial("unixgram", ""), "EINVAL");
    await failure(dial("udp", "127.0.0.1:9", { signal: AbortSignal.abort() }), "ERR_CANCELED");
    assert.equal(openFds().size, before);
  });
});

describe("dial of unixgram", { skip: nativeOnly("Node has none") }, () => {
  test("waits while the peer's queue is full, without a timer", (t) =>
    withLeakCheck(t, async () => {
      await using folder = await socketFolder();
      await using server = await listenPacket("unixgram", folder.path("s"));
      await using conn = await dial("unixgram", folder.path("s"));
      const writing = (async () => {
        for (let i = 0; i < 500; i++) await conn.write(`${i}`);
      })();
      let next = 0;
      for await (const { data } of server) {
        assert.equal(Buffer.from(data).toString(), `${next++}`);
        if (next === 500) break;
      }
      await writing;
    }));
});
