// Reactor threads: what a second one brings to a handler that computes, and what it takes to move a
// live connection from one to the other. They use every core there is, so nothing is pinned.
import { join } from "node:path";
import { start } from "../children.ts";
import { outputOf, PATIENCE_MS } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { onEachNode, type Peer } from "../peers.ts";
import {
  decimals,
  integer,
  type Measurement,
  microseconds,
  type Settings,
  type Suite,
} from "../suite.ts";

/** Live connections that are moved about: as many in the quick form as in the tests. */
const CONNS = 10_000;
const QUICK_CONNS = 500;

function peers(): Peer[] {
  const needs = [join(rootDir, "dist/src/index.js")];
  const script = join("..", "programs", "threads", "coronet.mjs");
  return onEachNode("coronet", "coronet", script, needs, "it is not built");
}

async function measure(peer: Peer, name: string, settings: Settings): Promise<Measurement> {
  const { seconds, warmup, quick } = settings;
  const conns = `${quick ? QUICK_CONNS : CONNS}`;
  const options = ["--case", name, "--seconds", `${seconds}`, "--warmup", `${warmup}`];
  const child = start([...peer.command, ...options, "--conns", conns], { env: peer.env });
  const figures = JSON.parse(await outputOf(child, (seconds + warmup) * 2000 + PATIENCE_MS));
  return { figures, othersCpu: 0, generatorBound: false, detail: figures };
}

export const threads: Suite = {
  name: "threads",
  title: "A handler that computes: two reactor threads against one",
  generators: [],
  figures: [
    { key: "one", label: "one thread/s", unit: "/s", better: "more", format: integer },
    { key: "two", label: "two threads/s", unit: "/s", better: "more", format: integer },
    { key: "speedup", label: "speed-up", unit: "×", better: "more", format: decimals(2) },
  ],
  headlines: ["one", "two", "speedup"],
  plots: ["speedup"],
  ratios: [],
  targets: [{ figure: "speedup", atLeast: 1.9 }],
  peers,
  rounds: (settings) => settings.rounds,
  cases: () => [
    {
      key: "cpu",
      label: "1 ms of computing per request, 8 connections",
      has: () => true,
      run: (peer, settings) => measure(peer, "cpu", settings),
    },
  ],
};

export const moves: Suite = {
  name: "moves",
  title: "Live connections moved from thread to thread and back",
  generators: [],
  figures: [
    { key: "rate", label: "moves/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "live", label: "live", unit: "", better: "more", format: integer },
  ],
  headlines: ["rate", "p50", "p99"],
  plots: ["p99"],
  ratios: [],
  targets: [{ figure: "p99", atMost: 1000 }],
  peers,
  rounds: (settings) => settings.rounds,
  cases: (settings) => [
    {
      key: "moves",
      label: `${integer(settings.quick ? QUICK_CONNS : CONNS)} connections that talk`,
      has: () => true,
      run: (peer, run) => measure(peer, "moves", run),
    },
  ],
};
