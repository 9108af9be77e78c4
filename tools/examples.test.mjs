// Runs the programs in examples/. A line among the first of each says how:
//
//   // run: --port 0 --once     it is run with these arguments and has to end by itself, once for each
//                               such line
//   // expect: listening on     what it prints contains this (as many of these as there are)
//   // exit: 2                  it ends with this status instead of 0
//
// An example without a `run` line is not run, only compiled, and is listed as skipped.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import test, { describe } from "node:test";
import { listFiles, root, run } from "./lib/tree.mjs";

const TIMEOUT_MS = 20_000;
const HEADER_LINES = 15;

/**
 * What the first lines of an example say under a word.
 * @param {string} source
 * @param {string} word
 * @returns {string[]}
 */
function header(source, word) {
  const line = new RegExp(`^// ${word}:\\s*(.*?)\\s*$`);
  return source
    .split("\n")
    .slice(0, HEADER_LINES)
    .flatMap((text) => line.exec(text)?.[1] ?? []);
}

const files = listFiles(
  root,
  ["examples"],
  (file) => file.endsWith(".ts") && !file.endsWith(".test.ts"),
  () => false,
);

describe("examples", { concurrency: 2 }, () => {
  for (const file of files) {
    const source = readFileSync(join(root, file), "utf8");
    const runs = header(source, "run");
    if (runs.length === 0) test(file, { skip: "it has no `// run:` line" });
    for (const args of runs) {
      test(`${file} ${args}`, async () => {
        const program = join(root, "dist/examples", basename(file).replace(/ts$/, "js"));
        const words = args.split(/\s+/).filter((word) => word !== "");
        const finished = await run(process.execPath, ["--enable-source-maps", program, ...words], {
          timeoutMs: TIMEOUT_MS,
        });
        const said = `${finished.stdout}${finished.stderr}`;
        assert.ok(!finished.timedOut, `it had not ended after ${TIMEOUT_MS / 1000} s:\n${said}`);
        const [exit = "0"] = header(source, "exit");
        assert.equal(`${finished.signal ?? finished.code}`, exit, said);
        for (const wanted of header(source, "expect")) {
          assert.ok(said.includes(wanted), `expected "${wanted}" in:\n${said}`);
        }
      });
    }
  }
});
