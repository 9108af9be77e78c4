// Runs the tests: every compiled *.test.js of the project, and the tests of the tools themselves.
//
//   node tools/test.mjs                       all of them
//   node tools/test.mjs poll net/tcp          only files whose path contains one of these
//   node tools/test.mjs --node PATH ...       with another Node
//   node tools/test.mjs --poller portable ... on another backend ("epoll", "portable")
//   node tools/test.mjs --reporter tap ...    with another of node:test's reporters
//   node tools/test.mjs --failed FILE ...     writes there which files failed, a line each (Node 22 on)
//   node tools/test.mjs --list ...            names the files, runs nothing
//
// It runs what stands in dist/: `npm test` and tools/setup.mjs put it there.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { listFiles, root, run } from "./lib/tree.mjs";

/** Where tests are, and in what order: the quick ones that explain the others come first. */
const FOLDERS = ["dist/src", "dist/testing", "dist/test", "dist/bench", "dist/examples", "tools"];
const TIMEOUT_MS = 300_000;
const CONCURRENCY = 2;

/** @param {readonly string[]} filters */
export function testFiles(filters) {
  const files = FOLDERS.flatMap((folder) =>
    listFiles(root, [folder], (file) => /\.test\.m?js$/.test(file)),
  );
  if (filters.length === 0) return files;
  // A source's name will do as well: src/poll/fd.test.ts stands for dist/src/poll/fd.test.js.
  const wanted = filters.map((filter) => filter.replace(/^\.\//, "").replace(/\.ts$/, ""));
  return files.filter((file) => wanted.some((filter) => file.includes(filter)));
}

/**
 * Runs the given files under node:test; their output goes straight to ours.
 * @param {readonly string[]} files
 * @param {{ node?: string, env?: NodeJS.ProcessEnv, reporter?: string, failed?: string, concurrency?: number, timeoutMs?: number }} [options]
 * @returns {Promise<number>} the exit status
 */
export async function runTests(files, options = {}) {
  const finished = await run(
    options.node ?? process.execPath,
    [
      "--enable-source-maps",
      "--expose-gc",
      "--test",
      `--test-reporter=${options.reporter ?? "spec"}`,
      ...(options.failed === undefined ? [] : failedTo(options.failed)),
      `--test-concurrency=${options.concurrency ?? CONCURRENCY}`,
      `--test-timeout=${options.timeoutMs ?? TIMEOUT_MS}`,
      ...files,
    ],
    { inherit: true, env: options.env ?? process.env },
  );
  if (finished.error) console.error(`test: ${finished.error.message}`);
  if (finished.signal) console.error(`test: ended by ${finished.signal}`);
  return finished.code ?? 1;
}

/** A second reporter beside the one whose output is ours. @param {string} file */
function failedTo(file) {
  const reporter = join(root, "tools/lib/failed_files.mjs");
  const destination = "--test-reporter-destination";
  return [`${destination}=stdout`, `--test-reporter=${reporter}`, `${destination}=${file}`];
}

/** @param {string[]} args */
async function main(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      node: { type: "string" },
      poller: { type: "string" },
      reporter: { type: "string" },
      failed: { type: "string" },
      list: { type: "boolean" },
    },
  });
  if (!existsSync(join(root, "dist"))) {
    console.error("test: dist/ is missing, run node tools/setup.mjs first");
    return 1;
  }
  const files = testFiles(positionals);
  if (files.length === 0) {
    console.error(`test: no test file matches ${positionals.join(", ") || "at all"}`);
    return 1;
  }
  if (values.list) {
    console.log(files.join("\n"));
    return 0;
  }
  const { node, poller, reporter, failed } = values;
  const env = poller === undefined ? process.env : { ...process.env, CORONET_POLLER: poller };
  return runTests(files, { node, reporter, failed, env });
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(process.argv.slice(2));
