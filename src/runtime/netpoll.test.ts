/** netpoll.test.ts: the poll descriptor's states, and the pool that descriptors come from. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  ARMED,
  HANGUP,
  PollCache,
  PollDesc,
  parkRead,
  parkWrite,
  READY,
  readyRead,
  readyWrite,
  URGENT,
} from "./netpoll.ts";
import type { Waiter } from "./sched.ts";

function waiter(): Waiter {
  return { ready: () => assert.fail("nobody may run during the walk") };
}

/** Both sides of a descriptor, so that what holds for one is tested for the other. */
const sides = [
  { name: "reader", field: "rg", park: parkRead, ready: readyRead },
  { name: "writer", field: "wg", park: parkWrite, ready: readyWrite },
] as const;

for (const { name, field, park, ready } of sides) {
  const other = field === "rg" ? "wg" : "rg";

  describe(`the ${name}'s semaphore`, () => {
    test("is ready on a new descriptor: nothing is known against trying", () => {
      assert.equal(new PollDesc(0, 1)[field], READY);
    });

    test("a goroutine parks on it where nobody waits", () => {
      const pd = new PollDesc(0, 1);
      const g = waiter();
      pd[field] = null;
      park(pd, g);
      assert.equal(pd[field], g);
      assert.equal(pd[other], READY);
    });

    test(`a second ${name} throws, and the first stays`, () => {
      const pd = new PollDesc(0, 1);
      const g = waiter();
      park(pd, g);
      assert.throws(
        () => park(pd, waiter()),
        new RegExp(`second ${name} parked on one descriptor`),
      );
      assert.throws(() => park(pd, g), /second/);
      assert.equal(pd[field], g);
    });

    test("an event makes it ready and its goroutine runnable, once, and runs nothing", () => {
      const pd = new PollDesc(0, 1);
      const g = waiter();
      const runnable: Waiter[] = [];
      park(pd, g);
      ready(pd, runnable);
      assert.deepEqual(runnable, [g]);
      assert.equal(pd[field], READY);
      ready(pd, runnable);
      assert.deepEqual(runnable, [g]);
    });

    test("an event without a goroutine is remembered for the next one", () => {
      const pd = new PollDesc(0, 1);
      const runnable: Waiter[] = [];
      pd[field] = null;
      ready(pd, runnable);
      assert.deepEqual(runnable, []);
      assert.equal(pd[field], READY);
    });

    test("follows its three states through any sequence of events", () => {
      const step = fc.constantFrom("event", "park", "would block");
      fc.assert(
        fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
          const pd = new PollDesc(0, 1);
          let state: "null" | "ready" | "parked" = "ready";
          let parked: Waiter | undefined;
          for (const what of steps) {
            const runnable: Waiter[] = [];
            if (what === "event") {
              ready(pd, runnable);
              assert.deepEqual(runnable, parked === undefined ? [] : [parked]);
              state = "ready";
              parked = undefined;
            } else if (what === "would block" && state !== "parked") {
              pd[field] = null;
              state = "null";
            } else if (what === "park") {
              const g = waiter();
              if (state === "parked") assert.throws(() => park(pd, g));
              else {
                park(pd, g);
                parked = g;
                state = "parked";
              }
            }
            const expected: Waiter | null = state === "ready" ? READY : (parked ?? null);
            assert.equal(pd[field], expected);
            assert.equal(pd[other], READY);
          }
        }),
      );
    });
  });
}

describe("PollCache", () => {
  test("a descriptor is new: ready on both sides, not armed, without history", () => {
    const cache = new PollCache();
    const pd = cache.alloc();
    pd.flags = ARMED | HANGUP | URGENT;
    pd.rg = waiter();
    pd.wg = null;
    cache.free(pd);
    const again = cache.alloc();
    assert.equal(again, pd, "descriptors are reused");
    assert.equal(again.rg, READY);
    assert.equal(again.wg, READY);
    assert.equal(again.flags, 0);
  });

  test("finds the descriptor of a slot and sequence number", () => {
    const cache = new PollCache();
    const a = cache.alloc();
    const b = cache.alloc();
    assert.equal(cache.find(a.slot, a.seq), a);
    assert.equal(cache.find(b.slot, b.seq), b);
  });

  test("drops what belongs to nobody", () => {
    const cache = new PollCache();
    const pd = cache.alloc();
    for (const slot of [-1, -2, 1, 77, 0x7fff_ffff, -0x8000_0000]) {
      assert.equal(cache.find(slot, pd.seq), undefined);
    }
    assert.equal(cache.find(pd.slot, pd.seq + 1), undefined);
    assert.equal(cache.find(pd.slot, 0), undefined);
  });

  test("drops an event of an earlier use of the same slot", () => {
    const cache = new PollCache();
    const { slot, seq } = cache.alloc();
    cache.free(cache.find(slot, seq) as PollDesc);
    assert.equal(cache.find(slot, seq), undefined);
    const heir = cache.alloc();
    assert.equal(heir.slot, slot);
    assert.notEqual(heir.seq, seq);
    assert.equal(cache.find(slot, seq), undefined);
    assert.equal(cache.find(slot, heir.seq), heir);
  });

  test("a descriptor that is freed holds on to nobody", () => {
    const cache = new PollCache();
    const pd = cache.alloc();
    parkRead(pd, waiter());
    parkWrite(pd, waiter());
    cache.free(pd);
    assert.equal(pd.rg, null);
    assert.equal(pd.wg, null);
  });

  test("freeing twice throws", () => {
    const cache = new PollCache();
    const pd = cache.alloc();
    cache.free(pd);
    assert.throws(() => cache.free(pd), /freed twice/);
  });

  test("counts what is in use and what was ever handed out", () => {
    const cache = new PollCache();
    const all = Array.from({ length: 10 }, () => cache.alloc());
    for (const pd of all.slice(0, 4)) cache.free(pd);
    cache.alloc();
    assert.equal(cache.size, 7);
    assert.equal(cache.allocated, 11);
  });

  test("keeps only so many for reuse, and works beyond that", () => {
    const cache = new PollCache();
    const all = Array.from({ length: 2000 }, () => cache.alloc());
    for (const pd of all) cache.free(pd);
    const again = Array.from({ length: 2000 }, () => cache.alloc());
    const reused = again.filter((pd) => all.includes(pd)).length;
    assert.ok(reused > 0 && reused < 1000, `${reused} were reused`);
    assert.equal(new Set(again.map((pd) => pd.slot)).size, 2000);
    assert.equal(
      new Set([...all, ...again].map((pd) => pd.seq)).size,
      new Set([...all, ...again]).size,
    );
  });

  test("the sequence goes on through all 32 bits, past the sign", () => {
    const cache = new PollCache();
    const state = cache as unknown as { sequence: number };
    state.sequence = 0x7fff_ffff;
    const pd = cache.alloc();
    assert.equal(pd.seq, -0x8000_0000);
    assert.equal(cache.find(pd.slot, pd.seq), pd);
    assert.equal(cache.alloc().seq, -0x7fff_ffff);
  });

  test("never uses a slot twice at once, nor a sequence number twice at all", () => {
    const step = fc.oneof(
      fc.constant({ kind: "alloc" as const }),
      fc.record({ kind: fc.constant("free" as const), which: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const cache = new PollCache();
        const live = new Map<PollDesc, number>();
        const gone: { slot: number; seq: number }[] = [];
        const sequences = new Set<number>();
        for (const action of steps) {
          if (action.kind === "alloc") {
            const pd = cache.alloc();
            assert.ok(!sequences.has(pd.seq));
            sequences.add(pd.seq);
            assert.ok(![...live.keys()].some((other) => other === pd || other.slot === pd.slot));
            live.set(pd, pd.seq);
          } else if (live.size > 0) {
            const pd = [...live.keys()][action.which % live.size] as PollDesc;
            gone.push({ slot: pd.slot, seq: pd.seq });
            live.delete(pd);
            cache.free(pd);
          }
          assert.equal(cache.size, live.size);
        }
        for (const [pd, seq] of live) assert.equal(cache.find(pd.slot, seq), pd);
        for (const { slot, seq } of gone) assert.equal(cache.find(slot, seq), undefined);
      }),
    );
  });
});
