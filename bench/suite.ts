// What a suite of measurements is. Each suite is one file in suites/ and one entry in the list of
// suites/all.ts; everything else (rounds, tables, ratios, targets, plots) follows from what it declares.
import type { Placement } from "./children.ts";
import type { Peer } from "./peers.ts";
import type { RunningServer } from "./server.ts";

export interface Settings {
  quick: boolean;
  rounds: number;
  seconds: number;
  warmup: number;
  /** How often a measurement that other processes disturbed is repeated. */
  repeats: number;
  placement: Placement;
  /** Keys of the cases to measure; all without it. */
  cases: readonly string[] | undefined;
}

export interface Figure {
  key: string;
  label: string;
  unit: string;
  better: "more" | "less";
  format(value: number): string;
}

export interface Measurement {
  figures: Record<string, number>;
  /** CPU seconds of other processes per second of the measurement; they make it worthless. */
  othersCpu: number;
  /** The generator used its whole core while the server did not: compare CPU, not rates. */
  generatorBound: boolean;
  /** Kept in the JSON as it is. */
  detail: unknown;
}

interface Point {
  key: string;
  label: string;
}

/** Measured from outside, on a server that the runner has started. */
export interface ServerCase extends Point {
  /** For servers that hold a read buffer per connection. */
  buffer: number;
  measure(server: RunningServer, settings: Settings): Promise<Measurement>;
}

/** Measured by the peer's own program, for what happens inside one process. */
export interface ProgramCase extends Point {
  /** False when the peer has nothing of the kind. */
  has(peer: Peer): boolean;
  run(peer: Peer, settings: Settings): Promise<Measurement>;
}

/** One point of measurement, done for every peer in every round. */
export type Case = ServerCase | ProgramCase;

/** A bound for one of Coronet's own figures, or for its ratio to a family of peers. */
export interface Target {
  figure: string;
  against?: string;
  atLeast?: number;
  /** The figure that decides where the generator was the limit, so that rates say too little. */
  whenBound?: string;
  atMost?: number;
  /** Keys of the cases it is for; all without it. */
  cases?: readonly string[];
}

export interface Suite {
  name: string;
  title: string;
  /** The generators it needs in bench/build. */
  generators: readonly string[];
  figures: readonly Figure[];
  /** The figures in the line of each measurement, and those drawn and compared; of each case those it has. */
  headlines: readonly string[];
  plots: readonly string[];
  ratios: readonly string[];
  targets: readonly Target[];
  /** What it measures; the servers without it. */
  peers?(): Peer[];
  rounds(settings: Settings): number;
  cases(settings: Settings): Case[];
}

/** One measurement of one peer in one round; without figures when it failed. */
export interface Sample extends Partial<Measurement> {
  round: number;
  problem?: string;
}

export interface CaseResult {
  key: string;
  label: string;
  samples: Record<string, Sample[]>;
}

export interface SuiteResult {
  suite: Suite;
  cases: CaseResult[];
}

/** The cases of a suite that are wanted. */
export function casesOf(suite: Suite, settings: Settings): Case[] {
  const { cases } = settings;
  return suite.cases(settings).filter(({ key }) => cases?.includes(key) ?? true);
}

export function integer(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

export function decimals(count: number): (value: number) => string {
  return (value) =>
    value.toLocaleString("en-US", { minimumFractionDigits: count, maximumFractionDigits: count });
}

/** Latencies from a few to many thousand microseconds. */
export function microseconds(value: number): string {
  return value < 100 ? decimals(1)(value) : integer(value);
}
