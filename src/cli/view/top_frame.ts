/**
 * top_frame.ts: what `coronet top` shows, as lines of text; nothing here touches the terminal.
 *
 * From the top: all threads together, throughput over time, each thread where there are several, the conns
 * that come first. What does not fit is left out from the bottom up.
 */
import { type Meters, mergeHistograms } from "../../debug/meters/meters.ts";
import type { Order, Top, TopConn } from "../../debug/top.ts";
import { bytes, count, duration, plural } from "../format.ts";
import { printable } from "../output.ts";
import { chart, type Glyphs } from "./chart.ts";
import type { Size } from "./frame.ts";
import { Line, type Style } from "./line.ts";

export interface TopModel {
  readonly pid: number;
  /** By thread, and what each said the time before; undefined of a thread that is new. */
  readonly threads: readonly { readonly now: Top; readonly before: Top | undefined }[];
  /** Threads that did not answer in time. */
  readonly silent: number;
  readonly order: Order;
  readonly filter: string;
  /** Set while a filter is typed. */
  readonly typing: boolean;
  readonly paused: boolean;
  readonly keys: boolean;
}

const LABEL = 15;
const CHART_ROWS = 3;

type Thread = TopModel["threads"][number];

/** A difference per second; 0 before there are two. */
function rate({ now, before }: Thread, of: (meters: Meters) => number): number {
  if (before === undefined) return 0;
  const ms = now.meters.time - before.meters.time;
  return ms <= 0 ? 0 : (Math.max(0, of(now.meters) - of(before.meters)) / ms) * 1000;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The screen: at most size.height lines, none longer than size.width. */
export function topFrame(model: TopModel, size: Size, glyphs: Glyphs, colours: boolean): string[] {
  const body = [
    title(model, size),
    new Line(),
    ...numbers(model),
    ...throughput(model, size, size.height < 24 ? 0 : CHART_ROWS, glyphs),
    ...threadTable(model),
  ];
  body.push(...conns(model, Math.max(0, size.height - 1 - body.length)));
  while (body.length < size.height - 1) body.push(new Line());
  return [...body.slice(0, size.height - 1), footer(model, size)].map((line) =>
    line.render(size.width, colours),
  );
}

/** The same without a screen: every line that there is something for. */
export function topText(model: TopModel): string[] {
  const body = [title(model, { width: 100, height: 0 }), ...numbers(model), ...threadTable(model)];
  body.push(...conns(model, Infinity));
  return body.map((line) => line.render(Infinity, false));
}

function title({ pid, threads, silent, paused }: TopModel, { width }: Size): Line {
  const watched = Math.max(0, ...threads.map(({ now }) => now.meters.watched));
  const workers = new Set(threads.map(({ now }) => now.meters.pid)).size - 1;
  const who = workers > 0 ? `process ${pid} and ${plural(workers, "worker")}` : `process ${pid}`;
  const line = new Line()
    .add(" coronet top", "bold")
    .add(`   ${who}, ${plural(threads.length + silent, "thread")}`, "dim");
  if (silent > 0) line.add(`, ${silent} too busy to answer`, "warn");
  if (paused) line.add(", paused", "warn");
  return line.right(`watched for ${duration(watched)} `, width);
}

type Cell = readonly [value: string, unit: string];

function row(label: string, style: Style, ...cells: Cell[]): Line {
  const line = new Line().add(` ${label}`, "dim");
  for (const [i, [value, unit]] of cells.entries()) {
    line
      .to(LABEL + i * 21)
      .add(value.padStart(10), i === 0 ? style : "plain")
      .add(` ${unit}`, "dim");
  }
  return line;
}

/** "1.2", "kB/s" */
function amount(n: number, unit: string): Cell {
  const [value, prefix] = bytes(n).split(" ") as [string, string];
  return [value, prefix + unit];
}

/** "0.42", "23", "4,100": ms. */
function millis(ms: number): string {
  return ms < 10 ? ms.toFixed(2) : count(ms);
}

function numbers({ threads }: TopModel): Line[] {
  const all = threads.map(({ now }) => now.meters);
  const total = (of: (meters: Meters) => number): number => sum(all.map(of));
  const perSecond = (of: (meters: Meters) => number): number =>
    sum(threads.map((thread) => rate(thread, of)));
  const turns = perSecond((m) => m.scheduler.turns);
  const woken = perSecond((m) => m.scheduler.woken);
  const accepted = (m: Meters): number => sum(Object.values(m.networks).map((n) => n.accepted));
  const live = (m: Meters): number => sum(Object.values(m.networks).map((n) => n.live));
  const delay = mergeHistograms(all.map((m) => m.scheduler.delay));
  const late = mergeHistograms(all.map((m) => m.timers.lateness));
  const lines = [
    row(
      "goroutines",
      "bold",
      [count(total((m) => m.goroutines.live)), "live"],
      [count(total((m) => m.goroutines.runnable)), "runnable"],
      [count(perSecond((m) => m.goroutines.started)), "started/s"],
      [count(total((m) => m.goroutines.panicked)), "panicked"],
    ),
    waits(all),
    row(
      "connections",
      "bold",
      [count(total(live)), "open"],
      [count(total((m) => m.listening)), "listeners"],
      [count(perSecond(accepted)), "accepted/s"],
      [count(total(accepted)), "accepted"],
    ),
    row(
      "received",
      "good",
      amount(
        perSecond((m) => m.bytesIn),
        "/s",
      ),
      amount(
        total((m) => m.bytesIn),
        " in all",
      ),
    ),
    row(
      "sent",
      "good",
      amount(
        perSecond((m) => m.bytesOut),
        "/s",
      ),
      amount(
        total((m) => m.bytesOut),
        " in all",
      ),
    ),
    row(
      "poller turns",
      "plain",
      [count(turns), "/s"],
      [turns === 0 ? "0" : (woken / turns).toFixed(1), "woken per turn"],
      [count(perSecond((m) => m.scheduler.exhausted)), "out of budget/s"],
    ),
    row(
      "delays, ms",
      "plain",
      [millis(delay.p99), "run queue p99"],
      [millis(late.p99), "timers p99"],
      [count(total((m) => m.scheduler.longHolds)), "long holds"],
    ),
  ];
  if (total((m) => m.http.begun) > 0) lines.push(requests(all, perSecond, total));
  return lines;
}

function requests(
  all: readonly Meters[],
  perSecond: (of: (meters: Meters) => number) => number,
  total: (of: (meters: Meters) => number) => number,
): Line {
  const times = mergeHistograms(all.flatMap((m) => Object.values(m.http.duration)));
  return row(
    "requests",
    "good",
    [count(perSecond((m) => m.http.begun)), "/s"],
    [count(total((m) => m.http.inFlight)), "in flight"],
    [millis(times.p50), "ms p50"],
    [millis(times.p99), "ms p99"],
  );
}

/** " waiting for     5,200 read · 3 chan receive · 1 accept" */
function waits(all: readonly Meters[]): Line {
  const counts = new Map<string, number>();
  for (const each of all) {
    for (const [kind, { now }] of Object.entries(each.waits)) {
      counts.set(kind, (counts.get(kind) ?? 0) + now);
    }
  }
  const sorted = [...counts].filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a);
  const text = sorted.map(([kind, n]) => `${count(n)} ${printable(kind)}`).join(" · ");
  return new Line()
    .add(" waiting for", "dim")
    .to(LABEL + 2)
    .add(text || "nothing");
}

function throughput(model: TopModel, { width }: Size, height: number, glyphs: Glyphs): Line[] {
  if (height === 0) return [];
  const all = model.threads.map(({ now }) => now.series.columns);
  const seconds = Math.max(0, ...all.map(({ bytesIn }) => bytesIn.length));
  // Every thread's newest second is the last.
  const values = Array.from({ length: seconds }, (_, i) =>
    sum(
      all.map(({ bytesIn, bytesOut }) => {
        const at = bytesIn.length - seconds + i;
        return (bytesIn[at] ?? 0) + (bytesOut[at] ?? 0);
      }),
    ),
  );
  const columns = Math.max(width - 2, 1);
  const shown = values.slice(-columns);
  const heading = new Line()
    .add(" throughput", "dim")
    .right(
      `at most ${bytes(Math.max(0, ...shown))}/s in the last ${duration(shown.length * 1000)} `,
      width,
      "dim",
    );
  const rows = chart(shown, columns, height, glyphs);
  return [new Line(), heading, ...rows.map((text) => new Line().add(" ").add(text, "accent"))];
}

/** One line for each thread, where there are several; of workers with the process's number. */
function threadTable({ pid, threads }: TopModel): Line[] {
  if (threads.length < 2) return [];
  const titles = ["busy", "goroutines", "open", "received/s", "sent/s", "turns/s"];
  const heading = titles.map((text) => text.padStart(12)).join("");
  const lines = threads.map((thread) => {
    const { meters, series } = thread.now;
    const busy = series.columns.busy.at(-1) ?? meters.scheduler.busy;
    const cells = [
      `${Math.round(busy * 100)} %`,
      count(meters.goroutines.live),
      count(meters.poller.open),
      bytes(rate(thread, (m) => m.bytesIn)),
      bytes(rate(thread, (m) => m.bytesOut)),
      count(rate(thread, (m) => m.scheduler.turns)),
    ];
    const text = cells.map((cell) => cell.padStart(12)).join("");
    const name = meters.pid === pid ? `thread ${meters.thread}` : `${meters.pid}.${meters.thread}`;
    return new Line().add(` ${name}`.padEnd(12)).add(text);
  });
  return [new Line(), new Line().add(` ${"".padEnd(11)}${heading}`, "dim"), ...lines];
}

interface Row extends TopConn {
  readonly inRate: number;
  readonly outRate: number;
}

/** Those of all threads, in the order that each has them in. */
function rowsOf({ threads, order }: TopModel): Row[] {
  const rows = threads.flatMap(({ now, before }) => {
    const known = new Map(before?.conns.map((conn) => [conn.id, conn]));
    const seconds = (now.meters.time - (before?.meters.time ?? 0)) / 1000;
    return now.conns.map((conn) => {
      const last = known.get(conn.id);
      const per = (n: number, m: number): number =>
        seconds > 0 ? Math.max(0, n - m) / seconds : 0;
      return {
        ...conn,
        inRate: last === undefined ? 0 : per(conn.bytesIn, last.bytesIn),
        outRate: last === undefined ? 0 : per(conn.bytesOut, last.bytesOut),
      };
    });
  });
  const keys: Record<Order, (row: Row) => number> = {
    bytes: (each) => each.bytesIn + each.bytesOut,
    received: (each) => each.bytesIn,
    sent: (each) => each.bytesOut,
    age: (each) => each.ageMs,
    idle: (each) => -(each.idleMs ?? each.ageMs),
  };
  return rows.sort((a, b) => keys[order](b) - keys[order](a));
}

function conns(model: TopModel, room: number): Line[] {
  const matching = sum(model.threads.map(({ now }) => now.matching));
  const rows = rowsOf(model);
  const fits = Math.max(0, room - 2);
  if (fits === 0) return [];
  const shown = rows.slice(0, matching > fits ? fits - 1 : fits);
  const width = Math.max(20, ...shown.map(({ name }) => name.length));
  const titles = ["age", "idle", "received", "sent", "received/s", "sent/s"];
  const what = model.filter === "" ? "connection" : `with "${printable(model.filter)}"`;
  const heading = titles.map((text) => text.padStart(13)).join("");
  const lines = [new Line(), new Line().add(` ${what.padEnd(width)}${heading}`, "dim")];
  for (const each of shown) lines.push(connLine(each, width));
  const more = matching - shown.length;
  if (more > 0) lines.push(new Line().add(` and ${count(more)} more`, "dim"));
  if (matching === 0) lines.push(new Line().add(" none", "dim"));
  return lines;
}

function connLine(each: Row, width: number): Line {
  const cells = [
    duration(each.ageMs),
    each.idleMs === undefined ? "-" : duration(each.idleMs),
    bytes(each.bytesIn),
    bytes(each.bytesOut),
  ];
  const moves = each.inRate + each.outRate > 0;
  return new Line()
    .add(` ${printable(each.name).padEnd(width)}`)
    .add(cells.map((cell) => cell.padStart(13)).join(""))
    .add(bytes(each.inRate).padStart(13), moves ? "good" : "dim")
    .add(bytes(each.outRate).padStart(13), moves ? "good" : "dim");
}

function footer({ keys, order, filter, typing, paused }: TopModel, { width }: Size): Line {
  if (!keys) return new Line().add(" Ctrl-C", "bold").add(" quits", "dim");
  if (typing) {
    return new Line()
      .add(" only with: ", "dim")
      .add(`${printable(filter)}_`, "accent")
      .right("Enter keeps it, Esc shows all ", width, "dim");
  }
  return new Line()
    .add(" q", "bold")
    .add(" quits  ", "dim")
    .add("s", "bold")
    .add(` sorted by ${order}  `, "dim")
    .add("/", "bold")
    .add(` ${filter === "" ? "filters" : `only "${printable(filter)}"`}  `, "dim")
    .add("p", "bold")
    .add(paused ? " goes on" : " pauses", "dim");
}
