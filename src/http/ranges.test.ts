/** ranges.test.ts: which bytes a Range header names: RFC 9110's examples, and what Go's and nginx's tests know. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { spansOf } from "./ranges.ts";

const IGNORED = undefined;
const REFUSED: [number, number][] = [];

/** Header, size of the file, spans as offset and length. */
const CASES: [header: string, size: number, spans: [number, number][] | undefined][] = [
  ["bytes=0-499", 10_000, [[0, 500]]],
  ["bytes=500-999", 10_000, [[500, 500]]],
  ["bytes=-500", 10_000, [[9500, 500]]],
  ["bytes=9500-", 10_000, [[9500, 500]]],
  [
    "bytes=0-0,-1",
    10_000,
    [
      [0, 1],
      [9999, 1],
    ],
  ],
  [
    "bytes=0-0, -1",
    10_000,
    [
      [0, 1],
      [9999, 1],
    ],
  ],
  [
    "bytes= 0-999, 4500-5499, -1000",
    10_000,
    [
      [0, 1000],
      [4500, 1000],
      [9000, 1000],
    ],
  ],
  [
    "bytes=500-600,601-999",
    10_000,
    [
      [500, 101],
      [601, 399],
    ],
  ],
  [
    "bytes=500-700,601-999",
    10_000,
    [
      [500, 201],
      [601, 399],
    ],
  ],
  ["bytes=0-", 10, [[0, 10]]],
  ["bytes=5-", 10, [[5, 5]]],
  ["bytes=0-20", 10, [[0, 10]]],
  ["bytes=1-2", 10, [[1, 2]]],
  ["bytes=9-9", 10, [[9, 1]]],
  ["bytes=-2", 10, [[8, 2]]],
  ["bytes=-15", 10, [[0, 10]]],
  [
    "bytes=1-2,5-",
    10,
    [
      [1, 2],
      [5, 5],
    ],
  ],
  [
    "bytes=1-2, 5-8,",
    10,
    [
      [1, 2],
      [5, 4],
    ],
  ],
  ["bytes=,1-2", 10, [[1, 2]]],
  ["bytes=0-0,99-", 10, [[0, 1]]],
  ["bytes=99-,-1", 10, [[9, 1]]],
  ["BYTES=0-1", 10, [[0, 2]]],
  // Beyond the end, or nothing at all.
  ["bytes=10-", 10, REFUSED],
  ["bytes=10-20", 10, REFUSED],
  ["bytes=20-", 10, REFUSED],
  ["bytes=-0", 10, REFUSED],
  ["bytes=18446744073709551616-", 10, REFUSED],
  ["bytes=", 10, REFUSED],
  ["bytes=,", 10, REFUSED],
  // Malformed.
  ["bytes=2-1", 10, REFUSED],
  ["bytes=a-", 10, REFUSED],
  ["bytes=-", 10, REFUSED],
  ["bytes=1-a", 10, REFUSED],
  ["bytes=0x1-2", 10, REFUSED],
  ["bytes=1", 10, REFUSED],
  ["bytes=--1", 10, REFUSED],
  ["bytes=1--2", 10, REFUSED],
  ["bytes=+1-2", 10, REFUSED],
  ["bytes=0-1 2-3", 10, REFUSED],
  ["bytes=0-1;2-3", 10, REFUSED],
  ["bytes=1-2,x", 10, REFUSED],
  // No ranges of bytes, or more than the file has.
  ["lines=0-1", 10, IGNORED],
  ["bytes", 10, IGNORED],
  ["", 10, IGNORED],
  ["bytes 0-1", 10, IGNORED],
  ["bytes=0-,0-", 10, IGNORED],
  ["bytes=0-9,0-0", 10, IGNORED],
  ["bytes=0-", 0, IGNORED],
  ["bytes=-5", 0, IGNORED],
  [`bytes=${Array.from({ length: 65 }, (_, i) => `${i}-${i}`)}`, 1000, IGNORED],
];

for (const [header, size, expected] of CASES) {
  test(`${header.slice(0, 40)} of ${size} bytes`, () => {
    const spans = spansOf(header, size)?.map(({ offset, length }) => [offset, length]);
    assert.deepEqual(spans, expected);
  });
}
