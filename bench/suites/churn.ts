// Churn: connect, one echo of 64 B, close; 64 at a time.
import { generate } from "../generator.ts";
import { type Case, decimals, integer, microseconds, type Suite } from "../suite.ts";
import { measurement } from "./echo.ts";

const AT_ONCE = 64;

const churnCase: Case = {
  key: `${AT_ONCE}`,
  label: `${AT_ONCE} at a time × 64 B`,
  buffer: 4096,
  async measure(server, settings) {
    const report = await generate("churn", settings.placement.generator, {
      addr: server.address,
      "at-once": AT_ONCE,
      seconds: settings.seconds,
      warmup: settings.warmup,
      "server-pid": server.pid,
    });
    return measurement(report, {
      rate: report.connectionsPerSecond,
      p50: report.latency.p50,
      p99: report.latency.p99,
      cpu: (report.serverCpu / report.connections) * 1e6,
    });
  },
};

export const churn: Suite = {
  name: "churn",
  title: "Accept, one echo, close",
  generators: ["churn"],
  figures: [
    { key: "rate", label: "connections/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/connection", unit: "µs", better: "less", format: decimals(1) },
  ],
  headlines: ["rate", "p99", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [
    { figure: "rate", against: "node-net", atLeast: 2, whenBound: "cpu" },
    { figure: "rate", against: "go", atLeast: 1, whenBound: "cpu" },
  ],
  rounds: (settings) => settings.rounds,
  cases: () => [churnCase],
};
