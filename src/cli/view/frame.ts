/**
 * frame.ts: what the screen of the demo shows, as lines of text; nothing here touches the terminal.
 *
 * From the top: what to type in another terminal, the numbers, throughput over time, the connections
 * that are busiest; at the bottom what the keys do. What does not fit is left out from the bottom up.
 */
import type { GoroutineStats } from "../../index.ts";
import { bytes, count, duration, plural } from "../format.ts";
import { chart, type Glyphs } from "./chart.ts";
import { Line, type Style } from "./line.ts";
import type { Rates } from "./meter.ts";

/** A service: what it is, where it listens, what to type to reach it, what happens then. */
export interface Service {
  name: string;
  address: string;
  client: string;
  hint: string;
}

export interface ConnectionRow {
  peer: string;
  ageMs: number;
  bytesIn: number;
  bytesOut: number;
  messages: number;
  state: "reading" | "writing";
}

export interface Model {
  uptimeMs: number;
  services: readonly Service[];
  live: number;
  peak: number;
  accepted: number;
  goroutines: GoroutineStats;
  bytesIn: number;
  bytesOut: number;
  messages: number;
  rates: Rates;
  /** Bytes per second, in both directions together. */
  history: readonly number[];
  columnMs: number;
  /** The first connections of the list. */
  rows: readonly ConnectionRow[];
  /** Set while connections finish: how long they still may. */
  drainLeftMs: number | undefined;
  /** Whether the keyboard is read. */
  keys: boolean;
}

export interface Size {
  width: number;
  height: number;
}

const LABEL = 15;
const FIXED_LINES = 14;
const TALLEST_CHART = 4;

interface Layout {
  chartRows: number;
  listRows: number;
}

/** How the lines that are left beside the fixed ones are shared out. */
function layoutOf({ height }: Size): Layout {
  const left = height - FIXED_LINES;
  if (left < 4) return { chartRows: 0, listRows: Math.max(left - 2, 0) };
  const chartRows = Math.min(Math.max(Math.floor(left / 4), 1), TALLEST_CHART);
  return { chartRows, listRows: Math.max(left - chartRows - 4, 0) };
}

/** How many connections the frame will have room for. */
export function roomForRows(size: Size): number {
  return layoutOf(size).listRows;
}

/** The screen: exactly size.height lines, none longer than size.width. */
export function frame(model: Model, size: Size, glyphs: Glyphs, colours: boolean): string[] {
  const { chartRows, listRows } = layoutOf(size);
  const body = [
    title(model, size),
    new Line(),
    ...invitation(model),
    new Line(),
    ...numbers(model),
    ...throughput(model, size, chartRows, glyphs),
    ...connections(model, listRows),
  ].slice(0, Math.max(size.height - 1, 0));
  while (body.length < size.height - 1) body.push(new Line());
  return [...body, footer(model, size)]
    .slice(-size.height)
    .map((line) => line.render(size.width, colours));
}

function title(model: Model, { width }: Size): Line {
  return new Line()
    .add(" coronet demo", "bold")
    .add("   an echo server, one goroutine per connection", "dim")
    .right(`up ${duration(model.uptimeMs)} `, width);
}

function invitation({ services }: Model): Line[] {
  const commands = Math.max(...services.map(({ client }) => client.length));
  const hints = Math.max(...services.map(({ hint }) => hint.length));
  const lines = services.map(({ name, address, client, hint }) =>
    new Line()
      .add("   ")
      .add(client, "accent")
      .to(commands + 6)
      .add(hint)
      .to(commands + hints + 9)
      .add(`${name} on `, "dim")
      .add(address),
  );
  return [new Line().add(" Try it in another terminal:"), ...lines];
}

type Cell = readonly [value: string, unit: string];

function row(label: string, style: Style, first: Cell, ...others: Cell[]): Line {
  const line = new Line().add(` ${label}`, "dim").to(LABEL);
  line.add(first[0].padStart(10), style).add(` ${first[1]}`, "dim");
  for (const [i, [value, unit]] of others.entries()) {
    line
      .to(LABEL + 19 + i * 22)
      .add(value.padStart(11))
      .add(` ${unit}`, "dim");
  }
  return line;
}

function numbers(model: Model): Line[] {
  const { rates, goroutines } = model;
  const amount = (n: number, unit: string): Cell => {
    const [value, prefix] = bytes(n).split(" ") as [string, string];
    return [value, prefix + unit];
  };
  return [
    row(
      "connections",
      "bold",
      [count(model.live), "live"],
      [count(model.peak), "peak"],
      [count(model.accepted), "in all"],
    ),
    row(
      "goroutines",
      "bold",
      [count(goroutines.live), "live"],
      [count(goroutines.peak), "peak"],
      [count(goroutines.started), "in all"],
    ),
    row("received", "good", amount(rates.bytesIn, "/s"), amount(model.bytesIn, " in all")),
    row("sent", "good", amount(rates.bytesOut, "/s"), amount(model.bytesOut, " in all")),
    row("messages", "good", [count(rates.messages), "/s"], [count(model.messages), "in all"]),
    row(
      "poller turns",
      "plain",
      [count(rates.turns), "/s"],
      [rates.wokenPerTurn.toFixed(1), "goroutines woken per turn"],
    ),
  ];
}

function throughput(model: Model, { width }: Size, height: number, glyphs: Glyphs): Line[] {
  if (height === 0) return [];
  const columns = Math.max(width - 2, 1);
  const shown = model.history.slice(-columns);
  const span = duration(shown.length * model.columnMs);
  const most = bytes(Math.max(...shown, 0));
  const heading = new Line()
    .add(" throughput", "dim")
    .right(`at most ${most}/s in the last ${span} `, width, "dim");
  const rows = chart(shown, columns, height, glyphs);
  return [new Line(), heading, ...rows.map((text) => new Line().add(" ").add(text, "accent"))];
}

function connections(model: Model, room: number): Line[] {
  if (room === 0) return [];
  if (model.live === 0) {
    return [new Line(), new Line().add(" nobody is connected: try the lines above", "dim")];
  }
  const all = model.rows.length >= model.live && model.live <= room;
  const shown = model.rows.slice(0, all ? room : room - 1);
  const peers = Math.max(10, ...shown.map(({ peer }) => peer.length));
  const heading = new Line()
    .add(` ${"connection".padEnd(peers)}`, "dim")
    .add(`${"age".padStart(13)}${"received".padStart(12)}${"sent".padStart(12)}`, "dim")
    .add(`${"messages".padStart(12)}   state`, "dim");
  const lines = shown.map((each) => connectionLine(each, peers));
  const more = model.live - shown.length;
  if (more > 0) lines.push(new Line().add(` and ${count(more)} more`, "dim"));
  return [new Line(), heading, ...lines];
}

function connectionLine(each: ConnectionRow, peers: number): Line {
  return new Line()
    .add(` ${each.peer.padEnd(peers)}`)
    .add(duration(each.ageMs).padStart(13), "dim")
    .add(bytes(each.bytesIn).padStart(12))
    .add(bytes(each.bytesOut).padStart(12))
    .add(count(each.messages).padStart(12))
    .add(`   ${each.state}`, each.state === "writing" ? "good" : "dim");
}

function footer({ drainLeftMs, live, keys }: Model, { width }: Size): Line {
  if (drainLeftMs === undefined) {
    return new Line().add(keys ? " q" : " Ctrl-C", "bold").add(" quits", "dim");
  }
  const left = `${Math.ceil(drainLeftMs / 1000)} s`;
  return new Line()
    .add(` closing: ${plural(live, "connection")} may finish within ${left}`, "warn")
    .right(`${keys ? "q" : "Ctrl-C"} again closes at once `, width, "dim");
}
