// HTTP/1.1 over connections that are kept alive, one request under way on each.
import { join } from "node:path";
import { generate, type HttpReport } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { bun, compiled, noted, onEachNode, type Peer, SETUP } from "../peers.ts";
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
  return [
    ...onEachNode("coronet", "coronet/http", "http_coronet.mjs", library, "it is not built"),
    ...onEachNode("node-http", "node:http", "http_node.mjs", [], SETUP),
    bun("Bun.serve", "http_bun.ts"),
    compiled("go", "Go net/http", "go_http", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

export function figuresOf(report: HttpReport): Record<string, number> {
  return {
    rate: report.requestsPerSecond,
    p50: report.latency.p50,
    p99: report.latency.p99,
    cpu: (report.serverCpu / report.requests) * 1e6,
  };
}

/** Of a request that the generator knows by its name, or of a path. */
export function httpCase(
  request: string,
  label: string,
  connections: number,
  key = `${request}${connections}`,
): ServerCase {
  return {
    key,
    label: `${label}, ${connections} connections`,
    buffer: 4096,
    async measure(server, settings) {
      const report = await generate("http", settings.placement.generator, {
        addr: server.address,
        conns: connections,
        request,
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      return measurement(report, figuresOf(report));
    },
  };
}

function cases(settings: Settings): ServerCase[] {
  const hello = httpCase("hello", "hello", 64);
  if (settings.quick) return [hello];
  return [
    hello,
    httpCase("hello", "hello", 1000),
    httpCase("browser", "12 headers", 64),
    httpCase("json", "POST of 1 kB of JSON", 64),
    httpCase("large", "1 MB", 64),
  ];
}

const small = ["hello64", "hello1000"];

export const http: Suite = {
  name: "http",
  title: "HTTP/1.1, one request under way per connection",
  generators: ["http"],
  figures: [
    { key: "rate", label: "requests/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/request", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "p99", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [
    { figure: "rate", against: "node-http", atLeast: 2, cases: small, whenBound: "cpu" },
    { figure: "rate", against: "go", atLeast: 1.5, cases: small, whenBound: "cpu" },
    { figure: "rate", against: "bun", atLeast: 1.0, cases: small, whenBound: "cpu" },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases,
};
