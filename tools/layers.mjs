// The layers of src/: imports only point down. Prints every import that does not, as file:line.
//
//   node tools/layers.mjs          checks this tree, exit status 1 when there is a violation
//   node tools/layers.mjs PATH     checks another one

import { existsSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, posix, resolve } from "node:path";
import { importsOf, tokenize } from "./lib/imports.mjs";
import { listFiles, root as ownRoot } from "./lib/tree.mjs";

/** A folder of src/ may import folders of a lower rank, and itself. */
export const RANKS = {
  internal: 0,
  syscall: 1,
  runtime: 2,
  io: 3,
  poll: 3,
  chan: 4,
  time: 4,
  sync: 5,
  context: 5,
  net: 6,
  tls: 7,
  http: 8,
  threads: 8,
  server: 9,
  debug: 10,
  cli: 12,
};

/** src/index.ts is the public surface: it may import everything but the command. */
const INDEX_RANK = 11;

/**
 * Imports between folders of one rank that are right all the same, each with its reason.
 * @type {readonly { from: keyof typeof RANKS, to: keyof typeof RANKS, reason: string }[]}
 */
export const ALLOWED_SIDEWAYS = [
  { from: "poll", to: "io", reason: "splicing is a way of making io's transfers" },
  { from: "time", to: "chan", reason: "a timer delivers its ticks on a channel" },
  { from: "sync", to: "context", reason: "an ErrGroup ends its context with its first error" },
];

/** The only folder that may load a native addon. */
const NATIVE_FOLDER = "src/syscall";

/** What stands beside src/, and which of the others it may import. */
const NEIGHBOURS = {
  testing: ["src"],
  test: ["src", "testing"],
  examples: ["src", "testing"],
  bench: ["src", "testing"],
};

/**
 * @typedef {object} Violation
 * @property {string} file
 * @property {number} line
 * @property {string} message
 */

/**
 * Checks a tree.
 * @param {string} root
 * @returns {Violation[]}
 */
export function checkLayers(root) {
  const dependencies = declaredDependencies(root);
  const files = listFiles(
    root,
    ["src", ...Object.keys(NEIGHBOURS)],
    (file) => /\.[cm]?ts$/.test(file) && !file.endsWith(".d.ts"),
    (folder) => !/(^|\/)node_modules$/.test(folder) && folder !== "bench/build",
  );
  return files.flatMap((file) => checkFile(root, file, dependencies));
}

/** @param {string} root */
function declaredDependencies(root) {
  const path = join(root, "package.json");
  const manifest = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
  return {
    name: manifest.name ?? "coronet",
    shipped: new Set(
      ["dependencies", "peerDependencies", "optionalDependencies"].flatMap((field) =>
        Object.keys(manifest[field] ?? {}),
      ),
    ),
  };
}

/**
 * @param {string} root
 * @param {string} file
 * @param {{ name: string, shipped: Set<string> }} dependencies
 * @returns {Violation[]}
 */
function checkFile(root, file, dependencies) {
  const tokens = tokenize(readFileSync(join(root, file), "utf8"));
  const imports = importsOf(tokens);
  const found = imports.flatMap(({ specifier, line }) => {
    const message = specifier.startsWith(".")
      ? judge(file, posix.normalize(posix.join(posix.dirname(file), specifier)))
      : judgePackage(file, specifier, dependencies);
    return message ? [{ file, line, message }] : [];
  });
  return [...found, ...nativeLoads(file, tokens)];
}

/**
 * What is wrong with this import within the project, if anything.
 * @param {string} file
 * @param {string} target
 * @returns {string | undefined}
 */
function judge(file, target) {
  const from = place(file);
  const to = place(target);
  if (to.top === "..") return `imports ${target}, which is outside the project`;
  // Tests may reach for whatever they need to test, but they are no way into the benchmark.
  if (isTest(file)) {
    return to.top === "bench" && from.top !== "bench" ? `${file} imports bench/` : undefined;
  }
  if (isTest(target)) return `imports the test ${target}`;
  if (from.top !== "src") {
    const allowed = NEIGHBOURS[/** @type {keyof typeof NEIGHBOURS} */ (from.top)] ?? [];
    if (to.top === from.top || allowed.includes(to.top)) return undefined;
    return `${from.top}/ imports ${to.top}/`;
  }
  if (to.top !== "src") return `src/ imports ${to.top}/ (${target})`;
  if (from.folder === to.folder) return undefined;
  if (from.rank === undefined) return `src/${from.folder} has no rank in tools/layers.mjs`;
  if (to.rank === undefined) return `src/${to.folder} has no rank in tools/layers.mjs`;
  if (to.rank < from.rank) return undefined;
  if (to.rank > from.rank) {
    return `upward: ${from.folder} (${from.rank}) imports ${to.folder} (${to.rank})`;
  }
  const allowed = ALLOWED_SIDEWAYS.some(
    (entry) => entry.from === from.folder && entry.to === to.folder,
  );
  return allowed
    ? undefined
    : `sideways: ${from.folder} imports ${to.folder}, both of rank ${to.rank}`;
}

/**
 * @param {string} file
 * @param {string} specifier
 * @param {{ name: string, shipped: Set<string> }} dependencies
 * @returns {string | undefined}
 */
function judgePackage(file, specifier, { name, shipped }) {
  if (isBuiltin(specifier)) return undefined;
  const top = place(file).top;
  const parts = specifier.split("/");
  const wanted = specifier.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0];
  if (wanted === name) {
    return judge(file, specifier === `${name}/testing` ? "testing/index.ts" : "src/index.ts");
  }
  // What is published may import only what is installed with it.
  if (isTest(file) || (top !== "src" && top !== "testing") || shipped.has(wanted)) return undefined;
  return `imports the package ${wanted}, which package.json does not depend on`;
}

/**
 * Loads of a native addon outside its folder.
 * @param {string} file
 * @param {readonly import("./lib/imports.mjs").Token[]} tokens
 * @returns {Violation[]}
 */
function nativeLoads(file, tokens) {
  if (!file.startsWith("src/") || file.startsWith(`${NATIVE_FOLDER}/`) || isTest(file)) return [];
  const words = new Set(tokens.filter((token) => token.kind === "word").map((token) => token.text));
  const canLoad = ["createRequire", "require", "import"].some((word) => words.has(word));
  return tokens
    .filter((token) =>
      token.kind === "word"
        ? token.text === "dlopen"
        : canLoad && token.kind !== "punct" && token.text.endsWith(".node"),
    )
    .map((token) => ({
      file,
      line: token.line,
      message: `only ${NATIVE_FOLDER} may load a native addon`,
    }));
}

/** @param {string} path */
function isTest(path) {
  return /\.test\.[cm]?[jt]s$/.test(path);
}

/**
 * @param {string} path relative to the root
 * @returns {{ top: string, folder: string, rank: number | undefined }}
 */
function place(path) {
  const [top = "", folder = "", ...rest] = path.split("/");
  if (top !== "src") return { top, folder: "", rank: undefined };
  if (rest.length === 0) {
    const isIndex = /^index\.[jt]s$/.test(folder);
    return { top, folder: isIndex ? "index.ts" : folder, rank: isIndex ? INDEX_RANK : undefined };
  }
  return { top, folder, rank: RANKS[/** @type {keyof typeof RANKS} */ (folder)] };
}

if (process.argv[1] === import.meta.filename) {
  const root = process.argv[2] ? resolve(process.argv[2]) : ownRoot;
  const violations = checkLayers(root);
  for (const { file, line, message } of violations) console.error(`${file}:${line}: ${message}`);
  if (violations.length > 0) process.exitCode = 1;
  else console.log("layers: every import points down");
}
