// Proxy: bytes through a server that joins each two connections it accepts.
import { join } from "node:path";
import { generate, type ProxyReport } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { compiled, noted, onEachNode, type Peer } from "../peers.ts";
import { decimals, integer, type ServerCase, type Suite } from "../suite.ts";
import { measurement } from "./echo.ts";

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "index.js")];
  const coronet = (family: string, label: string): Peer[] =>
    onEachNode(family, label, "proxy_coronet.mjs", library, "it is not built");
  return [
    compiled("c", "C splice", "c_splice", {
      takesBuffer: false,
      quick: true,
      version: () => noted("cc"),
    }),
    ...coronet("coronet", "coronet copy"),
    ...coronet("coronet-buffer", "coronet by buffer").map((peer) => ({
      ...peer,
      env: { CORONET_PROXY: "buffer" },
    })),
    ...onEachNode("node-net", "node:net pipe", "proxy_node_net.mjs", [], ""),
    compiled("go", "Go io.Copy", "go_proxy", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

function figuresOf(report: ProxyReport): Record<string, number> {
  return {
    rate: report.bytes / report.seconds / 1e6,
    cpu: (report.serverCpu / report.bytes) * 1e9,
  };
}

function proxyCase(pairs: number, both: boolean): ServerCase {
  return {
    key: `${pairs}${both ? "both" : ""}`,
    label: `${pairs} ${pairs === 1 ? "pair" : "pairs"}, ${both ? "both ways" : "one way"}`,
    buffer: 65_536,
    async measure(server, settings) {
      const report = await generate("proxy", settings.placement.generator, {
        addr: server.address,
        pairs,
        both: both ? 1 : 0,
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      if (!(report.bytes > 0)) throw new Error("not one byte within the measured time");
      return measurement(report, figuresOf(report));
    },
  };
}

export const proxy: Suite = {
  name: "proxy",
  title: "Proxy, as many bytes as it passes on",
  generators: ["proxy"],
  figures: [
    { key: "rate", label: "MB/s", unit: "MB/s", better: "more", format: integer },
    { key: "cpu", label: "CPU s/GB", unit: "s", better: "less", format: decimals(3) },
  ],
  headlines: ["rate", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [
    { figure: "rate", against: "node-net", atLeast: 2, whenBound: "cpu" },
    { figure: "rate", against: "go", atLeast: 1, whenBound: "cpu" },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases: (settings) =>
    settings.quick
      ? [proxyCase(1, false)]
      : [proxyCase(1, false), proxyCase(1, true), proxyCase(50, true)],
};
