/** ring.test.ts: the circular queue against a plain array. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../../testing/support.ts";
import { Ring } from "./ring.ts";

const needsGC = globalThis.gc === undefined && "needs --expose-gc";

test("a ring gives back what was put in, in order, at every length", (t) => {
  const random = seeded(t);
  const ring = new Ring<number>();
  const model: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    // Long runs of one kind, so that it grows beyond its first size and runs empty again.
    const pushing = random.chance(i % 4000 < 2000 ? 0.7 : 0.3);
    if (pushing) {
      ring.push(i);
      model.push(i);
    } else {
      assert.equal(ring.shift(), model.shift());
    }
    assert.equal(ring.length, model.length);
  }
  while (model.length > 0) assert.equal(ring.shift(), model.shift());
  assert.equal(ring.shift(), undefined);
  assert.equal(ring.length, 0);
});

/** Puts objects through a ring; references to them that hold none of them. */
function passThrough(ring: Ring<object>, count: number): WeakRef<object>[] {
  const refs: WeakRef<object>[] = [];
  for (let i = 0; i < count; i++) {
    const item = { i };
    refs.push(new WeakRef(item));
    ring.push(item);
  }
  while (ring.shift() !== undefined);
  return refs;
}

test("a ring holds nothing that has left it", { skip: needsGC }, async () => {
  const ring = new Ring<object>();
  const refs = passThrough(ring, 100);
  // The references count as used until the end of this job.
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc?.();
  assert.equal(refs.filter((ref) => ref.deref() !== undefined).length, 0);
  assert.equal(ring.length, 0);
});
