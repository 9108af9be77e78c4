/** linger.test.ts: what close does with bytes that the peer has not acknowledged. */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { TCPConn } from "../src/index.ts";
import { type SocketPair, tcpPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import {
  countAll,
  failure,
  LATE_MS,
  staysPending,
  turn,
  writeTooMuch,
} from "../testing/support.ts";

function withPair(
  check: (pair: SocketPair<TCPConn>) => Promise<void>,
): (t: TestContext) => Promise<void> {
  return (t) =>
    withLeakCheck(t, async () => {
      await using pair = await tcpPair();
      await check(pair);
    });
}

/** Fills a connection until nothing more fits; the bytes that its peer has to receive. */
async function fill(conn: TCPConn): Promise<number> {
  const writing = writeTooMuch(conn);
  assert.ok(await staysPending(writing, 50));
  conn.setWriteDeadline(new Date(0));
  return (await failure(writing, "ERR_DEADLINE")).bytesWritten ?? Number.NaN;
}

describe("linger", () => {
  test(
    "of 0 resets the peer and discards what was not read",
    withPair(async ({ a, b }) => {
      const reading = b.read(new Uint8Array(1));
      await turn();
      a.setLinger(0);
      await a.close();
      await failure(reading, "ECONNRESET");
      await failure(b.read(new Uint8Array(1)), "ECONNRESET");
    }),
  );

  test(
    "of some seconds makes close wait until the peer has everything",
    withPair(async ({ a, b }) => {
      const written = await fill(a);
      const closing = a.setLinger(60).close();
      assert.ok(await staysPending(closing, 50));
      await failure(a.read(new Uint8Array(1)), "ERR_CLOSED");
      await a.close();
      assert.equal(await countAll(b), written);
      await closing;
    }),
  );

  test(
    "of some seconds ends at its limit when the peer does not read, and not before",
    withPair(async ({ a, b }) => {
      const written = await fill(a);
      const start = performance.now();
      await a.setLinger(0.06).close();
      const took = performance.now() - start;
      assert.ok(took >= 60 && took <= 60 + LATE_MS, `${took} ms`);
      assert.equal(await countAll(b), written, "the rest is sent in the background");
    }),
  );

  test(
    "of some seconds does not wait when everything has been acknowledged",
    withPair(async ({ a, b }) => {
      await a.write("little");
      await a.setLinger(3600).close();
      assert.equal(await countAll(b), 6);
    }),
  );

  test(
    "of null sends the rest in the background, and undoes another",
    withPair(async ({ a, b }) => {
      const written = await fill(a);
      await a.setLinger(0).setLinger(3600).setLinger(null).close();
      assert.equal(await countAll(b), written);
    }),
  );

  test(
    "of anything else is refused",
    withPair(async ({ a }) => {
      for (const wrong of [-1, Number.NaN, Infinity, "5" as never, undefined as never]) {
        assert.throws(() => a.setLinger(wrong), RangeError);
      }
    }),
  );
});
