// From samples to what is reported: summaries per peer, Coronet's ratios to each peer, and whether
// the targets are met.
import type { Peer } from "./peers.ts";
import { ratiosByRound, type Summary, summarise } from "./stats.ts";
import type { CaseResult, Figure, Sample, Suite, Target } from "./suite.ts";

export interface Verdict {
  target: Target;
  met: boolean;
  /** The figure that decided in place of the target's own. */
  by?: string;
  /** There was no round that nothing disturbed. */
  unsure: boolean;
}

/** Coronet's figure compared with a peer's, so that above 1 is always in Coronet's favour. */
export interface Ratio {
  subject: string;
  peer: string;
  figure: string;
  summary: Summary;
  verdict?: Verdict;
}

export function isSubject(peer: Peer): boolean {
  return peer.family === "coronet";
}

/** More than this share of a core used by others spoils a measurement. */
const DISTURBED = 0.08;

export function isDisturbed(sample: Pick<Sample, "othersCpu">): boolean {
  return (sample.othersCpu ?? 0) > DISTURBED;
}

/** The value of a figure in each round that has it. */
function byRound(samples: readonly Sample[], key: string): Map<number, number> {
  const values = new Map<number, number>();
  for (const { round, figures } of samples) {
    const value = figures?.[key];
    if (value !== undefined && Number.isFinite(value)) values.set(round, value);
  }
  return values;
}

export function isAllDisturbed(samples: readonly Sample[]): boolean {
  return samples.length > 0 && samples.every(isDisturbed);
}

function undisturbed(samples: readonly Sample[]): Sample[] {
  return samples.filter((sample) => !isDisturbed(sample));
}

/** Of the rounds that nothing disturbed, if there are any; otherwise of all. */
export function summaryOf(result: CaseResult, peer: Peer, key: string): Summary | undefined {
  const samples = result.samples[peer.id] ?? [];
  const calm = byRound(undisturbed(samples), key);
  return summarise([...(calm.size > 0 ? calm : byRound(samples, key)).values()]);
}

/** True when the case has measured the figure, for any peer. */
export function hasFigure(result: CaseResult, key: string): boolean {
  return Object.values(result.samples).some((samples) => byRound(samples, key).size > 0);
}

function applies(target: Target, point: CaseResult, key: string): boolean {
  return target.figure === key && (target.cases?.includes(point.key) ?? true);
}

function judge(target: Target, value: number, unsure: boolean): Verdict {
  const met = value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity);
  return { target, met, unsure };
}

/** The verdict on a figure of Coronet's own. */
export function ownVerdict(
  suite: Suite,
  point: CaseResult,
  subject: Peer,
  key: string,
  value: number,
): Verdict | undefined {
  const target = suite.targets.find(
    (candidate) => candidate.against === undefined && applies(candidate, point, key),
  );
  return target && judge(target, value, isAllDisturbed(point.samples[subject.id] ?? []));
}

/** Two servers are compared when neither runs on a Node that the other could run on but does not. */
export function comparable(subject: Peer, peer: Peer): boolean {
  return !isSubject(peer) && (peer.node === undefined || peer.node === subject.node);
}

/** True when the generator was the limit in most rounds. */
export function isGeneratorBound(point: CaseResult, peer: Peer): boolean {
  const samples = point.samples[peer.id] ?? [];
  return samples.filter((sample) => sample.generatorBound).length * 2 > samples.length;
}

interface Comparison {
  summary: Summary;
  unsure: boolean;
}

/** Of the rounds in which nothing disturbed either, if there are any; otherwise of all. */
function compare(
  point: CaseResult,
  figure: Figure,
  subject: Peer,
  peer: Peer,
): Comparison | undefined {
  const all = [point.samples[subject.id] ?? [], point.samples[peer.id] ?? []] as const;
  const ratios = (own: readonly Sample[], other: readonly Sample[]) => {
    const [mine, theirs] = [byRound(own, figure.key), byRound(other, figure.key)];
    return summarise(
      figure.better === "more" ? ratiosByRound(mine, theirs) : ratiosByRound(theirs, mine),
    );
  };
  const calm = ratios(undisturbed(all[0]), undisturbed(all[1]));
  const summary = calm ?? ratios(...all);
  return summary && { summary, unsure: calm === undefined };
}

/** Where the generator held one of two rates down, the figure that it could not touch decides. */
function judgeRatio(
  target: Target,
  { summary, unsure }: Comparison,
  suite: Suite,
  point: CaseResult,
  subject: Peer,
  peer: Peer,
): Verdict {
  const bound = isGeneratorBound(point, subject) || isGeneratorBound(point, peer);
  const other = suite.figures.find(({ key }) => key === target.whenBound);
  const instead = bound && other ? compare(point, other, subject, peer) : undefined;
  if (other === undefined || instead === undefined) return judge(target, summary.median, unsure);
  return { ...judge(target, instead.summary.median, instead.unsure), by: other.key };
}

export function ratio(
  suite: Suite,
  point: CaseResult,
  figure: Figure,
  subject: Peer,
  peer: Peer,
): Ratio | undefined {
  const found = compare(point, figure, subject, peer);
  if (found === undefined) return undefined;
  const { summary } = found;
  const result: Ratio = { subject: subject.id, peer: peer.id, figure: figure.key, summary };
  const target = suite.targets.find(
    (candidate) => candidate.against === peer.family && applies(candidate, point, figure.key),
  );
  if (target === undefined) return result;
  return { ...result, verdict: judgeRatio(target, found, suite, point, subject, peer) };
}

export function describeTarget(target: Target): string {
  if (target.atLeast !== undefined) return `≥ ${target.atLeast}`;
  return `≤ ${target.atMost?.toLocaleString("en-US")}`;
}
