/** unixpacket.test.ts: connections that keep message boundaries. */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { abstractPair, type SocketPair, unixPair } from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { failure, inMs, nextChunk, pattern, staysPending } from "../../testing/support.ts";
import { go } from "../index.ts";

function withPair(check: (pair: SocketPair) => Promise<void>): (t: TestContext) => Promise<void> {
  return (t) =>
    withLeakCheck(t, async () => {
      await using pair = await abstractPair("unixpacket");
      await check(pair);
    });
}

describe("unixpacket", () => {
  test("works over a path as well", (t) =>
    withLeakCheck(t, async () => {
      await using pair = await unixPair("unixpacket");
      await pair.a.write("packet");
      assert.equal(await pair.b.read(new Uint8Array(10)), 6);
      assert.equal(pair.b.localAddr.network, "unixpacket");
      assert.equal(String(pair.b.localAddr), String(pair.a.remoteAddr));
    }));

  test(
    "every write is one packet, every read takes one",
    withPair(async ({ a, b }) => {
      for (const packet of ["one", "two two", "3"]) await a.write(packet);
      const buffer = Buffer.alloc(64);
      const packets: string[] = [];
      for (let i = 0; i < 3; i++)
        packets.push(buffer.toString("latin1", 0, (await b.read(buffer)) ?? 0));
      assert.deepEqual(packets, ["one", "two two", "3"]);
    }),
  );

  test(
    "a read that waits wakes for one packet and leaves the next",
    withPair(async ({ a, b }) => {
      const first = b.read(new Uint8Array(64));
      const second = b.read(new Uint8Array(64));
      assert.ok(await staysPending(first));
      await a.write("12345");
      await a.write("123");
      assert.deepEqual(await Promise.all([first, second]), [5, 3]);
      assert.ok(await staysPending(b.read(new Uint8Array(64))));
    }),
  );

  test(
    "each put-back is one packet, and what does not fit the buffer is EMSGSIZE and gone",
    withPair(async ({ a, b }) => {
      await a.write("last");
      await b.waitReadable();
      for (const packet of ["third packet", "second", "first"]) b.unread(Buffer.from(packet));
      const buffer = Buffer.alloc(64);
      assert.equal(await b.read(buffer), 5);
      assert.equal(Buffer.from((await nextChunk(b)) ?? []).toString(), "second");
      await failure(b.read(buffer.subarray(0, 5)), "EMSGSIZE");
      assert.equal(await b.read(buffer), 4);
    }),
  );

  test(
    "chunks of writev form one packet",
    withPair(async ({ a, b }) => {
      await a.writev(["head", "", "body"]);
      await a.write("next");
      assert.equal(Buffer.from((await nextChunk(b)) ?? []).toString(), "headbody");
      assert.equal(Buffer.from((await nextChunk(b)) ?? []).toString(), "next");
    }),
  );

  test(
    "chunks of writev form one packet, also when one system call does not take so many",
    withPair(async ({ a, b }) => {
      const chunks = Array.from({ length: 3000 }, (_, i) => `${i % 10}`);
      assert.equal(await a.writev(chunks), chunks.length);
      await a.write("next");
      assert.equal(Buffer.from((await nextChunk(b)) ?? []).toString(), chunks.join(""));
      assert.equal(Buffer.from((await nextChunk(b)) ?? []).toString(), "next");
    }),
  );

  test(
    "a packet larger than the buffer is EMSGSIZE, and the connection goes on with the next",
    withPair(async ({ a, b }) => {
      await a.write("far too long");
      await a.write("fits");
      await failure(b.read(new Uint8Array(4)), "EMSGSIZE");
      const buffer = Buffer.alloc(4);
      assert.equal(await b.read(buffer), 4);
      assert.equal(buffer.toString(), "fits");
      const waiting = b.read(new Uint8Array(2));
      assert.ok(await staysPending(waiting));
      await a.write("abc");
      await a.write("de");
      await failure(waiting, "EMSGSIZE");
      assert.equal(await b.read(new Uint8Array(2)), 2);
    }),
  );

  test(
    "a packet that the kernel does not take is EMSGSIZE to its writer",
    withPair(async ({ a, b }) => {
      await failure(a.write(new Uint8Array(64 << 20)), "EMSGSIZE");
      await a.write("small");
      assert.equal(await b.read(new Uint8Array(8)), 5);
    }),
  );

  test(
    "a packet larger than a chunk is EMSGSIZE to iteration",
    withPair(async ({ a, b }) => {
      await a.write(pattern(70_000));
      await a.write(pattern(65_536));
      await failure(nextChunk(b), "EMSGSIZE");
      assert.equal((await nextChunk(b))?.length, 65_536);
    }),
  );

  test(
    "writes wait while the peer does not read, and no packet is lost or joined",
    withPair(async ({ a, b }) => {
      const count = 2000;
      const writer = go(async () => {
        for (let i = 0; i < count; i++) await a.write(`packet ${i}`);
        await a.close();
      });
      let next = 0;
      for await (const packet of b) {
        assert.equal(Buffer.from(packet).toString(), `packet ${next++}`);
      }
      assert.equal(next, count);
      await writer.join();
    }),
  );

  test(
    "the end of the stream comes after the packets before it",
    withPair(async ({ a, b }) => {
      await a.write("last");
      await a.closeWrite();
      assert.equal(await b.read(new Uint8Array(8)), 4);
      assert.equal(await b.read(new Uint8Array(8)), null);
      await b.write("answer");
      assert.equal(await a.read(new Uint8Array(8)), 6);
    }),
  );

  test(
    "deadlines and signals end a read that waits, and close as well",
    withPair(async ({ a, b }) => {
      const buffer = new Uint8Array(8);
      b.setReadDeadline(inMs(10));
      await failure(b.read(buffer), "ERR_DEADLINE");
      b.setReadDeadline(null);
      await failure(b.read(buffer, { signal: AbortSignal.timeout(5) }), "ERR_CANCELED");
      const reading = b.read(buffer);
      await b.close();
      await failure(reading, "ERR_CLOSED");
      await failure(a.write("x"), "EPIPE");
    }),
  );

  test(
    "a buffer taken away while its read waits is a TypeError and leaves the packet",
    withPair(async ({ a, b }) => {
      const buffer = new Uint8Array(8);
      const reading = b.read(buffer);
      structuredClone(buffer, { transfer: [buffer.buffer as ArrayBuffer] });
      await a.write("kept");
      await assert.rejects(reading, TypeError);
      assert.equal(await b.read(new Uint8Array(8)), 4);
    }),
  );
});
