import assert from "node:assert/strict";
import { test } from "node:test";
import { Child, run } from "../../test/child.ts";
import { go, type LongHold, sleep, startSysmon, stats } from "../index.ts";

function spin(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

test("a hold is reported with its goroutine, place of start, duration and running stack", async () => {
  const before = stats().longHolds;
  const holds: LongHold[] = [];
  const sysmon = await startSysmon({ threshold: 40, onLongHold: (hold) => holds.push(hold) });
  try {
    const g = go(async function hog() {
      await sleep(1);
      (function burning() {
        spin(200);
      })();
    });
    await g.join();
    while (holds.length === 0) await sleep(5);
    const [hold] = holds;
    assert.equal(hold?.goroutine, g.id);
    assert.equal(hold?.name, "hog");
    assert.equal(hold?.thread, 0);
    assert.match(String(hold?.origin), /sysmon\.test/);
    assert.ok(Number(hold?.milliseconds) >= 200);
    assert.match(String(hold?.stack), /burning/);
    assert.ok(stats().longHolds > before);
    assert.ok(sysmon.longHolds > 0);
  } finally {
    await sysmon.stop();
  }
});

test("a second sysmon, and a threshold that is no time, are refused", async () => {
  const sysmon = await startSysmon({ threshold: 1000 });
  await assert.rejects(startSysmon(), /runs already/);
  await sysmon.stop();
  await sysmon.stop();
  await using again = await startSysmon({ threshold: 1000 });
  assert.equal(again.longHolds, 0);
  await assert.rejects(startSysmon({ threshold: 0 }), RangeError);
});

test("by default one line is printed", async () => {
  const { status, stderr, stdout } = await run("long_hold", ["print"]);
  assert.equal(status, 0);
  const pattern =
    /^coronet sysmon: goroutine \d+ \[hog\] held thread 0 for \d+ ms, started at \S*long_hold\S*, running .*spin/m;
  assert.match(stderr, pattern);
  assert.match(stdout, /counted [1-9]/);
});

test("a goroutine on another thread is reported by that thread's number", async () => {
  const { stderr, stdout } = await run("long_hold", ["thread"]);
  assert.match(stderr, /goroutine \d+ \[hog\] held thread [1-9]\d* for \d+ ms, started at \S+$/m);
  assert.match(stdout, /thread counted [1-9]/);
  assert.match(stdout, /counted \d here, [1-9] in all/);
});

test("a goroutine that never ends is reported while it runs", async () => {
  await using child = new Child("long_hold", ["endless"]);
  const line = await new Promise<string>((resolve) =>
    child.process.stderr.once("data", (text: string) => resolve(text)),
  );
  assert.match(line, /goroutine \d+ \[hog\] has been holding thread 0 for \d+ ms.*running .*spin/);
});

test("short runs between awaits are nobody's concern", async () => {
  const { stderr, stdout } = await run("long_hold", ["others"]);
  assert.equal(stderr, "");
  assert.match(stdout, /counted 0 here, 0 in all/);
});
