// A reverse proxy before Go's net/http server, which stands on the generator's core.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { generate, type HttpReport } from "../generator.ts";
import { rootDir, serversDir } from "../paths.ts";
import { absence, compiled, noted, onEachNode, type Peer } from "../peers.ts";
import { startServer } from "../server.ts";
import {
  decimals,
  integer,
  type Measurement,
  microseconds,
  type ProgramCase,
  type Settings,
  type Suite,
} from "../suite.ts";
import { measurement } from "./echo.ts";
import { goHttp } from "./fetch.ts";

const BUFFER = 4096;
const NGINX = ["/usr/sbin/nginx", "/usr/bin/nginx"].find(existsSync) ?? "/usr/sbin/nginx";

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "http", "index.js")];
  const nginx = compiled("nginx", "nginx proxy_pass", "", {
    command: ["sh", join(serversDir, "gateway_nginx.sh")],
    needs: [NGINX],
    hint: "nginx is not here",
    takesBuffer: false,
    quick: true,
    version: () => "nginx",
  });
  return [
    ...onEachNode("coronet", "coronet reverseProxy", "gateway_coronet.mjs", library, "not built"),
    ...onEachNode("node-http", "node:http + undici", "gateway_node.mjs", [], ""),
    nginx,
    compiled("go", "Go httputil.ReverseProxy", "go_gateway", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

async function measure(
  peer: Peer,
  request: string,
  conns: number,
  settings: Settings,
): Promise<Measurement> {
  const { placement, seconds, warmup } = settings;
  const absent = absence(goHttp);
  if (absent !== undefined) throw new Error(`no ${goHttp.label}: ${absent}`);
  const upstream = await startServer(goHttp, placement.generator, BUFFER);
  try {
    const command = [...peer.command, "--upstream", upstream.address];
    const server = await startServer({ ...peer, command }, placement.server, BUFFER);
    try {
      const report: HttpReport = await generate("http", placement.generator, {
        addr: server.address,
        conns,
        request,
        seconds,
        warmup,
        "server-pid": server.pid,
      });
      const figures = {
        rate: report.requestsPerSecond,
        p50: report.latency.p50,
        p99: report.latency.p99,
        cpu: (report.serverCpu / report.requests) * 1e6,
      };
      return measurement(report, figures);
    } finally {
      await server.stop();
    }
  } finally {
    await upstream.stop();
  }
}

function point(request: string, label: string, conns: number): ProgramCase {
  return {
    key: `${request}${conns}`,
    label: `${label}, ${conns} connections`,
    has: () => true,
    run: (peer, settings) => measure(peer, request, conns, settings),
  };
}

export const gateway: Suite = {
  name: "gateway",
  title: "Reverse proxy, one request under way per connection",
  generators: ["http"],
  figures: [
    { key: "rate", label: "requests/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs/request", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "p99", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["cpu", "rate"],
  targets: [
    { figure: "rate", against: "node-http", atLeast: 2, whenBound: "cpu", cases: ["hello64"] },
    { figure: "rate", against: "go", atLeast: 1.5, whenBound: "cpu", cases: ["hello64"] },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases: ({ quick }) =>
    quick
      ? [point("hello", "hello", 64)]
      : [
          point("hello", "hello", 64),
          point("browser", "12 headers", 64),
          point("large", "1 MB", 64),
        ],
};
