// The servers that are compared: how each is started, what it needs and which version it is.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { benchDir, buildDir, rootDir, serversDir } from "./paths.ts";

export interface Peer {
  /** What --peers takes; its family names all of its kind. */
  id: string;
  family: string;
  label: string;
  command: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** It holds one read buffer per connection, whose size is an option. */
  takesBuffer: boolean;
  /** The major version of the Node it runs on, if it does. */
  node?: number;
  /** Files without which it is skipped. */
  needs: readonly string[];
  hint: string;
  /** Part of a run that names no peers; of the quick one. */
  usual: boolean;
  quick: boolean;
  version(): string;
}

export const SETUP = "npm run bench:setup brings it";
const arm = process.arch === "arm64";
const ownMajor = Number(process.versions.node.split(".")[0]);

export function fromNpm(...path: string[]): string {
  return join(benchDir, "node_modules", ...path);
}

/** The last line that a program prints about its version. */
function ask(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: "utf8", timeout: 10_000 }).trim();
  } catch {
    return "unknown";
  }
}

/** What the setup noted about the tools it built with. */
export function noted(name: string): string {
  try {
    const versions = JSON.parse(readFileSync(join(buildDir, "versions.json"), "utf8"));
    return versions[name] ?? "unknown";
  } catch {
    return "unknown";
  }
}

/** The Node that runs this, and those that the setup installed. */
function nodes(): { major: number; path: string; usual: boolean }[] {
  const others = [22, 24, 26].filter((major) => major !== ownMajor);
  return [
    { major: ownMajor, path: process.execPath, usual: true },
    ...others.map((major) => ({
      major,
      path: fromNpm(arm ? `node${major}-arm64` : `node${major}`, "bin", "node"),
      usual: major === 26,
    })),
  ];
}

/** A script of servers/, run by each Node there is. */
export function onEachNode(
  family: string,
  label: string,
  script: string,
  needs: string[],
  hint: string,
): Peer[] {
  return nodes().map(
    ({ major, path, usual }): Peer => ({
      id: `${family}-${major}`,
      family,
      label: `${label} (node ${major})`,
      command: [path, join(serversDir, script)],
      takesBuffer: false,
      node: major,
      needs: [path, ...needs],
      hint: existsSync(path) ? hint : SETUP,
      usual,
      quick: major === ownMajor,
      version: () => ask(path, "--version"),
    }),
  );
}

/** The same server with everything of coronet/debug switched on; only where it is named. */
function watched(library: string): Peer[] {
  const peers = onEachNode("coronet-debug", "coronet, watched", "coronet.mjs", [library], SETUP);
  const env = { CORONET_DEBUG: "1" };
  return peers.map((peer) => ({ ...peer, env, usual: false, quick: false }));
}

export function compiled(
  id: string,
  label: string,
  path: string,
  rest: Pick<Peer, "takesBuffer" | "quick" | "version"> & Partial<Peer>,
): Peer {
  const command = [join(buildDir, path)];
  return { id, family: id, label, command, needs: command, hint: SETUP, usual: true, ...rest };
}

export function bun(label: string, script: string): Peer {
  const path = fromNpm("@oven", arm ? "bun-linux-aarch64" : "bun-linux-x64", "bin", "bun");
  return {
    id: "bun",
    family: "bun",
    label,
    command: [path, "run", join(serversDir, script)],
    env: { BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0", DO_NOT_TRACK: "1" },
    takesBuffer: false,
    needs: [path],
    hint: SETUP,
    usual: true,
    quick: true,
    version: () => `Bun ${ask(path, "--version")}`,
  };
}

function deno(): Peer {
  const path = fromNpm("@deno", arm ? "linux-arm64-glibc" : "linux-x64-glibc", "deno");
  const flags = ["--allow-net", "--no-lock", "--no-config", "--no-remote", "--quiet"];
  return {
    id: "deno",
    family: "deno",
    label: "Deno.listen",
    command: [path, "run", ...flags, join(serversDir, "deno.ts")],
    env: { DENO_NO_UPDATE_CHECK: "1", DENO_DIR: join(buildDir, "deno") },
    takesBuffer: true,
    needs: [path],
    hint: SETUP,
    usual: true,
    quick: false,
    version: () => ask(path, "--version").split("\n")[0] ?? "unknown",
  };
}

export function allPeers(): Peer[] {
  const env = { GOMAXPROCS: "1" };
  const library = join(rootDir, "dist", "src", "index.js");
  return [
    compiled("c", "C epoll loop", "c_epoll", {
      takesBuffer: false,
      quick: true,
      version: () => noted("cc"),
    }),
    ...onEachNode("coronet", "coronet", "coronet.mjs", [library], "it is not built"),
    ...watched(library),
    ...onEachNode("node-net", "node:net", "node_net.mjs", [], SETUP),
    bun("Bun.listen", "bun.ts"),
    deno(),
    compiled("go", "Go net", "go_net", {
      env,
      takesBuffer: true,
      quick: true,
      version: () => noted("go"),
    }),
    compiled("gnet", "Go gnet", "go_gnet", {
      env,
      takesBuffer: false,
      quick: false,
      version: () => `gnet ${noted("gnet")}, ${noted("go")}`,
    }),
    compiled("tokio", "Rust tokio", "rust/release/bench-tokio", {
      takesBuffer: true,
      quick: false,
      version: () => `tokio ${noted("tokio")}, ${noted("rust")}`,
    }),
  ];
}

/** Why a peer cannot run here, or undefined. */
export function absence(peer: Peer): string | undefined {
  return peer.needs.every((file) => existsSync(file)) ? undefined : peer.hint;
}

/** The peers that were asked for, by id or family; without names the usual or the quick ones. */
export function choosePeers(
  all: readonly Peer[],
  names: readonly string[] | undefined,
  quick: boolean,
): Peer[] {
  if (names === undefined) return all.filter((peer) => (quick ? peer.quick : peer.usual));
  const known = (name: string) => all.some((peer) => peer.id === name || peer.family === name);
  const unknown = names.find((name) => !known(name));
  if (unknown !== undefined) {
    const ids = all.map((peer) => peer.id).join(", ");
    throw new Error(`no peer is called ${unknown}; there are ${ids}`);
  }
  return all.filter(
    (peer) => names.includes(peer.id) || (names.includes(peer.family) && peer.usual),
  );
}
