// charts.js: lines over time (uPlot), and bars of histograms (SVG), in the theme's colours.
import { color, h, svg } from "./dom.js";
import uPlot from "./uPlot.esm.js";

const HEIGHT = 150;
const WINDOW_S = 180;
/** So much at least is seen, also when there is less. */
const LEAST_S = 15;

/**
 * A chart over time. series: [{ label, color, value(tick), stacked? }]; show(value) writes a number.
 */
export class TimeChart {
  constructor({ title, series, show, stacked = false }) {
    this.series = series;
    this.show = show;
    this.stacked = stacked;
    this.place = h("div", { class: "plot" });
    this.legend = h("div", { class: "legend" });
    this.element = h(
      "section",
      { class: "card chart" },
      h("h2", null, title, this.legend),
      this.place,
    );
    this.items = series.map((each) => {
      const value = h("b", null, "–");
      const key = h("i", { class: "key", "data-c": each.color });
      this.legend.append(h("span", null, key, each.label, " ", value));
      return value;
    });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.place);
  }

  make() {
    this.plot?.destroy();
    const axis = {
      stroke: color("faint"),
      grid: { stroke: color("line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const ordered = [...this.series];
    this.plot = new uPlot(
      {
        width: Math.max(120, this.place.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        padding: [8, 8, 0, 0],
        scales: {
          x: {
            range: (_, min, max) => [Math.max(max - WINDOW_S, Math.min(min, max - LEAST_S)), max],
          },
          y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
        },
        axes: [
          { ...axis, space: 80, size: 24, values: (_, values) => values.map(clock) },
          {
            ...axis,
            size: 52,
            space: 34,
            values: (_, values) => values.map((value) => this.show(value)),
          },
        ],
        series: [
          {},
          ...ordered.map((each) => ({
            stroke: color(each.color),
            width: 1.5,
            fill: this.stacked ? color(each.color) : `${color(each.color)}22`,
            points: { show: false },
          })),
        ],
      },
      this.data ?? [[], ...ordered.map(() => [])],
      this.place,
    );
  }

  resize() {
    if (this.plot === undefined) return;
    const width = Math.max(120, this.place.clientWidth);
    if (Math.abs(this.plot.width - width) > 1) this.plot.setSize({ width, height: HEIGHT });
  }

  update(ticks) {
    const times = ticks.map(({ time }) => time / 1000);
    const own = this.series.map(({ value }) => ticks.map(value));
    own.forEach((values, i) => {
      this.items[i].textContent = values.length === 0 ? "–" : this.show(values.at(-1));
    });
    this.data = [times, ...(this.stacked ? stack(own) : own)];
    if (this.plot === undefined) this.make();
    else this.plot.setData(this.data);
  }

  /** The theme has changed. */
  restyle() {
    if (this.plot !== undefined) this.make();
  }

  destroy() {
    this.observer.disconnect();
    this.plot?.destroy();
  }
}

/** Of seconds: "17:04:30". */
function clock(time) {
  return new Date(time * 1000).toTimeString().slice(0, 8);
}

/** The first series is drawn first and so is the sum of all; the last one is itself. */
function stack(all) {
  const sums = all.map((values) => [...values]);
  for (let i = sums.length - 2; i >= 0; i--) {
    sums[i] = sums[i].map((value, at) => value + sums[i + 1][at]);
  }
  return sums;
}

const BARS = 14;

/** Where a bucket begins. */
function bucketLabel(bucket, unit) {
  const from = bucket === 0 ? 0 : 2 ** (bucket - 1);
  if (unit !== "µs") return from < 1024 ? `${from}` : `${from / 1024}k`;
  if (from < 1000) return `${from}µ`;
  if (from < 1_000_000) return `${Math.round(from / 1000)}ms`;
  return `${Math.round(from / 1_000_000)}s`;
}

/** Bars of a histogram with a bucket for each power of two. */
export class Bars {
  constructor({ title, unit, color: fill, hint }) {
    this.unit = unit;
    this.fill = fill;
    this.picture = svg("svg", { viewBox: "0 0 280 110", class: "bars", role: "img" });
    this.sum = h("b", null, "–");
    this.element = h(
      "section",
      { class: "card", title: hint },
      h("h2", null, title, h("div", { class: "legend" }, h("span", null, this.sum, " in 60 s"))),
      this.picture,
    );
  }

  update(counts) {
    const total = counts.reduce((sum, value) => sum + value, 0);
    this.sum.textContent = total.toLocaleString("en");
    const last = Math.max(counts.length, 8);
    const first = Math.max(0, last - BARS);
    const most = Math.max(1, ...counts);
    const width = 276 / (last - first);
    const marks = [];
    for (let bucket = first; bucket < last; bucket++) {
      const value = counts[bucket] ?? 0;
      const height = value === 0 ? 0 : Math.max(1.5, (84 * value) / most);
      const x = 2 + (bucket - first) * width;
      const bar = svg("rect", { x: x + 1, y: 90 - height, width: width - 2, height, rx: 1.5 });
      bar.setAttribute("class", `fill-${this.fill}`);
      const from = bucketLabel(bucket, this.unit);
      bar.append(svg("title", null, `from ${from} ${this.unit}: ${value.toLocaleString("en")}`));
      marks.push(bar);
      const label = bucketLabel(bucket, this.unit);
      if (width > 26 || (bucket - first) % 2 === 0) {
        marks.push(svg("text", { x: x + width / 2, y: 104, "text-anchor": "middle" }, label));
      }
    }
    marks.push(svg("line", { x1: 2, x2: 278, y1: 90.5, y2: 90.5, class: "base" }));
    this.picture.replaceChildren(...marks);
    this.picture.setAttribute("aria-label", `${total} values`);
  }
}
