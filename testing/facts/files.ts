/** files.ts: facts about sendFile: the whole of a part of a file goes out, as one write, or an error says why. */
import assert from "node:assert/strict";
import { type FileHandle, mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Conn, go, IOError } from "../../src/index.ts";
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

const CONTENT = pattern(1_500_007);

/** Opens a file of this content; it is closed and removed at the end. */
async function withFile(
  content: Uint8Array,
  body: (file: FileHandle, path: string) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "coronet-"));
  try {
    const path = join(folder, "file");
    await writeFile(path, content);
    const file = await open(path);
    try {
      await body(file, path);
    } finally {
      await file.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A file of zeros that takes no room on the disk, and is larger than what any connection takes. */
async function withLarge(body: (file: FileHandle, path: string) => Promise<void>): Promise<void> {
  await withFile(new Uint8Array(0), async (file, path) => {
    await truncate(path, MORE_THAN_FITS);
    await body(file, path);
  });
}

/** Writes everything and then the end. */
async function sendAll(conn: Conn, file: FileHandle): Promise<number> {
  const n = await conn.sendFile(file, { head: "head " });
  await conn.write(" tail");
  await conn.closeWrite();
  return n;
}

async function unexpectedEnd(sending: Promise<unknown>): Promise<number> {
  try {
    await sending;
  } catch (error) {
    assert.ok(error instanceof IOError, String(error));
    assert.equal(error.code, "ERR_UNEXPECTED_EOF");
    return (error as unknown as { bytesWritten: number }).bytesWritten;
  }
  assert.fail("it was sent as a whole");
}

export const files = {
  "a file arrives as a whole, between what was written before and after it": async ({ a, b }) => {
    await withFile(CONTENT, async (file) => {
      const sending = go(sendAll, a, file);
      const got = await readAll(b);
      assert.equal(await sending.join(), CONTENT.length + 5);
      const expected = Buffer.concat([Buffer.from("head "), CONTENT, Buffer.from(" tail")]);
      assertSameBytes(got, expected);
    });
  },

  "a part of a file arrives, and its own position stays": async ({ a, b }) => {
    await withFile(CONTENT, async (file) => {
      await file.read(new Uint8Array(3), 0, 3);
      const part = a.sendFile(file, { offset: 1_000_001, length: 100_000 });
      assertSameBytes(await readFull(b, 100_000), CONTENT.subarray(1_000_001, 1_100_001));
      assert.equal(await part, 100_000);
      assert.equal(await a.sendFile({ fd: file.fd, offset: 1_500_000 }, { head: "." }), 8);
      assertSameBytes((await readFull(b, 8)).subarray(1), CONTENT.subarray(1_500_000));
      assert.equal(await a.sendFile(file, { length: 0 }), 0);
      assert.equal(await a.sendFile(file, { length: 0, head: "only" }), 4);
      assert.equal(await readText(b, 4), "only");
      assert.equal(await a.sendFile(file, { offset: 2 ** 40 }), 0);
      const p = new Uint8Array(2);
      await file.read(p, 0, 2);
      assertSameBytes(p, CONTENT.subarray(3, 5));
    });
  },

  "a file is one write: what others write meanwhile comes behind it": async ({ a, b }) => {
    await withFile(CONTENT, async (file) => {
      const sending = a.sendFile(file);
      const writing = a.write("behind");
      const second = a.sendFile(file, { length: 10 });
      assertSameBytes(await readFull(b, CONTENT.length), CONTENT);
      assert.equal(await readText(b, 6), "behind");
      assertSameBytes(await readFull(b, 10), CONTENT.subarray(0, 10));
      assert.deepEqual(await Promise.all([sending, writing, second]), [CONTENT.length, 6, 10]);
    });
  },

  "a deadline ends it in the middle, and the error says how far it came": async ({ a, b }) => {
    await withLarge(async (file) => {
      a.setTimeouts({ write: 20 });
      const error = await failure(a.sendFile(file, { head: "12345" }), "ERR_DEADLINE");
      assert.equal(error.op, "write");
      assert.ok((error.bytesWritten as number) > 5);
      a.setTimeouts({ write: null });
      // Over TLS the end of writing waits behind what the socket has not taken yet.
      const [received] = await Promise.all([readAll(b), a.closeWrite()]);
      assert.equal(received.length, error.bytesWritten);
      a.setWriteDeadline(new Date(0));
      const late = await failure(a.sendFile(file), "ERR_DEADLINE");
      assert.equal(late.bytesWritten, 0);
    });
  },

  "close and a signal end it in the middle": async ({ a, b }) => {
    await withLarge(async (file) => {
      const stop = new AbortController();
      const canceled = a.sendFile(file, { signal: stop.signal });
      const queued = a.sendFile(file);
      assert.ok(await staysPending(canceled));
      stop.abort("enough");
      const error = await failure(canceled, "ERR_CANCELED");
      assert.equal(error.cause, "enough");
      assert.ok((error.bytesWritten as number) > 0);
      assert.ok(await staysPending(queued));
      await a.close();
      await failure(queued, "ERR_CLOSED");
      await failure(a.sendFile(file), "ERR_CLOSED");
      await b.close();
    });
  },

  "a peer that resets ends it": async ({ a, b, reset }) => {
    await withLarge(async (file) => {
      const sending = a.sendFile(file);
      assert.ok(await staysPending(sending));
      await reset(b, a);
      try {
        await sending;
        assert.fail("it was sent as a whole");
      } catch (error) {
        assert.match((error as { code: string }).code, /^(ECONNRESET|EPIPE)$/);
      }
    });
  },

  "a file that is shorter than what was asked for is an error": async ({ a, b }) => {
    await withFile(CONTENT.subarray(0, 1000), async (file) => {
      assert.equal(await unexpectedEnd(a.sendFile(file, { length: 1001, head: "abc" })), 1003);
      assert.equal(await unexpectedEnd(a.sendFile(file, { offset: 5000, length: 1 })), 0);
      assert.equal((await readFull(b, 1003)).length, 1003);
    });
  },

  "a file that is cut off while it is sent is an error, and no end": async ({ a, b }) => {
    await withLarge(async (file, path) => {
      const sending = a.sendFile(file);
      assert.ok(await staysPending(sending));
      await truncate(path, 1000);
      const receiving = go(readAll, b);
      const sent = await unexpectedEnd(sending);
      assert.ok(sent < MORE_THAN_FITS);
      await a.closeWrite();
      assert.equal((await receiving.join()).length, sent);
    });
  },

  "a file that is closed while it is sent is an error": async ({ a, b }) => {
    await withLarge(async (file) => {
      const sending = a.sendFile(file);
      assert.ok(await staysPending(sending));
      await file.close();
      const receiving = go(readAll, b);
      await assert.rejects(sending, { code: /^(EBADF|ERR_OUT_OF_RANGE)$/ });
      await a.closeWrite();
      await receiving.join();
    });
  },

  "what is no file, or no place in one, is refused": async ({ a, b }) => {
    await withFile(CONTENT.subarray(0, 10), async (file) => {
      await assert.rejects(a.sendFile(file, { offset: -1 }), RangeError);
      await assert.rejects(a.sendFile(file, { offset: 0.5 }), RangeError);
      await assert.rejects(a.sendFile(file, { length: -1 }), RangeError);
      await assert.rejects(a.sendFile(file, { length: Number.NaN }), RangeError);
      await assert.rejects(a.sendFile({ fd: -1 }));
      const folder = await open("/");
      await assert.rejects(a.sendFile(folder), TypeError);
      await assert.rejects(a.sendFile(folder, { length: 5 }), { code: "EISDIR" });
      await folder.close();
      await a.write("fine");
      assert.equal(await readText(b, 4), "fine");
    });
  },

  "a file that is sent to a fast reader leaves turns to others": async ({ a, b }) => {
    await withLarge(async (file) => {
      let turns = 0;
      let done = false;
      const length = 8 << 20;
      const sending = a.sendFile(file, { length }).then(() => {
        done = true;
      });
      const receiving = (async () => {
        for (let got = 0; got < length; ) got += (await nextChunk(b))?.length ?? 0;
      })();
      for (; !done; turns++) await turn();
      await Promise.all([sending, receiving]);
      assert.ok(turns >= 10, `${turns} turns`);
    });
  },
} satisfies FactTable;
