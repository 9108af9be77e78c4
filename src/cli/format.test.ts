import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bytes, count, duration, plural } from "./format.ts";
import { printable } from "./output.ts";

describe("numbers for people", () => {
  test("bytes keep to four digits", () => {
    const cases: [number, string][] = [
      [0, "0 B"],
      [0.4, "0 B"],
      [999, "999 B"],
      [999.6, "1.0 kB"],
      [1234, "1.2 kB"],
      [999_949, "999.9 kB"],
      [999_950, "1.0 MB"],
      [34_100_000, "34.1 MB"],
      [5e9, "5.0 GB"],
      [1e18, "1000.0 PB"],
    ];
    for (const [n, text] of cases) assert.equal(bytes(n), text);
  });

  test("counts have their thousands set apart", () => {
    assert.equal(count(0), "0");
    assert.equal(count(999.4), "999");
    assert.equal(count(1000), "1,000");
    assert.equal(count(1_234_567), "1,234,567");
  });

  test("one is not many", () => {
    assert.equal(plural(0, "connection"), "0 connections");
    assert.equal(plural(1, "connection"), "1 connection");
    assert.equal(plural(1200, "connection"), "1,200 connections");
  });

  test("times have two parts at most", () => {
    assert.equal(duration(0), "0 s");
    assert.equal(duration(470), "0.4 s");
    assert.equal(duration(42_900), "42 s");
    assert.equal(duration(185_000), "3 min 05 s");
    assert.equal(duration(7_620_000), "2 h 07 min");
    assert.equal(duration(4 * 86_400_000 + 3 * 3_600_000), "4 d 03 h");
  });

  test("text from elsewhere cannot move the cursor", () => {
    assert.equal(printable("/run/\x1b[2J\n\x9b1m.sock"), "/run/?[2J??1m.sock");
    assert.equal(printable("/run/käse.sock"), "/run/käse.sock");
  });
});
