/** placement.test.ts: which thread a connection goes to. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Addr, TCPAddr } from "../net/addr.ts";
import { Counters } from "./counters.ts";
import { type Candidate, chooserOf, hashOf, type Placement } from "./placement.ts";

interface Fake extends Candidate {
  index: number;
  load: number;
  stalled: boolean;
}

function fakes(...loads: (number | "stalled")[]): Fake[] {
  return loads.map((load, index) => {
    const stalled = load === "stalled";
    const stats = new Counters().read({ id: index, index, underway: 0, stalled });
    return { index, load: stalled ? 0 : load, stalled, stats };
  });
}

const somebody = new TCPAddr("10.0.0.1", 4711);

/** The indices that a policy chooses, one after the other. */
function choices(placement: Placement, all: Fake[], count: number, peer: Addr = somebody): unknown {
  const choose = chooserOf(placement);
  return Array.from({ length: count }, () => choose(() => peer, all)?.index);
}

describe("placement", () => {
  test('"round-robin" takes turns, and passes over who is stalled', () => {
    assert.deepEqual(choices("round-robin", fakes(0, 9, 0), 5), [0, 1, 2, 0, 1]);
    assert.deepEqual(choices("round-robin", fakes(0, "stalled", 0), 5), [0, 2, 2, 0, 2]);
  });

  test('"least-busy" takes the fewest, takes turns among equals, and passes over who is stalled', () => {
    assert.deepEqual(choices("least-busy", fakes(3, 1, 2), 3), [1, 1, 1]);
    assert.deepEqual(choices("least-busy", fakes(1, 1, 2), 4), [0, 1, 0, 0]);
    assert.deepEqual(choices("least-busy", fakes(3, "stalled", 2), 2), [2, 2]);
  });

  test('"peer-hash" goes by the address without the port', () => {
    const all = fakes(0, 0, 0, 0, 0, 0, 0);
    const [first] = choices("peer-hash", all, 1) as [number];
    const again = choices("peer-hash", all, 3, new TCPAddr("10.0.0.1", 1));
    assert.deepEqual(again, [first, first, first]);
    const others = new Set<unknown>();
    for (let i = 0; i < 50; i++) {
      others.add((choices("peer-hash", all, 1, new TCPAddr(`10.0.1.${i}`, 1)) as unknown[])[0]);
    }
    assert.equal(others.size, 7);
  });

  test("a key of the caller's goes to the same thread, or to the one after it when that is stalled", () => {
    const all = fakes(0, 0, 0);
    const key = (): string => "tenant 7";
    const home = hashOf("tenant 7") % 3;
    assert.deepEqual(choices({ key }, all, 2), [home, home]);
    (all[home] as Fake).stalled = true;
    assert.deepEqual(choices({ key }, all, 2), [(home + 1) % 3, (home + 1) % 3]);
  });

  test("a key may be a number, and is the same as its digits", () => {
    const all = fakes(0, 0, 0, 0, 0);
    for (let n = 0; n < 20; n++) {
      const number = choices({ key: () => n }, all, 1);
      assert.deepEqual(number, choices({ key: () => String(n) }, all, 1));
    }
  });

  test("a function is told of the peer and the threads, chooses or refuses", () => {
    const seen: unknown[] = [];
    const placement: Placement = (peer, stats) => {
      seen.push(String(peer), stats.length);
      return seen.length === 2 ? 1 : "refuse";
    };
    assert.deepEqual(choices(placement, fakes(0, 0), 2), [1, undefined]);
    assert.deepEqual(seen, ["10.0.0.1:4711", 2, "10.0.0.1:4711", 2]);
    assert.throws(() => choices(() => 2, fakes(0, 0), 1), RangeError);
    assert.throws(() => choices(() => 0.5, fakes(0, 0), 1), RangeError);
  });

  test("when all are stalled, the policy's own choice waits", () => {
    assert.deepEqual(choices("round-robin", fakes("stalled", "stalled"), 3), [0, 1, 0]);
    assert.deepEqual(
      choices(() => 1, fakes("stalled", "stalled"), 1),
      [1],
    );
  });

  test("what is no policy is a TypeError", () => {
    for (const wrong of ["best", 7, null, {}, undefined]) {
      assert.throws(() => chooserOf(wrong as never), TypeError);
    }
  });
});
