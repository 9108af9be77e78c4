// Fairness: the latency of one ping-pong connection alone, and beside one connection that sends as
// fast as it can through the same echo server.
import { type FairnessReport, generate } from "../generator.ts";
import type { RunningServer } from "../server.ts";
import { type Case, decimals, integer, microseconds, type Settings, type Suite } from "../suite.ts";
import { measurement } from "./echo.ts";

const SIZE = 64;
const PIECE = 65536;

function pingPong(server: RunningServer, settings: Settings, firehose: 0 | 1) {
  return generate("fairness", settings.placement.generator, {
    addr: server.address,
    conns: 1,
    size: SIZE,
    firehose,
    piece: PIECE,
    seconds: settings.seconds,
    warmup: settings.warmup,
    "server-pid": server.pid,
  });
}

function figuresOf(alone: FairnessReport, beside: FairnessReport): Record<string, number> {
  return {
    alone50: alone.latency.p50,
    beside50: beside.latency.p50,
    alone99: alone.latency.p99,
    beside99: beside.latency.p99,
    ratio: beside.latency.p99 / alone.latency.p99,
    firehose: beside.firehoseBytesPerSecond / 1e6,
  };
}

const fairnessCase: Case = {
  key: "1",
  label: "1 ping-pong × 64 B beside 1 firehose",
  buffer: PIECE,
  async measure(server, settings) {
    const alone = await pingPong(server, settings, 0);
    const beside = await pingPong(server, settings, 1);
    const othersCpu = Math.max(alone.othersCpu / alone.seconds, beside.othersCpu / beside.seconds);
    const measured = measurement(beside, figuresOf(alone, beside));
    return { ...measured, othersCpu, generatorBound: false, detail: { alone, beside } };
  },
};

export const fairness: Suite = {
  name: "fairness",
  title: "Ping-pong alone and beside a firehose",
  generators: ["fairness"],
  figures: [
    { key: "alone50", label: "p50 alone µs", unit: "µs", better: "less", format: microseconds },
    { key: "beside50", label: "p50 beside µs", unit: "µs", better: "less", format: microseconds },
    { key: "alone99", label: "p99 alone µs", unit: "µs", better: "less", format: microseconds },
    { key: "beside99", label: "p99 beside µs", unit: "µs", better: "less", format: microseconds },
    { key: "ratio", label: "p99 ratio", unit: "×", better: "less", format: decimals(2) },
    { key: "firehose", label: "firehose MB/s", unit: "MB/s", better: "more", format: integer },
  ],
  headlines: ["ratio", "beside99", "firehose"],
  plots: ["ratio", "beside99"],
  ratios: ["beside99"],
  targets: [{ figure: "ratio", atMost: 1.5 }],
  rounds: (settings) => settings.rounds,
  cases: () => [fairnessCase],
};
