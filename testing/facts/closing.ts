/** closing.ts: facts about close, half-close and reset. */
import assert from "node:assert/strict";
import { type Conn, go, type NetError } from "../../src/index.ts";
import {
  countAll,
  failure,
  MORE_THAN_FITS,
  nextChunk,
  readAll,
  readText,
  staysPending,
  thrown,
  turn,
  writeTooMuch,
} from "../support.ts";
import type { FactTable } from "./fact.ts";

/** What a write fails with once the peer is gone: which of both depends on what arrived first. */
async function untilBroken(conn: Conn): Promise<string> {
  for (;;) {
    try {
      await conn.write("anyone?");
      await turn();
    } catch (error) {
      return (error as { code: string }).code;
    }
  }
}

/** Every operation of a connection that waits or fails, by name. */
const operations: Record<string, (conn: Conn) => unknown> = {
  read: (conn) => conn.read(new Uint8Array(1)),
  "read of nothing": (conn) => conn.read(new Uint8Array(0)),
  write: (conn) => conn.write("x"),
  "write of nothing": (conn) => conn.write(""),
  writev: (conn) => conn.writev(["x", "y"]),
  waitReadable: (conn) => conn.waitReadable(),
  iteration: nextChunk,
  closeRead: (conn) => conn.closeRead(),
  closeWrite: (conn) => conn.closeWrite(),
  setDeadline: (conn) => conn.setDeadline(null),
  setReadDeadline: (conn) => conn.setReadDeadline(new Date()),
  setWriteDeadline: (conn) => conn.setWriteDeadline(null),
  setTimeouts: (conn) => conn.setTimeouts({ read: 1 }),
  unread: (conn) => conn.unread(new Uint8Array(1)),
};

export const closing = {
  "close wakes everything that waits with ERR_CLOSED": async ({ a }) => {
    const waiting = [
      a.read(new Uint8Array(1)),
      nextChunk(a),
      a.waitReadable(),
      writeTooMuch(a),
      a.write("queued"),
      a.writev(["queued"]),
      a.closeWrite(),
    ];
    await turn();
    await a.close();
    for (const operation of waiting) await failure(operation, "ERR_CLOSED");
  },

  "close from another goroutine wakes a goroutine that reads": async ({ a, b }) => {
    const reader = go(() => failure(a.read(new Uint8Array(1)), "ERR_CLOSED"));
    const closer = go(async () => {
      await turn();
      await a.close();
    });
    assert.equal((await reader.join()).op, "read");
    await closer.join();
    assert.equal(await b.read(new Uint8Array(1)), null);
  },

  "a write that close wakes says how much it wrote": async ({ a, b }) => {
    const writing = writeTooMuch(a);
    assert.ok(await staysPending(writing));
    await a.close();
    const { bytesWritten = Number.NaN } = await failure(writing, "ERR_CLOSED");
    assert.ok(bytesWritten > 0 && bytesWritten < MORE_THAN_FITS);
    assert.equal(await countAll(b), bytesWritten);
  },

  "closing twice is harmless, also at the same time": async ({ a, b }) => {
    await Promise.all([a.close(), a.close()]);
    await a.close();
    await a[Symbol.asyncDispose]();
    assert.equal(await b.read(new Uint8Array(1)), null);
  },

  "every method fails with ERR_CLOSED after close": async ({ a }) => {
    await a.close();
    for (const [name, operation] of Object.entries(operations)) {
      const { op, timeout } = await thrown(() => operation(a), "ERR_CLOSED");
      assert.equal(timeout, false, name);
      assert.ok(op.length > 0, name);
    }
  },

  "the addresses can be asked for after close": async ({ a, b }) => {
    const remote = String(a.remoteAddr);
    await a.close();
    assert.equal(String(a.remoteAddr), remote);
    assert.equal(typeof String(a.localAddr), "string");
    assert.equal(typeof String(b.localAddr), "string");
  },

  "leaving an `await using` block closes": async ({ a, b }) => {
    {
      await using conn = a;
      await conn.write("bye");
    }
    assert.equal(await readText(b, 10), "bye");
    await failure(a.read(new Uint8Array(1)), "ERR_CLOSED");
  },

  "what was written before close arrives, then the end of the stream": async ({ a, b }) => {
    await a.write("last words");
    await a.close();
    assert.equal(Buffer.from(await readAll(b)).toString(), "last words");
    assert.equal(await b.read(new Uint8Array(1)), null);
    assert.equal(await nextChunk(b), null);
  },

  "a peer that closes wakes a read that waits with the end of the stream": async ({ a, b }) => {
    const reading = b.read(new Uint8Array(1));
    const waiting = b.waitReadable();
    await turn();
    await a.close();
    assert.equal(await reading, null);
    await waiting;
  },

  "writing to a peer that has closed fails in the end, and never crashes": async ({ a, b }) => {
    await b.close();
    assert.match(await untilBroken(a), /^(EPIPE|ECONNRESET)$/);
    await failure(a.write("again"), "EPIPE");
  },

  "closing with unread data resets the peer": async ({ a, b }) => {
    const reading = a.read(new Uint8Array(1));
    await a.write("never read");
    await b.waitReadable();
    await b.close();
    await failure(reading, "ECONNRESET");
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
  },

  "closeWrite gives the peer the end of the stream while reading goes on": async ({ a, b }) => {
    await a.write("question");
    await a.closeWrite();
    assert.equal(Buffer.from(await readAll(b)).toString(), "question");
    await b.write("answer");
    assert.equal(await readText(a, 6), "answer");
    await b.close();
    assert.equal(await a.read(new Uint8Array(1)), null);
  },

  "own writes fail after closeWrite": async ({ a, b }) => {
    await a.closeWrite();
    await failure(a.write("more"), "EPIPE");
    await failure(a.writev(["more"]), "EPIPE");
    assert.equal(await b.read(new Uint8Array(1)), null);
  },

  "closeWrite ends the stream after the writes that came before it": async ({ a, b }) => {
    const writing = writeTooMuch(a);
    const closed = a.closeWrite();
    const behind = a.write("too late");
    assert.ok(await staysPending(closed));
    const late = failure(behind, "EPIPE");
    assert.equal(await countAll(b), MORE_THAN_FITS);
    await writing;
    await closed;
    await late;
  },

  "closeWrite twice is harmless": async ({ a, b }) => {
    await a.closeWrite();
    await a.closeWrite();
    assert.equal(await b.read(new Uint8Array(1)), null);
  },

  "closeRead answers the end of the stream to reads that wait and to later ones": async ({
    a,
    b,
  }) => {
    const waiting = [a.read(new Uint8Array(1)), nextChunk(a), a.read(new Uint8Array(1))];
    const readable = a.waitReadable();
    await turn();
    await a.closeRead();
    assert.deepEqual(await Promise.all(waiting), [null, null, null]);
    await readable;
    assert.equal(await a.read(new Uint8Array(1)), null);
    assert.equal(await nextChunk(a), null);
    await a.waitReadable();
    await a.closeRead();
    await a.write("still writing");
    assert.equal(await readText(b, 13), "still writing");
  },

  "a connection whose both directions were ended is still to be closed": async ({ a, b }) => {
    await a.closeWrite();
    await b.closeWrite();
    assert.equal(await a.read(new Uint8Array(1)), null);
    assert.equal(await b.read(new Uint8Array(1)), null);
    await failure(a.write("x"), "EPIPE");
  },

  "a reset is ECONNRESET to a read that waits, and to every later read, never the end": async ({
    a,
    b,
    reset,
  }) => {
    const reading = a.read(new Uint8Array(1));
    await turn();
    await reset(b, a);
    const error = await failure(reading, "ECONNRESET");
    assert.equal(error.op, "read");
    assert.equal(error.timeout, false);
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
    await failure(nextChunk(a), "ECONNRESET");
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
  },

  "a reset that a write saw first is ECONNRESET to the reads after it": async ({ a, b, reset }) => {
    await reset(b, a);
    assert.match(await untilBroken(a), /^(EPIPE|ECONNRESET)$/);
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
    await failure(nextChunk(a), "ECONNRESET");
  },

  "a reset that waitReadable saw first is ECONNRESET to the reads after it": async ({
    a,
    b,
    reset,
  }) => {
    const waiting = a.waitReadable();
    await reset(b, a);
    await waiting;
    await a.waitReadable();
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
  },

  "a reset wakes a write that waits": async ({ a, b, reset }) => {
    const writing = writeTooMuch(a);
    assert.ok(await staysPending(writing));
    await reset(b, a);
    await assert.rejects(writing, (error: NetError) => {
      assert.match(error.code, /^(EPIPE|ECONNRESET)$/);
      return (error.bytesWritten ?? 0) > 0;
    });
    await failure(a.read(new Uint8Array(1)), "ECONNRESET");
  },
} satisfies FactTable;
