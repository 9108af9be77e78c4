/** trace.test.ts: what the flight recorder keeps, and the format in which it is written out. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { traceProblems } from "../../../testing/trace_format.ts";
import { Chan } from "../../chan/chan.ts";
import { dial } from "../../net/dial.ts";
import { listen } from "../../net/listen.ts";
import { type Goroutine, go } from "../../runtime/goroutine.ts";
import { Mutex } from "../../sync/mutex.ts";
import { WaitGroup } from "../../sync/waitgroup.ts";
import { gosched, sleep } from "../../time/sleep.ts";
import { type ChromeEvent, chromeEvents } from "./chrome.ts";
import * as recorder from "./recorder.ts";
import { Names, Recorder, type TraceEvent } from "./recorder.ts";
import { trace } from "./trace.ts";

afterEach(() => trace.stop());

/** The entries of a snapshot, which must be as the format wants it. */
function entries(): ChromeEvent[] {
  const text = trace.snapshot();
  assert.deepEqual(traceProblems(text), []);
  return JSON.parse(text).traceEvents as ChromeEvent[];
}

const named = (events: ChromeEvent[], name: string) => events.filter((e) => e.name === name);

describe("a snapshot", () => {
  test("has a track per goroutine with its waits, and arrows from who woke it", async () => {
    using _ = trace.start();
    const ch = new Chan<number>();
    const receiver = go(async function receives() {
      await ch.receive();
    });
    const sender = go(async function sends() {
      await sleep(2);
      await ch.send(1);
    });
    await receiver.join();
    await sender.join();
    const events = entries();
    const life = named(events, "receives").find((e) => e.ph === "X");
    const wait = named(events, "chan receive").find((e) => e.tid === receiver.id);
    assert.ok(life !== undefined && wait !== undefined);
    assert.ok(wait.ts >= life.ts && (wait.dur ?? 0) <= (life.dur ?? 0) && (wait.dur ?? 0) >= 1000);
    const arrow = events.find((e) => e.ph === "s" && e.tid === sender.id);
    const end = events.find((e) => e.ph === "f" && e.id === arrow?.id);
    assert.equal(end?.tid, receiver.id);
    const title = named(events, "thread_name").find((e) => e.tid === receiver.id);
    assert.equal(title?.args?.name, `goroutine ${receiver.id} [receives]`);
    assert.ok(named(events, "sleep").some((e) => e.tid === sender.id));
  });

  test("has tasks, regions and lines, across goroutines", async () => {
    using _ = trace.start();
    await trace.task("order", async () => {
      await trace.region("price", () => sleep(1));
      await go(async () => trace.region("ship", async () => trace.log("label printed"))).join();
    });
    const events = entries();
    const [begin, end] = named(events, "order");
    assert.deepEqual([begin?.ph, end?.ph, begin?.id], ["b", "e", end?.id]);
    assert.equal(named(events, "ship")[0]?.args?.task, "order");
    assert.equal(named(events, "label printed")[0]?.args?.task, "order");
    assert.equal(named(events, "price").length, 1);
  });

  test("shows waits of one goroutine that overlap", async () => {
    using _ = trace.start();
    const [a, b] = [new Chan<number>(), new Chan<number>()];
    const g = go(async function both() {
      await Promise.all([a.receive(), b.receive()]);
    });
    await sleep(1);
    await a.send(1);
    await sleep(1);
    await b.send(1);
    await g.join();
    const waits = named(entries(), "chan receive").filter((e) => e.tid === g.id);
    assert.deepEqual(waits.map((e) => e.ph).sort(), ["X", "b", "e"]);
  });

  test("under load it is well-formed, and counts goroutines, bytes, turns", async () => {
    using _ = trace.start();
    await using listener = await listen("tcp", "127.0.0.1:0");
    const echoes: Goroutine<void>[] = [];
    const server = go(async function accepts() {
      for await (const conn of listener) {
        const g = go(async function echo() {
          await using _ = conn;
          for await (const chunk of conn) await conn.write(chunk);
        });
        echoes.push(g);
      }
    });
    const mu = new Mutex();
    const wg = new WaitGroup();
    for (let i = 0; i < 20; i++) {
      wg.go(async function client() {
        await using conn = await dial("tcp", listener.addr.toString());
        for (let k = 0; k < 20; k++) {
          using _ = await mu.lock();
          await conn.write(new Uint8Array(100));
          await conn.read(new Uint8Array(100));
          await gosched();
        }
      });
    }
    await wg.wait();
    await listener.close();
    await server.join().catch(() => {});
    for (const echo of echoes) await echo.join();
    const events = entries();
    const bytes = (name: string) =>
      named(events, name)
        .filter((e) => e.cat === "io")
        .reduce((sum, e) => sum + (e.args?.bytes as number), 0);
    assert.equal(bytes("write"), 20 * 20 * 100 * 2);
    assert.equal(bytes("read"), 20 * 20 * 100 * 2);
    const live = named(events, "goroutines").map((e) => e.args?.goroutines as number);
    assert.ok(Math.max(...live) >= 21 && Math.min(...live) >= 0);
    assert.ok(named(events, "poller batch").some((e) => (e.args?.["poller batch"] as number) > 0));
    assert.ok(named(events, "mutex lock").length > 0);
    assert.ok(named(events, "open TCPConn").length >= 40);
    assert.equal(named(events, "open TCPConn").length, named(events, "close TCPConn").length);
  });

  test("of a ring that is full has the last events, well-formed all the same", async () => {
    using _ = trace.start({ events: 64 });
    const ch = new Chan<number>();
    const g = go(async function long() {
      for await (const _ of ch) trace.region("step", () => {});
    });
    for (let i = 0; i < 200; i++) await trace.task(`task ${i}`, () => ch.send(i));
    const text = trace.snapshot();
    assert.deepEqual(traceProblems(text), []);
    const { recorded, lost } = JSON.parse(text).otherData;
    assert.ok(recorded > 200 && lost === recorded - 64);
    assert.ok(text.includes("task 199") && !text.includes('"task 1"'));
    ch.close();
    await g.join();
  });

  for (const begins of ["a wait", "a region", "a wake-up", "a task", "an end"]) {
    test(`of a ring that begins amid ${begins}`, () => {
      const { names, events } = window(begins);
      const recording = { events, names, live: [{ id: 2, name: "two" }], now: 20, pid: 7 };
      const traceEvents = chromeEvents({ ...recording, process: "process 7" });
      assert.deepEqual(traceProblems(JSON.stringify({ traceEvents })), []);
      const [life] = traceEvents.filter((e) => e.cat === "goroutine" && e.tid === 2);
      assert.deepEqual([life?.ts, Math.round(life?.dur as number)], [10_000, 10_000]);
    });
  }

  test("has what the collector did, where it is told of it", async () => {
    using _ = trace.start();
    let garbage: unknown[] = [];
    const started = performance.now();
    while (!trace.snapshot().includes('"GC ') && performance.now() - started < 5000) {
      garbage = Array.from({ length: 100_000 }, () => ({}));
      await sleep(1);
    }
    assert.ok(garbage.length > 0);
    assert.ok(entries().some((e) => e.cat === "gc" && e.ph === "X"));
  });
});

describe("the switch", () => {
  test("off, tasks, regions and lines do nothing but call", async () => {
    assert.equal(
      trace.task("t", () => trace.region("r", () => 7)),
      7,
    );
    trace.log("nothing");
    assert.throws(() => trace.snapshot(), /trace\.start\(\) first/);
    using _ = trace.start();
    assert.throws(() => trace.start(), /already/);
  });

  test("a task ends when its function throws", () => {
    using _ = trace.start();
    const fail = (): never => {
      throw new Error("no");
    };
    assert.throws(() => trace.task("failing", fail), /no/);
    assert.equal(named(entries(), "failing").length, 2);
  });

  test("senseless sizes are refused", () => {
    for (const events of [0, -1, 1.5, 2 ** 40])
      assert.throws(() => trace.start({ events }), RangeError);
  });

  test("with a file, a panic leaves a trace behind", () => {
    const folder = mkdtempSync(join(tmpdir(), "coronet-trace-"));
    try {
      const at = (path: string) =>
        fileURLToPath(new URL(path, import.meta.url)).replace(/ts$/, "js");
      const file = join(folder, "trace.json");
      const program = join(folder, "program.mjs");
      writeFileSync(
        program,
        `import { trace } from ${JSON.stringify(at("./trace.js"))};
         import { go } from ${JSON.stringify(at("../../runtime/goroutine.js"))};
         trace.start({ file: ${JSON.stringify(file)} });
         go(async function fails() { trace.log("last words"); throw new Error("bug"); });`,
      );
      const { status, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8" });
      assert.equal(status, 2, stderr);
      const text = readFileSync(file, "utf8");
      assert.deepEqual(traceProblems(text), []);
      assert.match(text, /last words/);
      assert.match(text, /"threw":true/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the ring", () => {
  test("gives the last events in order, however many there were", () => {
    const recorder = new Recorder(16);
    for (let i = 0; i < 40; i++) {
      if (i % 3 === 0) recorder.addText(i, 1, i, 0, 0, `text ${i}`);
      else recorder.add(i, 1, i, 0, 0);
      const events = [...recorder.events()];
      assert.equal(events.length, Math.min(16, i + 1));
      assert.equal(events.at(-1)?.time, i);
      for (const { time, text } of events) {
        assert.equal(text, time % 3 === 0 ? `text ${time}` : undefined);
      }
    }
    assert.deepEqual([recorder.recorded, recorder.lost], [40, 24]);
  });

  test("names are bounded", () => {
    const names = new Names();
    for (let i = 0; i < 10_000; i++) names.of(`name ${i}`);
    assert.equal(names.at(names.of("name 1")), "name 1");
    assert.equal(names.at(names.of("name 9999")), "(others)");
  });
});

/** The first events that a ring still has, of goroutine 2 and others. */
function window(begins: string): { names: Names; events: TraceEvent[] } {
  const names = new Names();
  const kind = names.of("chan receive");
  const text = "of the program";
  const firsts: Record<string, Partial<TraceEvent>[]> = {
    "a wait": [{ type: recorder.PARKED, g: 2, a: kind, b: 1 }],
    "a region": [{ type: recorder.REGION_END, g: 2, a: 1, b: 9, text }],
    "a wake-up": [
      { type: recorder.MOVED, g: 2, a: 5 },
      { type: recorder.RESUMED, g: 3, a: 2, b: 99 },
    ],
    "a task": [{ type: recorder.TASK_END, g: 2, a: 4, text }],
    "an end": [{ type: recorder.ENDED, g: 3 }],
  };
  const later: Partial<TraceEvent>[] = [
    { type: recorder.PARKED, g: 2, a: kind, b: 2 },
    { type: recorder.REGION_BEGIN, g: 2, a: 0, b: 3, text },
    { type: recorder.RESUMED, g: 4, a: 2, b: 2 },
    { type: recorder.COLLECTED, g: 0, a: 3000, b: 1 },
    { type: recorder.COLLECTED, g: 0, a: 2500, b: 2 },
  ];
  const nothing = { g: 0, a: 0, b: 0, text: undefined };
  const events = [...(firsts[begins] ?? []), ...later].map((event, i) => {
    return { ...nothing, ...event, time: 10 + i } as TraceEvent;
  });
  return { names, events };
}

describe("the check of the format", () => {
  const check = (traceEvents: unknown[]) => traceProblems(JSON.stringify({ traceEvents }));
  const base = { name: "n", cat: "c", pid: 1, tid: 1 };
  const names = ["process_name", "thread_name"].map((name) => {
    return { ph: "M", name, pid: 1, tid: 1, ts: 0, args: { name: "n" } };
  });

  test("takes what is right", () => {
    assert.deepEqual(
      check([
        ...names,
        { ...base, ph: "X", ts: 0, dur: 10 },
        { ...base, ph: "b", ts: 1, id: "a" },
        { ...base, ph: "e", ts: 1, id: "a" },
        { ...base, ph: "C", ts: 1, args: { n: 1 } },
        { ...base, ph: "X", ts: 1, dur: 2 },
        { ...base, ph: "s", ts: 2, id: 1 },
        { ...base, ph: "f", ts: 3, id: 1, bp: "e" },
      ]),
      [],
    );
  });

  for (const [what, wrong] of Object.entries({
    "overlapping slices": [
      { ...base, ph: "X", ts: 0, dur: 10 },
      { ...base, ph: "X", ts: 5, dur: 10 },
    ],
    "a flow without a start": [
      { ...base, ph: "X", ts: 0, dur: 10 },
      { ...base, ph: "f", ts: 1, id: 1 },
    ],
    "a flow outside of slices": [{ ...base, ph: "s", ts: 1, id: 1 }],
    "an async event without an end": [{ ...base, ph: "b", ts: 1, id: 1 }],
    "an async event without an id": [{ ...base, ph: "b", ts: 1 }],
    "a slice without a duration": [{ ...base, ph: "X", ts: 1 }],
    "a counter without numbers": [{ ...base, ph: "C", ts: 1, args: { n: "1" } }],
    "an unknown phase": [{ ...base, ph: "?", ts: 1 }],
    "no time": [{ ...base, ph: "i" }],
    "no track": [{ name: "n", ph: "i", ts: 1 }],
    "a track's number of more than 32 bits": [{ ...base, tid: 2 ** 32, ph: "i", ts: 1 }],
  })) {
    test(`refuses ${what}`, () => assert.notDeepEqual(check(wrong), []));
  }

  for (const [what, [wrong, why]] of Object.entries({
    "a slice that reaches a nanosecond beyond the one around it": [
      [
        { ...base, ph: "X", ts: 0, dur: 10 },
        { ...base, ph: "X", ts: 5, dur: 5.001 },
      ],
      /reaches beyond/,
    ],
    "the inner one of two that begin at once before the outer one": [
      [
        { ...base, ph: "X", ts: 0, dur: 5 },
        { ...base, ph: "X", ts: 0, dur: 10 },
      ],
      /reaches beyond/,
    ],
    "what does not stand in the order of time": [
      [
        { ...base, ph: "i", ts: 2 },
        { ...base, ph: "i", ts: 1 },
      ],
      /order of time/,
    ],
    "an arrow that stands before its slice": [
      [
        { ...base, ph: "s", ts: 0, id: 1 },
        { ...base, ph: "X", ts: 0, dur: 10 },
      ],
      /no slice has begun/,
    ],
    "an arrow from a slice that is over": [
      [
        { ...base, ph: "X", ts: 0, dur: 10 },
        { ...base, ph: "X", ts: 1, dur: 1 },
        { ...base, ph: "s", ts: 5, id: 1 },
      ],
      /is over/,
    ],
    "two arrows of one id": [
      [
        { ...base, ph: "X", ts: 0, dur: 10 },
        { ...base, ph: "s", ts: 0, id: 1 },
        { ...base, ph: "s", ts: 0, id: 1 },
      ],
      /id has been used/,
    ],
    "async events that cross": [
      [
        { ...base, ph: "b", ts: 0, id: 1 },
        { ...base, ph: "b", ts: 1, id: 1, name: "m" },
        { ...base, ph: "e", ts: 2, id: 1 },
        { ...base, ph: "e", ts: 3, id: 1, name: "m" },
      ],
      /than the innermost/,
    ],
    "times finer than a nanosecond": [[{ ...base, ph: "i", ts: 0.0005 }], /finer/],
  } satisfies Record<string, [object[], RegExp]>)) {
    test(`Perfetto does not show ${what}`, () => {
      assert.match(check([...names, ...wrong]).join("\n"), why);
    });
  }

  test("every track and process has one name", () => {
    const event = { ...base, ph: "i", ts: 1 };
    assert.deepEqual(check([event]), ["process 1 is missing", "thread_name 1 1 is missing"]);
    assert.deepEqual(check([...names, ...names, event]), [
      "process 1 is given twice",
      "thread_name 1 1 is given twice",
    ]);
  });

  test("refuses what is no trace", () => {
    for (const text of ["", "{}", "[", "null"]) assert.equal(traceProblems(text).length, 1);
  });
});
