/**
 * random_operations.test.ts: a connection that is written and read in every way, with deadlines,
 * timeouts and cancellations at random moments, loses no byte and doubles none.
 *
 * The byte at each place of the stream is known. A write that fails says how far it got and the next
 * one goes on there; a read that fails has taken nothing. CORONET_SEED repeats a run.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Conn, go, NetError } from "../src/index.ts";
import { Random } from "../src/internal/random.ts";
import { abstractPair, pipePair, type SocketPair, tcpPair } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { inMs, nextChunk, pattern, seeded, turn } from "../testing/support.ts";

const LENGTH = 12 << 20;
const stream = pattern(LENGTH);

/** Sets some limit for the next operation; what it is given to take along. */
function randomLimit(
  random: Random,
  conn: Conn,
  side: "setReadDeadline" | "setWriteDeadline",
): { signal?: AbortSignal } {
  conn[side](null);
  switch (random.below(6)) {
    case 0:
      conn[side](inMs(random.below(3)));
      return {};
    case 1: {
      const controller = new AbortController();
      const turns = random.below(3);
      void (async () => {
        for (let i = 0; i < turns; i++) await turn();
        controller.abort();
      })();
      return { signal: controller.signal };
    }
    case 2:
      return { signal: AbortSignal.timeout(random.below(3)) };
    case 3:
      conn.setTimeouts({ read: 1 + random.below(3), write: 1 + random.below(3) });
      return {};
    default:
      conn.setTimeouts({ read: null, write: null });
      return {};
  }
}

/** Whether an operation ended by one of the limits; any other error is one of the test. */
function limited(error: unknown): error is NetError {
  if (error instanceof NetError && /^ERR_(DEADLINE|CANCELED)$/.test(error.code)) return true;
  throw error;
}

async function writeAll(conn: Conn, random: Random): Promise<number> {
  let failures = 0;
  for (let at = 0; at < LENGTH; ) {
    const piece = stream.subarray(at, at + 1 + random.below(random.chance(0.1) ? 2 << 20 : 20_000));
    const options = randomLimit(random, conn, "setWriteDeadline");
    const cut = random.below(piece.length + 1);
    const chunks = [piece.subarray(0, cut), piece.subarray(cut)];
    try {
      at += await (random.chance(0.5) ? conn.write(piece, options) : conn.writev(chunks, options));
    } catch (error) {
      failures++;
      if (limited(error)) at += error.bytesWritten ?? assert.fail("no bytesWritten");
    }
    if (random.chance(0.2)) await turn();
  }
  conn.setWriteDeadline(null);
  await conn.closeWrite();
  return failures;
}

/** Reads once, in one of the ways there are: what came, or null at the end. */
async function readSome(conn: Conn, random: Random): Promise<Uint8Array | null> {
  const options = randomLimit(random, conn, "setReadDeadline");
  switch (random.below(4)) {
    case 0:
      return nextChunk(conn);
    case 1:
      await conn.waitReadable(options);
      return new Uint8Array(0);
    default: {
      const buffer = new Uint8Array(random.below(random.chance(0.2) ? 200_000 : 5_000));
      const n = await conn.read(buffer, options);
      return n === null ? null : buffer.subarray(0, n);
    }
  }
}

async function readAll(conn: Conn, random: Random): Promise<number> {
  let failures = 0;
  for (let at = 0; ; ) {
    let piece: Uint8Array | null;
    if (at > 0 && random.chance(0.02)) {
      // Some of what was read comes once more.
      const again = random.below(Math.min(at, random.chance(0.1) ? 200_000 : 3_000));
      conn.unread(stream.subarray(at - again, at));
      at -= again;
    }
    try {
      piece = await readSome(conn, random);
    } catch (error) {
      failures++;
      limited(error);
      continue;
    }
    if (piece === null) {
      assert.equal(at, LENGTH, "the stream has another length");
      return failures;
    }
    const expected = stream.subarray(at, at + piece.length);
    if (Buffer.compare(piece, expected) !== 0) assert.fail(`other bytes at ${at}`);
    at += piece.length;
    if (random.chance(0.05)) await turn();
  }
}

const pairs: Record<string, () => Promise<SocketPair>> = {
  tcp: tcpPair,
  unix: abstractPair,
  pipe: pipePair,
};

describe("random operations", () => {
  for (const [name, pair] of Object.entries(pairs)) {
    test(`on ${name} lose no byte and double none, in both directions`, async (t) => {
      const random = seeded(t);
      await withLeakCheck(t, async () => {
        await using ends = await pair();
        const { a, b } = ends;
        const goroutines = [
          go(writeAll, a, new Random(random.next())),
          go(readAll, b, new Random(random.next())),
          go(writeAll, b, new Random(random.next())),
          go(readAll, a, new Random(random.next())),
        ];
        const failures = await Promise.all(goroutines.map((g) => g.join()));
        t.diagnostic(`operations that ended early: ${failures.join(", ")}`);
      });
    });
  }
});
