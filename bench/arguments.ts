// The command line of the runner.
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { resultsDir } from "./paths.ts";

export interface Arguments {
  help: boolean;
  quick: boolean;
  suites: string[];
  peers: string[] | undefined;
  cases: string[] | undefined;
  rounds: number;
  seconds: number;
  warmup: number;
  repeats: number;
  json: string | undefined;
  out: string;
}

/** What --help prints, with the names of all suites. */
export function helpFor(suites: readonly string[]): string {
  const list = suites.join(", ").replace(/(.{60,76}?,) /g, "$1\n  ");
  return `${HEAD}\n\n  ${list}\n\n${OPTIONS}`;
}

const HEAD = `npm run bench -- [options] [suite ...]

Measures servers and clients of Coronet and its peers side by side. Without names it
runs every suite:`;

const OPTIONS = `  --quick          a small form that takes about five minutes
  --peers A,B      only these peers, by id or family (coronet, coronet-26, node-net,
                   node-http, node-ws, nginx, c, bun, deno, go, gnet, tokio)
  --cases A,B      only these cases, as in 50x64 or 1000x65536 of echo
  --rounds N       alternating rounds of each measurement (5; quick: 2)
  --seconds S      measured time of each (2; quick: 0.6)
  --warmup S       time before it that does not count (0.6; quick: 0.3)
  --repeats N      how often a measurement is repeated that other processes disturbed
                   (2; quick: 0)
  --json FILE      writes the results there as well
  --out DIR        where results.json and the plots go (bench/results/latest)
  --help           shows this
`;

function numberOf(text: string | undefined, name: string, fallback: number, least: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value >= least && value <= 3600)) throw new Error(`--${name} ${text} makes no sense`);
  return value;
}

function namesIn(text: string | undefined): string[] | undefined {
  return text?.split(",").filter((name) => name !== "");
}

function countOf(text: string | undefined, name: string, fallback: number, least: number): number {
  return Math.round(numberOf(text, name, fallback, least));
}

export function parseArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h", default: false },
      quick: { type: "boolean", default: false },
      peers: { type: "string" },
      cases: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      warmup: { type: "string" },
      repeats: { type: "string" },
      json: { type: "string" },
      out: { type: "string" },
    },
  });
  const { help, quick } = values;
  return {
    help,
    quick,
    suites: positionals,
    peers: namesIn(values.peers),
    cases: namesIn(values.cases),
    rounds: countOf(values.rounds, "rounds", quick ? 2 : 5, 1),
    seconds: numberOf(values.seconds, "seconds", quick ? 0.6 : 2, 0.05),
    warmup: numberOf(values.warmup, "warmup", quick ? 0.3 : 0.6, 0),
    repeats: countOf(values.repeats, "repeats", quick ? 0 : 2, 0),
    json: values.json && resolve(values.json),
    out: resolve(values.out ?? join(resultsDir, "latest")),
  };
}
