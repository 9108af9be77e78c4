// Locks, semaphores and groups inside one process: what an operation costs.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { rootDir } from "../paths.ts";
import { compiled, fromNpm, noted, onEachNode, type Peer, SETUP } from "../peers.ts";
import { measureProgram } from "../program.ts";
import { decimals, type ProgramCase, type Suite } from "../suite.ts";

function script(family: string, file: string, needs: string[], hint: string): Peer[] {
  return onEachNode(family, family, join("..", "programs", "sync", file), needs, hint);
}

function library(name: string, file: string): Peer[] {
  const manifest = fromNpm(name, "package.json");
  return script(name, file, [manifest], SETUP).map((peer) => ({
    ...peer,
    version: () => `${JSON.parse(readFileSync(manifest, "utf8")).version}, ${peer.version()}`,
  }));
}

function peers(): Peer[] {
  return [
    ...script("coronet", "coronet.mjs", [join(rootDir, "dist/src/index.js")], "it is not built"),
    compiled("go", "Go sync", "go_sync", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
    ...library("async-mutex", "async_mutex.mjs"),
    ...library("p-limit", "p_limit.mjs"),
    ...library("effect", "effect.mjs"),
    ...script("promises", "promises.mjs", [], ""),
  ];
}

/** A case, and the families that have nothing of the kind. */
function point(key: string, label: string, without: readonly string[]): ProgramCase {
  return {
    key,
    label,
    has: ({ family }) => !without.includes(family),
    run: (peer, settings) => measureProgram(peer, key, settings),
  };
}

const cases = [
  point("lock", "lock and unlock, free", ["p-limit", "promises"]),
  point("scoped", "lock for the length of a scope or a call, free", ["promises"]),
  point("contended", "lock, yield, unlock: 8 at once", ["promises"]),
  point("semaphore", "acquire, yield, release: 16 at once, 4 units", ["promises"]),
  point("spawn", "start 1,000 that do nothing, wait for all", ["async-mutex", "p-limit"]),
];

export const sync: Suite = {
  name: "sync",
  title: "Locks, semaphores and groups inside one process",
  generators: [],
  figures: [
    { key: "ns", label: "ns", unit: "ns", better: "less", format: decimals(1) },
    { key: "cpu", label: "CPU ns", unit: "ns", better: "less", format: decimals(1) },
  ],
  // A program that never waits costs what its CPU time says, whoever else is on its core.
  headlines: ["ns", "cpu"],
  plots: ["cpu"],
  ratios: ["cpu"],
  targets: [{ figure: "cpu", atMost: 60, cases: ["lock"] }],
  peers,
  rounds: (settings) => settings.rounds,
  cases: () => cases,
};
