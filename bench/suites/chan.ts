// Channels, select and timers inside one process: what an operation costs, and a goroutine that waits.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "../children.ts";
import { outputOf, PATIENCE_MS } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { compiled, fromNpm, noted, onEachNode, type Peer, SETUP } from "../peers.ts";
import { measureProgram } from "../program.ts";
import { decimals, integer, type ProgramCase, type Settings, type Suite } from "../suite.ts";

function script(family: string, file: string, needs: string[], hint: string): Peer[] {
  return onEachNode(family, family, join("..", "programs", "chan", file), needs, hint);
}

function library(family: string, name: string, file: string): Peer[] {
  const manifest = fromNpm(...name.split("/"), "package.json");
  return script(family, file, [manifest], SETUP).map((peer) => ({
    ...peer,
    version: () => `${JSON.parse(readFileSync(manifest, "utf8")).version}, ${peer.version()}`,
  }));
}

function peers(): Peer[] {
  return [
    ...script("coronet", "coronet.mjs", [join(rootDir, "dist/src/index.js")], "it is not built"),
    compiled("go", "Go chan", "go_chan", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
    ...library("thi.ng-csp", "@thi.ng/csp", "csp.mjs"),
    ...library("effect", "effect", "effect.mjs"),
    ...script("setTimeout", "timers.mjs", [], ""),
  ];
}

/** A case, and the JavaScript peers that have something of the kind. */
function point(key: string, label: string, others: readonly string[]): ProgramCase {
  return {
    key,
    label,
    has: ({ family }) => ["coronet", "go", ...others].includes(family),
    run: (peer, settings) => measureProgram(peer, key, settings),
  };
}

const cases = [
  point("pingpong", "unbuffered, there and back, per hand-off", ["thi.ng-csp"]),
  point("unbuffered", "unbuffered, one way, per value", ["thi.ng-csp"]),
  point("buffered", "room for 128, one way, per value", ["effect"]),
  point("trying", "room for 128, one way, trying before waiting, per value", []),
  point("select", "there and back through a select of two, per hand-off", ["thi.ng-csp"]),
  point("spawn", "start a goroutine, receive its result", ["thi.ng-csp", "effect"]),
  point("timer", "make a timer, stop it", ["setTimeout"]),
];

export const chan: Suite = {
  name: "chan",
  title: "Channels, select and timers inside one process",
  generators: [],
  figures: [
    { key: "ns", label: "ns", unit: "ns", better: "less", format: decimals(1) },
    { key: "cpu", label: "CPU ns", unit: "ns", better: "less", format: decimals(1) },
  ],
  // A program that never waits costs what its CPU time says, whoever else is on its core.
  headlines: ["ns", "cpu"],
  plots: ["cpu"],
  ratios: ["cpu"],
  targets: [
    { figure: "cpu", against: "go", atLeast: 0.77, cases: ["pingpong"] },
    { figure: "cpu", against: "go", atLeast: 0.33, cases: ["buffered", "trying"] },
    { figure: "cpu", against: "go", atLeast: 1, cases: ["timer"] },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases: () => cases,
};

async function heapPerGoroutine(peer: Peer, settings: Settings) {
  const child = start([...peer.command, "--case", "heap"], {
    core: settings.placement.server,
    env: peer.env,
  });
  const { bytes } = JSON.parse(await outputOf(child, PATIENCE_MS)) as { bytes: number };
  return { figures: { bytes }, othersCpu: 0, generatorBound: false, detail: { bytes } };
}

export const parked: Suite = {
  name: "parked",
  title: "Memory of a goroutine that waits on a channel",
  generators: [],
  figures: [{ key: "bytes", label: "bytes", unit: "B", better: "less", format: integer }],
  headlines: ["bytes"],
  plots: ["bytes"],
  ratios: ["bytes"],
  targets: [{ figure: "bytes", atMost: 700 }],
  peers: () => peers().filter(({ family }) => ["coronet", "go"].includes(family)),
  rounds: () => 1,
  cases: () => [
    { key: "100000", label: "100,000 of them", has: () => true, run: heapPerGoroutine },
  ],
};
