// Runs the prebuilt arm64 addon under qemu-user: what every conn and the poller must do.
//
//   node tools/test-arm64.mjs
//
// Needs qemu-aarch64 and arm64 libraries (Debian: qemu-user, libc6-arm64-cross, libstdc++6-arm64-cross);
// a Node for arm64 comes from npm. What is missing is said, and the run is skipped. Not every test can
// run there: qemu answers some wrong arguments with other errnos, and starts no children by itself.
// dist/ has to be current.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root, run } from "./lib/tree.mjs";

const SYSROOT = "/usr/aarch64-linux-gnu";
const ADDON = join(root, "prebuilds/linux-arm64-glibc/coronet.node");
const MAJOR = 22;
const TIMEOUT_MS = 400_000;

/** Test files, and the suites of them that are run. @type {readonly [string, string][]} */
const TESTS = [
  ["src/net/conformance.test.js", "/^tcp4/"],
  ["src/net/packet_conformance.test.js", "/./"],
  ["src/runtime/netpoll_epoll.test.js", "/./"],
];

/** Why it cannot run here; undefined when it can. */
function lacking() {
  if (process.arch === "arm64") return "this is arm64: every test runs on it anyway";
  if (spawnSync("qemu-aarch64", ["--version"]).status !== 0) return "qemu-aarch64 is not installed";
  if (!existsSync(`${SYSROOT}/lib/libstdc++.so.6`)) return `no arm64 libraries in ${SYSROOT}`;
  return undefined;
}

/** The executable of Node for arm64, which is fetched once; undefined when it can't be had. */
async function nodeForArm64() {
  const folder = join(root, "tools/nodes/node_modules/for-arm64");
  const executable = join(folder, "package/bin/node");
  if (existsSync(executable)) return executable;
  const manifest = JSON.parse(readFileSync(join(root, "tools/nodes/package.json"), "utf8"));
  const [, name] = manifest.optionalDependencies[`node${MAJOR}-arm64`].split("npm:");
  mkdirSync(folder, { recursive: true });
  console.log(`test-arm64: fetching ${name}`);
  const packed = await run("npm", ["pack", name, "--silent"], { cwd: folder });
  const archive = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  if (packed.code !== 0 || archive === undefined) return undefined;
  const unpacked = await run("tar", ["-xzf", archive], { cwd: folder });
  return unpacked.code === 0 && existsSync(executable) ? executable : undefined;
}

/** @param {string} node @param {string} file @param {string} pattern */
function test(node, file, pattern) {
  const started = Date.now();
  const args = [node, `--test-name-pattern=${pattern}`, join(root, "dist", file)];
  const { status, stdout, error } = spawnSync("qemu-aarch64", args, {
    env: {
      ...process.env,
      QEMU_LD_PREFIX: SYSROOT,
      CORONET_NATIVE: ADDON,
      CORONET_POLLER: "epoll",
    },
    encoding: "utf8",
    maxBuffer: 1 << 28,
    timeout: TIMEOUT_MS,
  });
  const count = (/** @type {string} */ word) =>
    Number(new RegExp(`^[#ℹ] ${word} (\\d+)$`, "m").exec(stdout)?.[1] ?? 0);
  const passed = status === 0 && count("pass") > 0;
  const seconds = Math.round((Date.now() - started) / 1000);
  const what = `${file}: ${count("pass")} passed, ${count("fail")} failed, ${count("skipped")} skipped`;
  console.log(`test-arm64: ${what} (${seconds} s)`);
  if (!passed) console.log(error?.message ?? stdout);
  return passed;
}

const missing = lacking();
const node = missing === undefined ? await nodeForArm64() : undefined;
if (node === undefined) {
  console.log(`test-arm64: skipped: ${missing ?? "Node for arm64 could not be fetched"}`);
} else {
  const passed = TESTS.map(([file, pattern]) => test(node, file, pattern));
  process.exitCode = passed.every(Boolean) ? 0 : 1;
}
