/** timeouts.ts: facts about timeouts of inactivity, which begin anew with every operation. */
import assert from "node:assert/strict";
import { type Conn, stats } from "../../src/index.ts";
import {
  countAll,
  failure,
  inMs,
  LATE_MS,
  nextChunk,
  readText,
  staysPending,
  turn,
  writeTooMuch,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

/** Fails unless an operation times out, and not before so many ms have passed since its start. */
async function timesOutAfter(ms: number, operation: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  const error = await failure(operation(), "ERR_DEADLINE");
  const took = performance.now() - start;
  assert.equal(error.timeout, true);
  assert.ok(took >= ms, `timed out after ${took} ms instead of ${ms}`);
  assert.ok(took <= ms + LATE_MS, `timed out after ${took} ms instead of ${ms}`);
}

/** Waits so many ms by a deadline of the connection's own. */
async function idleFor(conn: Conn, ms: number): Promise<void> {
  conn.setReadDeadline(inMs(ms));
  await failure(conn.read(new Uint8Array(1)), "ERR_DEADLINE");
  conn.setReadDeadline(null);
}

/**
 * Fails unless an operation with a timeout of so many ms, in the middle of which some bytes move, ends
 * that long after they moved; `move` returns a moment before they did. On a machine that stalls, the
 * time may be over before they can be moved: then it is tried again.
 */
async function startsAnew(
  conn: Conn,
  ms: number,
  operation: () => Promise<unknown>,
  move: (over: () => boolean) => Promise<number>,
): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    let over = false;
    const failing = failure(operation(), "ERR_DEADLINE").finally(() => {
      over = true;
    });
    await idleFor(conn, ms / 4);
    const inTime = !over;
    const moved = inTime ? await move(() => over) : 0;
    const tooLate = over;
    await failing;
    if (!inTime || tooLate) continue;
    const waited = performance.now() - moved;
    assert.ok(waited >= ms, `only ${waited} ms after bytes have moved`);
    return;
  }
  assert.fail("this machine is too slow for this test");
}

export const timeouts = {
  "a read timeout ends the read that waits, each time anew, and the connection goes on": async ({
    a,
    b,
  }) => {
    b.setTimeouts({ read: 15 });
    await timesOutAfter(15, () => b.read(new Uint8Array(1)));
    await timesOutAfter(15, () => b.waitReadable());
    await timesOutAfter(15, () => nextChunk(b));
    await a.write("data");
    assert.equal(await readText(b, 4), "data");
    await timesOutAfter(15, () => b.read(new Uint8Array(1)));
  },

  "a read that finds data is not timed": async ({ a, b }) => {
    await a.write("data");
    await b.waitReadable();
    b.setTimeouts({ read: 1, idle: 1 });
    await idleFor(a, 10);
    assert.equal(await readText(b, 4), "data");
  },

  "a write timeout ends the write that waits and says how much was written": async ({ a, b }) => {
    a.setTimeouts({ write: 20 });
    const start = performance.now();
    const error = await failure(writeTooMuch(a), "ERR_DEADLINE");
    assert.ok(performance.now() - start >= 20);
    a.setTimeouts({ write: null });
    const closing = a.closeWrite();
    assert.equal(await countAll(b), error.bytesWritten);
    await closing;
  },

  "a write timeout begins anew with every byte that moves": async ({ a, b }) => {
    a.setTimeouts({ write: 80 });
    await startsAnew(a, 80, writeTooMuch.bind(undefined, a), async (over) => {
      const { bytesWritten } = stats();
      // A socket takes more only when a good part of its buffer has become free.
      for (;;) {
        const start = performance.now();
        assert.ok(((await b.read(new Uint8Array(1 << 20))) ?? 0) > 0);
        await turn();
        if (stats().bytesWritten > bytesWritten || over()) return start;
      }
    });
  },

  "an idle timeout ends what waits when nothing moves in either direction": async ({ a, b }) => {
    b.setTimeouts({ idle: 20 });
    await timesOutAfter(20, () => b.read(new Uint8Array(1)));
    await timesOutAfter(20, () => b.waitReadable());
    await a.write("data");
    assert.equal(await readText(b, 4), "data");
  },

  "an idle timeout gives every operation its whole time, however long nothing was done": async ({
    a,
    b,
  }) => {
    b.setTimeouts({ idle: 25 });
    await idleFor(a, 50);
    await timesOutAfter(25, () => b.read(new Uint8Array(1)));
    await timesOutAfter(25, () => b.read(new Uint8Array(1)));
  },

  "an idle timeout begins anew when a byte moves in the other direction": async ({ a, b }) => {
    b.setTimeouts({ idle: 80 });
    await startsAnew(a, 80, b.read.bind(b, new Uint8Array(1)), async () => {
      const start = performance.now();
      await b.write("x");
      return start;
    });
  },

  "an idle timeout covers writes as well": async ({ a }) => {
    a.setTimeouts({ idle: 20 });
    await timesOutAfter(20, () => writeTooMuch(a));
  },

  "0, negative numbers and what is no number are refused; null takes a timeout away": async ({
    a,
    b,
  }) => {
    for (const name of ["connect", "read", "write", "idle"]) {
      for (const wrong of [0, -1, Number.NaN, "5", -Infinity]) {
        assert.throws(() => a.setTimeouts({ [name]: wrong }), RangeError, `${name}: ${wrong}`);
      }
    }
    a.setTimeouts({ connect: 5, read: 5, write: 5, idle: 5 });
    a.setTimeouts({ connect: null, read: null, write: null, idle: null });
    const reading = a.read(new Uint8Array(4));
    await idleFor(b, 20);
    assert.ok(await staysPending(reading));
    await b.write("data");
    assert.equal(await reading, 4);
  },

  "a timeout that is left out is left as it is": async ({ b }) => {
    b.setTimeouts({ read: 15 });
    b.setTimeouts({ write: 60_000 });
    b.setTimeouts({});
    await timesOutAfter(15, () => b.read(new Uint8Array(1)));
  },

  "the earlier of deadline and timeout ends an operation": async ({ b }) => {
    b.setTimeouts({ read: 60_000 });
    b.setReadDeadline(inMs(15));
    await failure(b.read(new Uint8Array(1)), "ERR_DEADLINE");
    b.setTimeouts({ read: 15 });
    b.setReadDeadline(inMs(60_000));
    await timesOutAfter(15, () => b.read(new Uint8Array(1)));
  },

  "a read that waits behind another gets its time once it is its turn": async ({ a, b }) => {
    b.setTimeouts({ read: 30 });
    const start = performance.now();
    const first = failure(b.read(new Uint8Array(1)), "ERR_DEADLINE");
    const second = failure(b.read(new Uint8Array(1)), "ERR_DEADLINE");
    await first;
    await second;
    assert.ok(performance.now() - start >= 60);
    await a.write("x");
    assert.equal(await readText(b, 1), "x");
  },
} satisfies FactTable;
