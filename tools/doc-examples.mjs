// The examples in the documentation are programs: this compiles all of them and runs them.
//
//   node tools/doc-examples.mjs            every example
//   node tools/doc-examples.mjs README     those of files whose path contains one of the words
//
// An example is a ```ts fence in README.md or docs/**/*.md, or the @example of a docstring in src/. Each
// is a module of its own that imports "coronet" as its users do, has to pass the type checker, and has to
// end by itself with status 0. The fence may say otherwise, after `ts`:
//
//   ```ts exit=2                         it ends with status 2
//   ```ts no-run: needs a server         only type-checked, for the reason given
//   ```ts no-check: a sketch             neither, for the reason given
//
// tools/doc-examples.test.mjs makes a test of each. dist/ has to be current.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lock } from "./lib/lock.mjs";
import { inParallel, listFiles, root, run } from "./lib/tree.mjs";

const TIMEOUT_MS = 10_000;
export const CONCURRENCY = 2;

const folder = join(root, "build/doc-examples");

/**
 * @typedef {object} Example
 * @property {string} file      where it stands, relative to the root
 * @property {number} line      of its first line of code
 * @property {string} code
 * @property {"run" | "check" | "none"} use
 * @property {number} exit      the status it has to end with
 * @property {string} [problem] what is wrong with the way it is marked
 */

/** Where an example stands. @param {Example} example */
export const placeOf = (example) => `${example.file}:${example.line}`;

/** @param {Example} example */
const moduleOf = (example) => `${example.file.replace(/[^a-z0-9]+/gi, "-")}-${example.line}`;

/**
 * Every example of a tree.
 * @param {string} [base]
 * @returns {Example[]}
 */
export function collectExamples(base = root) {
  const pages = listFiles(
    base,
    ["."],
    (file) => file === "README.md",
    () => false,
  );
  const docs = listFiles(base, ["docs"], (file) => file.endsWith(".md"));
  const sources = listFiles(
    base,
    ["src"],
    (file) => file.endsWith(".ts") && !file.endsWith(".test.ts"),
  );
  /** @param {string} file */
  const textOf = (file) => readFileSync(join(base, file), "utf8");
  return [
    ...[...pages, ...docs].flatMap((file) => fences(file, textOf(file).split("\n"), 1)),
    ...sources.flatMap((file) => docstringExamples(file, textOf(file))),
  ];
}

/**
 * The fences in some lines that are marked as examples.
 * @param {string} file
 * @param {readonly string[]} lines
 * @param {number} firstLine  the number of lines[0] in the file
 * @returns {Example[]}
 */
function fences(file, lines, firstLine) {
  /** @type {Example[]} */
  const found = [];
  for (let i = 0; i < lines.length; i++) {
    const open = /^(\s*)(`{3,}|~{3,})\s*(\S*)\s*(.*)$/.exec(lines[i]);
    if (!open) continue;
    const [, indent, marks, language, info] = open;
    const start = i + 1;
    const closes = new RegExp(`^\\s*${marks[0]}{${marks.length},}\\s*$`);
    do i++;
    while (i < lines.length && !closes.test(lines[i]));
    if (language !== "ts") continue;
    const code = lines.slice(start, i).map((line) => withoutIndent(line, indent));
    found.push({ file, line: firstLine + start, code: code.join("\n"), ...instructions(info) });
  }
  return found;
}

/** @param {string} line @param {string} indent */
function withoutIndent(line, indent) {
  return line.startsWith(indent) ? line.slice(indent.length) : line.trimStart();
}

/**
 * What the fence says of its own use.
 * @param {string} info
 * @returns {Pick<Example, "use" | "exit" | "problem">}
 */
function instructions(info) {
  const text = info.trim();
  const exit = /^exit=(\d+)$/.exec(text);
  if (text === "") return { use: "run", exit: 0 };
  if (exit) return { use: "run", exit: Number(exit[1]) };
  const mode = /^(no-run|no-check)\b[:\s]*(.*)$/.exec(text);
  if (!mode) return { use: "none", exit: 0, problem: `not understood: ${text}` };
  const use = mode[1] === "no-run" ? "check" : "none";
  return mode[2] === "" ? { use, exit: 0, problem: `${mode[1]} needs a reason` } : { use, exit: 0 };
}

/**
 * The @example blocks of the docstrings of a source: the fences in them, or, without one, their text.
 * @param {string} file
 * @param {string} source
 * @returns {Example[]}
 */
function docstringExamples(file, source) {
  return [...source.matchAll(/\/\*\*[\s\S]*?\*\//g)].flatMap((comment) => {
    const firstLine = source.slice(0, comment.index).split("\n").length;
    const lines = comment[0]
      .replace(/\*\/$/, "")
      .split("\n")
      .map((line) => line.replace(/^\s*\/?\*+ ?/, ""));
    /** @type {Example[]} */
    const found = [];
    for (let i = 0; i < lines.length; i++) {
      if (!/^\s*@example\b/.test(lines[i])) continue;
      const start = i + 1;
      while (i + 1 < lines.length && !/^@\w/.test(lines[i + 1])) i++;
      const block = lines.slice(start, i + 1);
      const fenced = fences(file, block, firstLine + start);
      if (fenced.length > 0) found.push(...fenced);
      else {
        found.push({ file, line: firstLine + start, code: block.join("\n"), use: "run", exit: 0 });
      }
    }
    return found;
  });
}

/**
 * Compiles the examples, all in one run.
 * @param {readonly Example[]} examples
 * @returns {Promise<Map<Example, string[]>>} what the compiler says against each
 */
export async function compileExamples(examples) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const compiled = examples.filter((example) => example.use !== "none");
  /** @type {Map<Example, string[]>} */
  const complaints = new Map();
  if (compiled.length === 0) return complaints;
  for (const example of compiled) {
    // The last line makes a module of it, so that a top-level await is allowed.
    writeFileSync(join(folder, `${moduleOf(example)}.ts`), `${example.code}\nexport {};\n`);
  }
  const config = {
    extends: "../../tsconfig.json",
    compilerOptions: {
      rootDir: ".",
      outDir: "out",
      declaration: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
    },
    include: ["*.ts"],
    exclude: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config, null, 2));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const finished = await run(process.execPath, [tsc, "--pretty", "false"], { cwd: folder });
  const byModule = new Map(compiled.map((example) => [moduleOf(example), example]));
  const unplaced = [];
  for (const text of finished.stdout.split("\n").filter((line) => line.trim() !== "")) {
    const [, name = "", row, message] = /^(.+?)\.ts\((\d+),\d+\): (.*)$/.exec(text) ?? [];
    const example = byModule.get(name);
    if (!example) unplaced.push(text);
    else {
      const line = example.line + Number(row) - 1;
      complaints.set(example, [
        ...(complaints.get(example) ?? []),
        `${example.file}:${line}: ${message}`,
      ]);
    }
  }
  if (finished.code !== 0 && complaints.size === 0) {
    throw new Error(`the examples do not compile:\n${unplaced.join("\n")}${finished.stderr}`);
  }
  return complaints;
}

/**
 * Runs one compiled example.
 * @param {Example} example
 * @returns {Promise<string | undefined>} what went wrong
 */
export async function runExample(example) {
  const finished = await run(
    process.execPath,
    ["--enable-source-maps", join(folder, "out", `${moduleOf(example)}.js`)],
    { timeoutMs: TIMEOUT_MS, cwd: folder },
  );
  if (!finished.timedOut && finished.code === example.exit) return undefined;
  const how = finished.timedOut
    ? `had not ended after ${TIMEOUT_MS / 1000} s`
    : `ended with ${finished.signal ?? `status ${finished.code}`}, not ${example.exit}`;
  return `${placeOf(example)}: ${how}${tail(`${finished.stdout}${finished.stderr}`)}`;
}

/** The last lines of what a program said, set in. @param {string} text */
function tail(text) {
  const lines = text.trim().split("\n").slice(-12);
  return lines[0] === "" ? "" : `\n${lines.map((line) => `    ${line}`).join("\n")}`;
}

/** One run at a time works in build/doc-examples. */
export const lockExamples = () => lock(`${folder}.lock`);

/** @param {readonly string[]} words */
async function main(words) {
  const examples = collectExamples().filter(
    ({ file }) => words.length === 0 || words.some((word) => file.includes(word)),
  );
  const release = await lockExamples();
  try {
    const complaints = await compileExamples(examples);
    const failures = await inParallel(examples, CONCURRENCY, async (example) => {
      if (example.problem) return [`${placeOf(example)}: ${example.problem}`];
      const said = complaints.get(example);
      if (said) return said;
      const went = example.use === "run" ? await runExample(example) : undefined;
      return went ? [went] : [];
    });
    for (const line of failures.flat()) console.error(line);
    const failed = failures.filter((lines) => lines.length > 0).length;
    console.log(`doc-examples: ${examples.length} examples, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  } finally {
    release();
  }
}

if (process.argv[1] === import.meta.filename) process.exitCode = await main(process.argv.slice(2));
