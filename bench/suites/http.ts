// HTTP/1.1 over connections that are kept alive: one request under way on each, or 16 at once.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { generate, type HttpReport } from "../generator.ts";
import { rootDir, serversDir } from "../paths.ts";
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

const LUA = "/usr/lib/nginx/modules/ngx_http_lua_module.so";

function nginxVersion(): string {
  try {
    return execFileSync("sh", ["-c", "nginx -v 2>&1"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

/** Started by a script: nginx cannot choose its port. */
function nginx(): Peer {
  const program = "/usr/sbin/nginx";
  return {
    id: "nginx",
    family: "nginx",
    label: "nginx with Lua",
    command: [process.execPath, join(serversDir, "http_nginx.mjs")],
    env: { PATH: `/usr/sbin:${process.env.PATH ?? ""}` },
    takesBuffer: false,
    needs: [program, LUA],
    hint: "Debian's nginx and libnginx-mod-http-lua bring it",
    usual: true,
    quick: true,
    version: nginxVersion,
  };
}

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
    nginx(),
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

/** Requests of one write on a connection whose responses come back together. */
const PIPELINED = 16;

interface CaseOptions {
  key?: string;
  /** Requests of one write. */
  depth?: number;
}

/** Of a request that the generator knows by its name, or of a path. */
export function httpCase(
  request: string,
  label: string,
  connections: number,
  {
    depth = 1,
    key = `${request}${connections}${depth === 1 ? "" : `x${depth}`}`,
  }: CaseOptions = {},
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
        depth,
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
    httpCase("varied", "12 headers, each time another target", 64),
    httpCase("json", "POST of 1 kB of JSON", 64),
    httpCase("large", "1 MB", 64),
    httpCase("hello", `hello, ${PIPELINED} pipelined`, 64, { depth: PIPELINED }),
  ];
}

const small = ["hello64", "hello1000"];

export const http: Suite = {
  name: "http",
  title: "HTTP/1.1, connections that are kept alive",
  generators: ["http"],
  figures: [
    { key: "rate", label: "requests/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/request", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "p99", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu", "p99"],
  targets: [
    { figure: "rate", against: "node-http", atLeast: 2, cases: small, whenBound: "cpu" },
    { figure: "rate", against: "go", atLeast: 1.5, cases: small, whenBound: "cpu" },
    { figure: "cpu", against: "bun", atLeast: 1.0 },
    { figure: "cpu", against: "nginx", atLeast: 1.0 },
    { figure: "p99", against: "go", atLeast: 1.0 },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases,
};
