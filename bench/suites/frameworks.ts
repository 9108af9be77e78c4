// Frameworks over Coronet and over node:http: the same apps, over connections that are kept alive.
import { join } from "node:path";
import { generate, type HttpReport } from "../generator.ts";
import { rootDir } from "../paths.ts";
import { onEachNode, type Peer } from "../peers.ts";
import type { ServerCase, Settings, Suite } from "../suite.ts";
import { measurement } from "./echo.ts";
import { figuresOf, http } from "./http.ts";

/** In the order of the addresses that the servers listen on (servers/frameworks_apps.mjs). */
const FRAMEWORKS = ["node:http", "Express", "Fastify", "Koa", "Hono"];

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "http", "index.js")];
  const apps = [join(rootDir, "node_modules", "express")];
  const hint = "it is not built";
  return [
    ...onEachNode("coronet", "coronet/http", "frameworks_coronet.mjs", [...library, ...apps], hint),
    ...onEachNode("node-http", "node:http", "frameworks_node.mjs", apps, "npm install brings it"),
  ];
}

function frameworkCase(framework: string, index: number): ServerCase {
  return {
    key: framework.replace("node:", "").toLowerCase(),
    label: `${framework}, hello, 64 connections`,
    buffer: 4096,
    async measure(server, settings) {
      const port = server.address.slice(server.address.lastIndexOf(":"));
      const report: HttpReport = await generate("http", settings.placement.generator, {
        addr: `127.0.0.${index + 1}${port}`,
        conns: 64,
        request: "hello",
        seconds: settings.seconds,
        warmup: settings.warmup,
        "server-pid": server.pid,
      });
      return measurement(report, figuresOf(report));
    },
  };
}

export const frameworks: Suite = {
  ...http,
  name: "frameworks",
  title: "frameworks over Coronet and over node:http",
  targets: [],
  peers,
  cases: (settings: Settings) =>
    FRAMEWORKS.map(frameworkCase).filter(({ key }) => !settings.quick || key !== "http"),
};
