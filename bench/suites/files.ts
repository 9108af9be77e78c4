// Files over HTTP/1.1, on connections that are kept alive, one request under way on each.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { buildDir, rootDir, serversDir } from "../paths.ts";
import { bun, compiled, noted, onEachNode, type Peer, SETUP } from "../peers.ts";
import { decimals, integer, microseconds, type Suite } from "../suite.ts";
import { httpCase } from "./http.ts";

const NGINX = "/usr/sbin/nginx";

function nginxVersion(): string {
  try {
    // It says so on stderr.
    return execFileSync("sh", ["-c", `${NGINX} -v 2>&1`], { encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

function nginx(): Peer {
  return {
    id: "nginx",
    family: "nginx",
    label: "nginx, sendfile",
    command: ["/bin/bash", join(serversDir, "files_nginx.sh")],
    takesBuffer: false,
    needs: [NGINX],
    hint: "install nginx",
    usual: true,
    quick: true,
    version: nginxVersion,
  };
}

function peers(): Peer[] {
  const library = [join(rootDir, "dist", "src", "http", "index.js")];
  return [
    ...onEachNode("coronet", "coronet/http", "files_coronet.mjs", library, "it is not built"),
    nginx(),
    ...onEachNode("node-http", "node:http", "files_node.mjs", [], SETUP),
    bun("Bun.file", "files_bun.ts"),
    compiled("go", "Go http.FileServer", "go_files", {
      env: { GOMAXPROCS: "1", FILES: join(buildDir, "files") },
      takesBuffer: false,
      quick: true,
      version: () => noted("go"),
    }),
  ];
}

export const files: Suite = {
  name: "files",
  title: "Files over HTTP/1.1, one request under way per connection",
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
  targets: [],
  peers,
  rounds: (settings) => settings.rounds,
  cases: () => [
    httpCase("/1k.bin", "1 kB", 64, { key: "1k" }),
    httpCase("/100k.bin", "100 kB", 64, { key: "100k" }),
    httpCase("/10m.bin", "10 MB", 16, { key: "10m" }),
  ],
};
