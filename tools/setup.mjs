// Makes a checkout ready to run: development dependencies, native addon, compiled TypeScript.
//
//   node tools/setup.mjs              does what is missing or out of date, and says what it does
//   node tools/setup.mjs --force      does all of it again
//   node tools/setup.mjs --no-check   compiles without type checking, for a tree that is being changed
//
// It needs Node alone: without a C compiler the addon in prebuilds/ is used. With nothing to do it
// takes a moment and says nothing. Several may run at once. In an installed package it does nothing.

import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { buildNative } from "./build-native.mjs";
import { lock } from "./lib/lock.mjs";
import { listFiles, root, run, shown } from "./lib/tree.mjs";

const dist = join(root, "dist");
/** Compiled output waits here until it is complete. Beside dist/, so that source maps fit both. */
const fresh = join(root, "dist.new");
const compiledStamp = join(dist, ".stamp.json");
const installedStamp = join(root, "node_modules/.coronet-setup.json");
const tsc = join(root, "node_modules/typescript/bin/tsc");

/** A failure that has been explained: its message is all there is to say. */
class SetupError extends Error {}

/** @param {string} text */
const say = (text) => console.log(`setup: ${text}`);

/** @param {string[]} parts */
const digest = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
};

/** @param {string} path */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function readText(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

// ---------------------------------------------------------------------------------------------------
// Development dependencies

function lockDigest() {
  const lockFile = readText(join(root, "package-lock.json"));
  return digest(lockFile === "" ? readText(join(root, "package.json")) : lockFile);
}

function dependenciesAreCurrent() {
  if (!existsSync(join(root, "node_modules"))) return false;
  if (readJson(installedStamp)?.lock === lockDigest()) return true;
  if (!installedMatchesLock()) return false;
  // Someone ran npm by hand, and rightly: remember that rather than install it all again.
  writeFileSync(installedStamp, `${JSON.stringify({ lock: lockDigest() })}\n`);
  return true;
}

/** npm keeps its own account of what it installed: it has to name every package of the lock file. */
function installedMatchesLock() {
  const wanted = readJson(join(root, "package-lock.json"))?.packages;
  const installed = readJson(join(root, "node_modules/.package-lock.json"))?.packages;
  if (!wanted || !installed) return false;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "" || entry.link) continue;
    const there = installed[path];
    if (there ? there.version !== entry.version : !entry.optional) return false;
  }
  return true;
}

async function installDependencies() {
  const verb = existsSync(join(root, "package-lock.json")) ? "ci" : "install";
  const args = [verb, "--ignore-scripts", "--no-audit", "--no-fund"];
  say(`installing development dependencies (npm ${verb})`);
  const own = process.env.npm_execpath ?? "";
  const finished = basename(own).startsWith("npm")
    ? await run(process.execPath, [own, ...args])
    : await run("npm", args);
  if (finished.code !== 0) {
    // npm follows its reason with the whole of its help.
    const said = `${finished.stderr}${finished.error ?? ""}`
      .trim()
      .split("\n")
      .slice(0, 12)
      .join("\n");
    throw new SetupError(
      `${said}\nsetup: tried npm ${args.join(" ")}, which failed. Check that the npm registry can be ` +
        `reached${verb === "ci" ? " and that package-lock.json belongs to package.json" : ""}, then run it again.`,
    );
  }
  writeFileSync(installedStamp, `${JSON.stringify({ lock: lockDigest() })}\n`);
}

// ---------------------------------------------------------------------------------------------------
// TypeScript

/** The folders that tsconfig.json names are where sources are. */
function sourceFiles() {
  const config = readText(join(root, "tsconfig.json"));
  /** @type {{ include: string[], exclude?: string[] }} */
  const { include, exclude = [] } = JSON.parse(config);
  return listFiles(
    root,
    include,
    (file) => file.endsWith(".ts"),
    (folder) => !exclude.includes(folder) && basename(folder) !== "node_modules",
  );
}

/** The inspector's page: files that browsers load as they are. */
const page = "src/debug/inspector/page";

function pageFiles() {
  return listFiles(root, [page], () => true);
}

function sourceDigest() {
  const hash = createHash("sha256");
  hash.update(lockDigest());
  for (const file of ["tsconfig.json", "package.json", ...sourceFiles(), ...pageFiles()]) {
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update("\0");
  }
  return hash.digest("hex");
}

/** @param {string} digestNow */
function compiledIsCurrent(digestNow) {
  const stamp = readJson(compiledStamp);
  if (stamp?.sources !== digestNow) return false;
  return Object.entries(stamp.outputs).every(
    ([file, seen]) => fingerprint(join(dist, file)) === seen,
  );
}

/** @param {string} path */
function fingerprint(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.size}-${stat.mtimeMs}`;
}

/**
 * @param {string} digestBefore
 * @param {boolean} check
 */
async function compile(digestBefore, check) {
  say(`compiling TypeScript to dist/${check ? "" : " without type checking"}`);
  if (!existsSync(tsc)) {
    throw new SetupError(`setup: ${shown(tsc)} is missing. Run node tools/setup.mjs --force.`);
  }
  rmSync(fresh, { recursive: true, force: true });
  const args = [
    tsc,
    "--project",
    writeConfig(),
    "--pretty",
    "false",
    ...(check ? [] : ["--noCheck"]),
  ];
  const finished = await run(process.execPath, args);
  if (finished.code !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    const said = `${finished.stdout}${finished.stderr}`.trim();
    throw new SetupError(
      `${said}\nsetup: tsc found errors, dist/ is unchanged. Correct them and run it again.`,
    );
  }
  bringLlhttp();
  bringPage();
  rmSync(compiledStamp, { force: true });
  const outputs = publish();
  rmSync(fresh, { recursive: true, force: true });
  // Without a check nothing is known about the types: the next ordinary run has to look.
  const sources = check ? digestBefore : "unchecked";
  writeFileSync(compiledStamp, `${JSON.stringify({ sources, outputs })}\n`);
}

/**
 * Puts llhttp beside the code that uses it, as WebAssembly: undici carries it, and is needed for nothing
 * else (docs/dependencies.md).
 */
function bringLlhttp() {
  const license = join(root, "src/http/llhttp.LICENSE");
  if (!existsSync(license)) return;
  const require = createRequire(import.meta.url);
  const folder = join(fresh, "src/http");
  writeFileSync(join(folder, "llhttp.wasm"), require("undici/lib/llhttp/llhttp_simd-wasm.js"));
  writeFileSync(join(folder, "llhttp.LICENSE"), readText(license));
}

/** Puts the inspector's page beside the code that serves it, and with it uPlot, which draws its charts. */
function bringPage() {
  const files = pageFiles();
  if (files.length === 0) return;
  mkdirSync(join(fresh, page), { recursive: true });
  for (const file of files) writeFileSync(join(fresh, file), readFileSync(join(root, file)));
  const uplot = join(root, "node_modules/uplot");
  for (const file of ["dist/uPlot.esm.js", "dist/uPlot.min.css", "LICENSE"]) {
    const name = file === "LICENSE" ? "uPlot.LICENSE" : basename(file);
    writeFileSync(join(fresh, page, name), readFileSync(join(uplot, file)));
  }
}

/**
 * The compiler's configuration with the output elsewhere. An import of the package by its own name then
 * needs to be led to the sources: what package.json names is not compiled yet, or is out of date.
 */
function writeConfig() {
  /** @type {Record<string, string[]>} */
  const paths = {};
  const { name, exports } = readJson(join(root, "package.json"));
  for (const [entry, target] of Object.entries(exports)) {
    const [, source] = /^\.\/dist\/(.+)\.d\.ts$/.exec(target.types ?? "") ?? [];
    if (source) paths[`${name}${entry.slice(1)}`] = [`../${source}.ts`];
  }
  const path = join(root, "build/tsconfig.json");
  const config = { extends: "../tsconfig.json", compilerOptions: { outDir: fresh, paths } };
  writeFileSync(path, `${JSON.stringify(config, null, 2)}\n`);
  return path;
}

/**
 * Moves what changed from dist.new/ to dist/, file by file, so that a program that runs meanwhile never
 * reads half a file; removes what no source stands for any more.
 */
function publish() {
  const made = listFiles(fresh, ["."], () => true);
  /** @type {Record<string, string | undefined>} */
  const outputs = {};
  for (const file of made) {
    const from = join(fresh, file);
    const to = join(dist, file);
    if (!existsSync(to) || !readFileSync(from).equals(readFileSync(to))) {
      mkdirSync(dirname(to), { recursive: true });
      renameSync(from, to);
    }
    outputs[file] = fingerprint(to);
  }
  const wanted = new Set(made);
  for (const file of listFiles(dist, ["."], () => true)) {
    if (!wanted.has(file)) rmSync(join(dist, file));
  }
  return outputs;
}

// ---------------------------------------------------------------------------------------------------

/** @param {boolean} force */
function addon(force) {
  const result = buildNative({ root, force });
  if (result.status === "built") say(result.message);
  if (result.status === "failed") {
    throw new SetupError(
      `${result.message}\nsetup: the native addon does not compile. Correct native/, or set CC to another compiler.`,
    );
  }
  return result;
}

/** @param {string[]} args */
async function main(args) {
  const force = args.includes("--force");
  const check = !args.includes("--no-check");
  const unknown = args.find((arg) => arg !== "--force" && arg !== "--no-check");
  if (unknown) throw new SetupError(`setup: unknown argument ${unknown} (--force, --no-check)`);
  if (!existsSync(join(root, "tsconfig.json"))) return;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(
      `setup: Node ${process.versions.node} is too old, 20.19 is the first that will do`,
    );
  }

  const release = await lock(join(root, "build/.setup.lock"), {
    onWait: (pid) => say(`waiting for the setup that process ${pid ?? "unknown"} is running`),
  });
  try {
    if (force || !dependenciesAreCurrent()) await installDependencies();
    const native = addon(force);
    const digestNow = sourceDigest();
    const compiling = force || !compiledIsCurrent(digestNow);
    // Once per compilation is often enough to say which addon stands in for a compiled one.
    if (compiling && native.status === "unavailable") say(native.message);
    if (compiling) await compile(digestNow, check);
  } finally {
    release();
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exitCode = 1;
}
