// HTTP/2 over TLS, 10 requests under way on each of 8 connections. The generator is nghttp2's h2load.
import { join } from "node:path";
import { findProgram, start } from "../children.ts";
import { outputOf, PATIENCE_MS } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { compiled, noted, onEachNode, type Peer, SETUP } from "../peers.ts";
import { cpuOfMachine, cpuOfProcess } from "../proc.ts";
import type { RunningServer } from "../server.ts";
import {
  decimals,
  integer,
  type Measurement,
  type ServerCase,
  type Settings,
  type Suite,
} from "../suite.ts";
import { measurement } from "./echo.ts";
import { certificate } from "./tls.ts";

const CONNECTIONS = 8;
const STREAMS = 10;

const h2load = findProgram("h2load") ?? "/usr/bin/h2load";

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "http", "index.js")];
  const env = certificate();
  const all = [
    ...onEachNode("coronet", "coronet/http", "http_coronet.mjs", library, "it is not built"),
    ...onEachNode("node-http2", "node:http2", "http_node.mjs", [], SETUP),
    compiled("go", "Go net/http", "go_http", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
  return all.map((peer) => ({
    ...peer,
    env: { ...peer.env, ...env },
    needs: [...peer.needs, h2load],
    hint: findProgram("h2load") ? peer.hint : "Debian's nghttp2-client brings h2load",
  }));
}

/** Runs the load and says how many requests it was that were answered. */
async function load(
  server: RunningServer,
  path: string,
  seconds: number,
  core: number | undefined,
): Promise<{ requests: number; cpu: number }> {
  const shape = ["-c", `${CONNECTIONS}`, "-m", `${STREAMS}`, "-D", `${seconds}`];
  // Every process reports what its children used: that of the load is what this shell prints.
  const script = 'h2load "$@" && times';
  const command = ["sh", "-c", script, "h2load", ...shape, `https://${server.address}${path}`];
  const text = await outputOf(start(command, { core }), seconds * 1000 + PATIENCE_MS);
  const [, ok, failed, errored] =
    /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(text)?.map(Number) ?? [];
  if (!(ok! > 0) || failed !== 0 || errored !== 0) throw new Error(`h2load says\n${text}`);
  const times = [...(text.trim().split("\n").at(-1) ?? "").matchAll(/(\d+)m([\d.]+)s/g)];
  const cpu = times.reduce(
    (sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest),
    0,
  );
  return { requests: ok as number, cpu };
}

function point(key: string, label: string, path: string): ServerCase {
  return {
    key,
    label: `${label}, ${CONNECTIONS} connections × ${STREAMS} requests`,
    buffer: 4096,
    async measure(server, settings): Promise<Measurement> {
      const { seconds, warmup, placement } = settings;
      await load(server, path, Math.max(1, Math.round(warmup)), placement.generator);
      const before = { server: cpuOfProcess(server.pid), machine: cpuOfMachine() };
      const began = performance.now();
      const { requests, cpu } = await load(
        server,
        path,
        Math.max(1, Math.round(seconds)),
        placement.generator,
      );
      const took = (performance.now() - began) / 1000;
      const serverCpu = cpuOfProcess(server.pid) - before.server;
      const all = cpuOfMachine() - before.machine;
      const report = {
        seconds: took,
        errors: 0,
        generatorCpu: cpu,
        serverCpu,
        othersCpu: Math.max(0, all - serverCpu - cpu),
      };
      const figures = { rate: requests / took, cpu: (serverCpu / requests) * 1e6 };
      return measurement(report, figures);
    },
  };
}

function cases({ quick }: Settings): ServerCase[] {
  const hello = point("hello", "hello", "/");
  return quick ? [hello] : [hello, point("large", "1 MB", "/large")];
}

export const h2: Suite = {
  name: "h2",
  title: "HTTP/2 over TLS",
  generators: [],
  figures: [
    { key: "rate", label: "requests/s", unit: "/s", better: "more", format: integer },
    { key: "cpu", label: "CPU µs/request", unit: "µs", better: "less", format: decimals(1) },
  ],
  headlines: ["rate", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [{ figure: "rate", against: "node-http2", atLeast: 1, whenBound: "cpu" }],
  peers,
  rounds: (settings) => settings.rounds,
  cases,
};
