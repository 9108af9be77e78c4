// Runs a peer's own measuring program, for suites about what happens inside one process.
//
// A program takes --case, --seconds and --warmup, does the case over and over for that long, and
// prints one line of JSON: how many operations, in how many seconds, with how much CPU.

import { start } from "./children.ts";
import { outputOf, PATIENCE_MS } from "./generator.ts";
import type { Peer } from "./peers.ts";
import type { Measurement, Settings } from "./suite.ts";

/** What a program prints; times in seconds. */
export interface ProgramReport {
  operations: number;
  seconds: number;
  cpu: number;
}

/** Nanoseconds per operation: `ns` by the clock, `cpu` of the processor. */
export async function measureProgram(
  peer: Peer,
  name: string,
  settings: Settings,
): Promise<Measurement> {
  const { seconds, warmup, placement } = settings;
  const options = ["--case", name, "--seconds", `${seconds}`, "--warmup", `${warmup}`];
  const child = start([...peer.command, ...options], { core: placement.server, env: peer.env });
  const output = await outputOf(child, (seconds + warmup) * 1000 + PATIENCE_MS);
  const report = JSON.parse(output) as ProgramReport;
  if (!(report.operations > 0)) throw new Error("not one operation within the measured time");
  return {
    figures: {
      ns: (report.seconds / report.operations) * 1e9,
      cpu: (report.cpu / report.operations) * 1e9,
    },
    // It never waits, so what it did not get of its core, others had.
    othersCpu: Math.max(0, 1 - report.cpu / report.seconds),
    generatorBound: false,
    detail: report,
  };
}
