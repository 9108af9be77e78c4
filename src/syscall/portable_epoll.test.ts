/** portable_epoll.test.ts: what a poller relies on, of an epoll in JavaScript. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "./constants.ts";
import { Interest, PortableEpoll } from "./portable_epoll.ts";

function make(count: number): { epoll: PortableEpoll; interests: Interest[]; calls(): number } {
  const epoll = new PortableEpoll();
  let calls = 0;
  epoll.onReady = () => calls++;
  const interests = Array.from({ length: count }, (_, i) => new Interest(epoll, i, 100 + i));
  return { epoll, interests, calls: () => calls };
}

test("events of one fd are one event, and are told once", () => {
  const { epoll, interests, calls } = make(2);
  const [a, b] = interests as [Interest, Interest];
  a.notify(true, false, false);
  a.notify(false, true, false);
  b.notify(true, false, true);
  a.notify(true, false, false);
  assert.equal(calls(), 1);
  const events = new Int32Array(9);
  assert.equal(epoll.collect(events), 2);
  assert.deepEqual(
    [...events.subarray(0, 6)],
    [0, 100, EPOLLIN | EPOLLOUT, 1, 101, EPOLLIN | EPOLLRDHUP],
  );
  assert.equal(epoll.collect(events), 0);
  a.notify(true, false, false);
  assert.equal(calls(), 2);
});

test("what does not fit comes next, and is announced again", () => {
  const { epoll, interests, calls } = make(5);
  for (const interest of interests) interest.notify(true, false, false);
  const events = new Int32Array(6);
  const slots: number[] = [];
  for (let n = epoll.collect(events); n > 0; n = epoll.collect(events)) {
    for (let i = 0; i < n; i++) slots.push(events[3 * i] as number);
  }
  assert.deepEqual(slots, [0, 1, 2, 3, 4]);
  assert.equal(calls(), 3);
});

test("the events of an fd that was closed are none", () => {
  const { epoll, interests } = make(2);
  for (const interest of interests) interest.notify(true, false, false);
  interests[0]?.end();
  const events = new Int32Array(6);
  assert.equal(epoll.collect(events), 1);
  assert.equal(events[0], 1);
});
