// A client of HTTP/1.1 over connections that are kept: 64 goroutines ask Go's net/http server.
import { join } from "node:path";
import { rootDir } from "../paths.ts";
import { bun, compiled, noted, onEachNode, type Peer } from "../peers.ts";
import { decimals, integer, type ProgramCase, type Suite } from "../suite.ts";
import { measureBeside } from "./client.ts";

export const goHttp: Peer = compiled("go-http", "Go net/http server", "go_http", {
  env: { GOMAXPROCS: "1" },
  takesBuffer: false,
  quick: true,
  version: () => noted("go"),
});

function script(family: string, label: string, file: string, needs: string[]): Peer[] {
  const path = join("..", "programs", "fetch", file);
  return onEachNode(family, label, path, needs, "it is not built");
}

function peers(): Peer[] {
  const library = join(rootDir, "dist", "src", "http", "index.js");
  return [
    ...script("coronet", "coronet fetch", "coronet.mjs", [library]),
    ...script("undici", "undici request", "undici.mjs", []),
    ...script("node-fetch", "Node's fetch", "platform.mjs", []),
    ...script("node-http", "node:http agent", "node_http.mjs", []),
    bun("Bun's fetch", join("..", "programs", "fetch", "platform.mjs")),
    compiled("go", "Go http.Client", "go_fetch", {
      env: { GOMAXPROCS: "1" },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

function point(key: string, label: string): ProgramCase {
  return {
    key,
    label,
    has: () => true,
    run: (peer, settings) => measureBeside(goHttp, peer, key, settings),
  };
}

const hello = point("hello", "hello");

export const fetch: Suite = {
  name: "fetch",
  title: "HTTP/1.1 client, 64 goroutines, connections that are kept",
  generators: [],
  figures: [
    { key: "rate", label: "requests/s", unit: "/s", better: "more", format: integer },
    { key: "cpu", label: "CPU µs/request", unit: "µs", better: "less", format: decimals(2) },
  ],
  headlines: ["rate", "cpu"],
  plots: ["rate", "cpu"],
  ratios: ["rate", "cpu"],
  targets: [
    { figure: "rate", against: "node-fetch", atLeast: 2, whenBound: "cpu", cases: ["hello"] },
    { figure: "rate", against: "undici", atLeast: 1, whenBound: "cpu", cases: ["hello"] },
    { figure: "rate", against: "go", atLeast: 1, whenBound: "cpu", cases: ["hello"] },
  ],
  peers,
  rounds: (settings) => settings.rounds,
  cases: ({ quick }) =>
    quick ? [hello] : [hello, point("json", "POST of 1 kB of JSON"), point("large", "1 MB")],
};
