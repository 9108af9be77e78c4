// Echo: 50 and 1000 connections, each with one message of 64 B, 4 kB or 64 kB under way.
import { type EchoReport, generate, type Report } from "../generator.ts";
import {
  type Case,
  decimals,
  integer,
  type Measurement,
  microseconds,
  type Settings,
  type Suite,
} from "../suite.ts";

const SIZES: readonly [number, string][] = [
  [64, "64 B"],
  [4096, "4 kB"],
  [65536, "64 kB"],
];
const SMALLEST_BUFFER = 4096;
/** The share of its core from which a process is the limit. */
const BUSY = 0.96;

/** What all generators' reports have in common, as a measurement. */
export function measurement(
  report: Omit<Report, "latency">,
  figures: Record<string, number>,
): Measurement {
  const generatorShare = report.generatorCpu / report.seconds;
  const serverShare = report.serverCpu / report.seconds;
  return {
    figures: { ...figures, serverShare, generatorShare },
    othersCpu: report.othersCpu / report.seconds,
    generatorBound: generatorShare > BUSY && serverShare < BUSY,
    detail: report,
  };
}

function figuresOf(report: EchoReport): Record<string, number> {
  return {
    rate: report.messagesPerSecond,
    p50: report.latency.p50,
    p99: report.latency.p99,
    cpu: (report.serverCpu / report.messages) * 1e6,
  };
}

function echoCase(connections: number, size: number, sizeLabel: string): Case {
  return {
    key: `${connections}x${size}`,
    label: `${connections} connections × ${sizeLabel}`,
    buffer: Math.max(SMALLEST_BUFFER, size),
    async measure(server, settings) {
      const report = await generate("echo", settings.placement.generator, {
        addr: server.address,
        conns: connections,
        size,
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      return measurement(report, figuresOf(report));
    },
  };
}

function cases(settings: Settings): Case[] {
  if (settings.quick) return [echoCase(50, 64, "64 B"), echoCase(1000, 64, "64 B")];
  return SIZES.flatMap(([size, label]) =>
    [50, 1000].map((connections) => echoCase(connections, size, label)),
  );
}

const small = ["50x64", "1000x64"];

export const echo: Suite = {
  name: "echo",
  title: "Echo, one message under way per connection",
  generators: ["echo"],
  figures: [
    { key: "rate", label: "messages/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/message", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "p99", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [
    { figure: "rate", against: "node-net", atLeast: 1.4, cases: small, whenBound: "cpu" },
    { figure: "rate", against: "go", atLeast: 1.1, cases: small, whenBound: "cpu" },
    { figure: "rate", against: "bun", atLeast: 1.0, cases: small, whenBound: "cpu" },
    { figure: "rate", against: "c", atLeast: 0.95, cases: small, whenBound: "cpu" },
  ],
  rounds: (settings) => settings.rounds,
  cases,
};
