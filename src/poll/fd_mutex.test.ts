/** fd_mutex.test.ts: the queue for a lock, with operations that are canceled in the middle. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../../testing/support.ts";
import { Queue } from "./fd_mutex.ts";
import type { Op } from "./op.ts";

/** What the queue looks at. */
interface Waiting {
  name: number;
  settled: boolean;
}

/** How many entries it holds, canceled ones included. */
function held(queue: Queue): number {
  return (queue as unknown as { ring: { length: number } }).ring.length;
}

test("serves those that still wait in their order, and passes over the canceled", (t) => {
  const random = seeded(t);
  const queue = new Queue();
  let model: Waiting[] = [];
  for (let i = 0; i < 10_000; i++) {
    const action = random.below(5);
    if (action <= 1) {
      const op = { name: i, settled: false };
      queue.push(op as never);
      model.push(op);
    } else if (action === 2) {
      assert.equal(queue.shift(), model.shift() as unknown as Op<never> | undefined);
    } else if (model.length > 0) {
      const [op] = model.splice(random.below(model.length), 1) as [Waiting];
      op.settled = true;
      queue.onCanceled();
    }
    if (i % 1000 === 0) {
      assert.deepEqual(queue.shiftAll(), model);
      model = [];
    }
    assert.ok(held(queue) <= 2 * model.length + 20, `${held(queue)} held for ${model.length}`);
  }
});

test("holds few canceled operations, however many there are while one waits", () => {
  const queue = new Queue();
  const waiting = { name: 0, settled: false };
  queue.push(waiting as never);
  for (let i = 0; i < 10_000; i++) {
    const op = { name: i, settled: false };
    queue.push(op as never);
    op.settled = true;
    queue.onCanceled();
    assert.ok(held(queue) < 50);
  }
  assert.equal(queue.shift(), waiting as never);
  assert.equal(queue.shift(), undefined);
});
