// TLS 1.3: echo, full and resumed handshakes, and what an idle connection costs.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { selfSigned } from "../../testing/index.ts";
import { generate, holdIdle, type TlsReport } from "../generator.ts";
import { buildDir, rootDir } from "../paths.ts";
import { bun, compiled, noted, onEachNode, type Peer, SETUP } from "../peers.ts";
import {
  decimals,
  integer,
  type Measurement,
  microseconds,
  type ServerCase,
  type Settings,
  type Suite,
} from "../suite.ts";
import { measurement } from "./echo.ts";
import { growth, memoryAtSteps } from "./idle.ts";

/** The share of handshakes that must have been resumed where they are asked to be. */
const RESUMED = 0.99;
const IDLE_STEPS = [500, 4000];

/** The certificate of all servers: ECDSA on P-256, which signs fast. */
export function certificate(): Record<string, string> {
  const [cert, key] = [join(buildDir, "tls_cert.pem"), join(buildDir, "tls_key.pem")];
  if (!existsSync(key)) {
    mkdirSync(buildDir, { recursive: true });
    const made = selfSigned("localhost");
    writeFileSync(cert, made.cert);
    writeFileSync(key, made.key, { mode: 0o600 });
  }
  return { BENCH_TLS_CERT: cert, BENCH_TLS_KEY: key };
}

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "index.js")];
  const env = certificate();
  const read = onEachNode(
    "coronet",
    "coronet, read()",
    "tls_coronet_read.mjs",
    library,
    "it is not built",
  );
  const all = [
    ...onEachNode("coronet", "coronet", "tls_coronet.mjs", library, "it is not built"),
    ...read.map((peer) => ({
      ...peer,
      id: `coronet-read-${peer.node}`,
      takesBuffer: true,
      quick: false,
    })),
    ...onEachNode("node-tls", "node:tls", "tls_node.mjs", [], SETUP),
    bun("Bun.listen", "tls_bun.ts"),
    compiled("go", "Go crypto/tls", "go_tls", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: true,
      quick: true,
      version: () => noted("go"),
    }),
  ];
  return all.map((peer) => ({ ...peer, env: { ...peer.env, ...env } }));
}

function figuresOf(report: TlsReport): Record<string, number> {
  return {
    rate: report.perSecond,
    p50: report.latency.p50,
    p99: report.latency.p99,
    cpu: (report.serverCpu / report.count) * 1e6,
  };
}

function loadCase(
  key: string,
  label: string,
  buffer: number,
  load: Record<string, string | number>,
): ServerCase {
  return {
    key,
    label,
    buffer,
    async measure(server, settings): Promise<Measurement> {
      const report = await generate("tls", settings.placement.generator, {
        addr: server.address,
        ...load,
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      const due = load.resume === 1 ? RESUMED * report.count : 0;
      if (report.resumed < due) {
        throw new Error(`only ${report.resumed} of ${report.count} handshakes were resumed`);
      }
      return measurement(report, figuresOf(report));
    },
  };
}

const idleCase: ServerCase = {
  key: "idle",
  label: `idle, ${IDLE_STEPS.map(integer).join(" to ")} connections`,
  buffer: 4096,
  async measure(server, settings): Promise<Measurement> {
    const load = { mode: "idle", addr: server.address, steps: IDLE_STEPS.join(",") };
    const points = await memoryAtSteps(server, settings, (atStep) =>
      holdIdle("tls", settings.placement.generator, load, atStep),
    );
    return { figures: growth(points), othersCpu: 0, generatorBound: false, detail: points };
  },
};

function cases(settings: Settings): ServerCase[] {
  const echo = { mode: "echo", conns: 50 };
  const shake = { mode: "handshake", conns: 32 };
  const all = [
    loadCase("echo64", "echo, 50 connections × 64 B", 4096, { ...echo, size: 64 }),
    loadCase("echo16k", "echo, 50 connections × 16 kB", 16_384, { ...echo, size: 16_384 }),
    loadCase("full", "full handshake, 64 B, close", 4096, { ...shake, resume: 0 }),
    loadCase("resumed", "resumed handshake, 64 B, close", 4096, { ...shake, resume: 1 }),
  ];
  return settings.quick ? all : [...all, idleCase];
}

const atLeast = (key: string, ratio: number) => ({
  figure: "rate",
  against: "node-tls",
  atLeast: ratio,
  cases: [key],
  whenBound: "cpu",
});

export const tls: Suite = {
  name: "tls",
  title: "TLS 1.3: echo, handshakes, idle connections",
  generators: ["tls"],
  figures: [
    { key: "rate", label: "messages or handshakes/s", unit: "/s", better: "more", format: integer },
    { key: "p50", label: "p50 µs", unit: "µs", better: "less", format: microseconds },
    { key: "p99", label: "p99 µs", unit: "µs", better: "less", format: microseconds },
    { key: "cpu", label: "CPU µs each", unit: "µs", better: "less", format: decimals(1) },
    { key: "rss", label: "RSS B/connection", unit: "B", better: "less", format: integer },
    { key: "dirty", label: "dirty B/connection", unit: "B", better: "less", format: integer },
  ],
  headlines: ["rate", "p99", "cpu", "rss", "dirty"],
  plots: ["rate", "cpu", "rss"],
  ratios: ["rate", "cpu", "rss"],
  targets: [
    atLeast("echo64", 1.15),
    atLeast("echo16k", 1.2),
    atLeast("full", 1.2),
    atLeast("resumed", 1.5),
    { figure: "rss", against: "node-tls", atLeast: 2, cases: ["idle"] },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases,
};
