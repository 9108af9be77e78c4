/** observers.test.ts: several tools share the observer's slots, and leave them as they were. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { observer } from "../runtime/observer.ts";
import { attach } from "./observers.ts";

describe("attach", () => {
  test("puts one tool's function into its slot itself, and null back", () => {
    const exhausted = (): void => {};
    const detach = attach({ exhausted });
    assert.equal(observer.exhausted, exhausted);
    assert.equal(observer.queued, null);
    detach();
    assert.equal(observer.exhausted, null);
  });

  test("calls several in the order in which they came, with all arguments", () => {
    const heard: unknown[] = [];
    const tools = ["a", "b", "c"].map((name) =>
      attach({ released: (...args) => heard.push([name, ...args]) }),
    );
    const [object, waiter] = [{}, {}];
    observer.released?.(object, "units", waiter, 3, "key");
    const args = [object, "units", waiter, 3, "key"];
    assert.deepEqual(heard, [
      ["a", ...args],
      ["b", ...args],
      ["c", ...args],
    ]);
    tools[1]?.();
    heard.length = 0;
    observer.released?.(object, "lock");
    assert.deepEqual(
      heard.map((each) => (each as unknown[])[0]),
      ["a", "c"],
    );
    for (const detach of tools) detach();
    assert.equal(observer.released, null);
  });

  test("keeps what a test has put into a slot", () => {
    const seen: string[] = [];
    const own = (): void => {
      seen.push("own");
    };
    observer.exhausted = own;
    const detach = attach({ exhausted: () => seen.push("tool") });
    observer.exhausted();
    assert.deepEqual(seen, ["own", "tool"]);
    detach();
    detach();
    assert.equal(observer.exhausted, own);
    observer.exhausted = null;
  });
});
