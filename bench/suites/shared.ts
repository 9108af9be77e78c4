// Messages between two threads of one process: as many as go, and there and back.
import { join } from "node:path";
import { start } from "../children.ts";
import { outputOf, PATIENCE_MS } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { onEachNode, type Peer } from "../peers.ts";
import type { ProgramReport } from "../program.ts";
import {
  decimals,
  integer,
  type Measurement,
  microseconds,
  type ProgramCase,
  type Settings,
  type Suite,
} from "../suite.ts";

/** What a program prints: times there and back in nanoseconds. */
interface SharedReport extends ProgramReport {
  p50: number;
  p99: number;
}

function script(family: string, file: string, needs: string[], hint: string): Peer[] {
  return onEachNode(family, family, join("..", "programs", "shared", file), needs, hint);
}

function peers(): Peer[] {
  const built = join(rootDir, "dist/src/index.js");
  return [
    ...script("coronet", "coronet.mjs", [built], "it is not built"),
    ...script("message-port", "message_port.mjs", [], ""),
  ];
}

/** Not pinned: its two threads need a core each. */
async function measureOne(peer: Peer, name: string, settings: Settings): Promise<SharedReport> {
  const { seconds, warmup } = settings;
  const options = ["--case", name, "--seconds", `${seconds}`, "--warmup", `${warmup}`];
  const child = start([...peer.command, ...options], { env: peer.env });
  const output = await outputOf(child, (seconds + warmup) * 1000 + PATIENCE_MS);
  return JSON.parse(output) as SharedReport;
}

async function measure(peer: Peer, settings: Settings): Promise<Measurement> {
  const stream = await measureOne(peer, "stream", settings);
  const pingpong = await measureOne(peer, "pingpong", settings);
  return {
    figures: {
      rate: stream.operations / stream.seconds,
      cpu: (stream.cpu / stream.operations) * 1e9,
      p50: pingpong.p50 / 1000,
      p99: pingpong.p99 / 1000,
    },
    // Two threads that wait for each other: what others had cannot be told from what was not wanted.
    othersCpu: 0,
    generatorBound: false,
    detail: { stream, pingpong },
  };
}

const messages: ProgramCase = {
  key: "64",
  label: "64 B",
  has: () => true,
  run: measure,
};

export const shared: Suite = {
  name: "shared",
  title: "Messages between two threads of one process",
  generators: [],
  figures: [
    { key: "rate", label: "messages/s", unit: "/s", better: "more", format: integer },
    { key: "cpu", label: "CPU ns of both", unit: "ns", better: "less", format: decimals(0) },
    {
      key: "p50",
      label: "p50 there and back µs",
      unit: "µs",
      better: "less",
      format: microseconds,
    },
    {
      key: "p99",
      label: "p99 there and back µs",
      unit: "µs",
      better: "less",
      format: microseconds,
    },
  ],
  headlines: ["rate", "p50", "p99"],
  plots: ["rate", "p99"],
  ratios: ["rate", "p99"],
  targets: [
    { figure: "rate", against: "message-port", atLeast: 5 },
    { figure: "p99", against: "message-port", atLeast: 1 },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases: () => [messages],
};
