/** web_streams.test.ts: conns among web streams: tee, pipeTo with backpressure, cancel, abort, errors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Conn, go, type TCPConn } from "../src/index.ts";
import { resetTCP, tcpPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import {
  assertSameBytes,
  countAll,
  failure,
  MORE_THAN_FITS,
  pattern,
  readAll,
  readFull,
  readText,
  seeded,
  staysPending,
  turn,
} from "../testing/support.ts";

/** source ends a–b and c–d: what is piped from b to c goes from a to d. */
async function withChain(
  body: (ends: { a: TCPConn; b: TCPConn; c: TCPConn; d: TCPConn }) => Promise<void>,
): Promise<void> {
  await using first = await tcpPair();
  await using second = await tcpPair();
  await body({ a: first.a, b: first.b, c: second.a, d: second.b });
}

async function writeAndEnd(conn: Conn, bytes: Uint8Array): Promise<void> {
  await conn.write(bytes);
  await conn.closeWrite();
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("bytes piped from one conn to another arrive whole, and so does their end", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const sent = pattern(3_000_001);
      const piping = b.readable.pipeTo(c.writable);
      go(writeAndEnd, a, sent);
      assertSameBytes(await readAll(d), sent);
      await piping;
    }),
  ));

test("a slow reader at the end of a pipe holds back the writer at its beginning", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const piping = b.readable.pipeTo(c.writable);
      const writing = writeAndEnd(a, new Uint8Array(MORE_THAN_FITS));
      const before = process.memoryUsage().arrayBuffers;
      assert.ok(await staysPending(writing, 200), "the writer is held back");
      assert.ok(process.memoryUsage().arrayBuffers - before < 8 << 20, "nothing piles up between");
      assert.equal(await countAll(d), MORE_THAN_FITS);
      await writing;
      await piping;
    }),
  ));

test("both directions of two conns are piped, each with an end of its own", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const piping = [b.readable.pipeTo(c.writable), c.readable.pipeTo(b.writable)];
      await a.write("question");
      await a.closeWrite();
      assert.equal(Buffer.from(await readAll(d)).toString(), "question");
      await d.write("answer");
      await d.closeWrite();
      assert.equal(Buffer.from(await readAll(a)).toString(), "answer");
      await Promise.all(piping);
    }),
  ));

test("a pipe that is aborted cancels its source and aborts its sink", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const controller = new AbortController();
      const piping = b.readable.pipeTo(c.writable, { signal: controller.signal });
      await a.write("before");
      assert.equal(await readText(d, 6), "before");
      controller.abort(new Error("enough"));
      await assert.rejects(piping, { message: "enough" });
      assert.equal((await readAll(d)).length, 0);
      await failure(c.write("x"), "ERR_CLOSED");
      assert.equal(await b.read(new Uint8Array(1)), null);
    }),
  ));

test("a source that fails fails its pipe, and the sink is aborted with it", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const piping = b.readable.pipeTo(c.writable);
      await a.write("some");
      assert.equal(await readText(d, 4), "some");
      await resetTCP(a);
      await failure(piping, "ECONNRESET");
      assert.equal((await readAll(d)).length, 0);
    }),
  ));

test("a sink that fails fails its pipe, and the source is canceled", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const piping = b.readable.pipeTo(c.writable);
      await resetTCP(d);
      go(async () => {
        while (!b.fd.closing && (await staysPending(piping, 1))) await a.write("more");
      });
      await assert.rejects(piping, { code: /^(EPIPE|ECONNRESET)$/ });
      assert.equal(await readFull(b, 0).then(() => b.read(new Uint8Array(1))), null);
    }),
  ));

test("preventClose leaves the sink open for what follows", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      go(writeAndEnd, a, Buffer.from("one "));
      await b.readable.pipeTo(c.writable, { preventClose: true });
      await c.write("two");
      await c.closeWrite();
      assert.equal(Buffer.from(await readAll(d)).toString(), "one two");
    }),
  ));

test("a stream that is split gives everything to both", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    const sent = pattern(300_000);
    go(writeAndEnd, pair.a, sent);
    const [one, two] = pair.b.readable.tee();
    const [first, second] = await Promise.all([collect(one), collect(two)]);
    assertSameBytes(first, sent);
    assertSameBytes(second, sent);
  }));

test("compressed on its way, it arrives as it was", (t) =>
  withLeakCheck(t, () =>
    withChain(async ({ a, b, c, d }) => {
      const sent = pattern(500_000);
      type Bytes = TransformStream<Uint8Array, Uint8Array>;
      const gzip = new CompressionStream("gzip") as unknown as Bytes;
      const gunzip = new DecompressionStream("gzip") as unknown as Bytes;
      go(writeAndEnd, a, sent);
      const piping = b.readable.pipeThrough(gzip).pipeTo(c.writable);
      assertSameBytes(await collect(d.readable.pipeThrough(gunzip)), sent);
      await piping;
    }),
  ));

test("a reader that waits holds no buffer", (t) =>
  withLeakCheck(t, async () => {
    const pairs = await Promise.all(Array.from({ length: 100 }, () => tcpPair()));
    const before = process.memoryUsage().arrayBuffers;
    const reading = pairs.map(({ b }) => b.readable.getReader().read());
    await turn();
    assert.ok(process.memoryUsage().arrayBuffers - before < 100 * 1024);
    await Promise.all(pairs.map(({ a }, i) => a.write(`${i}`)));
    const values = await Promise.all(reading);
    values.forEach(({ value }, i) => {
      assert.equal(Buffer.from(value as Uint8Array).toString(), `${i}`);
    });
    await Promise.all(pairs.map((pair) => pair.close()));
  }));

test("chunks and brought buffers by turns, in any sizes, give one stream", (t) =>
  withLeakCheck(t, async () => {
    const random = seeded(t);
    await using pair = await tcpPair();
    const sent = pattern(400_000);
    go(async () => {
      for (let at = 0; at < sent.length; ) {
        const length = 1 + random.below(random.chance(0.1) ? 60_000 : 3000);
        await pair.a.write(sent.subarray(at, at + length));
        at += length;
        if (random.chance(0.3)) await turn();
      }
      await pair.a.closeWrite();
    });
    const got: Buffer[] = [];
    let brought = new Uint8Array(5000);
    for (;;) {
      if (random.chance(0.5)) {
        const reader = pair.b.readable.getReader({ mode: "byob" });
        const { done, value } = await reader.read(brought.subarray(0, 1 + random.below(5000)));
        reader.releaseLock();
        if (value !== undefined) {
          got.push(Buffer.from(value));
          brought = new Uint8Array(value.buffer as ArrayBuffer);
        }
        if (done) break;
      } else {
        const reader = pair.b.readable.getReader();
        const { done, value } = await reader.read();
        reader.releaseLock();
        if (done) break;
        got.push(Buffer.from(value));
      }
    }
    assertSameBytes(Buffer.concat(got), sent);
  }));

test("closing the conn under a stream that reads fails the stream", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    const reader = pair.b.readable.getReader();
    const reading = reader.read();
    const byob = pair.a.readable.getReader({ mode: "byob" });
    const filling = byob.read(new Uint8Array(10));
    await turn();
    await pair.b.close();
    await failure(reading, "ERR_CLOSED");
    await pair.a.close();
    await assert.doesNotReject(Promise.allSettled([filling]));
    await failure(pair.b.writable.getWriter().write(new Uint8Array(1)), "ERR_CLOSED");
  }));
