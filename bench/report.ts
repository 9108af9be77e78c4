// The tables on the terminal: per case the figures of every peer, then Coronet's ratios with their
// targets.
import {
  comparable,
  describeTarget,
  hasFigure,
  isAllDisturbed,
  isDisturbed,
  isGeneratorBound,
  isSubject,
  ownVerdict,
  type Ratio,
  ratio,
  summaryOf,
  type Verdict,
} from "./compare.ts";
import type { Peer } from "./peers.ts";
import type { Summary } from "./stats.ts";
import type { CaseResult, Figure, Suite, SuiteResult } from "./suite.ts";

/** Rows of cells in columns; the first column to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, [...cell].length);
    });
  }
  const pad = (cell: string, column: number) => {
    const space = " ".repeat(widths[column]! - [...cell].length);
    return column === 0 ? cell + space : space + cell;
  };
  const lines = rows.map((row) => row.map(pad).join("   ").trimEnd());
  const rule = "─".repeat(widths.reduce((sum, width) => sum + width, 0) + 3 * (widths.length - 1));
  return [lines[0] ?? "", rule, ...lines.slice(1)].map((line) => `  ${line}`).join("\n");
}

function withSpread(summary: Summary, format: (value: number) => string): string {
  const middle = format(summary.median);
  if (summary.count === 1) return middle;
  return `${middle} (${format(summary.min)}–${format(summary.max)})`;
}

function marks(point: CaseResult, peer: Peer): string {
  const samples = point.samples[peer.id] ?? [];
  const bound = isGeneratorBound(point, peer) ? "g" : "";
  const all = isAllDisturbed(samples) ? "D" : "d";
  const failed = samples.some((sample) => sample.problem !== undefined) ? "f" : "";
  return bound + (samples.some(isDisturbed) ? all : "") + failed;
}

function verdictText({ met, by, unsure }: Verdict): string {
  return `${met ? "met" : "MISSED"}${unsure ? "?" : ""}${by === undefined ? "" : ` by ${by}`}`;
}

function figureCell(suite: Suite, point: CaseResult, peer: Peer, figure: Figure): string {
  const summary = summaryOf(point, peer, figure.key);
  if (summary === undefined) return "–";
  const text = withSpread(summary, figure.format);
  const verdict = isSubject(peer) && ownVerdict(suite, point, peer, figure.key, summary.median);
  if (!verdict) return text;
  return `${text} ${describeTarget(verdict.target)} ${verdictText(verdict)}`;
}

function figureTable(suite: Suite, point: CaseResult, peers: readonly Peer[]): string {
  const figures = suite.figures.filter(({ key }) => hasFigure(point, key));
  const header = ["", ...figures.map((figure) => figure.label), ""];
  const rows = peers.map((peer) => [
    peer.label,
    ...figures.map((figure) => figureCell(suite, point, peer, figure)),
    marks(point, peer),
  ]);
  return table([header, ...rows]);
}

const twoDecimals = (value: number) => value.toFixed(2);

function ratioCell(found: Ratio | undefined): string {
  if (found === undefined) return "–";
  const text = withSpread(found.summary, twoDecimals);
  return found.verdict ? `${text} ${verdictText(found.verdict)}` : text;
}

/** One row per subject and peer, one column per compared figure. */
function ratioTable(suite: Suite, point: CaseResult, peers: readonly Peer[]): string | undefined {
  const figures = suite.figures.filter(
    ({ key }) => suite.ratios.includes(key) && hasFigure(point, key),
  );
  const rows = peers.filter(isSubject).flatMap((subject) =>
    peers
      .filter((peer) => comparable(subject, peer))
      .map((peer) => {
        const ratios = figures.map((figure) => ratio(suite, point, figure, subject, peer));
        const judged = ratios.find((candidate) => candidate?.verdict)?.verdict;
        return [
          `${subject.label} against ${peer.label}`,
          ...ratios.map(ratioCell),
          judged ? describeTarget(judged.target) : "",
        ];
      }),
  );
  if (figures.length === 0 || rows.length === 0) return undefined;
  const header = figures.map(({ label, better }) =>
    better === "more" ? `× ${label}` : `÷ ${label}`,
  );
  return table([["ratio, above 1 is better", ...header, "target"], ...rows]);
}

function problems(point: CaseResult, peers: readonly Peer[]): string[] {
  return peers.flatMap((peer) =>
    (point.samples[peer.id] ?? [])
      .filter((sample) => sample.problem !== undefined)
      .map((sample) => `  ${peer.label}, round ${sample.round + 1}: ${sample.problem}`),
  );
}

const LEGEND =
  "  median (min–max) of the rounds; g: the generator was the limit, compare CPU; " +
  "d: other processes disturbed a round, which is left out (D: all, none is); f: a round failed";

export function suiteReport({ suite, cases }: SuiteResult, peers: readonly Peer[]): string {
  const parts = cases.flatMap((point) => {
    // Not every peer has what every case measures.
    const present = peers.filter(({ id }) => point.samples[id] !== undefined);
    return [
      `\n${suite.title}: ${point.label}\n`,
      figureTable(suite, point, present),
      ratioTable(suite, point, present)?.replace(/^/, "\n"),
      ...problems(point, present),
    ];
  });
  return [...parts.filter((part) => part !== undefined), LEGEND].join("\n");
}
