/** clock.test.ts: the system's clock, also while somebody replaces the global one. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { systemClock } from "./clock.ts";

test("the monotonic reading never goes back, and both go on at the same pace", async () => {
  const [now, wall] = [systemClock.now(), systemClock.wall()];
  let last = now;
  for (let i = 0; i < 1000; i++) {
    const next = systemClock.now();
    assert.ok(next >= last);
    last = next;
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  const apart = systemClock.now() - now - (systemClock.wall() - wall);
  assert.ok(Math.abs(apart) < 1000, `${apart} ms apart`);
});

test("a test that replaces Date does not move it", () => {
  mock.timers.enable({ apis: ["Date"], now: 0 });
  try {
    assert.equal(Date.now(), 0);
    assert.ok(systemClock.wall() > 1_000_000_000_000);
  } finally {
    mock.timers.reset();
  }
});
