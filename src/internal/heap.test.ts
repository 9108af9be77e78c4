/** heap.test.ts: the heap of timers against a sorted array. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../../testing/support.ts";
import { Heap, type HeapEntry } from "./heap.ts";

class Entry implements HeapEntry {
  when: number;
  index = -1;

  constructor(when: number) {
    this.when = when;
  }
}

function earliest(entries: readonly Entry[]): number | undefined {
  return entries.length === 0 ? undefined : Math.min(...entries.map(({ when }) => when));
}

test("the top is the earliest, whatever is added, moved or taken out of the middle", (t) => {
  const random = seeded(t);
  const heap = new Heap<Entry>();
  const model: Entry[] = [];
  for (let i = 0; i < 5000; i++) {
    const action = random.below(4);
    const chosen = model[random.below(Math.max(1, model.length))];
    if (action <= 1 || chosen === undefined) {
      const entry = new Entry(random.below(1000));
      heap.push(entry);
      model.push(entry);
    } else if (action === 2) {
      heap.remove(chosen);
      model.splice(model.indexOf(chosen), 1);
      assert.equal(chosen.index, -1);
    } else {
      chosen.when = random.below(1000);
      heap.update(chosen);
    }
    assert.equal(heap.size, model.length);
    assert.equal(heap.peek()?.when, earliest(model));
  }
  const out: number[] = [];
  for (let top = heap.peek(); top !== undefined; top = heap.peek()) {
    heap.remove(top);
    out.push(top.when);
  }
  assert.deepEqual(
    out,
    model.map(({ when }) => when).sort((a, b) => a - b),
  );
});

test("taking out an entry that is outside changes nothing", () => {
  const heap = new Heap<Entry>();
  const inside = new Entry(5);
  heap.push(inside);
  heap.remove(new Entry(1));
  assert.equal(heap.peek(), inside);
  heap.remove(inside);
  heap.remove(inside);
  assert.equal(heap.size, 0);
  assert.equal(heap.peek(), undefined);
});
