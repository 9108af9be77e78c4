// The benchmark runner: `npm run bench`. See README.md for what is measured and how.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { type Arguments, helpFor, parseArguments } from "./arguments.ts";
import { killChildrenAtExit, placement } from "./children.ts";
import { comparable, isSubject, type Ratio, ratio } from "./compare.ts";
import { isBuilt } from "./generator.ts";
import { describeMachine, type Machine, ownVersion, versionsOf } from "./machine.ts";
import { absence, allPeers, choosePeers, type Peer } from "./peers.ts";
import { suiteCharts } from "./plot.ts";
import { Progress } from "./progress.ts";
import { suiteReport } from "./report.ts";
import { havingIt, runSuite } from "./rounds.ts";
import { type CaseResult, casesOf, type Settings, type Suite, type SuiteResult } from "./suite.ts";
import { suites } from "./suites/all.ts";

interface Run {
  args: Arguments;
  machine: Machine;
  versions: Record<string, string>;
  /** All that take part, each id once. */
  peers: readonly Peer[];
  peersOf: PeersOf;
  date: string;
}

function say(line: string): void {
  stdout.write(`${line}\n`);
}

function chooseSuites(names: readonly string[]): Suite[] {
  const unknown = names.find((name) => !suites.some((suite) => suite.name === name));
  if (unknown !== undefined) {
    const known = suites.map((suite) => suite.name).join(", ");
    throw new Error(`no suite is called ${unknown}; there are ${known}`);
  }
  const chosen = suites.filter((suite) => names.length === 0 || names.includes(suite.name));
  return chosen.filter((suite) => {
    const missing = suite.generators.filter((name) => !isBuilt(name));
    if (missing.length > 0) {
      say(`${suite.name} is skipped: no generator (npm run bench:setup builds it)`);
    }
    return missing.length === 0;
  });
}

/** The peers that a suite measures and that are here. */
type PeersOf = (suite: Suite) => readonly Peer[];

function presentPeers(args: Arguments, chosen: readonly Suite[]): PeersOf {
  const sources = new Set(chosen.map(({ peers = allPeers }) => peers));
  const found = new Map([...sources].map((peers) => [peers, peers()]));
  const wanted = choosePeers([...found.values()].flat(), args.peers, args.quick);
  const present = new Set(wanted.filter((peer) => isPresent(peer)));
  return ({ peers = allPeers }) => (found.get(peers) ?? []).filter((peer) => present.has(peer));
}

function isPresent(peer: Peer): boolean {
  const why = absence(peer);
  if (why !== undefined) say(`${peer.label} is skipped: ${why}`);
  return why === undefined;
}

function countMeasurements(chosen: readonly Suite[], peers: PeersOf, settings: Settings): number {
  return chosen.reduce((sum, suite) => {
    const counts = casesOf(suite, settings).map((point) => havingIt(point, peers(suite)).length);
    return sum + counts.reduce((all, count) => all + count, 0) * suite.rounds(settings);
  }, 0);
}

function introduce({ machine, versions, peers }: Run): void {
  const place = machine.virtual ? ", virtual" : "";
  const system = `${machine.kernel}, ${machine.congestionControl}`;
  say(`${machine.cpu}, ${machine.cores} cores${place}, ${system}; ${machine.placement}`);
  for (const peer of peers) say(`  ${peer.label}: ${versions[peer.id]}`);
  if (!peers.some(isSubject)) say("no Coronet among them: there will be no ratios");
}

function ratiosOf(suite: Suite, point: CaseResult, peers: readonly Peer[]): Ratio[] {
  const figures = suite.figures.filter(({ key }) => suite.ratios.includes(key));
  return peers
    .filter(isSubject)
    .flatMap((subject) =>
      peers
        .filter((peer) => comparable(subject, peer))
        .flatMap((peer) => figures.map((figure) => ratio(suite, point, figure, subject, peer))),
    )
    .filter((found) => found !== undefined);
}

function toJson(run: Run, results: readonly SuiteResult[]): string {
  const { rounds, seconds, warmup, quick } = run.args;
  const document = {
    date: run.date,
    version: ownVersion(),
    machine: run.machine,
    settings: { rounds, seconds, warmup, quick },
    peers: run.peers.map(({ id, label }) => ({ id, label, version: run.versions[id] })),
    suites: results.map(({ suite, cases }) => ({
      name: suite.name,
      title: suite.title,
      figures: suite.figures.map(({ key, label, unit, better }) => ({ key, label, unit, better })),
      targets: suite.targets,
      cases: cases.map((point) => ({
        ...point,
        ratios: ratiosOf(suite, point, run.peersOf(suite)),
      })),
    })),
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function writeResults(run: Run, results: readonly SuiteResult[]): void {
  const { args, machine, date } = run;
  mkdirSync(args.out, { recursive: true });
  const json = toJson(run, results);
  writeFileSync(join(args.out, "results.json"), json);
  if (args.json !== undefined) writeFileSync(args.json, json);
  const note = `${machine.cpu}, ${machine.cores} cores, ${machine.kernel}; ${date.slice(0, 10)}`;
  for (const result of results) {
    for (const [name, svg] of suiteCharts(result, run.peersOf(result.suite), note)) {
      writeFileSync(join(args.out, name), svg);
    }
  }
}

function anyFailed(results: readonly SuiteResult[]): boolean {
  return results.some(({ cases }) =>
    cases.some(({ samples }) =>
      Object.values(samples).some((list) => list.some(({ problem }) => problem !== undefined)),
    ),
  );
}

async function main(): Promise<void> {
  const args = parseArguments(argv.slice(2));
  if (args.help) return say(helpFor(suites.map(({ name }) => name)));
  if (process.platform !== "linux") return say("the benchmarks need Linux: nothing is measured");
  killChildrenAtExit();
  const settings: Settings = { ...args, placement: placement() };
  const chosen = chooseSuites(args.suites);
  const peersOf = presentPeers(args, chosen);
  const peers = [...new Map(chosen.flatMap(peersOf).map((peer) => [peer.id, peer])).values()];
  const machine = describeMachine(settings.placement);
  const date = new Date().toISOString();
  const run = { args, machine, versions: versionsOf(peers), peers, peersOf, date };
  introduce(run);
  if (peers.length === 0) return;
  const progress = new Progress(countMeasurements(chosen, peersOf, settings));
  const results: SuiteResult[] = [];
  for (const suite of chosen.filter((item) => casesOf(item, settings).length > 0)) {
    const result = await runSuite(suite, peersOf(suite), settings, progress);
    results.push(result);
    say(suiteReport(result, peersOf(suite)));
    // After each, so that an interrupted run leaves what it has.
    writeResults(run, results);
  }
  if (results.length > 0) say(`\nresults and plots are in ${args.out}`);
  if (anyFailed(results)) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
