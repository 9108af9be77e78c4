// WebSockets that echo, one message under way on each.
import { join } from "node:path";
import { generate, type WsReport } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { bun, onEachNode, type Peer, SETUP } from "../peers.ts";
import {
  decimals,
  integer,
  microseconds,
  type ServerCase,
  type Settings,
  type Suite,
} from "../suite.ts";
import { measurement } from "./echo.ts";

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "http", "index.js")];
  const parser = [join(rootDir, "node_modules", "ws", "package.json")];
  return [
    ...onEachNode("coronet", "coronet/http", "ws_coronet.mjs", library, "it is not built"),
    ...onEachNode("node-ws", "ws on node:http", "ws_node.mjs", parser, SETUP),
    bun("Bun.serve", "ws_bun.ts"),
  ];
}

function figuresOf(report: WsReport): Record<string, number> {
  return {
    rate: report.messagesPerSecond,
    p50: report.latency.p50,
    p99: report.latency.p99,
    cpu: (report.serverCpu / report.messages) * 1e6,
  };
}

function wsCase(size: number, sockets: number): ServerCase {
  return {
    key: `${size}x${sockets}`,
    label: `${size} B, ${sockets} sockets`,
    buffer: 4096,
    async measure(server, settings) {
      const report = await generate("ws", settings.placement.generator, {
        addr: server.address,
        conns: sockets,
        size,
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      return measurement(report, figuresOf(report));
    },
  };
}

function cases(settings: Settings): ServerCase[] {
  const small = wsCase(64, 64);
  if (settings.quick) return [small];
  return [small, wsCase(64, 1000), wsCase(16_384, 64)];
}

const small = ["64x64", "64x1000"];

export const ws: Suite = {
  name: "ws",
  title: "WebSocket, one message under way per socket",
  generators: ["ws"],
  figures: [
    { key: "rate", label: "messages/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/message", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "p99", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [{ figure: "rate", against: "node-ws", atLeast: 1.25, cases: small, whenBound: "cpu" }],
  peers,
  rounds: (settings) => settings.rounds,
  cases,
};
