/** list.test.ts: the linked list against an array. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../../testing/support.ts";
import { List, ListEntry } from "./list.ts";

class Item extends ListEntry {
  readonly name: number;

  constructor(name: number) {
    super();
    this.name = name;
  }
}

test("entries leave in their order, or from wherever they stand", (t) => {
  const random = seeded(t);
  const list = new List<Item>();
  const model: Item[] = [];
  for (let i = 0; i < 5000; i++) {
    const action = random.below(6);
    if (action <= 1) {
      const item = new Item(i);
      list.push(item);
      model.push(item);
    } else if (action === 2) {
      assert.equal(list.shift(), model.shift());
    } else if (action === 3) {
      assert.equal(list.pop(), model.pop());
    } else if (model.length > 0) {
      const [item] = model.splice(random.below(model.length), 1) as [Item];
      assert.equal(list.remove(item), true);
      assert.equal(list.remove(item), false);
    }
    assert.equal(list.length, model.length);
    assert.equal(list.peek(), model[0]);
  }
  while (model.length > 0) assert.equal(list.shift()?.name, model.shift()?.name);
  assert.equal(list.shift(), undefined);
  assert.equal(list.pop(), undefined);
});

test("an entry that left can be put into another list, and the former leaves it alone", () => {
  const [one, other] = [new List<Item>(), new List<Item>()];
  const item = new Item(1);
  one.push(item);
  assert.equal(other.remove(item), false);
  assert.equal(one.shift(), item);
  other.push(item);
  assert.equal(one.remove(item), false);
  assert.equal(other.length, 1);
  assert.equal(other.shift(), item);
});

test("every entry is visited, also when the visited one leaves", () => {
  const list = new List<Item>();
  const items = Array.from({ length: 5 }, (_, i) => new Item(i));
  for (const item of items) list.push(item);
  const seen: number[] = [];
  list.forEach((item) => {
    seen.push(item.name);
    if (item.name % 2 === 0) list.remove(item);
  });
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  assert.deepEqual([list.shift()?.name, list.shift()?.name, list.shift()], [1, 3, undefined]);
  list.forEach(() => {
    assert.fail("it is empty");
  });
});
