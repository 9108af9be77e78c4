/** iterating.ts: facts about `for await`, waitReadable, and the two web streams. */
import assert from "node:assert/strict";
import { type Conn, go, stats } from "../../src/index.ts";
import {
  assertSameBytes,
  failure,
  MORE_THAN_FITS,
  nextChunk,
  pattern,
  readAll,
  readFull,
  readText,
  staysPending,
  turn,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

const LARGEST_CHUNK = 65_536;
/** Around every border at which memory for a chunk is found in another way. */
const SIZES = [1, 63, 64, 65, 1000, 1024, 1025, 8191, 8192, 8193, 32_767, 32_768, 65_535, 65_536];

/** Takes exactly n bytes by iteration, in however many chunks they come. */
async function take(conn: Conn, n: number): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let have = 0;
  for await (const chunk of conn) {
    chunks.push(chunk);
    have += chunk.length;
    if (have >= n) break;
  }
  return chunks;
}

export const iterating = {
  "leaving a loop loses nothing: the next read or loop goes on where it stopped": async ({
    a,
    b,
  }) => {
    await a.write("one");
    for await (const chunk of b) {
      assert.equal(Buffer.from(chunk).toString(), "one");
      break;
    }
    await a.write("two");
    assert.equal(await readText(b, 3), "two");
    await a.write("three");
    await assert.rejects(async () => {
      for await (const _ of b) throw new Error("left by an error");
    }, /left by an error/);
    const later = go(() => readAll(b));
    await a.write("four");
    await a.closeWrite();
    assert.equal(Buffer.from(await later.join()).toString(), "four");
    for await (const _ of b) assert.fail("a chunk after the end of the stream");
  },

  "a chunk has 64 KiB at most and one byte at least": async ({ a, b }) => {
    const sent = pattern(3 << 20);
    const writing = a.write(sent).then(() => a.closeWrite());
    const chunks: Uint8Array[] = [];
    for await (const chunk of b) {
      assert.ok(chunk.length >= 1 && chunk.length <= LARGEST_CHUNK, `a chunk of ${chunk.length}`);
      chunks.push(chunk);
    }
    await writing;
    assertSameBytes(Buffer.concat(chunks), sent);
  },

  "a chunk belongs to its receiver: kept, it does not change while more arrive": async ({
    a,
    b,
  }) => {
    const kept: Uint8Array[] = [];
    const sent: Uint8Array[] = [];
    for (let round = 0; round < 3; round++) {
      for (const [i, size] of SIZES.entries()) {
        const message = pattern(size, round * 50 + i);
        sent.push(message);
        const writing = a.write(message);
        kept.push(...(await take(b, size)));
        await writing;
      }
    }
    assertSameBytes(Buffer.concat(kept), Buffer.concat(sent));
  },

  "a chunk belongs to its receiver: overwriting it changes no other": async ({ a, b }) => {
    const kept: Uint8Array[] = [];
    for (const size of [...SIZES, ...SIZES.toReversed()]) {
      const message = pattern(size);
      const writing = a.write(message);
      const chunks = await take(b, size);
      assertSameBytes(Buffer.concat(chunks), message);
      for (const chunk of chunks) kept.push(chunk.fill(kept.length & 0xff));
      await writing;
    }
    for (const [i, chunk] of kept.entries()) {
      assert.ok(
        chunk.every((byte) => byte === (i & 0xff)),
        `chunk ${i} was overwritten`,
      );
    }
  },

  "a small chunk does not keep a large buffer alive": async ({ a, b }) => {
    for (const size of [1, 64, 500, 5000]) {
      await a.write(pattern(size));
      for (const chunk of await take(b, size)) {
        const { byteLength } = chunk.buffer;
        assert.ok(byteLength <= 32_768, `${chunk.length} bytes hold ${byteLength}`);
      }
    }
  },

  "reads and loops can take turns": async ({ a, b }) => {
    for (let i = 0; i < 20; i++) {
      await a.write("0123456789");
      assert.equal(await readText(b, 4), "0123");
      const rest = Buffer.concat(await take(b, 6)).toString();
      assert.equal(rest, "456789");
    }
  },

  "after waitReadable a read does not wait, and nothing was taken": async ({ a, b }) => {
    const waiting = b.waitReadable();
    assert.ok(await staysPending(waiting));
    await a.write("data");
    await waiting;
    await b.waitReadable();
    const parked = stats().parked;
    const reading = b.read(new Uint8Array(8));
    assert.equal(stats().parked, parked, "the read waits");
    assert.equal(await reading, 4);
    assert.ok(await staysPending(b.waitReadable()));
  },

  "waitReadable resolves at the end of the stream": async ({ a, b }) => {
    await a.closeWrite();
    await b.waitReadable();
    assert.equal(await b.read(new Uint8Array(1)), null);
    await b.waitReadable();
  },

  "waitReadable queues with reads": async ({ a, b }) => {
    const first = b.read(new Uint8Array(2));
    const second = b.waitReadable();
    const third = b.read(new Uint8Array(8));
    await a.write("abcd");
    assert.deepEqual(await Promise.all([first, second, third]), [2, undefined, 2]);
  },

  "the readable stream carries everything and closes at the end": async ({ a, b }) => {
    const sent = pattern(500_000);
    const writing = a.write(sent).then(() => a.closeWrite());
    const chunks: Uint8Array[] = [];
    for await (const chunk of b.readable) chunks.push(chunk);
    assertSameBytes(Buffer.concat(chunks), sent);
    await writing;
    assert.equal(b.readable, b.readable, "asked for twice, it is the same");
  },

  "the readable stream reads only when it is asked": async ({ a, b }) => {
    const reader = b.readable.getReader();
    await a.write("for the conn");
    await turn();
    assert.equal(await readText(b, 12), "for the conn");
    const reading = reader.read();
    await a.write("for the stream");
    assert.equal(Buffer.from((await reading).value ?? []).toString(), "for the stream");
    reader.releaseLock();
  },

  "the readable stream reads into a buffer that its reader brings": async ({ a, b }) => {
    const reader = b.readable.getReader({ mode: "byob" });
    await a.write("abcdef");
    const first = await reader.read(new Uint8Array(4));
    const second = await reader.read(new Uint8Array(4));
    assert.equal(Buffer.from(first.value ?? []).toString(), "abcd");
    assert.equal(Buffer.from(second.value ?? []).toString(), "ef");
    await a.closeWrite();
    assert.equal((await reader.read(new Uint8Array(4))).done, true);
  },

  "canceling the readable stream ends reading, also while it reads": async ({ a, b }) => {
    const reader = b.readable.getReader();
    const reading = reader.read();
    await turn();
    await reader.cancel();
    assert.equal((await reading).done, true);
    assert.equal(await b.read(new Uint8Array(1)), null);
    await b.write("still there");
    assert.equal(await readText(a, 11), "still there");
  },

  "the readable stream fails with the connection's error": async ({ a, b, reset }) => {
    const reader = b.readable.getReader();
    const reading = reader.read();
    await reset(a, b);
    await failure(reading, "ECONNRESET");
    await failure(reader.closed, "ECONNRESET");
  },

  "the writable stream holds its writer back while the peer does not read": async ({ a, b }) => {
    const writer = a.writable.getWriter();
    await writer.ready;
    const writing = writer.write(new Uint8Array(MORE_THAN_FITS));
    assert.ok((writer.desiredSize ?? 1) <= 0);
    assert.ok(await staysPending(writer.ready));
    await readFull(b, MORE_THAN_FITS);
    await writing;
    await writer.ready;
    await writer.close();
    assert.equal(await nextChunk(b), null);
    assert.equal(a.writable, a.writable, "asked for twice, it is the same");
  },

  "aborting the writable stream closes the connection": async ({ a, b }) => {
    await a.writable.abort();
    assert.equal(await b.read(new Uint8Array(1)), null);
    await failure(a.write("x"), "ERR_CLOSED");
  },

  "the writable stream fails with the connection's error": async ({ a, b }) => {
    const writer = a.writable.getWriter();
    await b.close();
    const failing = (async () => {
      for (;;) {
        await writer.write(Buffer.from("anyone?"));
        await turn();
      }
    })();
    await assert.rejects(failing, { code: /^(EPIPE|ECONNRESET)$/ });
    await assert.rejects(writer.closed, { code: /^(EPIPE|ECONNRESET)$/ });
  },

  "both streams of both ends can be piped together": async ({ a, b }) => {
    const upper = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        controller.enqueue(Buffer.from(Buffer.from(chunk).toString().toUpperCase()));
      },
    });
    const server = b.readable.pipeThrough(upper).pipeTo(b.writable);
    await a.write("piped through");
    await a.closeWrite();
    assert.equal(Buffer.from(await readAll(a)).toString(), "PIPED THROUGH");
    await server;
  },
} satisfies FactTable;
