/** duplex.test.ts: a conn as a node stream: backpressure, half-close, destroy, errors, a socket's methods. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { finished, pipeline } from "node:stream/promises";
import { describe, type TestContext, test } from "node:test";
import {
  type Conn,
  type ConnDuplex,
  type DuplexOptions,
  dial,
  go,
  type Listener,
  listen,
  NetError,
  pipe,
  type TCPAddr,
  toDuplex,
} from "../src/index.ts";
import { pipePair, resetTCP, type SocketPair, tcpPair, unixPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import {
  assertSameBytes,
  countAll,
  failure,
  MORE_THAN_FITS,
  nextChunk,
  pattern,
  pieces,
  readAll,
  seeded,
  staysPending,
  turn,
  writeTooMuch,
} from "../testing/support.ts";

const PAIRS: Record<string, () => Promise<SocketPair>> = {
  tcp: tcpPair,
  unix: unixPair,
  pipe: pipePair,
};

for (const [kind, pair] of Object.entries(PAIRS)) {
  const fact = (
    name: string,
    body: (stream: ConnDuplex, peer: Conn, t: TestContext) => Promise<void>,
    options?: DuplexOptions,
  ): void => {
    test(name, (t) =>
      withLeakCheck(t, async () => {
        const { a, b } = await pair();
        await using peer = b;
        const stream = toDuplex(a, options);
        try {
          await body(stream, peer, t);
        } finally {
          stream.destroy();
        }
      }),
    );
  };

  describe(`toDuplex over ${kind}`, () => {
    fact("carries everything both ways", async (stream, peer, t) => {
      const random = seeded(t);
      const there = pattern(1_000_003, 1);
      const back = pattern(777_777, 2);
      go(async () => {
        for (const piece of pieces(back, random, 9000)) await peer.write(piece);
        await peer.closeWrite();
      });
      const received = go(readAll, peer).join();
      for (const piece of pieces(there, random, 9000)) {
        if (!stream.write(piece)) await once(stream, "drain");
      }
      stream.end();
      const chunks: Buffer[] = [];
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
      assertSameBytes(Buffer.concat(chunks), back);
      assertSameBytes(await received, there);
      assert.deepEqual([stream.bytesRead, stream.bytesWritten], [back.length, there.length]);
    });

    fact("holds the peer back while nobody reads", async (stream, peer) => {
      stream.once("readable", () => {});
      const writing = writeTooMuch(peer);
      assert.ok(await staysPending(writing, 20));
      assert.ok(stream.readableLength <= 3 * 65_536, `${stream.readableLength} bytes piled up`);
      stream.resume();
      await writing;
    });

    fact("holds its writer back while the peer does not read", async (stream, peer) => {
      const chunk = new Uint8Array(1 << 20);
      let sent = 0;
      while (stream.write(chunk)) sent += chunk.length;
      sent += chunk.length;
      stream.end(new Uint8Array(MORE_THAN_FITS));
      assert.ok(await staysPending(finished(stream, { readable: false }), 20));
      assert.equal(await countAll(peer), sent + MORE_THAN_FITS);
    });

    fact("what is written while corked goes out with one writev", async (stream, peer) => {
      let calls = 0;
      const writev = stream.conn.writev.bind(stream.conn);
      stream.conn.writev = (chunks) => {
        calls++;
        return writev(chunks);
      };
      stream.cork();
      // Little is copied together, and goes out with one write.
      for (let i = 0; i < 10; i++) stream.write(`${i}`);
      await turn();
      stream.uncork();
      assert.equal(Buffer.from((await nextChunk(peer)) as Uint8Array).toString(), "0123456789");
      assert.equal(calls, 0);
      const parts = Array.from({ length: 10 }, (_, i) => pattern(5_000, i));
      stream.cork();
      for (const part of parts) stream.write(part);
      await turn();
      stream.uncork();
      stream.end("é", "latin1");
      assertSameBytes(await readAll(peer), Buffer.concat([...parts, Buffer.from([0xe9])]));
      assert.equal(calls, 1);
    });

    fact(
      "ending it gives the peer the end of the stream, and the conn is closed when both have ended",
      async (stream, peer) => {
        stream.end("last words");
        assert.equal(Buffer.from(await readAll(peer)).toString(), "last words");
        stream.resume();
        await peer.write("answer");
        await peer.closeWrite();
        await once(stream, "close");
        await failure(stream.conn.write("x"), "ERR_CLOSED");
        assert.equal(stream.readyState, "closed");
      },
    );

    fact("the peer's end ends the writing side too", async (stream, peer) => {
      stream.resume();
      await peer.closeWrite();
      assert.equal((await readAll(peer)).length, 0);
      await finished(stream);
    });

    fact(
      "with allowHalfOpen it may answer after the peer's end",
      async (stream, peer) => {
        go(async () => {
          await peer.write("question");
          await peer.closeWrite();
        });
        let text = "";
        for await (const chunk of stream.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
          text += chunk;
        }
        assert.equal(text, "question");
        assert.equal(stream.readyState, "writeOnly");
        stream.end("answer");
        assert.equal(Buffer.from(await readAll(peer)).toString(), "answer");
      },
      { allowHalfOpen: true },
    );

    fact("destroying it closes the conn, also while it reads and writes", async (stream, peer) => {
      stream.resume();
      stream.write(new Uint8Array(MORE_THAN_FITS), () => {});
      await turn();
      stream.destroy();
      await once(stream, "close");
      assert.ok((await countAll(peer)) < MORE_THAN_FITS);
    });

    fact("destroying it with an error emits that error", async (stream) => {
      stream.destroy(new Error("enough"));
      const [error] = await once(stream, "error");
      assert.equal(error.message, "enough");
      await failure(stream.conn.read(new Uint8Array(1)), "ERR_CLOSED");
    });

    fact("closing the conn below destroys it with ERR_CLOSED", async (stream) => {
      stream.resume();
      await turn();
      void stream.conn.close();
      const [error] = await once(stream, "error");
      assert.equal((error as NetError).code, "ERR_CLOSED");
      assert.ok(stream.destroyed);
    });

    fact("a write that fails destroys it with the conn's error", async (stream, peer) => {
      await peer.close();
      const failed = once(stream, "error");
      while (!stream.destroyed) {
        stream.write("anyone?");
        await turn();
      }
      const [error] = await failed;
      assert.ok(error instanceof NetError);
      assert.match(error.code, /^(EPIPE|ECONNRESET)$/);
    });

    fact("leaving a loop over it destroys it, as with any stream", async (stream, peer) => {
      await peer.write("x");
      for await (const _ of stream) break;
      assert.ok(stream.destroyed);
      assert.equal((await readAll(peer)).length, 0);
    });

    fact("a socket's methods are there and chain", async (stream) => {
      assert.equal(stream.setNoDelay(true).setKeepAlive(true, 5000).ref().unref().ref(), stream);
      assert.deepEqual(
        [stream.connecting, stream.pending, stream.readyState],
        [false, false, "open"],
      );
      let called = 0;
      const events = [once(stream, "connect"), once(stream, "ready")];
      stream.connect(1, "host", () => called++);
      await Promise.all(events);
      assert.equal(called, 1);
      stream.destroy();
      stream.setNoDelay().setKeepAlive().ref().unref().setTimeout(5);
    });

    fact("setTimeout tells of silence, and only of silence", async (stream, peer) => {
      assert.throws(() => stream.setTimeout(-1), RangeError);
      const timeouts: number[] = [];
      stream.setTimeout(20, () => timeouts.push(stream.bytesRead));
      assert.equal(stream.timeout, 20);
      stream.resume();
      await once(stream, "timeout");
      stream.setTimeout(0);
      assert.equal(stream.timeout, undefined);
      await peer.write("x");
      await once(stream, "data");
      assert.deepEqual(timeouts, [0]);
      assert.ok(!stream.destroyed, "a timeout closes nothing");
    });

    fact("destroySoon ends after what was written", async (stream, peer) => {
      const sent = pattern(500_000);
      stream.write(sent);
      stream.destroySoon();
      assertSameBytes(await readAll(peer), sent);
      if (!stream.closed) await once(stream, "close");
    });
  });
}

test("an idle stream holds no buffer", (t) =>
  withLeakCheck(t, async () => {
    const pairs = Array.from({ length: 100 }, () => pipe());
    const before = process.memoryUsage().arrayBuffers;
    const streams = pairs.map(([a]) => toDuplex(a).resume());
    await turn();
    assert.ok(process.memoryUsage().arrayBuffers - before < 100 * 1024);
    for (const stream of streams) stream.destroy();
    await Promise.all(pairs.map(([, b]) => b.close()));
  }));

test("addresses are those of the conn", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    const stream = toDuplex(pair.a);
    const { ip, port } = pair.a.remoteAddr as TCPAddr;
    assert.deepEqual(
      [stream.remoteAddress, stream.remotePort, stream.remoteFamily],
      [ip, port, "IPv4"],
    );
    const local = pair.a.localAddr as TCPAddr;
    assert.deepEqual(stream.address(), { address: local.ip, family: "IPv4", port: local.port });
    stream.destroy();
    await using other = await unixPair();
    const unix = toDuplex(other.a);
    assert.deepEqual(
      [unix.remoteAddress, unix.localPort, unix.localFamily],
      [undefined, undefined, undefined],
    );
    assert.deepEqual(unix.address(), {});
    unix.destroy();
  }));

test("a peer's reset is an error of the stream", (t) =>
  withLeakCheck(t, async () => {
    const { a, b } = await tcpPair();
    const stream = toDuplex(a).resume();
    await resetTCP(b);
    const [error] = await once(stream, "error");
    assert.equal((error as NetError).code, "ECONNRESET");
    assert.equal((error as NetError).op, "read");
  }));

test("resetAndDestroy resets a TCP connection", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    toDuplex(pair.a).resetAndDestroy();
    await failure(pair.b.read(new Uint8Array(1)), "ECONNRESET");
  }));

test("two streams piped into each other are a proxy", (t) =>
  withLeakCheck(t, async () => {
    const [near, far] = [await tcpPair(), await tcpPair()];
    const [left, right] = [
      toDuplex(near.b, { allowHalfOpen: true }),
      toDuplex(far.a, { allowHalfOpen: true }),
    ];
    const proxy = Promise.all([pipeline(left, right), pipeline(right, left)]);
    const sent = pattern(2_000_000);
    go(async () => {
      await near.a.write(sent);
      await near.a.closeWrite();
    });
    assertSameBytes(await readAll(far.b), sent);
    await far.b.write("thanks");
    await far.b.closeWrite();
    assert.equal(Buffer.from(await readAll(near.a)).toString(), "thanks");
    await proxy;
    await near.a.close();
    await far.b.close();
  }));

async function feed(listener: Listener, server: http.Server): Promise<void> {
  for await (const conn of listener)
    server.emit("connection", toDuplex(conn, { allowHalfOpen: true }));
}

test("node:http serves our listener's connections, and asks over our dial", (t) =>
  withLeakCheck(t, async () => {
    await using listener = await listen("tcp", "127.0.0.1:0");
    const server = http.createServer((request, response) => {
      response.setHeader("x-peer", String(request.socket.remotePort));
      request.pipe(response);
    });
    go(feed, listener, server);
    const conn = await dial("tcp", String(listener.addr));
    const stream = toDuplex(conn);
    // One connection for all: the agent keeps it alive.
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    (agent as unknown as { createConnection(): unknown }).createConnection = () => stream;
    const sent = pattern(600_000);
    for (let i = 0; i < 3; i++) {
      const request = http.request({ agent, method: "POST", path: "/" });
      request.end(sent);
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      assertSameBytes(Buffer.concat(chunks), sent);
      assert.equal(response.headers["x-peer"], String(stream.localPort));
    }
    agent.destroy();
    await once(stream, "close");
    server.closeAllConnections();
  }));
