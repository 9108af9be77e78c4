// overview.js: how the whole process does, over the last minutes.
import { Bars, TimeChart } from "./charts.js";
import { bytes, CATEGORIES, compact, count, h, lasting } from "./dom.js";
import { histogram, rate, ticks, total } from "./live.js";

/** The loop that comes round latest. */
const longest = ({ threads }) => Math.max(0, ...threads.map(({ loop }) => loop?.p99 ?? 0));
const waiting = ({ threads }, state) =>
  threads.reduce((sum, { states }) => sum + (states?.[state] ?? 0), 0);

const TILES = [
  ["goroutines", (tick) => count(total(tick, "goroutines"))],
  ["connections", (tick) => count(total(tick, "open"))],
  ["requests/s", (tick) => compact(Math.round(rate(tick, "requests")))],
  ["in/s", (tick) => bytes(rate(tick, "read"))],
  ["out/s", (tick) => bytes(rate(tick, "written"))],
  ["loop delay p99", (tick) => lasting(longest(tick))],
  ["timers", (tick) => count(total(tick, "timers"))],
  ["panics", (tick) => count(total(tick, "panicked"))],
];

const COLUMNS = [
  ["thread", (t, i) => (i === 0 ? "this one" : `${t.pid}${t.thread === 0 ? "" : `.${t.thread}`}`)],
  ["busy", (t) => h("meter", { value: Math.min(1, t.uptime > 0 ? t.busy / t.uptime : 0), max: 1 })],
  ["goroutines", (t) => count(t.goroutines)],
  ["conns", (t) => count(t.open)],
  ["in", (t, _, s) => `${bytes(t.read / s)}/s`],
  ["out", (t, _, s) => `${bytes(t.written / s)}/s`],
  ["requests", (t, _, s) => `${compact(Math.round(t.requests / s))}/s`],
  ["turns", (t, _, s) => `${compact(Math.round(t.turns / s))}/s`],
  ["woken", (t, _, s) => `${compact(Math.round(t.woken / s))}/s`],
  ["heap", (t) => bytes(t.heap)],
];

export function overview(place) {
  const values = TILES.map(() => h("b", null, "–"));
  const tiles = h(
    "div",
    { class: "tiles" },
    TILES.map(([label], i) => h("div", { class: "tile" }, values[i], h("span", null, label))),
  );
  const charts = [
    new TimeChart({
      title: "Goroutines by what they wait for",
      stacked: true,
      show: (value) => compact(Math.round(value)),
      series: CATEGORIES.map(([name, label]) => ({
        label,
        color: name,
        value: (tick) => waiting(tick, name),
      })),
    }),
    new TimeChart({
      title: "Bytes per second",
      show: (value) => bytes(value),
      series: [
        { label: "in", color: "io", value: (tick) => rate(tick, "read") },
        { label: "out", color: "lock", value: (tick) => rate(tick, "written") },
      ],
    }),
    new TimeChart({
      title: "Connections and requests",
      show: (value) => compact(Math.round(value)),
      series: [
        { label: "open", color: "accent", value: (tick) => total(tick, "open") },
        { label: "requests/s", color: "good", value: (tick) => rate(tick, "requests") },
        { label: "opened/s", color: "other", value: (tick) => rate(tick, "opened") },
      ],
    }),
    new TimeChart({
      title: "Turns per second",
      show: (value) => compact(Math.round(value)),
      series: [
        { label: "poller", color: "io", value: (tick) => rate(tick, "polls") },
        {
          label: "run queue",
          color: "runnable",
          value: (tick) => rate(tick, "queueTurns"),
        },
        { label: "budget used up", color: "lock", value: (tick) => rate(tick, "exhausted") },
      ],
    }),
  ];
  const bars = [
    ["pollBatch", new Bars({ title: "Woken per poll", unit: "goroutines", color: "io" })],
    ["queueDelay", new Bars({ title: "Wait in the run queue", unit: "µs", color: "runnable" })],
    ["lateness", new Bars({ title: "Timers late by", unit: "µs", color: "lock" })],
    [
      "queueBatch",
      new Bars({ title: "Woken per queue turn", unit: "goroutines", color: "channel" }),
    ],
  ];
  const rows = h("tbody");
  const head = h(
    "tr",
    null,
    COLUMNS.map(([label]) => h("th", null, label)),
  );
  const threads = h(
    "section",
    { class: "card scroll" },
    h("h2", null, "Threads and worker processes"),
    h("table", null, h("thead", null, head), rows),
  );
  place.append(
    tiles,
    h(
      "div",
      { class: "cards two" },
      charts.map(({ element }) => element),
    ),
    h(
      "div",
      { class: "cards four" },
      bars.map(([, { element }]) => element),
    ),
    threads,
  );
  const live = (tick) => {
    TILES.forEach(([, value], i) => {
      values[i].textContent = value(tick);
    });
    for (const chart of charts) chart.update(ticks);
    for (const [name, chart] of bars) chart.update(histogram(name));
    rows.replaceChildren(
      ...tick.threads.map((thread, i) => {
        const cells = COLUMNS.map(([, cell]) => h("td", null, cell(thread, i, tick.ms / 1000)));
        return h("tr", null, cells);
      }),
    );
  };
  if (ticks.length > 0) live(ticks.at(-1));
  return {
    live,
    restyle: () => charts.forEach((chart) => void chart.restyle()),
    destroy: () => charts.forEach((chart) => void chart.destroy()),
  };
}
