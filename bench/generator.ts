// Runs the load generators and reads the JSON they print.
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { start, stop } from "./children.ts";
import { buildDir } from "./paths.ts";

/** Latencies in microseconds. */
export interface Latency {
  count: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

/** What every generator reports; CPU times in seconds within the measured time. */
export interface Report {
  seconds: number;
  errors: number;
  generatorCpu: number;
  serverCpu: number;
  othersCpu: number;
  latency: Latency;
}

/** Echo and fairness; `oldestUnanswered` in microseconds. */
export interface EchoReport extends Report {
  messages: number;
  messagesPerSecond: number;
  bytesPerSecond: number;
  least: number;
  most: number;
  oldestUnanswered: number;
}

export interface FairnessReport extends EchoReport {
  firehoseBytesPerSecond: number;
}

export interface UdpReport extends Report {
  messages: number;
  messagesPerSecond: number;
  /** Not answered in time. */
  lost: number;
}

export interface ChurnReport extends Report {
  connections: number;
  connectionsPerSecond: number;
}

export interface HttpReport extends Report {
  requests: number;
  requestsPerSecond: number;
}

export interface WsReport extends Report {
  messages: number;
  messagesPerSecond: number;
}

/** Messages or handshakes; how many of the latter resumed a session. */
export interface TlsReport extends Report {
  count: number;
  perSecond: number;
  resumed: number;
}

export interface ProxyReport extends Omit<Report, "latency"> {
  bytes: number;
}

export interface Reports {
  echo: EchoReport;
  fairness: FairnessReport;
  churn: ChurnReport;
  proxy: ProxyReport;
  udp: UdpReport;
  http: HttpReport;
  ws: WsReport;
  tls: TlsReport;
}

export type Options = Readonly<Record<string, string | number>>;

/** Beyond the time it was asked to run, for connecting and a slow machine. */
export const PATIENCE_MS = 30_000;

export function generatorPath(name: string, dir = buildDir): string {
  return join(dir, name);
}

export function isBuilt(name: string): boolean {
  return existsSync(generatorPath(name));
}

export function commandLine(path: string, options: Options): string[] {
  return [path, ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`])];
}

/** Everything a child wrote, once it has ended well. */
export function outputOf(child: ChildProcess, patienceMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = "";
    let complaint = "";
    const timer = setTimeout(() => {
      complaint += `no end after ${patienceMs / 1000} s`;
      child.kill("SIGKILL");
    }, patienceMs);
    child.stdout?.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr?.on("data", (chunk) => {
      complaint += chunk;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(output);
      else reject(new Error(complaint.trim() || `the generator ended with ${code}`));
    });
  });
}

/** Runs a generator to its end; an error when it failed or saw any error. */
export async function generate<Name extends keyof Reports>(
  name: Name,
  core: number | undefined,
  options: Options,
): Promise<Reports[Name]> {
  const seconds = Number(options.seconds ?? 0) + Number(options.warmup ?? 0);
  const child = start(commandLine(generatorPath(name), options), { core });
  const output = await outputOf(child, seconds * 1000 + PATIENCE_MS);
  const report = JSON.parse(output) as Reports[Name];
  if (report.errors > 0) throw new Error(`${report.errors} connections failed`);
  if ("latency" in report && report.latency.count === 0)
    throw new Error("not one reply within the measured time");
  return report;
}

/** Opens idle connections and hands over at each step with all of them held open. */
export async function holdIdle(
  generator: "idle" | "tls",
  core: number | undefined,
  options: Options,
  atStep: (open: number) => Promise<void>,
): Promise<void> {
  const command = commandLine(generatorPath(generator), options);
  const child = start(command, { core, stdin: "pipe" });
  // It may be gone when the next line is written; its own message says why.
  child.stdin?.on("error", () => {});
  let complaint = "";
  child.stderr?.on("data", (chunk) => {
    complaint += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  try {
    for await (const line of createInterface({ input: child.stdout! })) {
      await atStep((JSON.parse(line) as { open: number }).open);
      child.stdin?.write("\n");
    }
    const code = await ended;
    if (code !== 0) throw new Error(complaint.trim() || `the generator ended with ${code}`);
  } finally {
    await stop(child);
  }
}
