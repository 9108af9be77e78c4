/** scanner.test.ts: lines, words, splits of one's own; limits, errors, and leaving the loop. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pipePair } from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { staysPending } from "../../testing/support.ts";
import { Scanner, type SplitFunction } from "../index.ts";
import type { Reader } from "./io.ts";

/** Gives a text in pieces of so many bytes. */
function inPieces(text: string, size: number): Reader {
  let rest = Buffer.from(text);
  return {
    read: async (p) => {
      const n = rest.copy(p, 0, 0, Math.min(size, p.length));
      rest = rest.subarray(n);
      return n === 0 ? null : n;
    },
  };
}

async function all<T>(scanner: Scanner<T>): Promise<T[]> {
  const tokens: T[] = [];
  for await (const token of scanner) tokens.push(token);
  return tokens;
}

const splitByte: SplitFunction<number> = (data) => ({ advance: 1, token: data[0] as number });
/** Two bytes each, as views of what is scanned. */
const splitPairs: SplitFunction<Uint8Array> = (data) =>
  data.length < 2 ? undefined : { advance: 2, token: data.subarray(0, 2) };

for (const size of [1, 2, 3, 1000]) {
  test(`lines and words in pieces of ${size} bytes`, async () => {
    const lines = new Scanner(inPieces("one\r\ntwo\n\n\r\nfünf\r\nlast\r", size));
    assert.deepEqual(await all(lines), ["one", "two", "", "", "fünf", "last\r"]);
    assert.deepEqual(await all(new Scanner(inPieces("", size))), []);
    assert.deepEqual(await all(new Scanner(inPieces("\n", size))), [""]);
    const words = inPieces("  one\ttwo \r\n\n three\u00a0four  ", size);
    assert.deepEqual(await all(new Scanner(words, { split: "words" })), [
      "one",
      "two",
      "three\u00a0four",
    ]);
    assert.deepEqual(await all(new Scanner(inPieces("   ", size), { split: "words" })), []);
  });

  test(`splits of one's own in pieces of ${size} bytes`, async () => {
    assert.deepEqual(
      await all(new Scanner(inPieces("abc", size), { split: splitByte })),
      [97, 98, 99],
    );
    const pairs = await all(new Scanner(inPieces("aabbc", size), { split: splitPairs }));
    assert.deepEqual(
      pairs.map((pair) => String(Buffer.from(pair))),
      ["aa", "bb"],
    );
  });
}

test("a token that is too long is ERR_LIMIT; space between words is no token", async () => {
  const long = new Scanner(inPieces(`short\n${"x".repeat(50)}\n`, 7), { limit: 20 });
  assert.equal((await long.next()).value, "short");
  await assert.rejects(long.next(), { code: "ERR_LIMIT", limit: 20 });
  const spaced = inPieces(`a${" ".repeat(5000)}b`, 1000);
  assert.deepEqual(await all(new Scanner(spaced, { split: "words", limit: 20 })), ["a", "b"]);
});

test("a split that does not move, or moves too far, is a RangeError", async () => {
  for (const advance of [0, -1, 0.5, 100]) {
    const scanner = new Scanner<string>(inPieces("abc", 3), { split: () => ({ advance }) });
    await assert.rejects(scanner.next(), RangeError);
  }
  assert.throws(() => new Scanner(inPieces("", 1), { split: "letters" as never }), TypeError);
  assert.throws(() => new Scanner(inPieces("", 1), { limit: -1 }), RangeError);
});

test("leaving the loop loses nothing; calls queue; a signal ends the wait with what had come", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a, b } = pair;
    const stop = new AbortController();
    const scanner = new Scanner(b, { signal: stop.signal });
    await a.write("one\ntwo\nth");
    for await (const line of scanner) {
      assert.equal(line, "one");
      break;
    }
    for await (const line of scanner) {
      assert.equal(line, "two");
      break;
    }
    const both = [scanner.next(), scanner.next()];
    assert.ok(await staysPending(both[0] as Promise<unknown>));
    await a.write("ree\nfour\npart");
    assert.deepEqual(
      (await Promise.all(both)).map(({ value }) => value),
      ["three", "four"],
    );
    const last = scanner.next();
    assert.ok(await staysPending(last));
    stop.abort();
    const error = (await last.catch((reason: unknown) => reason)) as {
      code: string;
      partial: Uint8Array;
    };
    assert.deepEqual([error.code, String(Buffer.from(error.partial))], ["ERR_CANCELED", "part"]);
  }));

// When a line is searched from its beginning with every byte, this is not done within the time limit.
for (const split of ["lines", "words"] as const) {
  test(`one of the ${split} that trickles in a byte at a time costs linear time`, async () => {
    const length = 1 << 19;
    const scanner = new Scanner(inPieces("x".repeat(length), 1), { split, limit: length });
    assert.equal(((await scanner.next()).value as string).length, length);
  });
}
