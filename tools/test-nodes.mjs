// Runs the tests on the other Node versions that the project supports.
//
//   node tools/test-nodes.mjs              each major version but the one this runs on
//   node tools/test-nodes.mjs 20 26        these
//   node tools/test-nodes.mjs 26 -- poll   only the test files that match, as in tools/test.mjs
//
// A few files that fail are run once more, alone, for a machine that stalls under all of them must not decide
// about a version of Node. What passes then is named all the same; what fails twice has failed.
//
// The executables come from npm, versions pinned in tools/nodes/package.json, and are installed when
// they are first needed. A version that cannot be had is skipped with a word. dist/ has to be current.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { root, run } from "./lib/tree.mjs";
import { runTests } from "./test.mjs";

const folder = join(root, "tools/nodes");

/** More files than these do not fail by chance. */
const BY_CHANCE = 3;

/** The major versions there are packages for, oldest first. */
function majors() {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const names = Object.keys(manifest.optionalDependencies);
  const mine = names.filter((name) => name.endsWith(`-${process.arch}`));
  return mine.map((name) => /^node(\d+)-/.exec(name)?.[1] ?? "").filter((major) => major !== "");
}

/** @param {string} major */
const executableOf = (major) => join(folder, `node_modules/node${major}-${process.arch}/bin/node`);

/** @param {string} executable */
function versionOf(executable) {
  if (!existsSync(executable)) return undefined;
  const asked = spawnSync(executable, ["--version"], { encoding: "utf8" });
  return asked.status === 0 ? asked.stdout.trim() : undefined;
}

/** @param {readonly string[]} wanted */
async function install(wanted) {
  if (wanted.every((major) => versionOf(executableOf(major)))) return;
  console.log("test-nodes: installing other versions of Node (npm install, in tools/nodes)");
  const args = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"];
  const finished = await run("npm", args, { cwd: folder });
  if (finished.code !== 0) {
    const reason =
      finished.error?.message ?? finished.stderr.trim().split("\n").slice(0, 3).join(" ");
    console.log(`test-nodes: npm install failed: ${reason}`);
  }
}

/** The counts at the end of a spec report. @param {string} report */
function counts(report) {
  const count = (/** @type {string} */ word) =>
    new RegExp(`^. ${word} (\\d+)$`, "m").exec(report)?.[1] ?? "?";
  return `${count("tests")} tests, ${count("pass")} passed, ${count("fail")} failed, ${count("skipped")} skipped`;
}

/**
 * @param {string} major
 * @param {readonly string[]} filters
 * @returns {Promise<boolean>} whether nothing failed
 */
async function testOn(major, filters) {
  const executable = executableOf(major);
  const version = versionOf(executable);
  if (!version) {
    console.log(
      `test-nodes: Node ${major} skipped: it could not be installed or does not start here`,
    );
    return true;
  }
  const started = Date.now();
  const scratch = mkdtempSync(join(tmpdir(), "coronet-nodes-"));
  const failed = join(scratch, "failed");
  const test = join(root, "tools/test.mjs");
  // The tools are for the Node that builds.
  const words = filters.length > 0 ? filters : ["dist/"];
  const finished = await run(executable, [
    test,
    "--node",
    executable,
    "--failed",
    failed,
    ...words,
  ]);
  const seconds = Math.round((Date.now() - started) / 1000);
  const report = finished.stdout;
  let passed = finished.code === 0;
  if (!passed) {
    const failing = report.indexOf("✖ failing tests:");
    console.log(failing === -1 ? report : report.slice(failing));
    console.log(finished.stderr);
    const files = existsSync(failed) ? readFileSync(failed, "utf8").split("\n").slice(0, -1) : [];
    passed = await passAlone(executable, files);
  }
  rmSync(scratch, { recursive: true });
  const verdict = passed ? "passed" : "FAILED";
  console.log(`test-nodes: Node ${version} ${verdict}: ${counts(report)} (${seconds} s)`);
  return passed;
}

/**
 * Runs the files that failed once more, one at a time. Where their names are not known, that is no pass.
 * @param {string} executable
 * @param {readonly string[]} files
 */
async function passAlone(executable, files) {
  if (files.length === 0 || files.length > BY_CHANCE) return false;
  const names = files.map((file) => relative(root, file)).join(", ");
  console.log(`test-nodes: once more, alone: ${names}`);
  const status = await runTests(files, { node: executable, reporter: "dot", concurrency: 1 });
  if (status === 0) console.log(`\ntest-nodes: FAILED ONCE, passed alone: ${names}`);
  return status === 0;
}

/** @param {string[]} args */
async function main(args) {
  if (process.platform !== "linux") {
    console.log(`test-nodes: skipped: no packages for ${process.platform}`);
    return 0;
  }
  const known = majors();
  const border = args.includes("--") ? args.indexOf("--") : args.length;
  const asked = args.slice(0, border);
  const unknown = asked.find((major) => !known.includes(major));
  if (unknown !== undefined) {
    console.error(`test-nodes: there is no Node ${unknown} in tools/nodes (${known.join(", ")})`);
    return 2;
  }
  const own = process.versions.node.split(".")[0];
  const wanted = asked.length > 0 ? asked : known.filter((major) => major !== own);
  await install(wanted);
  let passed = true;
  for (const major of wanted) {
    if (!(await testOn(major, args.slice(border + 1)))) passed = false;
  }
  return passed ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
