// A client with a pool: 64 goroutines share 16 connections to the C echo server.
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { start } from "../children.ts";
import { outputOf, PATIENCE_MS } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { absence, allPeers, compiled, noted, onEachNode, type Peer } from "../peers.ts";
import { cpuOfMachine, cpuOfProcess } from "../proc.ts";
import type { ProgramReport } from "../program.ts";
import { startServer } from "../server.ts";
import {
  decimals,
  integer,
  type Measurement,
  type ProgramCase,
  type Settings,
  type Suite,
} from "../suite.ts";

/** The share of its core from which a process is the limit. */
const BUSY = 0.96;
const BUFFER = 4096;

function script(family: string, label: string, file: string, needs: string[]): Peer[] {
  const path = join("..", "programs", "client", file);
  return onEachNode(family, label, path, needs, "it is not built");
}

function peers(): Peer[] {
  return [
    ...script("coronet", "coronet connect()", "coronet.mjs", [join(rootDir, "dist/src/index.js")]),
    ...script("net-pool", "a pool over node:net", "net_pool.mjs", []),
    compiled("go", "a pool over Go net", "go_client", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

/** Shares of a core that the server and everybody else used in the middle of a measurement. */
async function shares(pids: readonly number[], settings: Settings): Promise<number[]> {
  const { warmup, seconds } = settings;
  const used = (): number[] => [cpuOfMachine(), ...pids.map(cpuOfProcess)];
  await delay((warmup + seconds * 0.2) * 1000);
  const [began, before] = [performance.now(), used()];
  await delay(seconds * 600);
  const elapsed = (performance.now() - began) / 1000;
  return used().map((now, i) => (now - (before[i] as number)) / elapsed);
}

/** Runs a measuring program beside a server that stands on the generator's core. */
export async function measureBeside(
  ofServer: Peer,
  peer: Peer,
  name: string,
  settings: Settings,
): Promise<Measurement> {
  const { seconds, warmup, placement } = settings;
  const absent = absence(ofServer);
  if (absent !== undefined) throw new Error(`no ${ofServer.label}: ${absent}`);
  const server = await startServer(ofServer, placement.generator, BUFFER);
  try {
    const options = ["--case", name, "--seconds", `${seconds}`, "--warmup", `${warmup}`];
    const command = [...peer.command, ...options, "--addr", server.address];
    const child = start(command, { core: placement.server, env: peer.env });
    const pids = [server.pid, child.pid as number];
    const [output, [machine = 0, serverShare = 0, ofClient = 0]] = await Promise.all([
      outputOf(child, (seconds + warmup) * 1000 + PATIENCE_MS),
      shares(pids, settings),
    ]);
    const report = JSON.parse(output) as ProgramReport;
    if (!(report.operations > 0)) throw new Error("not one request within the measured time");
    return {
      figures: {
        rate: report.operations / report.seconds,
        cpu: (report.cpu / report.operations) * 1e6,
        clientShare: report.cpu / report.seconds,
      },
      othersCpu: Math.max(0, machine - serverShare - ofClient),
      generatorBound: serverShare > BUSY && report.cpu / report.seconds < BUSY,
      detail: report,
    };
  } finally {
    await server.stop();
  }
}

function point(key: string, label: string): ProgramCase {
  return {
    key,
    label,
    has: () => true,
    run: (peer, settings) => {
      const echo = allPeers().find(({ id }) => id === "c") as Peer;
      return measureBeside(echo, peer, key, settings);
    },
  };
}

const cases = [
  point("request", "one request per connection taken from the pool"),
  point("pipeline", "20 requests at once per connection taken from the pool"),
];

export const client: Suite = {
  name: "client",
  title: "Client with a pool: 64 goroutines, 16 connections, requests of 17 B",
  generators: ["c_epoll"],
  figures: [
    { key: "rate", label: "requests/s", unit: "/s", better: "more", format: integer },
    { key: "cpu", label: "CPU µs/request", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [{ figure: "rate", against: "net-pool", atLeast: 1, whenBound: "cpu" }],
  peers,
  rounds: (settings) => settings.rounds,
  cases: () => cases,
};
