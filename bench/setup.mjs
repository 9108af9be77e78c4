// Installs and builds what the benchmarks compare with: peers from npm, the Go and Rust servers,
// the C generators and server, and wrk. Whatever has no toolchain here is skipped with a word.
//
//   node bench/setup.mjs [npm] [c] [go] [rust] [wrk] [--build-dir DIR]
//
// Without names it does everything. Built files go to bench/build.
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const benchDir = dirname(fileURLToPath(import.meta.url));
const groups = { npm: npmItems, c: cItems, go: goItems, rust: rustItems, wrk: wrkItems };

const { values, positionals } = parseArgs({
  options: { "build-dir": { type: "string", default: join(benchDir, "build") } },
  allowPositionals: true,
});
const buildDir = resolve(values["build-dir"]);
const wanted = positionals.length > 0 ? positionals : Object.keys(groups);

/** The path of a program, or undefined. */
function find(program) {
  for (const dir of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(dir, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/** Runs a command to its end and returns its output; throws with the end of it when it fails. */
function run(command, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", fail);
    child.on("close", (code) => {
      if (code === 0) done(output);
      else fail(new Error(output.trim().split("\n").slice(-12).join("\n") || `exit code ${code}`));
    });
  });
}

/** Thrown by an item that cannot be had here. */
class Skip extends Error {}

function need(program, why) {
  const path = find(program);
  if (path === undefined) throw new Skip(`no ${program} here${why ? `, ${why}` : ""}`);
  return path;
}

/** Notes the version of a tool or library beside the built files, for the report. */
function note(name, version) {
  const file = join(buildDir, "versions.json");
  const versions = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  versions[name] = version;
  writeFileSync(file, `${JSON.stringify(versions, null, 2)}\n`);
}

function npmPackages() {
  const manifest = JSON.parse(readFileSync(join(benchDir, "package.json"), "utf8"));
  const list = (dependencies, portable) =>
    Object.entries(dependencies).map(([name, range]) => ({
      name,
      version: range.slice(range.lastIndexOf("@") + 1),
      portable,
    }));
  return [...list(manifest.dependencies, true), ...list(manifest.optionalDependencies, false)];
}

function installedVersion(name) {
  const file = join(benchDir, "node_modules", name, "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
}

function forThisProcessor({ name, portable }) {
  if (portable) return true;
  const arm = /arm64|aarch64/.test(name);
  return process.arch === "arm64" ? arm : process.arch === "x64" && !arm;
}

// The platform packages carry the binaries themselves, so no install script has to run.
function npmItems() {
  const packages = npmPackages().filter(forThisProcessor);
  const missing = packages.filter(({ name, version }) => installedVersion(name) !== version);
  const install = async () => {
    need("npm");
    const quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"];
    await run("npm", ["install", ...quiet, "--loglevel=error"], { cwd: benchDir });
    return `installed ${missing.length}`;
  };
  const report = ({ name, version }) => ({
    title: `npm: ${name} ${version}`,
    work: () => {
      if (installedVersion(name) !== version) throw new Skip("npm left it out");
      return "there";
    },
  });
  const title = `npm: ${missing.map(({ name }) => name).join(", ")}`;
  return [...(missing.length > 0 ? [{ title, work: install }] : []), ...packages.map(report)];
}

function compiler() {
  const found = [process.env.CC, "cc", "gcc", "clang"].find((name) => name && find(name));
  if (found === undefined) throw new Skip("no C compiler here");
  return found;
}

function cItems() {
  const common = ["generators/common.c", "generators/histogram.c"];
  const pingpong = ["generators/pingpong.c", ...common];
  const programs = {
    echo: ["generators/echo.c", ...pingpong],
    fairness: ["generators/fairness.c", ...pingpong, "-pthread"],
    churn: ["generators/churn.c", ...common],
    idle: ["generators/idle.c", ...common],
    proxy: ["generators/proxy.c", ...common],
    udp: ["generators/udp.c", ...common],
    http: ["generators/http.c", ...common],
    ws: ["generators/ws.c", ...common],
    tls: ["generators/tls.c", ...common, "-lssl", "-lcrypto"],
    histogram_check: ["generators/histogram_check.c", ...common],
    c_epoll: ["servers/c_epoll.c", ...common],
    c_splice: ["servers/c_splice.c", ...common],
    c_udp: ["servers/c_udp.c", ...common],
  };
  const flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"];
  return Object.entries(programs).map(([name, sources]) => ({
    title: `c: ${name}`,
    essential: true,
    work: async () => {
      const cc = compiler();
      if (process.platform !== "linux") throw new Skip("epoll needs Linux");
      if (sources.includes("-lssl") && !existsSync("/usr/include/openssl/ssl.h")) {
        throw new Skip("no headers of OpenSSL here (Debian's libssl-dev)");
      }
      await run(cc, [...flags, "-o", join(buildDir, name), ...sources], { cwd: benchDir });
      note("cc", (await run(cc, ["--version"])).split("\n")[0]);
      return "built";
    },
  }));
}

function goItems() {
  const cwd = join(benchDir, "servers/go");
  const env = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local" };
  const names = [
    "net",
    "gnet",
    "udp",
    "client",
    "sync",
    "chan",
    "proxy",
    "http",
    "fetch",
    "gateway",
    "files",
    "tls",
  ];
  return names.map((name) => ({
    title: `go: ${name}`,
    work: async () => {
      const go = need("go");
      await run(go, ["build", "-o", join(buildDir, `go_${name}`), `./${name}`], { cwd, env });
      note("go", (await run(go, ["env", "GOVERSION"], { cwd, env })).trim());
      const library = /panjf2000\/gnet\/v2 (\S+)/.exec(readFileSync(join(cwd, "go.mod"), "utf8"));
      if (name === "gnet") note("gnet", library?.[1] ?? "unknown");
      return "built";
    },
  }));
}

function rustItems() {
  const cwd = join(benchDir, "servers/rust/tokio");
  const work = async () => {
    const cargo = need("cargo");
    const target = join(buildDir, "rust");
    await run(cargo, ["build", "--release", "--locked", "--target-dir", target], { cwd });
    note("rust", (await run(need("rustc"), ["--version"])).trim());
    const library = /tokio = \{ version = "=?([^"]+)"/.exec(
      readFileSync(join(cwd, "Cargo.toml"), "utf8"),
    );
    note("tokio", library?.[1] ?? "unknown");
    return "built";
  };
  return [{ title: "rust: tokio", work }];
}

function wrkItems() {
  const work = async () => {
    if (find("wrk")) return "there";
    if (process.getuid?.() !== 0) throw new Skip("not here; installing it takes root");
    const apt = need("apt-get", "install wrk by hand");
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const install = () => run(apt, ["install", "-y", "--no-install-recommends", "wrk"], { env });
    await install().catch(async () => {
      await run(apt, ["update"], { env });
      await install();
    });
    return "installed";
  };
  return [{ title: "wrk", work }];
}

/** Does one item and says how it ended; true when nothing essential failed. */
async function perform({ title, work, essential }, position) {
  const began = Date.now();
  const seconds = () => ((Date.now() - began) / 1000).toFixed(1);
  process.stdout.write(`${position} ${title} … `);
  const clear = process.stdout.isTTY ? "\r\x1b[K" : "";
  const tick = () => process.stdout.write(`${clear}${position} ${title} … ${seconds()} s `);
  const ticking = clear && setInterval(tick, 1000);
  try {
    const word = await work();
    process.stdout.write(`${clear && `${clear}${position} ${title} … `}${word} (${seconds()} s)\n`);
    return true;
  } catch (error) {
    const skipped = error instanceof Skip;
    const word = skipped ? `skipped: ${error.message}` : `failed, skipped:\n${error.message}`;
    process.stdout.write(`${clear && `${clear}${position} ${title} … `}${word}\n`);
    return skipped || !essential;
  } finally {
    if (ticking) clearInterval(ticking);
  }
}

async function main() {
  const unknown = wanted.find((name) => !(name in groups));
  if (unknown !== undefined) {
    throw new Error(`${unknown} is none of ${Object.keys(groups).join(", ")}`);
  }
  mkdirSync(buildDir, { recursive: true });
  const items = wanted.flatMap((name) => groups[name]());
  for (const [index, item] of items.entries()) {
    const position = `[${String(index + 1).padStart(2)}/${items.length}]`;
    if (!(await perform(item, position))) process.exitCode = 1;
  }
}

await main();
