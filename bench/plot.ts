// Bar charts as SVG: one panel per case, one bar per peer, a whisker from the smallest to the
// largest round. Readable on light and on dark ground.
import { hasFigure, isSubject, summaryOf } from "./compare.ts";
import type { Peer } from "./peers.ts";
import type { Summary } from "./stats.ts";
import type { Figure, SuiteResult } from "./suite.ts";

export interface Bar {
  label: string;
  own: boolean;
  summary: Summary | undefined;
}

export interface Panel {
  title: string;
  bars: readonly Bar[];
}

const MARGIN = 20;
const TITLE_HEIGHT = 54;
const PANEL_WIDTH = 560;
const PANEL_HEAD = 28;
const PANEL_GAP = 24;
const ROW = 22;
const BAR_HEIGHT = 14;
const LABEL_WIDTH = 150;
const VALUE_WIDTH = 90;
const BARS_WIDTH = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2430; }
  .title { font-size: 16px; font-weight: 600; }
  .note, .value { fill: #5b6472; }
  .panel { font-weight: 600; }
  .ground { fill: #ffffff; }
  .axis { stroke: #c4cad4; }
  .bar { fill: #9aa5b8; }
  .own { fill: #d9822b; }
  .whisker { stroke: #1f2430; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ef; }
    .note, .value { fill: #a3adbd; }
    .ground { fill: #161a22; }
    .axis { stroke: #3d4656; }
    .bar { fill: #66728a; }
    .own { fill: #e8963f; }
    .whisker { stroke: #e6e9ef; }
  }`;

export function escapeXml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
  };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}

function text(x: number, y: number, content: string, kind = "", anchor = "start"): string {
  const attributes = `${kind && ` class="${kind}"`} text-anchor="${anchor}"`;
  return `<text x="${x}" y="${y}"${attributes}>${escapeXml(content)}</text>`;
}

function whisker({ min, max }: Summary, y: number, scale: number): string {
  const [from, to, middle] = [LABEL_WIDTH + min * scale, LABEL_WIDTH + max * scale, y + ROW / 2];
  const path = `M${from.toFixed(1)} ${middle}H${to.toFixed(1)}`;
  const ends = [from, to].map((x) => `M${x.toFixed(1)} ${middle - 4}v8`).join("");
  return `<path class="whisker" d="${path}${ends}"/>`;
}

function bar({ label, own, summary }: Bar, y: number, scale: number, format: Figure["format"]) {
  const baseline = y + ROW / 2 + 4;
  const parts = [text(LABEL_WIDTH - 8, baseline, label, "", "end")];
  if (summary === undefined) return [...parts, text(LABEL_WIDTH + 6, baseline, "–", "value")];
  const width = Math.max(summary.median * scale, 1).toFixed(1);
  const top = y + (ROW - BAR_HEIGHT) / 2;
  const kind = own ? "bar own" : "bar";
  const box = `x="${LABEL_WIDTH}" y="${top}" width="${width}" height="${BAR_HEIGHT}"`;
  parts.push(`<rect class="${kind}" ${box} rx="2"/>`);
  if (summary.count > 1) parts.push(whisker(summary, y, scale));
  const end = LABEL_WIDTH + Math.max(summary.max, summary.median) * scale;
  parts.push(text(Math.round(end + 8), baseline, format(summary.median), "value"));
  return parts;
}

function panelHeight({ bars }: Panel): number {
  return PANEL_HEAD + bars.length * ROW;
}

function drawPanel(panel: Panel, x: number, y: number, format: Figure["format"]): string {
  const largest = Math.max(...panel.bars.map(({ summary }) => summary?.max ?? 0), 1e-9);
  const scale = BARS_WIDTH / largest;
  const rows = panel.bars.flatMap((item, index) =>
    bar(item, PANEL_HEAD + index * ROW, scale, format),
  );
  const axis = `<path class="axis" d="M${LABEL_WIDTH} ${PANEL_HEAD}V${panelHeight(panel)}"/>`;
  const content = [text(0, 16, panel.title, "panel"), ...rows, axis].join("\n");
  return `<g transform="translate(${x} ${y})">\n${content}\n</g>`;
}

/** Panels in two columns, or in one when there is only one. */
export function barChart(
  title: string,
  note: string,
  panels: readonly Panel[],
  format: Figure["format"],
): string {
  const columns = panels.length > 1 ? 2 : 1;
  const rowHeight = Math.max(...panels.map(panelHeight), 0) + PANEL_GAP;
  const width = 2 * MARGIN + columns * PANEL_WIDTH + (columns - 1) * PANEL_GAP;
  const height = 2 * MARGIN + TITLE_HEIGHT + Math.ceil(panels.length / columns) * rowHeight;
  const drawn = panels.map((panel, index) => {
    const x = MARGIN + (index % columns) * (PANEL_WIDTH + PANEL_GAP);
    const y = MARGIN + TITLE_HEIGHT + Math.floor(index / columns) * rowHeight;
    return drawPanel(panel, x, y, format);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    text(MARGIN, MARGIN + 16, title, "title"),
    text(MARGIN, MARGIN + 36, note, "note"),
    ...drawn,
    "</svg>\n",
  ].join("\n");
}

/** The charts of a suite by file name; each with the cases that have its figure. */
export function suiteCharts(
  { suite, cases }: SuiteResult,
  peers: readonly Peer[],
  note: string,
): Map<string, string> {
  const charts = new Map<string, string>();
  for (const key of suite.plots) {
    const figure = suite.figures.find((candidate) => candidate.key === key)!;
    const measured = cases.filter((point) => hasFigure(point, key));
    if (measured.length === 0) continue;
    const panels = measured.map((point) => ({
      title: point.label,
      bars: peers.map((peer) => ({
        label: peer.label,
        own: isSubject(peer),
        summary: summaryOf(point, peer, key),
      })),
    }));
    const direction = figure.better === "more" ? "longer is better" : "shorter is better";
    const title = `${suite.title}: ${figure.label} (${direction})`;
    charts.set(`${suite.name}-${key}.svg`, barChart(title, note, panels, figure.format));
  }
  return charts;
}
