// Compiles native/*.c into the addon, build/coronet.node, with whatever C compiler is there.
//
//   node tools/build-native.mjs                      optimised, with line numbers
//   node tools/build-native.mjs --debug              no optimisation
//   node tools/build-native.mjs --sanitize=address   build/asan/coronet.node, for tools/asan.mjs
//   node tools/build-native.mjs --force              even when nothing changed
//
// Nothing is compiled when the sources, the compiler and the flags are those of the last build.
// Without a compiler this is no failure: the addon in prebuilds/ is used, and one line says so.
// This file is part of the published package, so it stands alone: Node's own modules, nothing else.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the package this file belongs to. */
export const packageRoot = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** The Node-API version the addon is written against. */
export const NAPI_VERSION = 9;

/** What every build of the addon has in common, the prebuilt binaries included. */
export const COMMON_FLAGS = [
  "-std=c11",
  "-fPIC",
  "-shared",
  "-fvisibility=hidden",
  "-Wall",
  "-Wextra",
  "-Werror",
  `-DNAPI_VERSION=${NAPI_VERSION}`,
];

/** What it is linked with beside libc: dlsym(3) has a library of its own before glibc 2.34. */
export const LIBRARIES = ["-ldl"];

/**
 * The C files to compile, sorted, relative to the root.
 * @param {string} root
 */
export function nativeSources(root) {
  return listNative(root).filter((file) => file.endsWith(".c"));
}

/**
 * One hash over the names and contents of every C file and header in native/.
 * @param {string} root
 */
export function nativeSourceHash(root) {
  const hash = createHash("sha256");
  for (const file of listNative(root)) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update("\0");
  }
  return hash.digest("hex");
}

/** @param {string} root */
function listNative(root) {
  const dir = join(root, "native");
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => name.endsWith(".c") || name.endsWith(".h"))
    .sort()
    .map((name) => `native/${name}`);
}

/**
 * Where node_api.h is: the development dependency, else the headers beside this Node.
 * @param {string} root
 */
export function headerDirectory(root) {
  const places = [
    join(root, "node_modules/node-api-headers/include"),
    join(root, "../node-api-headers/include"),
    join(dirname(process.execPath), "../include/node"),
  ];
  return places.find((place) => existsSync(join(place, "node_api.h")));
}

/** The folder of prebuilds/ that fits this machine, such as `linux-x64-glibc`. */
export function prebuildName() {
  if (process.platform !== "linux") return `${process.platform}-${process.arch}`;
  return `linux-${process.arch}-${libc()}`;
}

function libc() {
  const report = process.report;
  if (!report) return "glibc";
  // Listing the network interfaces is the slow part of a report.
  Object.assign(report, { excludeNetwork: true });
  const made = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (report.getReport());
  return made.header?.glibcVersionRuntime ? "glibc" : "musl";
}

/** The compiler to use, as a command and its leading arguments, and what it says of itself. */
function findCompiler() {
  const candidates = process.env.CC ? [process.env.CC] : ["cc", "gcc", "clang"];
  for (const candidate of candidates) {
    const command = candidate.trim().split(/\s+/);
    const asked = spawnSync(command[0], [...command.slice(1), "--version"], { encoding: "utf8" });
    if (asked.status === 0) return { command, version: asked.stdout.split("\n")[0].trim() };
  }
  return undefined;
}

/**
 * What can be said in one line when nothing can be compiled here.
 * @param {string} root
 * @param {string} why
 * @param {string} output
 * @param {string | undefined} sourceHash
 */
function useInstead(root, why, output, sourceHash) {
  const name = prebuildName();
  const prebuilt = join("prebuilds", name, "coronet.node");
  const shown = relative(root, output);
  if (existsSync(output)) {
    const stamp = readStamp(output);
    if (stamp && stamp.sourceHash === sourceHash) return `${why}: keeping ${shown}`;
    // An addon of other sources than these would be found before the prebuilt one.
    rmSync(output, { force: true });
    rmSync(`${output}.json`, { force: true });
  }
  if (!existsSync(join(root, prebuilt))) {
    return `${why}, and no prebuilt binary for ${name}: the portable backend over node:net will be used`;
  }
  const stale = sourceHash !== undefined && sourceHash !== prebuiltSourceHash(root);
  return `${why}: using ${prebuilt}${stale ? " (older than native/)" : ""}`;
}

/** @param {string} root */
function prebuiltSourceHash(root) {
  try {
    return JSON.parse(readFileSync(join(root, "prebuilds/manifest.json"), "utf8")).sources.sha256;
  } catch {
    return undefined;
  }
}

/** @param {string} output */
function readStamp(output) {
  try {
    return JSON.parse(readFileSync(`${output}.json`, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * @typedef {object} BuildOptions
 * @property {string} [root]      the checkout, or the installed package
 * @property {boolean} [force]    compile even when nothing changed
 * @property {boolean} [debug]    no optimisation
 * @property {string} [sanitize]  "address": AddressSanitizer and UBSan, into build/asan
 *
 * @typedef {object} BuildResult
 * @property {"built" | "current" | "unavailable" | "failed"} status
 * @property {string} message     one line; for a failure the compiler's own words as well
 * @property {string} output      the addon's path
 */

/**
 * Makes the addon unless it is there already.
 * @param {BuildOptions} [options]
 * @returns {BuildResult}
 */
export function buildNative(options = {}) {
  const root = options.root ?? packageRoot;
  const output = join(root, options.sanitize ? "build/asan/coronet.node" : "build/coronet.node");
  const shown = relative(root, output);
  const sources = nativeSources(root);
  const sourceHash = sources.length > 0 ? nativeSourceHash(root) : undefined;
  /** @param {string} why @returns {BuildResult} */
  const unavailable = (why) => ({
    status: "unavailable",
    message: useInstead(root, why, output, sourceHash),
    output,
  });

  if (sources.length === 0) return unavailable("no native/*.c here");
  if (process.platform !== "linux") return unavailable(`no native backend for ${process.platform}`);
  const headers = headerDirectory(root);
  if (!headers) return unavailable("no node_api.h here (npm ci installs it)");
  const compiler = findCompiler();
  if (!compiler) return unavailable(`no C compiler (${process.env.CC || "cc"})`);

  const flags = [...COMMON_FLAGS, "-g"];
  if (options.sanitize === "address") {
    flags.push("-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined");
    flags.push("-fno-sanitize-recover=undefined");
  } else {
    flags.push(options.debug ? "-O0" : "-O2");
  }
  const recipe = createHash("sha256")
    .update(JSON.stringify([sourceHash, compiler, flags, headers]))
    .digest("hex");
  if (!options.force && existsSync(output) && readStamp(output)?.recipe === recipe) {
    return { status: "current", message: `${shown} is current`, output };
  }

  mkdirSync(dirname(output), { recursive: true });
  // Another process may have the old file mapped: never write into it, put a new one in its place.
  const temporary = `${output}.${process.pid}.tmp`;
  const args = [...compiler.command.slice(1), ...flags, "-I", headers, ...sources];
  args.push("-o", temporary, ...LIBRARIES);
  const compiled = spawnSync(compiler.command[0], args, { cwd: root, encoding: "utf8" });
  if (compiled.status !== 0) {
    rmSync(temporary, { force: true });
    const command = [compiler.command[0], ...args].join(" ");
    const said = `${compiled.stdout ?? ""}${compiled.stderr ?? ""}`.trim();
    return { status: "failed", message: `${said}\nfailed: ${command}`, output };
  }
  // The stamp of an older build must never vouch for a newer file, nor the reverse.
  rmSync(`${output}.json`, { force: true });
  renameSync(temporary, output);
  writeFileSync(`${output}.json`, `${JSON.stringify({ recipe, sourceHash }, null, 2)}\n`);
  return { status: "built", message: `compiled ${shown} with ${compiler.version}`, output };
}

/** @param {string[]} args */
function main(args) {
  /** @type {BuildOptions} */
  const options = {};
  for (const arg of args) {
    if (arg === "--force") options.force = true;
    else if (arg === "--debug") options.debug = true;
    else if (arg === "--sanitize=address") options.sanitize = "address";
    else {
      console.error(`build-native: unknown argument ${arg} (--force, --debug, --sanitize=address)`);
      return 2;
    }
  }
  const result = buildNative(options);
  if (result.status === "failed") console.error(`build-native: ${result.message}`);
  else console.log(`build-native: ${result.message}`);
  return result.status === "failed" ? 1 : 0;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = main(process.argv.slice(2));
}
