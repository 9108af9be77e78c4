// Runs the tests of the addon's surface under valgrind's memcheck.
//
//   node tools/valgrind.mjs           the tests listed below
//   node tools/valgrind.mjs socket    only files whose path contains one of the words
//
// Memcheck sees what AddressSanitizer does not: uninitialised bytes that reach a system call, and memory
// of the addon that nothing points to any more. It reports on Node as well; only errors with the addon
// in a stack are held against us. dist/ has to be current.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { buildNative } from "./build-native.mjs";
import { inParallel, root, run } from "./lib/tree.mjs";
import { testFiles } from "./test.mjs";

/** Thirty times slower than usual, so few tests. */
const TESTS = [
  "dist/src/syscall/",
  "dist/src/tls/tls.test",
  "dist/test/tls_cut",
  // Hundreds of thousands of calls, and hundreds of workers: AddressSanitizer watches these.
  "!dist/src/syscall/fuzz",
  "!dist/src/syscall/environments",
];
/** @param {string} file */
const listed = (file) =>
  TESTS.some((start) => file.startsWith(start)) &&
  !TESTS.some((start) => start.startsWith("!") && file.startsWith(start.slice(1)));

const TIMEOUT_MS = 600_000;

/** How a frame of the addon ends in a report. */
const ADDON = "/coronet.node</obj>";

const folder = join(root, "build/valgrind");

const OPTIONS = [
  "--tool=memcheck",
  // V8 writes machine code while it runs.
  "--smc-check=all-non-file",
  "--fair-sched=yes",
  "--track-origins=yes",
  "--leak-check=full",
  "--show-leak-kinds=definite",
  "--errors-for-leak-kinds=definite",
  // The addon of a worker thread is unloaded before the end, and its names with it.
  "--keep-debuginfo=yes",
  "--num-callers=30",
  "--error-limit=no",
  "--xml=yes",
];

/**
 * The errors of a report in which the addon has a part, each as a few lines of text.
 * @param {string} xml
 * @returns {string[]}
 */
export function errorsOfAddon(xml) {
  const errors = [...xml.matchAll(/<error>([\s\S]*?)<\/error>/g)].map((match) => match[1]);
  return errors.filter(concernsAddon).map(describe);
}

/**
 * Any error with the addon in a stack; but of leaks only what the addon itself allocated. What Node
 * allocates on its behalf hangs on V8's heap, in which memcheck cannot see pointers.
 * @param {string} error
 */
function concernsAddon(error) {
  if (!error.includes("<kind>Leak_")) return error.includes(ADDON);
  const objects = [...error.matchAll(/<obj>.*?<\/obj>/g)].map((match) => match[0]);
  return objects.find((object) => !object.includes("/vgpreload_"))?.endsWith(ADDON) ?? false;
}

/** @param {string} error */
function describe(error) {
  const lines = [];
  for (const match of error.matchAll(
    /<(?:what|text|auxwhat)>(.*?)<\/(?:what|text|auxwhat)>|<frame>([\s\S]*?)<\/frame>/g,
  )) {
    const [, text, frame] = match;
    if (text !== undefined) lines.push(text);
    else {
      const part = (/** @type {string} */ tag) =>
        new RegExp(`<${tag}>(.*?)</${tag}>`).exec(frame)?.[1] ?? "";
      const where = part("file") ? `${part("file")}:${part("line")}` : basename(part("obj"));
      lines.push(`    ${part("fn") || "?"} (${where})`);
    }
  }
  return lines.join("\n").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/**
 * @param {string} file
 * @param {string} addon
 * @returns {Promise<boolean>} whether nothing was found
 */
async function check(file, addon) {
  const report = join(folder, `${file.replaceAll("/", "-")}.xml`);
  const node = [process.execPath, "--expose-gc", join(root, file)];
  const finished = await run("valgrind", [...OPTIONS, `--xml-file=${report}`, ...node], {
    timeoutMs: TIMEOUT_MS,
    // As few handshakes as still are cut at every stage: each takes thirty times longer.
    env: { ...process.env, CORONET_NATIVE: addon, CORONET_HANDSHAKES: "50" },
  });
  const errors = existsSync(report) ? errorsOfAddon(readFileSync(report, "utf8")) : [];
  for (const error of errors) console.error(`valgrind: ${file}\n${error}\n`);
  const ended = finished.timedOut
    ? `not ended after ${TIMEOUT_MS / 1000} s`
    : `status ${finished.code ?? finished.signal}`;
  if (finished.code !== 0) console.error(`${finished.stdout}${finished.stderr}`);
  console.log(`valgrind: ${file}: ${errors.length} errors of the addon, ${ended}`);
  return errors.length === 0 && finished.code === 0;
}

/** @param {readonly string[]} words */
async function main(words) {
  if (spawnSync("valgrind", ["--version"]).status !== 0) {
    console.log("valgrind: skipped: it is not installed");
    return 0;
  }
  const built = buildNative({ root });
  if (built.status === "unavailable") {
    console.log(`valgrind: skipped: ${built.message}`);
    return 0;
  }
  if (built.status === "failed") {
    console.error(`valgrind: ${built.message}`);
    return 1;
  }
  const files = testFiles(words).filter(listed);
  if (files.length === 0) {
    console.error(`valgrind: no test file matches ${words.join(", ") || "the list in this file"}`);
    return 1;
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const fine = await inParallel(files, 2, (file) => check(file, built.output));
  return fine.every(Boolean) ? 0 : 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(process.argv.slice(2));
