/** bufreader.test.ts: every operation of BufReader, over conns and over plain readers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pipePair, tcpPair } from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { staysPending } from "../../testing/support.ts";
import { BufReader, IOError, NetError, pipe } from "../index.ts";
import { Random } from "../internal/random.ts";
import type { Reader } from "./io.ts";

/** A reader that gives the pieces one after the other, cut where a read is smaller. */
class Pieces implements Reader {
  private readonly pieces: Uint8Array[];
  reads = 0;

  constructor(...pieces: (string | Uint8Array)[]) {
    this.pieces = pieces.map((piece) => Buffer.from(piece as string));
  }

  async read(p: Uint8Array): Promise<number | null> {
    this.reads++;
    const piece = this.pieces.shift();
    if (piece === undefined) return null;
    const n = Math.min(p.length, piece.length);
    p.set(piece.subarray(0, n));
    if (n < piece.length) this.pieces.unshift(piece.subarray(n));
    return n;
  }
}

/** A conn that receives each piece in a packet of its own, then the end. */
async function piecewise(...pieces: string[]): Promise<BufReader> {
  const [a, b] = pipe();
  const reader = new BufReader(b);
  void (async () => {
    for (const piece of pieces) {
      await a.write(piece);
      while (reader.buffered > 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await a.close();
  })();
  return reader;
}

const text = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString("latin1");

async function ioError(operation: Promise<unknown>, code: string): Promise<IOError> {
  const error = await operation.then(
    (value) => assert.fail(`expected ${code}, got ${value}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof IOError, String(error));
  assert.equal(error.code, code);
  return error;
}

async function lines(reader: BufReader): Promise<string[]> {
  const all: string[] = [];
  for (let line = await reader.readLine(); line !== null; line = await reader.readLine()) {
    all.push(line);
  }
  return all;
}

const inputs: [string, (...pieces: string[]) => Promise<BufReader>][] = [
  ["a conn", piecewise],
  ["a plain reader", async (...pieces) => new BufReader(new Pieces(...pieces))],
  ["a plain reader, one byte ahead", async (...p) => new BufReader(new Pieces(...p), { size: 1 })],
];

for (const [over, make] of inputs) {
  test(`lines end with LF, one CR before it is dropped, the last needs none (${over})`, async () => {
    const reader = await make("one\r\ntwo\nthr", "ee\r", "\n\r\r\n", "\n", "last\r");
    assert.deepEqual(await lines(reader), ["one", "two", "three", "\r", "", "last\r"]);
    assert.equal(await reader.readLine(), null);
  });

  test(`a delimiter is found across pieces, with overlapping beginnings (${over})`, async () => {
    const reader = await make("xaa", "aab-aab", "end\r\n\r", "\r\n", "\r\nrest");
    assert.equal(text(await reader.readUntil("aab")), "xaa");
    assert.equal(text(await reader.readUntil("aab", { inclusive: true })), "-aab");
    assert.equal(text(await reader.readUntil("\r\n\r\n")), "end\r\n\r");
    const error = await ioError(reader.readUntil("\r\n\r\n"), "ERR_UNEXPECTED_EOF");
    assert.equal(text(error.partial ?? null), "rest");
    assert.equal(await reader.readUntil("x"), null);
  });

  test(`exactly n, at most n, peek, skip, byte, all (${over})`, async () => {
    const reader = await make("abc", "defgh", "ij", "klmnop", "qrs", "tuvwxyz");
    assert.equal(text(await reader.peek(4)), "abcd");
    assert.equal(text(await reader.readFull(5)), "abcde");
    const p = new Uint8Array(3);
    assert.equal(await reader.readFull(p), 3);
    assert.equal(text(p), "fgh");
    assert.equal(await reader.readByte(), "i".charCodeAt(0));
    await reader.skip(5);
    assert.equal(await reader.read(p.subarray(0, 1)), 1);
    assert.equal(text(p), "ogh");
    assert.equal(text(await reader.readAtMost(1)), "p");
    assert.equal(text(await reader.readAll()), "qrstuvwxyz");
    assert.equal(text(await reader.readAll()), "");
    assert.equal(text(await reader.peek(1)), "");
    assert.equal(await reader.readByte(), null);
    assert.equal(await reader.readFull(1), null);
    assert.equal(await reader.readFull(p), null);
    assert.equal(await reader.readAtMost(1), null);
    assert.equal(await reader.read(p), null);
    assert.equal(await reader.readFull(0).then((all) => all?.length), 0);
  });

  test(`a stream that ends inside is an error with what had arrived (${over})`, async () => {
    const inside = await ioError((await make("ab", "c")).readFull(4), "ERR_UNEXPECTED_EOF");
    assert.equal(text(inside.partial ?? null), "abc");
    const filled = (await make("ab", "c")).readFull(new Uint8Array(4));
    assert.equal(text((await ioError(filled, "ERR_UNEXPECTED_EOF")).partial ?? null), "abc");
    const large = (await make("ab", "c")).readFull(1 << 20);
    assert.equal(text((await ioError(large, "ERR_UNEXPECTED_EOF")).partial ?? null), "abc");
    const number = (await make("ab", "c")).readUint32BE();
    assert.equal(text((await ioError(number, "ERR_UNEXPECTED_EOF")).partial ?? null), "abc");
    await ioError((await make("ab", "c")).skip(4), "ERR_UNEXPECTED_EOF");
    await ioError((await make()).readUint8(), "ERR_UNEXPECTED_EOF");
  });

  test(`a limit that is met takes nothing out (${over})`, async () => {
    const reader = await make("0123456", "789\r\n", "next\n", "a;b");
    const error = await ioError(reader.readLine({ limit: 9 }), "ERR_LIMIT");
    assert.equal(error.limit, 9);
    await ioError(reader.readLine({ limit: 9 }), "ERR_LIMIT");
    assert.equal(await reader.readLine({ limit: 10 }), "0123456789");
    await ioError(reader.readUntil("\n", { limit: 3 }), "ERR_LIMIT");
    assert.equal(text(await reader.readUntil("\n", { limit: 4 })), "next");
    await ioError(reader.readAll({ limit: 2 }), "ERR_LIMIT");
    assert.equal(text(await reader.readAll({ limit: 3 })), "a;b");
  });
}

test("what stands before a delimiter can be read in pieces", async () => {
  for (const size of [1, 2, 5, 100]) {
    for (const trickle of [true, false]) {
      const content = "aaabaaba-aab!--aab".replaceAll("!", "x".repeat(300));
      const pieces = trickle ? [...content] : [content];
      const reader = new BufReader(new Pieces(...pieces, "rest"));
      const parts: string[] = [];
      for (let i = 0; i < 4; i++) {
        const part = reader.until("aab");
        const p = new Uint8Array(size);
        let got = "";
        for (let n = await part.read(p); n !== null; n = await part.read(p)) {
          assert.ok(n > 0);
          got += text(p.subarray(0, n));
        }
        assert.equal(await part.read(p), null);
        parts.push(got);
      }
      assert.deepEqual(parts, ["a", "", "a-", `${"x".repeat(300)}--`]);
      const last = reader.until("aab");
      assert.equal(await last.read(new Uint8Array(0)), 0);
      const p = new Uint8Array(100);
      let got = "";
      const ended = (async () => {
        for (;;) got += text(p.subarray(0, (await last.read(p)) as number));
      })();
      const error = await ioError(ended, "ERR_UNEXPECTED_EOF");
      assert.equal(got + text(error.partial ?? null), "rest");
      assert.throws(() => reader.until(""), RangeError);
    }
  }
});

test("the limit of the reader is that of its lines and delimiters", async () => {
  const reader = new BufReader(new Pieces("x".repeat(100)), { limit: 50 });
  await ioError(reader.readLine(), "ERR_LIMIT");
  await ioError(reader.readUntil("end"), "ERR_LIMIT");
  assert.equal((await reader.readAll()).length, 100);
});

test("numbers in both byte orders", async () => {
  const b = Buffer.alloc(96);
  let at = b.writeUInt8(0xfe, 0);
  at = b.writeInt8(-2, at);
  at = b.writeUInt16BE(0xfedc, at);
  at = b.writeUInt16LE(0xfedc, at);
  at = b.writeInt16BE(-300, at);
  at = b.writeInt16LE(-300, at);
  at = b.writeUInt32BE(0xfedcba98, at);
  at = b.writeUInt32LE(0xfedcba98, at);
  at = b.writeInt32BE(-70_000, at);
  at = b.writeInt32LE(-70_000, at);
  at = b.writeBigUInt64BE(0xfedcba9876543210n, at);
  at = b.writeBigUInt64LE(0xfedcba9876543210n, at);
  at = b.writeBigInt64BE(-(1n << 40n), at);
  at = b.writeBigInt64LE(-(1n << 40n), at);
  at = b.writeFloatBE(1.5, at);
  at = b.writeFloatLE(1.5, at);
  at = b.writeDoubleBE(Math.PI, at);
  at = b.writeDoubleLE(Math.PI, at);
  for (const size of [1, 7, 4096]) {
    const r = new BufReader(new Pieces(b.subarray(0, at)), { size });
    assert.equal(await r.readUint8(), 0xfe);
    assert.equal(await r.readInt8(), -2);
    assert.equal(await r.readUint16BE(), 0xfedc);
    assert.equal(await r.readUint16LE(), 0xfedc);
    assert.equal(await r.readInt16BE(), -300);
    assert.equal(await r.readInt16LE(), -300);
    assert.equal(await r.readUint32BE(), 0xfedcba98);
    assert.equal(await r.readUint32LE(), 0xfedcba98);
    assert.equal(await r.readInt32BE(), -70_000);
    assert.equal(await r.readInt32LE(), -70_000);
    assert.equal(await r.readBigUint64BE(), 0xfedcba9876543210n);
    assert.equal(await r.readBigUint64LE(), 0xfedcba9876543210n);
    assert.equal(await r.readBigInt64BE(), -(1n << 40n));
    assert.equal(await r.readBigInt64LE(), -(1n << 40n));
    assert.equal(await r.readFloat32BE(), 1.5);
    assert.equal(await r.readFloat32LE(), 1.5);
    assert.equal(await r.readFloat64BE(), Math.PI);
    assert.equal(await r.readFloat64LE(), Math.PI);
    assert.equal(await r.readByte(), null);
  }
});

test("variable-length numbers", async () => {
  const largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
  const bytes = Uint8Array.of(0, 0x7f, 0x80, 0x01, 0xac, 0x02, ...largest);
  const r = new BufReader(new Pieces(bytes), { size: 1 });
  for (const want of [0n, 127n, 128n, 300n, (1n << 64n) - 1n]) {
    assert.equal(await r.readUvarint(), want);
  }
  await ioError(r.readUvarint(), "ERR_UNEXPECTED_EOF");
  const tooLarge = [...largest.slice(0, 9), 0x02];
  await ioError(new BufReader(new Pieces(Uint8Array.from(tooLarge))).readUvarint(), "ERR_OVERFLOW");
  const endless = new Uint8Array(11).fill(0x80);
  await ioError(new BufReader(new Pieces(endless)).readUvarint(), "ERR_OVERFLOW");
});

test("a deadline hands out what had arrived, and the reader goes on behind it", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    const { a, b } = pair;
    const reader = new BufReader(b);
    await a.write("hal");
    assert.equal(text(await reader.peek(3)), "hal");
    b.setTimeouts({ read: 1 });
    for (const operation of [
      () => reader.readLine(),
      () => reader.readUntil("\r\n"),
      () => reader.readFull(8),
      () => reader.readFull(new Uint8Array(8)),
      () => reader.readFull(100_000),
      () => reader.readAll(),
      () => reader.readUint32LE(),
    ]) {
      const error = await operation().catch((reason: unknown) => reason);
      assert.ok(error instanceof NetError && error.timeout, String(error));
      assert.equal(text(error.partial ?? null), "hal");
      assert.equal(reader.buffered, 0);
      await a.write("hal");
      assert.equal(text(await reader.peek(3)), "hal");
    }
    const peeked = await reader.peek(4).catch((reason: unknown) => reason);
    assert.ok(peeked instanceof NetError && peeked.timeout);
    assert.equal(reader.buffered, 3);
    b.setTimeouts({ read: null });
    await a.write("f a line\n");
    assert.equal(await reader.readLine(), "half a line");
  }));

test("a signal cancels the wait and hands out what had arrived", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a, b } = pair;
    const reader = new BufReader(b);
    await a.write("par");
    await reader.peek(1);
    const stop = new AbortController();
    const reading = reader.readLine({ signal: stop.signal });
    assert.ok(await staysPending(reading));
    stop.abort(new Error("enough"));
    const error = await reading.catch((reason: unknown) => reason);
    assert.ok(error instanceof NetError);
    assert.equal(error.code, "ERR_CANCELED");
    assert.equal((error.cause as Error).message, "enough");
    assert.equal(text(error.partial ?? null), "par");
    await a.write("whole\n");
    assert.equal(await reader.readLine(), "whole");
    await a.write("x\n");
    const late = reader.readLine({ signal: stop.signal }).catch((reason: unknown) => reason);
    assert.equal(((await late) as { code: string }).code, "ERR_CANCELED");
    assert.equal(await reader.readLine(), "x");
  }));

test("reads of several goroutines queue; one in the queue can be canceled; close wakes all", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a, b } = pair;
    const reader = new BufReader(b);
    const stop = new AbortController();
    const first = reader.readLine();
    const second = reader.readFull(2);
    const canceled = reader.readLine({ signal: stop.signal });
    const third = reader.readLine();
    assert.throws(() => reader.takeBuffered(), { code: "ERR_BUSY" });
    assert.throws(() => reader.unread(new Uint8Array(1)), { code: "ERR_BUSY" });
    stop.abort();
    assert.equal(
      ((await canceled.catch((e: unknown) => e)) as { code: string }).code,
      "ERR_CANCELED",
    );
    await a.write("one\ntwthree\n");
    assert.deepEqual([await first, text(await second), await third], ["one", "tw", "three"]);
    const left = [reader.readLine(), reader.readUint8(), reader.read(new Uint8Array(1))];
    const closed = left.map((each) =>
      assert.rejects(each as Promise<unknown>, { code: "ERR_CLOSED" }),
    );
    await b.close();
    await Promise.all(closed);
  }));

test("bytes read ahead can be taken out and put back", async () => {
  const [a, b] = pipe();
  const reader = new BufReader(b);
  await a.write("head\nbody");
  assert.equal(await reader.readLine(), "head");
  assert.equal(reader.buffered, 4);
  assert.equal(text(reader.takeBuffered()), "body");
  assert.equal(reader.buffered, 0);
  await a.write("!");
  assert.equal(text(await reader.peek(1)), "!");
  reader.unread(Buffer.from("other body"));
  assert.equal(text(await reader.readFull(11)), "other body!");
  reader.unread(Buffer.from("x"));
  assert.equal(text(await reader.readFull(1)), "x");
});

test("what is handed out is the receiver's", async () => {
  const reader = new BufReader(new Pieces("aaaa\nbbbb\ncc", "cc\ndddd\n"), { size: 8 });
  const first = await reader.readLineBytes();
  const second = await reader.readUntil("\n");
  const third = await reader.readFull(4);
  await reader.readLine();
  const fourth = await reader.readAll();
  assert.deepEqual(
    [first, second, third, fourth].map((each) => text(each ?? null)),
    ["aaaa", "bbbb", "cccc", "dddd\n"],
  );
  assert.equal(Object.getPrototypeOf(first), Uint8Array.prototype);
});

test("large reads go straight to the source, and memory grows with what arrives", async () => {
  const sizes: number[] = [];
  const source: Reader = {
    read: async (p) => {
      sizes.push(p.length);
      return sizes.length > 3 ? null : Math.min(p.length, 1000);
    },
  };
  const reader = new BufReader(source);
  const error = await ioError(reader.readFull(2 ** 40), "ERR_UNEXPECTED_EOF");
  assert.equal(error.partial?.length, 3000);
  assert.ok(Math.max(...sizes) <= 65_536, String(sizes));
});

test("a reader that waits over a conn holds no memory for what it has read", async () => {
  const collect = globalThis.gc;
  assert.ok(collect, "the runner gives --expose-gc");
  const count = 100;
  const line = `${"x".repeat(30_000)}\n`;
  const pipes = Array.from({ length: count }, () => pipe());
  const readers = pipes.map(([, b]) => new BufReader(b));
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (const [a] of pipes) await a.write(line.repeat(2));
  for (const reader of readers) {
    for (let i = 0; i < 2; i++) assert.equal((await reader.readLine())?.length, 30_000);
  }
  const waiting = readers.map((reader) =>
    assert.rejects(reader.readLine(), { code: "ERR_CLOSED" }),
  );
  // The collector gives memory back after a turn.
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const held = process.memoryUsage().arrayBuffers - before;
  assert.ok(held < count * 1000, `${held} bytes are held for ${count} readers`);
  for (const [a, b] of pipes) await Promise.all([a.close(), b.close()]);
  await Promise.all(waiting);
});

// When a delimiter search begins anew with every byte, this is not done within the runner's time limit.
test("a delimiter that trickles in a byte at a time costs linear time", async () => {
  const length = 1 << 18;
  const all = Buffer.alloc(length, "a");
  all.write("ab", length - 2);
  let at = 0;
  const source: Reader = {
    read: async (p) => {
      p[0] = all[at++] as number;
      return 1;
    },
  };
  const reader = new BufReader(source);
  assert.equal((await reader.readUntil("aab"))?.length, length - 3);
});

test("a loop over lines that are there leaves turns to others", async () => {
  const reader = new BufReader(new Pieces("x\n".repeat(50_000)), { size: 1 << 20 });
  let turns = 0;
  let counting = true;
  const count = (): void => {
    turns++;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  while ((await reader.readLine()) !== null) {}
  counting = false;
  assert.ok(turns > 3, `${turns} turns`);
});

test("wrong arguments and broken sources are errors, not hangs", async () => {
  const reader = new BufReader(new Pieces("abc"));
  await assert.rejects(reader.readFull(-1), RangeError);
  await assert.rejects(reader.readFull(1.5), RangeError);
  await assert.rejects(reader.readFull(2 ** 60), RangeError);
  await assert.rejects(reader.peek(-1), RangeError);
  await assert.rejects(reader.skip(Number.NaN), RangeError);
  await assert.rejects(reader.readUntil(""), RangeError);
  await assert.rejects(reader.readLine({ limit: -1 }), RangeError);
  assert.throws(() => new BufReader(new Pieces(), { size: 0 }), RangeError);
  assert.throws(() => new BufReader(new Pieces(), { limit: -1 }), RangeError);
  await ioError(new BufReader({ read: async () => 0 }).readByte(), "ERR_NO_PROGRESS");
  assert.equal(text(await reader.readAll()), "abc");
});

test("lines that are decoded together are those that are decoded one by one, whatever is read between", async (t) => {
  const seed = Number(process.env.CORONET_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`CORONET_SEED=${seed}`);
  const random = new Random(seed);
  for (let round = 0; round < 200; round++) {
    const words = [
      "",
      "x",
      "ascii ".repeat(random.below(20)),
      "grün",
      "\r",
      "end\r",
      "a".repeat(1500),
    ];
    let content = Buffer.from(
      Array.from({ length: 40 }, () => `${words[random.below(words.length)]}\n`).join(""),
    );
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < content.length; ) {
      const n = 1 + random.below(random.chance(0.5) ? 3000 : 50);
      pieces.push(content.subarray(at, at + n));
      at += n;
    }
    const reader = new BufReader(new Pieces(...pieces), { size: 1 + random.below(4096) });
    while (content.length > 0) {
      const at = content.indexOf(10);
      if (at !== -1 && random.chance(0.8)) {
        const line = content.toString("utf8", 0, at).replace(/\r$/, "");
        const options = random.chance(0.3) ? { limit: 2000 } : undefined;
        assert.equal(await reader.readLine(options), line);
        content = content.subarray(at + 1);
      } else if (random.chance(0.3)) {
        const back = Buffer.from(random.chance(0.5) ? "back\n" : "ü");
        reader.unread(back);
        content = Buffer.concat([back, content]);
      } else {
        const n = Math.min(content.length, 1 + random.below(30));
        if (random.chance(0.3))
          assert.equal(text(await reader.peek(n)), content.toString("latin1", 0, n));
        else if (random.chance(0.5))
          await reader.skip(n).then(() => {
            content = content.subarray(n);
          });
        else {
          assert.equal(text(await reader.readFull(n)), content.toString("latin1", 0, n));
          content = content.subarray(n);
        }
      }
    }
    assert.equal(await reader.readLine(), null);
  }
});
