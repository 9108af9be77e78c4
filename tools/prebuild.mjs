// Makes the prebuilt addons in prebuilds/, which are committed: with them Node alone is enough, wherever
// no compiler is. A release step, and the step after every change of native/.
//
//   node tools/prebuild.mjs            builds all of them, and the manifest
//   node tools/prebuild.mjs --check    do they belong to native/ as it stands? (no toolchain needed)
//   node tools/prebuild.mjs --verify   builds them elsewhere and compares them byte for byte
//
// One cross compiler makes them all: zig's C compiler, which brings the headers and the stubs of every
// libc with it. It is fetched from PyPI into build/zig (python3 with pip is needed for that, once).

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import {
  COMMON_FLAGS,
  headerDirectory,
  LIBRARIES,
  nativeSourceHash,
  nativeSources,
  prebuildName,
} from "./build-native.mjs";
import { root, shown } from "./lib/tree.mjs";

const ZIG_VERSION = "0.17.0";

/** The oldest glibc the binaries run on: that of the oldest systems Node itself runs on is newer. */
const OLDEST_GLIBC = "2.17";

/** Folder in prebuilds/ → the compiler's name for that machine. */
const TARGETS = {
  "linux-x64-glibc": `x86_64-linux-gnu.${OLDEST_GLIBC}`,
  "linux-arm64-glibc": `aarch64-linux-gnu.${OLDEST_GLIBC}`,
  "linux-x64-musl": "x86_64-linux-musl",
  "linux-arm64-musl": "aarch64-linux-musl",
};

/** Stripped, and with nothing in them that differs from one machine to the next. */
const FLAGS = [...COMMON_FLAGS, "-O2", "-g0", "-s", "-Wl,--build-id=none"];

/** What the Node executable defines; everything else has to come from a versioned libc symbol. */
const FROM_NODE = /^(napi_|node_api_|uv_|SSL_|TLS_|BIO_|ERR_|X509_|EVP_|PEM_|OPENSSL_|CRYPTO_)/;

const prebuilds = join(root, "prebuilds");
const manifestPath = join(prebuilds, "manifest.json");
const zigFolder = join(root, "build/zig");
const AGAIN = "Run node tools/prebuild.mjs and commit prebuilds/.";

/** A failure that has been explained. */
class PrebuildError extends Error {}

/** @param {string} text */
const say = (text) => console.log(`prebuild: ${text}`);

/** @param {string} path */
const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

/** @param {string} name */
const fileOf = (name) => `${name}/coronet.node`;

/** The zig executable, fetched when it is not there yet. */
function zig() {
  const executable = join(zigFolder, "ziglang/zig");
  const version = () => spawnSync(executable, ["version"], { encoding: "utf8" }).stdout?.trim();
  if (existsSync(executable) && version() === ZIG_VERSION) return executable;
  say(`fetching zig ${ZIG_VERSION} from PyPI into ${shown(zigFolder)}`);
  rmSync(zigFolder, { recursive: true, force: true });
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
  const got = spawnSync("python3", [...pip, "--target", zigFolder, `ziglang==${ZIG_VERSION}`], {
    encoding: "utf8",
    env: { ...process.env, PIP_ROOT_USER_ACTION: "ignore" },
  });
  if (got.status !== 0 || version() !== ZIG_VERSION) {
    throw new PrebuildError(
      `${got.stderr ?? ""}${got.error ?? ""}\nprebuild: tried python3 -m pip install ziglang==${ZIG_VERSION}, which failed. ` +
        "Python 3 with pip and a way to PyPI are needed to build for other machines.",
    );
  }
  return executable;
}

/**
 * Builds every target into a folder.
 * @param {string} folder
 */
function buildAll(folder) {
  const compiler = zig();
  const headers = headerDirectory(root);
  if (!headers)
    throw new PrebuildError("prebuild: node_api.h is missing. Run node tools/setup.mjs.");
  const sources = nativeSources(root);
  if (sources.length === 0) throw new PrebuildError("prebuild: there is no native/*.c");
  const cache = join(root, "build/zig-cache");
  for (const [name, target] of Object.entries(TARGETS)) {
    const output = join(folder, fileOf(name));
    mkdirSync(join(folder, name), { recursive: true });
    const temporary = `${output}.${process.pid}.tmp`;
    const args = ["cc", "-target", target, ...FLAGS, "-I", headers, ...sources, "-o", temporary];
    args.push(...LIBRARIES);
    const compiled = spawnSync(compiler, args, {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache },
    });
    if (compiled.status !== 0) {
      rmSync(temporary, { force: true });
      throw new PrebuildError(`${compiled.stderr}\nprebuild: ${name} does not compile`);
    }
    renameSync(temporary, output);
    say(`compiled ${name} (${target})`);
  }
}

/** @param {string} folder */
function manifestFor(folder) {
  return {
    sources: { sha256: nativeSourceHash(root) },
    compiler: `zig ${ZIG_VERSION}`,
    flags: FLAGS,
    binaries: Object.fromEntries(
      Object.keys(TARGETS).map((name) => [
        fileOf(name),
        { sha256: sha256(join(folder, fileOf(name))) },
      ]),
    ),
  };
}

/**
 * Everything that is wrong with the committed binaries.
 * @returns {string[]}
 */
export function checkPrebuilds() {
  if (!existsSync(manifestPath)) return [`${shown(manifestPath)} is missing. ${AGAIN}`];
  const manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
  const wrong = [];
  if (manifest.sources?.sha256 !== nativeSourceHash(root)) {
    wrong.push(`native/ has changed since the binaries were built. ${AGAIN}`);
  }
  if (JSON.stringify(manifest.flags) !== JSON.stringify(FLAGS)) {
    wrong.push(`the compiler's flags have changed since the binaries were built. ${AGAIN}`);
  }
  for (const name of Object.keys(TARGETS)) {
    const path = join(prebuilds, fileOf(name));
    if (!existsSync(path)) wrong.push(`${shown(path)} is missing. ${AGAIN}`);
    else if (manifest.binaries?.[fileOf(name)]?.sha256 !== sha256(path)) {
      wrong.push(`${shown(path)} is not the file that the manifest names. ${AGAIN}`);
    } else wrong.push(...symbolsAreOld(name, path));
  }
  return [...wrong, ...loadsHere()];
}

/**
 * Says which symbols would not be found on an old system, where readelf is there to tell.
 * @param {string} name
 * @param {string} path
 * @returns {string[]}
 */
function symbolsAreOld(name, path) {
  if (!name.endsWith("-glibc")) return [];
  const read = spawnSync("readelf", ["--wide", "--dyn-syms", path], { encoding: "utf8" });
  if (read.status !== 0) return [];
  const wrong = [];
  for (const line of read.stdout.split("\n")) {
    const [, symbol, version] = /\sUND\s+([^\s@]+)(?:@+(\S+))?/.exec(line) ?? [];
    if (!symbol) continue;
    if (!version && !FROM_NODE.test(symbol) && !/ WEAK /.test(line)) {
      wrong.push(`${shown(path)} needs ${symbol}, which glibc ${OLDEST_GLIBC} does not have`);
    }
    if (version && isNewer(version)) {
      wrong.push(`${shown(path)} needs ${symbol} of ${version}, newer than ${OLDEST_GLIBC}`);
    }
  }
  return wrong;
}

/** @param {string} version such as GLIBC_2.3.4 */
function isNewer(version) {
  const match = /^GLIBC_(\d+)\.(\d+)/.exec(version);
  if (!match) return true;
  const [major, minor] = OLDEST_GLIBC.split(".").map(Number);
  return Number(match[1]) > major || (Number(match[1]) === major && Number(match[2]) > minor);
}

/** Loads the binary that fits this machine, in a process of its own. */
function loadsHere() {
  const name = prebuildName();
  const path = join(prebuilds, fileOf(name));
  if (!(name in TARGETS) || !existsSync(path)) return [];
  const loaded = spawnSync(process.execPath, ["-e", `require(${JSON.stringify(path)})`], {
    encoding: "utf8",
  });
  return loaded.status === 0 ? [] : [`${shown(path)} does not load here: ${loaded.stderr.trim()}`];
}

/** @param {string[]} args */
function main(args) {
  const [mode = "--build", ...rest] = args;
  if (rest.length > 0 || !["--build", "--check", "--verify"].includes(mode)) {
    throw new PrebuildError("prebuild: one of --check, --verify or nothing is understood");
  }
  if (mode === "--verify") {
    mkdirSync(join(root, "build"), { recursive: true });
    const folder = mkdtempSync(join(root, "build/prebuild-"));
    try {
      buildAll(folder);
      for (const name of Object.keys(TARGETS)) {
        const committed = join(prebuilds, fileOf(name));
        if (!existsSync(committed) || sha256(committed) !== sha256(join(folder, fileOf(name)))) {
          throw new PrebuildError(
            `prebuild: ${shown(committed)} differs from a fresh build. ${AGAIN}`,
          );
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    say("a fresh build gives the same bytes");
    return;
  }
  if (mode === "--build") {
    buildAll(prebuilds);
    writeFileSync(manifestPath, `${JSON.stringify(manifestFor(prebuilds), null, 2)}\n`);
  }
  const wrong = checkPrebuilds();
  if (wrong.length > 0)
    throw new PrebuildError(wrong.map((line) => `prebuild: ${line}`).join("\n"));
  say("prebuilds/ belongs to native/ as it stands");
}

if (process.argv[1] === import.meta.filename) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof PrebuildError ? error.message.trim() : error);
    process.exitCode = 1;
  }
}
