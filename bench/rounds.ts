// Runs a suite: every case in several rounds, in each round every peer with a fresh server, and
// another peer first in each round.
import { isDisturbed } from "./compare.ts";
import type { Peer } from "./peers.ts";
import type { Progress } from "./progress.ts";
import { startServer } from "./server.ts";
import { rotate } from "./stats.ts";
import {
  type Case,
  type CaseResult,
  casesOf,
  type Measurement,
  type Sample,
  type Settings,
  type Suite,
  type SuiteResult,
} from "./suite.ts";

async function measureOnce(peer: Peer, point: Case, settings: Settings): Promise<Measurement> {
  if ("run" in point) return point.run(peer, settings);
  const server = await startServer(peer, settings.placement.server, point.buffer);
  try {
    return await point.measure(server, settings);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${server.complaints()}`.trim());
  } finally {
    await server.stop();
  }
}

/** Repeats a measurement that others disturbed, and keeps the one they disturbed least. */
async function measure(peer: Peer, point: Case, settings: Settings): Promise<Measurement> {
  let best = await measureOnce(peer, point, settings);
  for (let repeat = 0; repeat < settings.repeats && isDisturbed(best); repeat++) {
    const next = await measureOnce(peer, point, settings);
    if (next.othersCpu < best.othersCpu) best = next;
  }
  return best;
}

async function sample(peer: Peer, point: Case, round: number, settings: Settings): Promise<Sample> {
  try {
    return { round, ...(await measure(peer, point, settings)) };
  } catch (error) {
    return { round, problem: (error as Error).message };
  }
}

/** One measurement in a line: of the headlines those that its case has. */
export function describe(suite: Suite, result: Sample): string {
  const { figures } = result;
  if (figures === undefined) return `failed: ${result.problem}`;
  const parts = suite.headlines.flatMap((key) => {
    const value = figures[key];
    const figure = suite.figures.find((candidate) => candidate.key === key)!;
    return value === undefined ? [] : [`${figure.format(value)} ${figure.label}`];
  });
  if (result.generatorBound) parts.push("generator-bound");
  if (isDisturbed(result)) parts.push("disturbed");
  return parts.join(" · ");
}

/** The peers that have what a case measures. */
export function havingIt(point: Case, peers: readonly Peer[]): readonly Peer[] {
  return "run" in point ? peers.filter((peer) => point.has(peer)) : peers;
}

async function runCase(
  suite: Suite,
  point: Case,
  peers: readonly Peer[],
  settings: Settings,
  progress: Progress,
): Promise<CaseResult> {
  const rounds = suite.rounds(settings);
  const samples: Record<string, Sample[]> = {};
  const present = havingIt(point, peers);
  for (let round = 0; round < rounds; round++) {
    for (const peer of rotate(present, round)) {
      const what = `${suite.name} ${point.label} · ${round + 1}/${rounds} · ${peer.label}`;
      progress.begin(what);
      const result = await sample(peer, point, round, settings);
      samples[peer.id] = [...(samples[peer.id] ?? []), result];
      progress.end(`${what}: ${describe(suite, result)}`);
    }
  }
  return { key: point.key, label: point.label, samples };
}

export async function runSuite(
  suite: Suite,
  peers: readonly Peer[],
  settings: Settings,
  progress: Progress,
): Promise<SuiteResult> {
  const cases: CaseResult[] = [];
  for (const point of casesOf(suite, settings)) {
    cases.push(await runCase(suite, point, peers, settings, progress));
  }
  return { suite, cases };
}
