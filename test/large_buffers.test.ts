/** large_buffers.test.ts: buffers of more than 2 GiB, whose lengths do not fit 32 bits. */
import assert from "node:assert/strict";
import { freemem } from "node:os";
import { describe, type TestContext, test } from "node:test";
import { type Conn, go } from "../src/index.ts";
import { type SocketPair, tcpPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure, inMs } from "../testing/support.ts";

const LENGTH = 2 ** 31 + 10;
/** What is read arrives here; the large buffer itself is never touched and costs no memory. */
const WINDOW = 1 << 20;

const skip = freemem() < 2 * LENGTH && "there is not enough memory";

function withLarge(
  check: (large: Uint8Array, pair: SocketPair) => Promise<void>,
): (t: TestContext) => Promise<void> {
  return (t) =>
    withLeakCheck(t, async () => {
      await using pair = await tcpPair();
      await check(new Uint8Array(LENGTH), pair);
    });
}

/** How many bytes come until the end, and the last of them. */
async function drain(conn: Conn): Promise<[count: number, last: string]> {
  const buffer = new Uint8Array(WINDOW);
  let total = 0;
  let last = "";
  for (;;) {
    const n = await conn.read(buffer);
    if (n === null) return [total, last];
    total += n;
    last = (last + Buffer.from(buffer.subarray(Math.max(0, n - 3), n)).toString()).slice(-3);
  }
}

describe("a buffer of more than 2 GiB", { skip }, () => {
  test(
    "can be read into",
    withLarge(async (large, { a, b }) => {
      await a.write("hello");
      assert.equal(await b.read(large), 5);
      const waiting = b.read(large.subarray(5));
      await a.write(" world");
      assert.equal(await waiting, 6);
      assert.equal(Buffer.from(large.subarray(0, 11)).toString(), "hello world");
    }),
  );

  test(
    "can be written, also in parts, and the last byte arrives last",
    withLarge(async (large, { a, b }) => {
      large.set(Buffer.from("end"), LENGTH - 3);
      const draining = go(drain, b);
      assert.equal(await a.write(large), LENGTH);
      await a.closeWrite();
      assert.deepEqual(await draining.join(), [LENGTH, "end"]);
    }),
  );

  test(
    "can be one chunk of writev",
    withLarge(async (large, { a, b }) => {
      const draining = go(drain, b);
      assert.equal(await a.writev(["one", large, "two"]), LENGTH + 6);
      await a.closeWrite();
      assert.deepEqual(await draining.join(), [LENGTH + 6, "two"]);
    }),
  );

  test(
    "is written up to a deadline",
    withLarge(async (large, { a, b }) => {
      const writing = failure(a.write(large), "ERR_DEADLINE");
      await b.waitReadable();
      a.setWriteDeadline(inMs(5));
      const { bytesWritten } = await writing;
      assert.ok(bytesWritten !== undefined && bytesWritten > 0 && bytesWritten < LENGTH);
    }),
  );
});
