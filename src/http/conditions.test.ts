/** conditions.test.ts: If-Match and its kin as RFC 9110, 13 has them; cases as in Go's and nginx's tests. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { judge, rangeHolds, timeOf } from "./conditions.ts";

const modified = Date.UTC(1994, 10, 6, 8, 49, 37) / 1000;
const AT = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER = "Sun, 06 Nov 1994 08:49:38 GMT";
const strong = { etag: '"a"', modified };
const weak = { etag: 'W/"a"', modified };
const undated = { etag: '"a"', modified: -1 };

const CASES: [Record<string, string>, typeof strong, 200 | 304 | 412][] = [
  [{}, strong, 200],
  [{ "if-none-match": '"a"' }, strong, 304],
  [{ "if-none-match": 'W/"a"' }, strong, 304],
  [{ "if-none-match": '"a"' }, weak, 304],
  [{ "if-none-match": "*" }, strong, 304],
  [{ "if-none-match": '"b", "a"' }, strong, 304],
  [{ "if-none-match": '"b,a" , W/"c","a"' }, strong, 304],
  [{ "if-none-match": '"b"' }, strong, 200],
  [{ "if-none-match": '"A"' }, strong, 200],
  [{ "if-none-match": "a" }, strong, 200],
  [{ "if-none-match": "" }, strong, 200],
  [{ "if-match": '"a"' }, strong, 200],
  [{ "if-match": "*" }, strong, 200],
  [{ "if-match": "*" }, weak, 200],
  [{ "if-match": '"b" , "a"' }, strong, 200],
  [{ "if-match": '"b"' }, strong, 412],
  [{ "if-match": 'W/"a"' }, strong, 412],
  [{ "if-match": '"a"' }, weak, 412],
  [{ "if-match": "" }, strong, 412],
  [{ "if-modified-since": AT }, strong, 304],
  [{ "if-modified-since": LATER }, strong, 304],
  [{ "if-modified-since": EARLIER }, strong, 200],
  [{ "if-modified-since": "yesterday" }, strong, 200],
  [{ "if-modified-since": AT }, undated, 200],
  [{ "if-unmodified-since": AT }, strong, 200],
  [{ "if-unmodified-since": LATER }, strong, 200],
  [{ "if-unmodified-since": EARLIER }, strong, 412],
  [{ "if-unmodified-since": "tomorrow" }, strong, 200],
  // The tag decides, where there is one (13.2.2).
  [{ "if-none-match": '"b"', "if-modified-since": LATER }, strong, 200],
  [{ "if-none-match": '"a"', "if-modified-since": EARLIER }, strong, 304],
  [{ "if-match": '"a"', "if-unmodified-since": EARLIER }, strong, 200],
  [{ "if-match": '"b"', "if-none-match": '"a"' }, strong, 412],
  [{ "if-match": '"a"', "if-none-match": '"a"' }, strong, 304],
  [{ "if-unmodified-since": EARLIER, "if-none-match": '"a"' }, strong, 412],
];

describe("a condition", () => {
  for (const [headers, version, expected] of CASES) {
    test(`${JSON.stringify(headers)} of ${version.etag} ${version.modified}: ${expected}`, () => {
      const source = { get: (name: string) => headers[name] ?? null };
      assert.equal(judge(source, version), expected);
    });
  }
});

describe("If-Range", () => {
  const cases: [string | null, typeof strong, boolean][] = [
    [null, strong, true],
    ['"a"', strong, true],
    [' "a" ', strong, true],
    ['"b"', strong, false],
    ['W/"a"', strong, false],
    ['W/"a"', weak, false],
    ['"a"', weak, false],
    [AT, strong, true],
    [EARLIER, strong, false],
    [LATER, strong, false],
    [AT, weak, false],
    ["soon", strong, false],
    ["soon", undated, false],
  ];
  for (const [header, version, expected] of cases) {
    test(`${header} of ${version.etag}: ${expected}`, () => {
      assert.equal(rangeHolds(header, version), expected);
    });
  }
});

describe("a date", () => {
  const cases: [string, number][] = [
    [AT, modified],
    ["Sunday, 06-Nov-94 08:49:37 GMT", modified],
    ["Sun Nov  6 08:49:37 1994", modified],
    ["Sun, 06 Nov 1994 08:49:37", -1],
    ["Sun, 06 Nov 1994 25:49:37 GMT", -1],
    ["Sun, 06 Nuv 1994 08:49:37 GMT", -1],
    ["1994-11-06T08:49:37Z", -1],
    ["784111777", -1],
  ];
  for (const [text, expected] of cases) {
    test(text, () => assert.equal(timeOf(text, -1), expected));
  }
});
