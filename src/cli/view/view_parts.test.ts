import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { pipe } from "../../index.ts";
import { EchoConnection } from "../echo_server.ts";
import { busiest } from "./busiest.ts";
import { ASCII, chart, UNICODE } from "./chart.ts";
import { type ConnectionRow, frame, type Model, roomForRows } from "./frame.ts";
import { Line } from "./line.ts";
import { History, Meter, type Sample } from "./meter.ts";

function sample(at: number, moved: number): Sample {
  return { at, bytesIn: moved, bytesOut: moved, messages: moved / 10, turns: at, woken: at * 3 };
}

describe("rates", () => {
  test("are those of the last second", () => {
    const meter = new Meter();
    for (let at = 0; at <= 5000; at += 250) meter.add(sample(at, at < 3000 ? 0 : at - 3000));
    const rates = meter.rates();
    assert.equal(rates.bytesIn, 1000);
    assert.equal(rates.messages, 100);
    assert.equal(rates.turns, 1000);
    assert.equal(rates.wokenPerTurn, 3);
  });

  test("of a late sample count its real time", () => {
    const meter = new Meter();
    meter.add(sample(0, 0));
    meter.add(sample(4000, 8000));
    assert.equal(meter.rates().bytesIn, 2000);
  });

  test("are nothing before there are two samples", () => {
    const meter = new Meter();
    assert.equal(meter.rates().bytesIn, 0);
    meter.add(sample(7, 1000));
    assert.equal(meter.rates().bytesIn, 0);
    assert.equal(meter.rates().wokenPerTurn, 0);
  });

  test("over time make one column per half second, and old ones go", () => {
    const history = new History(500, 3);
    for (let at = 0; at <= 2500; at += 250) history.add(sample(at, at));
    assert.deepEqual(history.values, [2000, 2000, 2000]);
  });
});

describe("the chart", () => {
  test("fills its height with the largest value", () => {
    assert.deepEqual(chart([0, 50, 100], 5, 2, UNICODE), ["    █", "  ▁██"]);
  });

  test("shows only the newest values", () => {
    assert.deepEqual(chart([900, 1, 8], 2, 1, UNICODE), ["▁█"]);
  });

  test("is flat when nothing moved, and empty at first", () => {
    assert.deepEqual(chart([0, 0], 3, 1, ASCII), [" __"]);
    assert.deepEqual(chart([], 3, 2, UNICODE), ["   ", "   "]);
  });
});

describe("a line", () => {
  test("is clipped to the width, colours apart", () => {
    const line = new Line().add("one ", "bold").add("two", "accent");
    assert.equal(line.render(80, false), "one two");
    assert.equal(line.render(5, false), "one t");
    assert.equal(line.render(5, true), "\x1b[1mone \x1b[0m\x1b[36mt\x1b[0m");
    assert.equal(line.render(0, true), "");
  });

  test("leaves out what does not fit at its right edge", () => {
    assert.equal(new Line().add("left").right("right", 12).render(12, false), "left   right");
    assert.equal(new Line().add("left").right("right", 10).render(10, false), "left");
  });
});

describe("the busiest connections", () => {
  function connection(moved: number, openedAt: number): EchoConnection {
    const made = new EchoConnection(pipe()[0]);
    made.bytesIn = moved;
    Object.assign(made, { openedAt });
    return made;
  }

  test("come first, the newest before older ones that do as much", () => {
    const all = [connection(0, 1), connection(900, 2), connection(0, 3), connection(1000, 4)];
    const order = busiest(all, 3).map(({ openedAt }) => openedAt);
    assert.deepEqual(order, [4, 2, 3]);
  });

  test("are forgotten when they fall silent", () => {
    const once = connection(1_000_000, 1);
    const quiet = connection(0, 2);
    assert.equal(busiest([once, quiet], 1)[0], once);
    for (let i = 0; i < 100; i++) busiest([once, quiet], 1);
    assert.equal(busiest([once, quiet], 1)[0], quiet);
  });

  test("are none where there is no room", () => {
    assert.deepEqual(busiest([connection(5, 1)], 0), []);
  });
});

function modelWith(live: number, extra: Partial<Model> = {}): Model {
  const rows = Array.from({ length: live }, (_, i): ConnectionRow => {
    const state = i % 2 === 0 ? "reading" : "writing";
    return { peer: `10.0.0.${i}:4000`, ageMs: i, bytesIn: i, bytesOut: i, messages: i, state };
  });
  return {
    uptimeMs: 83_000,
    services: [
      { name: "echo", address: ":2333", client: "nc 127.0.0.1 2333", hint: "type" },
      { name: "stats", address: ":2334", client: "nc 127.0.0.1 2334", hint: "then stats" },
    ],
    live,
    peak: 12,
    accepted: 57,
    goroutines: { live: 5, peak: 15, started: 60, ended: 0, panicked: 0 },
    bytesIn: 34_100_000,
    bytesOut: 34_100_000,
    messages: 1_204_331,
    rates: { bytesIn: 1.2e6, bytesOut: 1.2e6, messages: 18_320, turns: 4210, wokenPerTurn: 1.8 },
    history: [1, 5, 3],
    columnMs: 500,
    rows,
    drainLeftMs: undefined,
    keys: true,
    ...extra,
  };
}

describe("the frame", () => {
  test("has exactly the size of the terminal, whatever that is", () => {
    for (const height of [1, 2, 5, 10, 14, 17, 18, 24, 30, 60]) {
      for (const width of [1, 20, 79, 80, 100, 300]) {
        for (const live of [0, 1, 5, 500]) {
          const size = { width, height };
          const model = modelWith(live);
          const shown = { ...model, rows: model.rows.slice(0, roomForRows(size)) };
          const lines = frame(shown, size, UNICODE, false);
          assert.equal(lines.length, height);
          assert.ok(lines.every((line) => line.length <= width));
          assert.ok(lines.at(-1)?.startsWith(" q quits".slice(0, width).trimEnd()));
        }
      }
    }
  });

  test("says what to type and what happens", () => {
    const text = frame(modelWith(3), { width: 100, height: 30 }, UNICODE, false).join("\n");
    for (const wanted of [
      "nc 127.0.0.1 2333",
      "nc 127.0.0.1 2334",
      "echo on :2333",
      "up 1 min 23 s",
      "3 live",
      "12 peak",
      "57 in all",
      "1.2 MB/s",
      "18,320 /s",
      "1.8 goroutines woken per turn",
      "10.0.0.2:4000",
      "q quits",
    ]) {
      assert.ok(text.includes(wanted), `"${wanted}" in\n${text}`);
    }
    assert.ok(!text.includes("\x1b"), "no colours unless asked for");
  });

  test("says how many connections it leaves out", () => {
    const size = { width: 100, height: 24 };
    const room = roomForRows(size);
    assert.ok(room >= 3);
    const all = frame(modelWith(room), size, UNICODE, false).join("\n");
    assert.ok(all.includes(`10.0.0.${room - 1}:4000`) && !all.includes("more"), all);
    const model = modelWith(1000);
    const some = frame({ ...model, rows: model.rows.slice(0, room) }, size, UNICODE, false);
    assert.ok(some.join("\n").includes(`and ${1001 - room} more`), some.join("\n"));
  });

  test("invites when nobody is there", () => {
    const text = frame(modelWith(0), { width: 80, height: 24 }, UNICODE, false).join("\n");
    assert.match(text, /nobody is connected/);
  });

  test("says how long connections may finish, and what to press", () => {
    const size = { width: 80, height: 24 };
    const last = (extra: Partial<Model>) => frame(modelWith(1, extra), size, ASCII, false).at(-1);
    assert.match(
      last({ drainLeftMs: 3100 }) ?? "",
      /closing: 1 connection may finish within 4 s .* q again closes at once$/,
    );
    assert.equal(last({ keys: false }), " Ctrl-C quits");
  });
});
