/** profile.test.ts: what profiles say, decoded and as `go tool pprof` reads it. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { Profile } from "pprof-format";
import { Chan } from "../../chan/chan.ts";
import { serve } from "../../http/serve.ts";
import { go } from "../../runtime/goroutine.ts";
import { Mutex } from "../../sync/mutex.ts";
import { sleep } from "../../time/sleep.ts";
import { currentLabels, labels, setLabels } from "../labels.ts";
import { watchGoroutines } from "../registry.ts";
import { setBlockProfileRate, setMutexProfileFraction } from "./contention.ts";
import { pprofHandler } from "./handler.ts";
import { setHeapProfileRate } from "./inspector.ts";
import { profile } from "./profile.ts";

interface Sample {
  /** "function file:line", innermost first. */
  stack: string[];
  values: number[];
  labels: Record<string, string>;
}

interface Decoded {
  kinds: string[];
  period: string;
  duration: number;
  samples: Sample[];
}

function decode(bytes: Uint8Array): Decoded {
  const raw = Profile.decode(gunzipSync(bytes));
  const text = (index: number | bigint): string => raw.stringTable.strings[Number(index)] as string;
  const functions = new Map(raw.function.map((fn) => [Number(fn.id), fn]));
  const locations = new Map(raw.location.map((at) => [Number(at.id), at]));
  const nameOf = (id: number | bigint): string => {
    const [line] = locations.get(Number(id))?.line ?? [];
    const fn = functions.get(Number(line?.functionId));
    assert.ok(line !== undefined && fn !== undefined);
    return `${text(fn.name)} ${text(fn.filename)}:${line.line}`;
  };
  return {
    kinds: raw.sampleType.map(({ type, unit }) => `${text(type)}/${text(unit)}`),
    period: `${text(raw.periodType?.type ?? 0)}/${text(raw.periodType?.unit ?? 0)}`,
    duration: Number(raw.durationNanos),
    samples: raw.sample.map(({ locationId, value, label }) => ({
      stack: locationId.map(nameOf),
      values: value.map(Number),
      labels: Object.fromEntries(label.map(({ key, str }) => [text(key), text(str)])),
    })),
  };
}

function total(samples: readonly Sample[], value: number): number {
  return samples.reduce((sum, { values }) => sum + (values[value] as number), 0);
}

function burnFor(ms: number): number {
  let x = 0;
  for (const end = performance.now() + ms; performance.now() < end; ) {
    for (let i = 0; i < 10_000; i++) x += Math.sqrt(x + i);
  }
  return x;
}

/** Called once: V8 does not put it into its caller. */
function spin(): void {
  for (const end = performance.now() + 250; performance.now() < end; ) JSON.stringify({ end });
}

const goTool = spawnSync("go", ["version"]).status === 0;
const skip = goTool ? false : "Go is not installed";

/** What `go tool pprof` says. Does not hold this thread up, which may be the one that serves. */
async function pprof(...args: string[]): Promise<string> {
  const env = { ...process.env, PPROF_TMPDIR: tmpdir() };
  const { stdout } = await promisify(execFile)("go", ["tool", "pprof", ...args], { env });
  return stdout;
}

async function pprofTop(bytes: Uint8Array, ...args: string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "coronet-pprof-"));
  try {
    const file = join(folder, "profile.pprof");
    writeFileSync(file, bytes);
    return await pprof("-top", ...args, file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("a CPU profile", () => {
  test("has the function that burns in front, with its labels, and times that add up", async () => {
    const taken = profile("cpu", { seconds: 0.5 });
    await labels({ route: "/burn" }, async () => {
      await sleep(1);
      burnFor(300);
    });
    const decoded = decode(await taken);
    assert.deepEqual(decoded.kinds, ["samples/count", "cpu/nanoseconds"]);
    assert.equal(decoded.period, "cpu/nanoseconds");
    const burning = decoded.samples.filter(({ stack }) =>
      stack.some((s) => s.startsWith("burnFor")),
    );
    assert.match(burning[0]?.stack[0] ?? "", /profile\.test\.[jt]s:\d+/);
    const nanoseconds = total(burning, 1);
    assert.ok(nanoseconds > 100e6 && nanoseconds < 1e9, `${nanoseconds} ns`);
    assert.ok(nanoseconds > total(decoded.samples, 1) / 2);
    const labelled = burning.filter((sample) => sample.labels.route === "/burn");
    assert.ok(total(labelled, 1) > nanoseconds * 0.8, "the labels are there");
    assert.ok(decoded.duration > 400e6);
  });

  test("opens with go tool pprof", { skip }, async () => {
    const taken = profile("cpu", { seconds: 0.4 });
    await sleep(1);
    spin();
    const top = await pprofTop(await taken, "-lines");
    assert.match(top, /Type: cpu/);
    const [first = ""] = top.split("\n").filter((line) => /^\s*[\d.]+m?s/.test(line));
    assert.match(first, /spin .*profile\.test\.js:\d+/);
  });

  test("is taken one at a time, and ends early with its signal", async () => {
    const stop = new AbortController();
    const taken = profile("cpu", { seconds: 60, signal: stop.signal });
    await assert.rejects(profile("cpu", { seconds: 1 }), /being taken already/);
    stop.abort();
    assert.deepEqual(decode(await taken).kinds, ["samples/count", "cpu/nanoseconds"]);
  });
});

describe("a heap profile", () => {
  let kept: unknown[] = [];
  function allocate(): void {
    kept = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `${i}` }));
  }

  test("has what was allocated since the rate was set", { skip }, async () => {
    setHeapProfileRate(32 * 1024);
    try {
      allocate();
      const bytes = await profile("heap");
      const { kinds, samples } = decode(bytes);
      assert.deepEqual(kinds, ["inuse_space/bytes"]);
      const own = samples.filter(({ stack }) =>
        stack.some((frame) => frame.startsWith("allocate ")),
      );
      assert.equal(kept.length, 200_000);
      assert.ok(total(own, 0) > 1e6, `${total(own, 0)} bytes`);
      assert.match(await pprofTop(bytes, "-cum"), /allocate/);
    } finally {
      setHeapProfileRate(0);
      kept = [];
    }
  });

  test("allocs has what is gone as well", async () => {
    const taken = profile("allocs", { seconds: 0.2 });
    for (let i = 0; i < 5; i++) allocate();
    kept = [];
    const { kinds, samples } = decode(await taken);
    assert.deepEqual(kinds, ["alloc_space/bytes"]);
    const own = samples.filter(({ stack }) => stack.some((frame) => frame.startsWith("allocate ")));
    assert.ok(total(own, 0) > 5e6, `${total(own, 0)} bytes`);
  });
});

describe("the profiles of waits", () => {
  async function waiter(ch: Chan<number>): Promise<void> {
    await ch.receive();
  }

  async function locker(mu: Mutex): Promise<void> {
    using _ = await mu.lock();
  }

  async function holder(mu: Mutex): Promise<void> {
    await mu.lock();
    await sleep(30);
    mu.unlock();
  }

  async function contend(): Promise<void> {
    const mu = new Mutex();
    const ch = new Chan<number>();
    const all = [go(holder, mu), go(locker, mu), go(locker, mu), go(waiter, ch)];
    await sleep(20);
    await ch.send(1);
    for (const g of all) await g.join();
  }

  test("block has who waited, mutex who held them up", { skip }, async () => {
    assert.equal(setBlockProfileRate(1), 0);
    assert.equal(setMutexProfileFraction(1), 0);
    try {
      await labels({ tenant: "a" }, contend);
      const bytes = await profile("block");
      const block = decode(bytes);
      assert.deepEqual(block.kinds, ["contentions/count", "delay/nanoseconds"]);
      const of = (name: string) => block.samples.filter(({ stack }) => stack[0]?.startsWith(name));
      assert.equal(total(of("locker"), 0), 2);
      assert.ok(total(of("locker"), 1) > 40e6, `${total(of("locker"), 1)} ns`);
      assert.equal(total(of("waiter"), 0), 1);
      assert.equal(of("waiter")[0]?.labels.tenant, "a");
      assert.match(await pprofTop(bytes), /locker/);

      const mutex = decode(await profile("mutex"));
      const held = mutex.samples.filter(({ stack }) => stack[0]?.startsWith("holder"));
      assert.ok(total(held, 1) > 20e6, JSON.stringify(mutex.samples));
      assert.ok(mutex.samples.every(({ stack }) => !stack[0]?.startsWith("waiter")));
    } finally {
      assert.equal(setBlockProfileRate(0), 1);
      assert.equal(setMutexProfileFraction(0), 1);
    }
  });

  test("with seconds they have what came in that time", async () => {
    setBlockProfileRate(1);
    try {
      await contend();
      const taken = profile("block", { seconds: 0.2 });
      await contend();
      const { samples } = decode(await taken);
      const lockers = samples.filter(({ stack }) => stack[0]?.startsWith("locker"));
      assert.equal(total(lockers, 0), 2);
    } finally {
      setBlockProfileRate(0);
    }
  });

  test("short waits are kept by chance, and weigh what they stand for", async () => {
    setBlockProfileRate(50e6);
    try {
      const taken = profile("block", { seconds: 1.2 });
      const ch = new Chan<number>();
      const g = go(async function shortWaits() {
        for (let i = 0; i < 200; i++) await ch.receive();
      });
      for (let i = 0; i < 200; i++) {
        await sleep(3);
        await ch.send(i);
      }
      await g.join();
      const { samples } = decode(await taken);
      const own = samples.filter(({ stack }) => stack[0]?.startsWith("shortWaits"));
      const seconds = total(own, 1) / 1e9;
      // About 12 of 200 are kept; the sum is right within a factor.
      assert.ok(seconds > 0.1 && seconds < 3, `${seconds} s`);
      assert.ok(own.length <= 1);
    } finally {
      setBlockProfileRate(0);
    }
  });
});

describe("a goroutine profile", () => {
  test("has every goroutine where it waits and where it was started", { skip }, async () => {
    const unwatch = watchGoroutines();
    const ch = new Chan<number>();
    async function stuck(): Promise<void> {
      await ch.receive();
    }
    const all = labels({ kind: "stuck" }, () => [go(stuck), go(stuck), go(stuck)]);
    try {
      await sleep(1);
      const bytes = await profile("goroutine");
      const { samples } = decode(bytes);
      const own = samples.filter(({ stack }) => stack[1]?.startsWith("stuck "));
      assert.equal(total(own, 0), 3);
      assert.match(own[0]?.stack[0] ?? "", /^chan receive/);
      assert.match(own[0]?.stack.at(-1) ?? "", /^go stuck .*profile\.test\.[jt]s:\d+/);
      assert.equal(own[0]?.labels.kind, "stuck");
      assert.match(await pprofTop(bytes), /chan receive/);
    } finally {
      ch.close();
      for (const g of all) await g.join();
      unwatch();
    }
  });
});

describe("labels", () => {
  test("follow awaits and goroutines, and end with their function", async () => {
    const seen: unknown[] = [];
    await labels({ a: "1" }, async () => {
      await sleep(1);
      await labels({ b: "2" }, () => go(async () => seen.push(currentLabels())).join());
      seen.push(currentLabels());
    });
    seen.push(currentLabels());
    await go(async () => {
      setLabels({ c: "3" });
      await go(async () => seen.push(currentLabels())).join();
    }).join();
    assert.deepEqual(seen, [{ a: "1", b: "2" }, { a: "1" }, {}, { c: "3" }]);
    assert.deepEqual(currentLabels(), {});
    assert.throws(() => labels({ n: 1 as never }, () => {}), TypeError);
  });
});

describe("profiles over HTTP", () => {
  test("go tool pprof takes one from a server", { skip }, async () => {
    const handler = pprofHandler();
    await using server = await serve("127.0.0.1:0", async (request) => {
      const answer = await handler(request);
      assert.ok(answer !== undefined);
      return answer;
    });
    const root = `http://${server.addr}/debug/pprof`;
    const taken = pprof("-top", "-lines", `${root}/profile?seconds=1`);
    let over = false;
    void taken.finally(() => {
      over = true;
    });
    while (!over) {
      burnFor(20);
      await sleep(5);
    }
    // V8 may have put the function into its caller by now; the file is the same.
    assert.match(await taken, /profile\.test\.js:\d+/);
    for (const [path, status, body] of [
      ["/", 200, /mutex/],
      ["/goroutine?debug=2", 200, /goroutines of process/],
      ["/cmdline", 200, /node/],
      ["/block", 200, /./s],
      ["/nothing", 404, /no profile/],
      ["/profile?seconds=x", 400, /seconds/],
    ] as const) {
      const answer = await fetch(root + path);
      assert.equal(answer.status, status, path);
      assert.match(await answer.text(), body);
    }
  });

  test("other paths are left to others", async () => {
    const request = new Request("http://localhost/debug/other");
    assert.equal(await pprofHandler()(request as never), undefined);
  });
});

test("what makes no sense is refused", async () => {
  await assert.rejects(profile("cpus" as "cpu"), TypeError);
  await assert.rejects(profile("cpu", { seconds: 0 }), RangeError);
  assert.throws(() => setHeapProfileRate(-1), RangeError);
  assert.throws(() => setBlockProfileRate(Number.NaN), RangeError);
});
