// The benchmark's own parts: statistics, verdicts, tables and plots, the C histogram, and one short
// echo run of the C generator against the servers that need no more than a C compiler or Node.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { parseArguments } from "./arguments.ts";
import { parseCoreList } from "./children.ts";
import { ownVerdict, ratio, summaryOf } from "./compare.ts";
import { commandLine, type EchoReport, type Latency } from "./generator.ts";
import { benchDir } from "./paths.ts";
import { allPeers, choosePeers, type Peer } from "./peers.ts";
import { barChart, suiteCharts } from "./plot.ts";
import { suiteReport } from "./report.ts";
import { describe as lineOf } from "./rounds.ts";
import { median, ratiosByRound, rotate, slope, summarise } from "./stats.ts";
import type { CaseResult, Sample } from "./suite.ts";
import { suites } from "./suites/all.ts";
import { echo } from "./suites/echo.ts";
import { idle } from "./suites/idle.ts";
import { tls } from "./suites/tls.ts";

describe("statistics", () => {
  it("takes the middle of an odd number and the mean of the two middle ones", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.ok(Number.isNaN(median([])));
  });

  it("summarises with the spread and leaves out what is not a number", () => {
    assert.deepEqual(summarise([2, Number.NaN, 1, 9]), { median: 2, min: 1, max: 9, count: 3 });
    assert.equal(summarise([Number.NaN]), undefined);
  });

  it("pairs the rounds that both sides have", () => {
    const own = new Map([
      [0, 10],
      [1, 20],
      [2, 30],
    ]);
    const other = new Map([
      [0, 5],
      [2, 10],
    ]);
    assert.deepEqual(ratiosByRound(own, other), [2, 3]);
  });

  it("takes the slope from the first to the last point", () => {
    const points = [
      { x: 2000, y: 50_000 },
      { x: 10_000, y: 1 },
      { x: 18_000, y: 66_000 },
    ];
    assert.equal(slope(points), 1);
    assert.ok(Number.isNaN(slope([])));
  });

  it("puts another element first in each round", () => {
    assert.deepEqual(rotate(["a", "b", "c"], 4), ["b", "c", "a"]);
    assert.deepEqual(rotate([], 3), []);
  });
});

describe("the command line", () => {
  it("reads lists and numbers and refuses nonsense", () => {
    const args = parseArguments(["--quick", "--peers", "c,bun", "--rounds", "3", "echo"]);
    assert.deepEqual(
      [args.quick, args.peers, args.rounds, args.suites],
      [true, ["c", "bun"], 3, ["echo"]],
    );
    assert.throws(() => parseArguments(["--seconds=-1"]), /makes no sense/);
    assert.throws(() => parseArguments(["--speed", "9"]), /Unknown option/);
  });

  it("understands the kernel's lists of cores", () => {
    assert.deepEqual(parseCoreList("0-2,5"), [0, 1, 2, 5]);
    assert.deepEqual(parseCoreList(""), []);
  });

  it("finds peers by id and by family and names those there are", () => {
    const peers = allPeers();
    const ids = (names: string[]) => choosePeers(peers, names, false).map(({ id }) => id);
    assert.deepEqual(ids(["c", "bun"]), ["c", "bun"]);
    assert.ok(ids(["coronet"]).every((id) => id.startsWith("coronet-")));
    assert.throws(() => ids(["cobol"]), /no peer is called cobol; there are c, /);
  });
});

function fakePeer(id: string, family = id, node?: number): Peer {
  const base = { id, family, label: id, command: [], needs: [], hint: "", version: () => "1" };
  const peer = { ...base, takesBuffer: false, usual: true, quick: true };
  return node === undefined ? peer : { ...peer, node };
}

function samplesOf(key: string, values: readonly number[], generatorBound = false): Sample[] {
  return values.map((value, round) => ({
    round,
    figures: { [key]: value, cpu: 10, p50: 1, p99: 2 },
    generatorBound,
    othersCpu: 0,
  }));
}

describe("verdicts", () => {
  const own = fakePeer("coronet-20", "coronet", 20);
  const node = fakePeer("node-net-20", "node-net", 20);
  const result = (samples: Record<string, Sample[]>, key = "50x64"): CaseResult => ({
    key,
    label: key,
    samples,
  });
  const figure = echo.figures[0]!;

  it("meets a target with the median of the ratios", () => {
    const point = result({
      [own.id]: samplesOf("rate", [150, 130, 160]),
      [node.id]: samplesOf("rate", [100, 100, 100]),
    });
    const found = ratio(echo, point, figure, own, node);
    assert.equal(found?.summary.median, 1.5);
    assert.equal(found?.verdict?.met, true);
  });

  it("judges by CPU where the generator held the rate down", () => {
    const point = result({
      [own.id]: samplesOf("rate", [110], true).map((sample) => ({
        ...sample,
        figures: { ...sample.figures, cpu: 5 },
      })),
      [node.id]: samplesOf("rate", [100]),
    });
    const verdict = ratio(echo, point, figure, own, node)?.verdict;
    assert.deepEqual([verdict?.met, verdict?.by], [true, "cpu"]);
  });

  it("leaves out the rounds that others disturbed, unless there are no more", () => {
    const disturbed = (values: number[]) =>
      samplesOf("rate", values).map((sample) => ({ ...sample, othersCpu: 0.5 }));
    const mixed = [...samplesOf("rate", [150]), ...disturbed([0, 20]).slice(1)];
    const point = result({ [own.id]: mixed, [node.id]: samplesOf("rate", [100, 100]) });
    assert.equal(summaryOf(point, own, "rate")?.max, 150);
    assert.deepEqual(ratio(echo, point, figure, own, node)?.summary.count, 1);
    const hopeless = result({ [own.id]: disturbed([50]), [node.id]: samplesOf("rate", [100]) });
    assert.equal(ratio(echo, hopeless, figure, own, node)?.summary.median, 0.5);
    assert.equal(ratio(echo, hopeless, figure, own, node)?.verdict?.unsure, true);
  });

  it("knows a target for a figure of Coronet's own", () => {
    const point = result({ [own.id]: samplesOf("rss", [900, 1200]) }, "18000");
    assert.equal(summaryOf(point, own, "rss")?.median, 1050);
    assert.equal(ownVerdict(idle, point, own, "rss", 1050)?.met, false);
    assert.equal(ownVerdict(idle, point, own, "rss", 1000)?.met, true);
  });

  it("prints tables with ratios, targets and what failed", () => {
    const failed: Sample[] = [{ round: 0, problem: "refused" }];
    const other = fakePeer("bun");
    const point = result({
      [own.id]: samplesOf("rate", [150]),
      [node.id]: samplesOf("rate", [100]),
      [other.id]: failed,
    });
    const text = suiteReport({ suite: echo, cases: [point] }, [own, node, other]);
    assert.match(text, /coronet-20 against node-net-20\s+1\.50 met\s+1\.00\s+≥ 1\.4/);
    assert.match(text, /bun, round 1: refused/);
  });
});

describe("a suite whose cases measure different things", () => {
  const own = fakePeer("coronet-20", "coronet", 20);
  const node = fakePeer("node-tls-20", "node-tls", 20);
  const idleSample = (rss: number): Sample[] => [
    { round: 0, figures: { rss, dirty: rss / 2 }, generatorBound: false, othersCpu: 0 },
  ];
  const loaded: CaseResult = {
    key: "echo64",
    label: "echo",
    samples: { [own.id]: samplesOf("rate", [150]), [node.id]: samplesOf("rate", [100]) },
  };
  const resting: CaseResult = {
    key: "idle",
    label: "idle",
    samples: { [own.id]: idleSample(20_000), [node.id]: idleSample(50_000) },
  };

  it("says of each measurement what it has", () => {
    const [echoed, rested] = [loaded, resting].map(({ samples }) => samples[own.id]![0]!);
    assert.match(lineOf(tls, echoed!), /^150 messages .* · 2\.0 p99 µs · 10\.0 CPU µs each$/);
    assert.equal(lineOf(tls, rested!), "20,000 RSS B/connection · 10,000 dirty B/connection");
    assert.equal(lineOf(tls, { round: 0, problem: "refused" }), "failed: refused");
  });

  it("gives each case a table of its own figures, with its own target", () => {
    const [echoTable, idleTable] = [loaded, resting].map((point) =>
      suiteReport({ suite: tls, cases: [point] }, [own, node]),
    );
    assert.doesNotMatch(echoTable!, /RSS/);
    assert.doesNotMatch(idleTable!, /CPU µs|p99/);
    assert.match(
      idleTable!,
      /÷ RSS B\/connection +target\n.*\n.*against node-tls-20 +2\.50 met +≥ 2\n/,
    );
  });

  it("draws a figure for the cases that have it", () => {
    const charts = suiteCharts({ suite: tls, cases: [loaded, resting] }, [own, node], "");
    const titles = (name: string) =>
      [...charts.get(name)!.matchAll(/class="panel"[^>]*>([^<]*)/g)].map((match) => match[1]);
    assert.deepEqual(titles("tls-rate.svg"), ["echo"]);
    assert.deepEqual(titles("tls-rss.svg"), ["idle"]);
    const alone = suiteCharts({ suite: tls, cases: [resting] }, [own, node], "");
    assert.deepEqual([...alone.keys()], ["tls-rss.svg"]);
  });
});

/** Throws when tags do not nest or an attribute is not quoted; enough for what is written here. */
function checkXml(text: string): void {
  const open: string[] = [];
  const tag = /<(\/?)([a-z]+)((?:\s+[a-z:A-Z-]+="[^"<]*")*)\s*(\/?)>/g;
  const rest = text.replace(tag, (_all, closing: string, name: string, _rest, empty: string) => {
    if (closing) assert.equal(open.pop(), name);
    else if (!empty) open.push(name);
    return "";
  });
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest, /[<>]|&(?!(amp|lt|gt|quot);)/);
}

describe("plots", () => {
  const panel = {
    title: 'a < b & "c"',
    bars: [
      { label: "<one>", own: true, summary: { median: 2, min: 1, max: 3, count: 3 } },
      { label: "absent", own: false, summary: undefined },
    ],
  };

  it("are well-formed whatever the labels hold", () => {
    checkXml(barChart("T & T", "note", [panel, panel, panel], String));
    checkXml(barChart("nothing", "", [], String));
  });

  it("follow the colours the reader prefers", () => {
    assert.match(barChart("t", "n", [panel], String), /prefers-color-scheme: dark/);
  });
});

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]!;
}

function assertClose(actual: number, exact: number, name: string): void {
  assert.ok(actual >= exact && actual <= exact * 1.008 + 1, `${name}: ${actual} for ${exact}`);
}

/** A fixed sequence that covers many magnitudes. */
function spreadValues(count: number): number[] {
  let state = 12345;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(2 ** ((state / 2 ** 32) * 33));
  });
}

/** The port in a server's line "listening PORT". */
async function listeningPort(server: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: server.stdout! })) {
    const port = /^listening (\d+)$/.exec(line)?.[1];
    if (port !== undefined) return port;
  }
  throw new Error("the server ended before it listened");
}

describe("the C programs", () => {
  let dir = "";
  let absent: string | false = false;

  before(() => {
    dir = mkdtempSync(join(tmpdir(), "coronet-bench-"));
    const setup = join(benchDir, "setup.mjs");
    const args = [setup, "c", "--build-dir", dir];
    const output = execFileSync(process.execPath, args, { encoding: "utf8" });
    if (!existsSync(join(dir, "echo"))) absent = output.split("\n")[0] ?? "not built";
  });

  after(() => rmSync(dir, { recursive: true, force: true }));

  async function echoAgainst(command: string[], size: number): Promise<EchoReport> {
    const [program, ...rest] = command as [string, ...string[]];
    const server = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => server.once("close", resolve));
    try {
      const options = {
        addr: `127.0.0.1:${await listeningPort(server)}`,
        conns: 8,
        size,
        seconds: 0.1,
        warmup: 0.02,
        "server-pid": server.pid!,
      };
      const [generator, ...args] = commandLine(join(dir, "echo"), options);
      return JSON.parse(execFileSync(generator!, args, { encoding: "utf8", timeout: 20_000 }));
    } finally {
      server.kill("SIGKILL");
      await ended;
    }
  }

  function assertServed(report: EchoReport): void {
    assert.equal(report.errors, 0);
    assert.ok(report.messages > 0);
    assert.equal(report.latency.count, report.messages);
    assert.ok(report.latency.p50 <= report.latency.p99);
    assert.ok(report.latency.p99 <= report.latency.max);
  }

  it("keep percentiles within a bucket of the exact ones", (t) => {
    if (absent) return t.skip(absent);
    const values = spreadValues(20_000);
    const input = values.join("\n");
    const check = join(dir, "histogram_check");
    const found: Latency = JSON.parse(execFileSync(check, { input, encoding: "utf8" }));
    const sorted = values.map((value) => value / 1000).sort((a, b) => a - b);
    assert.equal(found.count, values.length);
    assertClose(found.p50, percentile(sorted, 0.5), "p50");
    assertClose(found.p90, percentile(sorted, 0.9), "p90");
    assertClose(found.p99, percentile(sorted, 0.99), "p99");
    assertClose(found.p999, percentile(sorted, 0.999), "p99.9");
    assert.ok(Math.abs(found.max - sorted.at(-1)!) < 0.001);
  });

  it("echo through the epoll loop", async (t) => {
    if (absent) return t.skip(absent);
    assertServed(await echoAgainst([join(dir, "c_epoll")], 64));
    assertServed(await echoAgainst([join(dir, "c_epoll")], 1 << 20));
  });

  it("echo through node:net", async (t) => {
    if (absent) return t.skip(absent);
    const script = join(benchDir, "servers", "node_net.mjs");
    assertServed(await echoAgainst([process.execPath, script], 100_000));
  });

  it("refuse options they do not know", (t) => {
    if (absent) return t.skip(absent);
    assert.throws(
      () => execFileSync(join(dir, "echo"), ["--speed", "9"], { stdio: "pipe" }),
      /unknown option --speed/,
    );
  });
});

describe("the suites", () => {
  for (const suite of suites) {
    it(`${suite.name} names only figures it has`, () => {
      const keys = suite.figures.map(({ key }) => key);
      const { headlines, plots, ratios, targets } = suite;
      const used = [...headlines, ...plots, ...ratios, ...targets.map(({ figure }) => figure)];
      assert.deepEqual(
        used.filter((key) => !keys.includes(key)),
        [],
      );
    });
  }
});
