/** host.test.ts: what the runtime asks of Node's loop. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { EPOLL_CTL_ADD, EPOLLET, EPOLLIN } from "../syscall/constants.ts";
import type { LoopKernel, PollHandle } from "../syscall/kernel.ts";
import { nativeKernel } from "../syscall/native.ts";
import { NodeHost } from "./host.ts";

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const noLoop: LoopKernel = {
  pollOpen: () => -38,
  pollRef: () => assert.fail("nothing is watched"),
  pollClose: () => {},
};

describe("the host's timer", () => {
  test("fires once, and never before its time", async () => {
    const host = new NodeHost(noLoop);
    for (const ms of [1, 2.3, 10]) {
      const before = performance.now();
      await new Promise<void>((resolve) => {
        // It keeps nothing alive by itself.
        const keep = setTimeout(() => assert.fail("it did not fire"), 10_000);
        host.setTimer(ms, () => {
          clearTimeout(keep);
          resolve();
        });
      });
      // libuv counts in whole milliseconds and may begin in the middle of one.
      assert.ok(performance.now() - before > ms - 1.5);
    }
  });

  test("replaces the one that was set before", async () => {
    const host = new NodeHost(noLoop);
    const fired: string[] = [];
    host.setTimer(1, () => fired.push("first"));
    await new Promise<void>((resolve) => {
      const keep = setTimeout(() => {}, 10_000);
      host.setTimer(5, () => {
        fired.push("second");
        clearTimeout(keep);
        resolve();
      });
    });
    assert.deepEqual(fired, ["second"]);
  });

  test("for longer than Node can count is not taken for a short one", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on("warning", onWarning);
    const host = new NodeHost(noLoop);
    let fired = false;
    host.setTimer(1e12, () => {
      fired = true;
    });
    // Node makes 1 ms of what it cannot count, and warns.
    await new Promise((resolve) => setTimeout(resolve, 20));
    host.setTimer(1, () => {});
    process.off("warning", onWarning);
    assert.equal(fired, false);
    assert.deepEqual(warnings, []);
  });

  test("does not keep the process alive", () => {
    const module = JSON.stringify(new URL("./host.js", import.meta.url).href);
    const code = `
      import { NodeHost } from ${module};
      new NodeHost({}).setTimer(60_000, () => {});
    `;
    const { status, signal } = spawnSync(
      process.execPath,
      ["--input-type=module", "--eval", code],
      { timeout: 30_000 },
    );
    assert.deepEqual([status, signal], [0, null]);
  });
});

test("soon() comes in the next turn, in order", async () => {
  const host = new NodeHost(noLoop);
  const order: number[] = [];
  host.soon(() => order.push(1));
  host.soon(() => order.push(2));
  await Promise.resolve();
  assert.deepEqual(order, []);
  await nextTurn();
  assert.deepEqual(order, [1, 2]);
});

describe("watch()", () => {
  test("says what the loop's refusal was", () => {
    const host = new NodeHost(noLoop);
    const array = new Int32Array(6);
    assert.throws(() => host.watch(3, array, array, () => {}), /refused the poller \(errno 38\)/);
    host.ref();
  });

  test("calls back with the events of the epoll fd, and releases when nobody is parked", async () => {
    const kernel = nativeKernel();
    const opened: PollHandle[] = [];
    const loop: LoopKernel = {
      pollOpen: (...args) => {
        const handle = kernel.pollOpen(...args);
        assert.ok(typeof handle !== "number");
        opened.push(handle);
        return handle;
      },
      pollRef: (handle) => kernel.pollRef(handle),
      pollClose: () => {},
    };
    const epfd = kernel.epollCreate1();
    const eventfd = kernel.eventfd();
    const events = new Int32Array(new SharedArrayBuffer(96));
    const counters = new Int32Array(new SharedArrayBuffer(64));
    const host = new NodeHost(loop);
    const batch = new Promise<number[]>((resolve) => {
      host.watch(epfd, events, counters, (n) => resolve([...events.subarray(0, n * 3)]));
    });
    kernel.epollCtl(epfd, EPOLL_CTL_ADD, eventfd, EPOLLIN | EPOLLET, 5, 9);
    counters[0] = 1;
    host.ref();
    assert.equal(counters[1], 1);
    const one = new Uint8Array(new BigUint64Array([1n]).buffer);
    kernel.write(eventfd, one, 0, 8);
    assert.deepEqual(await batch, [5, 9, EPOLLIN]);
    assert.equal(counters[1], 1, "somebody is parked still");
    counters[0] = 0;
    await nextTurn();
    await nextTurn();
    assert.equal(counters[1], 0);
    kernel.pollClose(opened[0] as PollHandle);
    for (const fd of [epfd, eventfd]) assert.equal(kernel.close(fd), 0);
  });
});
