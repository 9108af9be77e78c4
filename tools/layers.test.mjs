// Tests of the layer check: this tree passes, and trees that are wrong in one way each do not.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { checkLayers } from "./layers.mjs";
import { importsOf, tokenize } from "./lib/imports.mjs";
import { root, run } from "./lib/tree.mjs";

/**
 * What the check says of a tree with these files.
 * @param {Record<string, string>} files
 * @returns {string[]}
 */
function verdict(files) {
  const tree = mkdtempSync(join(tmpdir(), "coronet-layers-"));
  try {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, file)), { recursive: true });
      writeFileSync(join(tree, file), text);
    }
    return checkLayers(tree).map(({ file, line, message }) => `${file}:${line}: ${message}`);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

test("every import of this tree points down", () => {
  assert.deepEqual(checkLayers(root), []);
});

test("downward imports and imports of one's own folder are fine", () => {
  const said = verdict({
    "src/net/tcp.ts":
      'import { Fd } from "../poll/fd.ts";\nimport "./addr.ts";\nimport net from "node:net";\n',
    "src/index.ts": 'export * from "./net/tcp.ts";\nexport { debug } from "./debug/debug.ts";\n',
    "src/cli/main.ts": 'import { listen } from "../index.ts";\n',
    "testing/index.ts": 'import { Fd } from "../src/poll/fd.ts";\n',
    "src/poll/fd.test.ts":
      'import { fake } from "../../testing/index.ts";\nimport "../net/tcp.ts";\n',
  });
  assert.deepEqual(said, []);
});

test("an upward import is found, with its line, whatever form it has", () => {
  const forms = [
    'import { x } from "../net/tcp.ts";',
    'import type { X } from "../net/tcp.ts";',
    'import "../net/tcp.ts";',
    'import a, { type b, c as d } from\n"../net/tcp.ts";',
    'import * as all from "../net/tcp.ts";',
    'export * from "../net/tcp.ts";',
    'export * as all from "../net/tcp.ts";',
    'export { x } from "../net/tcp.ts";',
    'export type { X } from "../net/tcp.ts";',
    'const x = await import("../net/tcp.ts");',
    'let x: import("../net/tcp.ts").X;',
    "const x = import(`../net/tcp.ts`);",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a source text
    'const x = `${await import("../net/tcp.ts")}`;',
  ];
  for (const form of forms) {
    const said = verdict({ "src/runtime/go.ts": `// one\n${form}\n` });
    const line = form.includes("\n") ? 3 : 2;
    assert.deepEqual(
      said,
      [`src/runtime/go.ts:${line}: upward: runtime (2) imports net (6)`],
      form,
    );
  }
});

test("a sideways import is found", () => {
  const said = verdict({ "src/io/copy.ts": 'import "../poll/fd.ts";\n' });
  assert.deepEqual(said, ["src/io/copy.ts:1: sideways: io imports poll, both of rank 3"]);
});

test("the runtime may not import the debugger, the public surface may not import the command", () => {
  assert.deepEqual(
    verdict({
      "src/runtime/go.ts": 'import "../debug/dump.ts";\n',
      "src/index.ts": 'import "./cli/main.ts";\n',
      "src/server/server.ts": 'import "../index.ts";\nimport "coronet";\n',
    }),
    [
      "src/index.ts:1: upward: index.ts (11) imports cli (12)",
      "src/runtime/go.ts:1: upward: runtime (2) imports debug (10)",
      "src/server/server.ts:1: upward: server (9) imports index.ts (11)",
      "src/server/server.ts:2: upward: server (9) imports index.ts (11)",
    ],
  );
});

test("src imports neither testing nor test nor bench, and no test", () => {
  assert.deepEqual(
    verdict({
      "src/poll/fd.ts":
        'import "../../testing/index.ts";\nimport "../../test/a.ts";\nimport "../../bench/a.ts";\n',
      "src/poll/a.ts": 'import "./fd.test.ts";\nimport "coronet/testing";\n',
      "src/poll/fd.test.ts": 'import "../../bench/a.ts";\n',
    }),
    [
      "src/poll/a.ts:1: imports the test src/poll/fd.test.ts",
      "src/poll/a.ts:2: src/ imports testing/ (testing/index.ts)",
      "src/poll/fd.test.ts:1: src/poll/fd.test.ts imports bench/",
      "src/poll/fd.ts:1: src/ imports testing/ (testing/index.ts)",
      "src/poll/fd.ts:2: src/ imports test/ (test/a.ts)",
      "src/poll/fd.ts:3: src/ imports bench/ (bench/a.ts)",
    ],
  );
});

test("a folder without a rank is found", () => {
  const said = verdict({ "src/net/tcp.ts": 'import "../misc/x.ts";\nimport "../loose.ts";\n' });
  assert.deepEqual(said, [
    "src/net/tcp.ts:1: src/misc has no rank in tools/layers.mjs",
    "src/net/tcp.ts:2: src/loose.ts has no rank in tools/layers.mjs",
  ]);
});

test("published code imports only packages that are installed with it", () => {
  assert.deepEqual(
    verdict({
      "package.json": '{ "name": "coronet", "dependencies": { "ws": "1", "@a/b": "1" } }',
      "src/http/ws.ts": 'import "ws";\nimport "@a/b/c";\nimport "fast-check";\n',
      "src/http/ws.test.ts": 'import "fast-check";\n',
    }),
    ["src/http/ws.ts:3: imports the package fast-check, which package.json does not depend on"],
  );
});

test("a native addon is loaded by src/syscall alone", () => {
  const loader =
    'import { createRequire } from "node:module";\ncreateRequire(import.meta.url)("./coronet.node");\n';
  assert.deepEqual(
    verdict({
      "src/syscall/load.ts": loader,
      "src/net/load.ts": loader,
      "src/poll/load.ts": 'process.dlopen(module, "x");\n',
      "src/debug/load.ts": "import(`$" + "{dir}/coronet.node`);\n",
    }),
    [
      "src/debug/load.ts:1: only src/syscall may load a native addon",
      "src/net/load.ts:2: only src/syscall may load a native addon",
      "src/poll/load.ts:1: only src/syscall may load a native addon",
    ],
  );
});

test("what only looks like an import is none", () => {
  const text = [
    '// import "a";',
    '/* import "b"; */',
    "const s = 'import \"c\";';",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a source text
    'const t = `import "d"; ${x} export * from "e"`;',
    'const r = /import "f"/.test(s) ? 1 / 2 : /[/] from "g"/;',
    "const m = import.meta.url;",
    'export const y = { from: "h" };',
    'export function from() { return "i"; }',
    'obj.import("j"); obj.require("k");',
    'export type Z = { a: 1 }; const from = "l";',
    'export { y };\nconst q = { b: "m" };',
  ].join("\n");
  assert.deepEqual(importsOf(tokenize(text)), []);
});

test("the command names the file and the line and fails", async () => {
  const tree = mkdtempSync(join(tmpdir(), "coronet-layers-"));
  try {
    mkdirSync(join(tree, "src/io"), { recursive: true });
    writeFileSync(join(tree, "src/io/copy.ts"), '\nimport "../poll/fd.ts";\n');
    const finished = await run(process.execPath, [join(root, "tools/layers.mjs"), tree]);
    assert.equal(finished.code, 1);
    assert.match(finished.stderr, /^src\/io\/copy\.ts:2: sideways/);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
});
