/** origin.test.ts: where a goroutine was started, as far as that is recorded. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type AnyFunction, type Goroutine, go } from "./goroutine.ts";
import { originOf, recordOrigin } from "./origin.ts";

/** The line of this file from which the function that calls it is called. */
function lineHere(): number {
  const frames = String(new Error().stack).split("\n");
  return Number(/:(\d+):\d+\)?$/.exec(frames[2] as string)?.[1]);
}

function lineOf(g: Goroutine<unknown>): number[] {
  const places = (g.origin ?? "").split(" or ");
  return places.map((place) => Number(/:(\d+):\d+$/.exec(place)?.[1]));
}

// Compiled code is what runs, so lines are compared with what the same code says of itself.
describe("the origin of a goroutine", () => {
  test("is the file and line where go() was called", () => {
    const g = go(() => {});
    assert.match(g.origin as string, /origin\.test\.[jt]s:\d+:\d+$/);
  });

  test("is that line and no other", () => {
    const [g, line] = [go(() => {}), lineHere()] as const;
    assert.deepEqual(lineOf(g as Goroutine<unknown>), [line]);
  });

  test("of a function that is started from one place is that place, also for the thousandth", () => {
    function handler(): void {}
    const all = Array.from({ length: 1000 }, () => go(handler));
    const first = all[0]?.origin;
    assert.match(first as string, /origin\.test/);
    for (const g of all) assert.equal(g.origin, first);
  });

  test("of a function that is started from two places names both", () => {
    function handler(): void {}
    const one = go(handler);
    assert.equal(lineOf(one as Goroutine<unknown>).length, 1);
    const two = go(handler);
    assert.equal(two.origin, one.origin);
    const lines = lineOf(two as Goroutine<unknown>);
    assert.equal(new Set(lines).size, 2);
  });

  test("names at most a few places", () => {
    function handler(): void {}
    const starts: (() => Goroutine<void>)[] = [
      () => go(handler),
      () => go(handler),
      () => go(handler),
      () => go(handler),
      () => go(handler),
      () => go(handler),
    ];
    const last = starts.map((start) => start()).at(-1) as Goroutine<unknown>;
    assert.equal(lineOf(last).length, 4);
  });

  test("is unknown for a function that was never started", () => {
    assert.equal(
      originOf(() => {}),
      undefined,
    );
  });

  test("is unknown for a closure when more are started than may be looked at", () => {
    const all = Array.from({ length: 2000 }, () => go((() => {}) as AnyFunction));
    const unknown = all.filter((g) => g.origin === undefined).length;
    assert.ok(unknown > 1000 && unknown < 2000, `${unknown} of 2000 are unknown`);
    for (const g of all) if (g.origin !== undefined) assert.match(g.origin, /origin\.test/);
  });

  test("leaves the limit of stack traces as it was", () => {
    const before = Error.stackTraceLimit;
    Error.stackTraceLimit = 7;
    recordOrigin(() => {}, recordOrigin);
    assert.equal(Error.stackTraceLimit, 7);
    Error.stackTraceLimit = before;
  });
});

test("with CORONET_TRACEBACK=all every closure's origin is known", () => {
  const module = new URL("./goroutine.js", import.meta.url).href;
  const code = `
    import { go } from ${JSON.stringify(module)};
    const all = Array.from({ length: 2000 }, () => go(() => {}));
    console.log(all.filter((g) => g.origin === undefined).length);
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", code], {
    encoding: "utf8",
    env: { ...process.env, CORONET_TRACEBACK: "all" },
    cwd: fileURLToPath(new URL(".", import.meta.url)),
  });
  assert.equal(stdout.trim(), "0", stderr);
});
