/** deadlines.ts: facts about absolute deadlines and about timeouts of inactivity. */
import assert from "node:assert/strict";
import { type Conn, go, stats } from "../../src/index.ts";
import {
  countAll,
  failure,
  inMs,
  LATE_MS,
  MORE_THAN_FITS,
  nextChunk,
  readFull,
  readText,
  staysPending,
  turn,
  writeTooMuch,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

const PAST = new Date(0);

function assertTimeout(error: { code: string; timeout: boolean; message: string }): void {
  assert.equal(error.code, "ERR_DEADLINE");
  assert.equal(error.timeout, true);
  assert.match(error.message, /i\/o timeout/);
}

/** Fails unless a time came, and came within bounds. Both are dates in ms. */
function assertOnTime(due: number, now = Date.now()): void {
  assert.ok(now >= due, `${due - now} ms early`);
  assert.ok(now <= due + LATE_MS, `${now - due} ms late`);
}

/** Waits until a moment given as a deadline of a connection of its own has passed. */
async function passes(conn: Conn, moment: Date): Promise<void> {
  conn.setReadDeadline(moment);
  await failure(conn.read(new Uint8Array(1)), "ERR_DEADLINE");
  conn.setReadDeadline(null);
}

/**
 * A read that waits, with a deadline that had not passed when it began to. On a machine that stalls the
 * time may be over before: then it is tried again with more of it.
 */
async function waitingRead(
  conn: Conn,
  ms: number,
): Promise<{ due: Date; reading: Promise<unknown> }> {
  for (let more = ms; ; more *= 2) {
    const due = inMs(more);
    conn.setReadDeadline(due);
    const reading = conn.read(new Uint8Array(4));
    if (Date.now() < due.getTime()) return { due, reading };
    await failure(reading, "ERR_DEADLINE");
  }
}

export const deadlines = {
  "a read deadline in the past fails at once, though data is ready, and loses nothing": async ({
    a,
    b,
  }) => {
    await a.write("ready");
    await b.waitReadable();
    b.setReadDeadline(PAST);
    assertTimeout(await failure(b.read(new Uint8Array(8)), "ERR_DEADLINE"));
    assertTimeout(await failure(b.waitReadable(), "ERR_DEADLINE"));
    assertTimeout(await failure(nextChunk(b), "ERR_DEADLINE"));
    b.setReadDeadline(null);
    assert.equal(await readText(b, 5), "ready");
  },

  "a write deadline in the past fails at once and sends nothing": async ({ a, b }) => {
    a.setWriteDeadline(PAST);
    const error = await failure(a.write("late"), "ERR_DEADLINE");
    assertTimeout(error);
    assert.equal(error.bytesWritten, 0);
    assert.equal((await failure(a.writev(["la", "te"]), "ERR_DEADLINE")).bytesWritten, 0);
    a.setWriteDeadline(null);
    await a.write("in time");
    await a.closeWrite();
    assert.equal(await readText(b, 20), "in time");
  },

  "a deadline that has passed stays passed until it is set again": async ({ a, b }) => {
    b.setDeadline(inMs(5));
    await failure(b.read(new Uint8Array(1)), "ERR_DEADLINE");
    await a.write("x");
    await failure(b.read(new Uint8Array(1)), "ERR_DEADLINE");
    await failure(b.write("x"), "ERR_DEADLINE");
    b.setDeadline(inMs(60_000));
    assert.equal(await readText(b, 1), "x");
    await b.write("y");
    assert.equal(await readText(a, 1), "y");
  },

  "a read deadline set in the past wakes reads that wait, also queued ones": async ({ a, b }) => {
    const waiting = [b.read(new Uint8Array(1)), nextChunk(b), b.waitReadable()];
    await turn();
    b.setReadDeadline(PAST);
    for (const operation of waiting) assertTimeout(await failure(operation, "ERR_DEADLINE"));
    b.setReadDeadline(null);
    await a.write("x");
    assert.equal(await readText(b, 1), "x");
  },

  "a write deadline set in the past wakes writes that wait, also queued ones": async ({ a, b }) => {
    const first = writeTooMuch(a);
    const queued = [a.write("behind"), a.writev(["be", "hind"])];
    assert.ok(await staysPending(first));
    a.setWriteDeadline(PAST);
    const { bytesWritten } = await failure(first, "ERR_DEADLINE");
    for (const operation of queued) {
      assert.equal((await failure(operation, "ERR_DEADLINE")).bytesWritten, 0);
    }
    a.setWriteDeadline(null);
    const closed = go(() => a.closeWrite());
    assert.equal(await countAll(b), bytesWritten);
    await closed.join();
  },

  "a deadline never fires early": async ({ a, b }) => {
    for (let ms = 1; ms <= 33; ms += 4) {
      const due = inMs(ms);
      b.setReadDeadline(due);
      await failure(ms % 8 === 1 ? b.read(new Uint8Array(1)) : b.waitReadable(), "ERR_DEADLINE");
      assertOnTime(due.getTime());
    }
    const due = inMs(20);
    a.setWriteDeadline(due);
    await failure(writeTooMuch(a), "ERR_DEADLINE");
    assertOnTime(due.getTime());
  },

  "a deadline that is moved while an operation waits counts from then on": async ({ a, b }) => {
    const { due, reading } = await waitingRead(b, 15);
    const later = new Date(due.getTime() + 45);
    b.setReadDeadline(later);
    await failure(reading, "ERR_DEADLINE");
    assertOnTime(later.getTime());
    b.setReadDeadline(inMs(600_000));
    const second = failure(b.read(new Uint8Array(1)), "ERR_DEADLINE");
    const sooner = inMs(10);
    b.setReadDeadline(sooner);
    await second;
    assertOnTime(sooner.getTime());
    await a.close();
  },

  "a deadline that is cleared while an operation waits does not fire": async ({ a, b }) => {
    const { due, reading } = await waitingRead(b, 15);
    b.setReadDeadline(null);
    await passes(a, new Date(due.getTime() + 15));
    await a.write("data");
    assert.equal(await reading, 4);
  },

  "a read in time is not disturbed by its deadline": async ({ a, b }) => {
    b.setReadDeadline(inMs(600_000));
    const reading = b.read(new Uint8Array(4));
    await a.write("data");
    assert.equal(await reading, 4);
    const due = inMs(20);
    b.setReadDeadline(due);
    await passes(a, new Date(due.getTime() + 5));
    await a.write("late");
    b.setReadDeadline(null);
    assert.equal(await readText(b, 4), "late");
  },

  "a read that times out leaves writing alone": async ({ a, b }) => {
    const reading = failure(a.read(new Uint8Array(1)), "ERR_DEADLINE");
    const writing = writeTooMuch(a);
    a.setReadDeadline(PAST);
    await reading;
    await readFull(b, MORE_THAN_FITS);
    assert.equal(await writing, MORE_THAN_FITS);
  },

  "a write that times out leaves reading alone": async ({ a, b }) => {
    const reading = a.read(new Uint8Array(4));
    const writing = writeTooMuch(a);
    assert.ok(await staysPending(writing));
    a.setWriteDeadline(PAST);
    await failure(writing, "ERR_DEADLINE");
    assert.ok(await staysPending(reading));
    await b.write("data");
    assert.equal(await reading, 4);
  },

  "a write that times out says how much it wrote, and the peer receives exactly that": async ({
    a,
    b,
  }) => {
    a.setWriteDeadline(inMs(20));
    const whole = await failure(writeTooMuch(a), "ERR_DEADLINE");
    assertTimeout(whole);
    a.setWriteDeadline(inMs(20));
    const chunks = Array.from({ length: 64 }, () => new Uint8Array(MORE_THAN_FITS / 64));
    const vector = await failure(a.writev(chunks), "ERR_DEADLINE");
    const written = (whole.bytesWritten ?? Number.NaN) + (vector.bytesWritten ?? Number.NaN);
    assert.ok(written > 0 && written < MORE_THAN_FITS);
    a.setWriteDeadline(null);
    const closing = go(async () => {
      await a.write("end");
      await a.closeWrite();
    });
    assert.equal(await countAll(b), written + 3);
    await closing.join();
  },

  "setDeadline sets both sides, and null clears both": async ({ a, b }) => {
    a.setDeadline(PAST);
    await failure(a.read(new Uint8Array(1)), "ERR_DEADLINE");
    await failure(a.write("x"), "ERR_DEADLINE");
    a.setDeadline(null);
    await a.write("x");
    assert.equal(await readText(b, 1), "x");
    await b.write("y");
    assert.equal(await readText(a, 1), "y");
  },

  "closeWrite ends the stream although the write deadline has passed": async ({ a, b }) => {
    a.setWriteDeadline(PAST);
    await a.closeWrite();
    assert.equal(await b.read(new Uint8Array(1)), null);
  },

  "a deadline centuries away is far from passing, and costs nothing meanwhile": async ({
    a,
    b,
  }) => {
    for (const far of [new Date(8.64e15), new Date("2999-12-31"), inMs(2 ** 31)]) {
      a.setDeadline(far);
      const fired = stats().timersFired;
      const reading = a.read(new Uint8Array(1));
      await passes(b, inMs(5));
      assert.ok(stats().timersFired - fired <= 1, "only the other one's");
      await b.write("x");
      assert.equal(await reading, 1);
    }
    a.setDeadline(new Date(-8.64e15));
    await failure(a.read(new Uint8Array(1)), "ERR_DEADLINE");
  },

  "what is no date is a TypeError": async ({ a }) => {
    for (const wrong of [5, "soon", undefined, new Date(Number.NaN)] as never[]) {
      assert.throws(() => a.setDeadline(wrong), TypeError);
      assert.throws(() => a.setReadDeadline(wrong), TypeError);
      assert.throws(() => a.setWriteDeadline(wrong), TypeError);
    }
  },

  "many deadlines leave no timer behind": async ({ a, b }) => {
    for (let i = 0; i < 1000; i++) a.setDeadline(inMs(600_000 + i));
    const reading = a.read(new Uint8Array(1));
    for (let i = 0; i < 1000; i++) a.setReadDeadline(inMs(600_000 - i));
    await b.write("x");
    assert.equal(await reading, 1);
  },
} satisfies FactTable;
