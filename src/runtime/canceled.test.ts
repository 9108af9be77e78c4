/** canceled.test.ts: waits that a signal cancels. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { type Cancelable, CanceledError, SignalLink } from "./canceled.ts";
import { endsQuietly } from "./panic.ts";

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

class Waiting implements Cancelable {
  canceled = 0;
  onCanceled: () => void = () => {};

  onAbort(): void {
    this.canceled++;
    this.onCanceled();
  }
}

describe("a link to a signal", () => {
  test("tells its wait once that the signal was aborted, with the reason", () => {
    const controller = new AbortController();
    const waiting = new Waiting();
    const link = new SignalLink(controller.signal, waiting);
    const reason = new Error("enough");
    controller.abort(reason);
    controller.abort(new Error("again"));
    assert.equal(waiting.canceled, 1);
    assert.equal(link.reason, reason);
  });

  test("that was removed tells nothing and leaves nothing", () => {
    const controller = new AbortController();
    const waiting = new Waiting();
    const link = new SignalLink(controller.signal, waiting);
    link.remove();
    link.remove();
    assert.equal(listeners(controller.signal), 0);
    controller.abort();
    assert.equal(waiting.canceled, 0);
  });

  test("a thousand of them are one listener, and the last one to go takes it away", () => {
    const { signal } = new AbortController();
    const links = Array.from({ length: 1000 }, () => new SignalLink(signal, new Waiting()));
    assert.equal(listeners(signal), 1);
    for (const link of links.slice(1)) link.remove();
    assert.equal(listeners(signal), 1);
    links[0]?.remove();
    assert.equal(listeners(signal), 0);
    new SignalLink(signal, new Waiting()).remove();
    assert.equal(listeners(signal), 0);
  });

  test("all that are left are told, oldest first", () => {
    const controller = new AbortController();
    const order: number[] = [];
    const links = [0, 1, 2, 3, 4].map((i) => {
      const waiting = new Waiting();
      waiting.onCanceled = () => order.push(i);
      return new SignalLink(controller.signal, waiting);
    });
    links[2]?.remove();
    controller.abort();
    assert.deepEqual(order, [0, 1, 3, 4]);
    assert.equal(listeners(controller.signal), 0);
  });

  test("one that is removed while the signal is being aborted is not told", () => {
    const controller = new AbortController();
    const first = new Waiting();
    const second = new Waiting();
    new SignalLink(controller.signal, first);
    const link = new SignalLink(controller.signal, second);
    first.onCanceled = () => link.remove();
    controller.abort();
    assert.deepEqual([first.canceled, second.canceled], [1, 0]);
  });

  test("signals do not mix", () => {
    const one = new AbortController();
    const two = new AbortController();
    const waiting = [new Waiting(), new Waiting()] as const;
    new SignalLink(one.signal, waiting[0]);
    const link = new SignalLink(two.signal, waiting[1]);
    one.abort();
    assert.deepEqual([waiting[0].canceled, waiting[1].canceled], [1, 0]);
    link.remove();
  });
});

test("a canceled wait names itself, keeps the reason, and ends its goroutine quietly", () => {
  const reason = new Error("enough");
  const error = new CanceledError("receive", reason);
  assert.equal(error.code, "ERR_CANCELED");
  assert.equal(error.cause, reason);
  assert.match(error.message, /^receive: operation was canceled/);
  assert.ok(endsQuietly(error));
});
