// UDP echo: flows that keep several datagrams under way each, and many flows with one each.
import { join } from "node:path";
import { generate, type UdpReport } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { bun, compiled, noted, onEachNode, type Peer } from "../peers.ts";
import { type Case, decimals, integer, microseconds, type Settings, type Suite } from "../suite.ts";
import { measurement } from "./echo.ts";

const library = join(rootDir, "dist", "src", "index.js");

function coronet(): Peer[] {
  const built = "it is not built";
  const batches = onEachNode(
    "coronet",
    "coronet, batches",
    "coronet_udp_batch.mjs",
    [library],
    built,
  );
  return [
    ...onEachNode("coronet", "coronet", "coronet_udp.mjs", [library], built),
    ...batches.map((peer) => ({ ...peer, id: `coronet-batch-${peer.node}` })),
  ];
}

function peers(): Peer[] {
  return [
    compiled("c", "C recvmmsg", "c_udp", {
      takesBuffer: false,
      quick: true,
      version: () => noted("cc"),
    }),
    ...coronet(),
    ...onEachNode("node-dgram", "node:dgram", "node_dgram.mjs", [], ""),
    bun("Bun.udpSocket", "bun_udp.ts"),
    compiled("go", "Go net", "go_udp", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

function figuresOf(report: UdpReport): Record<string, number> {
  const { messages, messagesPerSecond: rate, lost, latency } = report;
  return {
    rate,
    p50: latency.p50,
    p99: latency.p99,
    cpu: (report.serverCpu / messages) * 1e6,
    lost: (lost / (messages + lost)) * 1e6,
  };
}

function udpCase(flows: number, window: number, size: number): Case {
  return {
    key: `${flows}x${window}x${size}`,
    label: `${flows} flows × ${window} × ${size} B`,
    buffer: 65_536,
    async measure(server, settings) {
      const report = await generate("udp", settings.placement.generator, {
        addr: server.address,
        flows,
        window,
        size,
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      return measurement(report, figuresOf(report));
    },
  };
}

function cases({ quick }: Settings): Case[] {
  const several = udpCase(50, 8, 64);
  return quick ? [several] : [several, udpCase(50, 8, 1200), udpCase(2000, 1, 64)];
}

export const udp: Suite = {
  name: "udp",
  title: "UDP echo on one socket",
  generators: ["udp"],
  figures: [
    { key: "rate", label: "messages/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/message", unit: "µs", better: "less", format: decimals(2) },
    { key: "lost", label: "lost per million", unit: "", better: "less", format: integer },
  ],
  headlines: ["rate", "p99", "cpu", "lost"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [
    { figure: "rate", against: "node-dgram", atLeast: 3, cases: ["50x8x64"], whenBound: "cpu" },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases,
};
