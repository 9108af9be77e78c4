/** random.test.ts: the same seed gives the same numbers, and they are spread. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "./random.ts";

function numbers(seed: number, count = 1000): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => random.next());
}

test("a seed repeats its numbers, another gives others", () => {
  assert.deepEqual(numbers(42), numbers(42));
  assert.notDeepEqual(numbers(42), numbers(43));
});

test("every seed works, 0 and fractions too", () => {
  for (const seed of [0, -1, 0.5, 2 ** 32, Number.NaN]) {
    const all = numbers(seed, 100);
    assert.equal(new Set(all).size, 100);
    assert.ok(all.every((n) => Number.isInteger(n) && n > 0 && n < 2 ** 32));
  }
});

test("below stays below its bound and reaches every number", () => {
  const random = new Random(7);
  const seen = new Set(Array.from({ length: 1000 }, () => random.below(10)));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("chance is what it says, within reason", () => {
  const random = new Random(7);
  const hits = Array.from({ length: 10_000 }, () => random.chance(0.25)).filter(Boolean).length;
  assert.ok(hits > 2000 && hits < 3000, `${hits} of 10,000`);
  assert.equal(random.chance(0), false);
  assert.equal(random.chance(1), true);
});
