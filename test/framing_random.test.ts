/**
 * framing_random.test.ts: lines and messages, cut into packets of any size, arrive as a simple
 * reference says, over connections in memory and over TCP.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BufReader,
  BufWriter,
  type Codec,
  type Conn,
  delimited,
  type LengthPrefixOptions,
  lengthPrefixed,
  Scanner,
} from "../src/index.ts";
import { pipePair, tcpPair } from "../testing/conns.ts";
import { turn } from "../testing/support.ts";

const seed = Number(process.env.CORONET_SEED) || Math.floor(Math.random() * 0x7fff_ffff);
const RUNS = 40;

const overs = [
  ["pipe", pipePair, RUNS],
  ["tcp", tcpPair, RUNS / 2],
] as const;

/** Writes bytes in pieces, each in a packet of its own as far as it is up to us. */
async function feed(conn: Conn, bytes: Uint8Array, cuts: readonly number[]): Promise<void> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = cuts.length === 0 ? bytes.length : (cuts[i % cuts.length] as number);
    await conn.write(bytes.subarray(at, at + size));
    at += size;
    if (i % 2 === 0 && i < 200) await turn();
  }
  await conn.closeWrite();
}

/** Sizes of pieces: one byte at a time, all at once, or anything. */
const cuts = fc.oneof(
  fc.constant([1]),
  fc.constant([]),
  fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
);

/** Few different bytes, so that delimiters and their beginnings come often. */
const bytes = fc
  .array(fc.constantFrom(10, 13, 97, 98), { maxLength: 200 })
  .map((list) => Uint8Array.from(list));

async function check<T>(
  make: () => Promise<{ a: Conn; b: Conn; close(): Promise<void> }>,
  runs: number,
  arbitrary: fc.Arbitrary<T>,
  body: (a: Conn, b: Conn, value: T) => Promise<void>,
): Promise<void> {
  const property = fc.asyncProperty(arbitrary, async (value) => {
    const { a, b, close } = await make();
    try {
      await body(a, b, value);
    } finally {
      await close();
    }
  });
  await fc.assert(property, { seed, numRuns: runs });
}

/** Lines by the book: LF ends one, one CR before it is dropped, the last needs no LF. */
function referenceLines(text: string): string[] {
  const lines = text.split("\n");
  const last = lines.pop() as string;
  const ended = lines.map((line) => line.replace(/\r$/, ""));
  return last === "" ? ended : [...ended, last];
}

/** What stands before each delimiter, and the rest. */
function referenceSplit(text: string, delimiter: string): { whole: string[]; rest: string } {
  const whole = text.split(delimiter);
  const rest = whole.pop() as string;
  return { whole, rest };
}

const latin1 = (p: Uint8Array): string => Buffer.from(p).toString("latin1");

for (const [over, make, runs] of overs) {
  test(`lines over ${over}, seed ${seed}`, async () => {
    await check(make, runs, fc.tuple(bytes, cuts), async (a, b, [content, sizes]) => {
      const feeding = feed(a, content, sizes);
      const reader = new BufReader(b);
      const got: string[] = [];
      for (let line = await reader.readLine(); line !== null; line = await reader.readLine()) {
        got.push(line);
      }
      assert.deepEqual(got, referenceLines(latin1(content)));
      await feeding;
    });
    await check(make, runs, fc.tuple(bytes, cuts), async (a, b, [content, sizes]) => {
      const feeding = feed(a, content, sizes);
      const got: string[] = [];
      for await (const line of new Scanner(b)) got.push(line);
      assert.deepEqual(got, referenceLines(latin1(content)));
      await feeding;
    });
  });

  for (const delimiter of ["aab", "\r\n\r\n", "a", "abab"]) {
    test(`the delimiter ${JSON.stringify(delimiter)} over ${over}, seed ${seed}`, async () => {
      await check(make, runs, fc.tuple(bytes, cuts), async (a, b, [content, sizes]) => {
        const feeding = feed(a, content, sizes);
        const { whole, rest } = referenceSplit(latin1(content), delimiter);
        const messages = delimited({ delimiter })(b);
        for (const want of whole) assert.equal(latin1((await messages.read()) as Uint8Array), want);
        const end = await messages.read().catch((error: { partial: Uint8Array }) => error.partial);
        assert.equal(latin1(end ?? new Uint8Array(0)), rest);
        await feeding;
      });
    });
  }

  const forms: fc.Arbitrary<LengthPrefixOptions> = fc.record({
    bytes: fc.constantFrom(1, 2, 4, 8),
    endian: fc.constantFrom("big", "little"),
    offset: fc.integer({ min: 0, max: 5 }),
    counts: fc.constantFrom("body", "packet"),
    keepHeader: fc.constant(false),
    maxLength: fc.constant(100_000),
  });
  const bodies = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 });

  test(`packets with their length over ${over}, seed ${seed}`, async () => {
    await check(make, runs, fc.tuple(forms, bodies, cuts), async (a, b, [form, list, sizes]) => {
      const codec = lengthPrefixed(form);
      const feeding = feed(a, await packed(codec, list), sizes);
      const got: Uint8Array[] = [];
      for await (const message of codec(b)) got.push(message);
      assert.deepEqual(got.map(latin1), list.map(latin1));
      await feeding;
    });
  });

  test(`numbers over ${over}, seed ${seed}`, async () => {
    const numbers = fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), { maxLength: 30 });
    await check(make, runs, fc.tuple(numbers, cuts), async (a, b, [list, sizes]) => {
      const collected: Uint8Array[] = [];
      const writer = new BufWriter({
        write: async (p) => collected.push(p.slice() as never) && p.length,
      });
      for (const n of list) {
        await writer.writeUvarint(n);
        await writer.writeBigUint64LE(n);
        await writer.writeUint32BE(Number(n & 0xffff_ffffn));
      }
      await writer.flush();
      const feeding = feed(a, Buffer.concat(collected), sizes);
      const reader = new BufReader(b);
      for (const n of list) {
        assert.equal(await reader.readUvarint(), n);
        assert.equal(await reader.readBigUint64LE(), n);
        assert.equal(await reader.readUint32BE(), Number(n & 0xffff_ffffn));
      }
      assert.equal(await reader.readByte(), null);
      await feeding;
    });
  });
}

async function packed(codec: Codec, list: readonly Uint8Array[]): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const nothing = { read: async () => null };
  const messages = codec(nothing, { write: async (p) => pieces.push(Buffer.from(p as string)) });
  for (const each of list) await messages.write(each);
  return Buffer.concat(pieces);
}
