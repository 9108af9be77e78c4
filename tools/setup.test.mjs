// Tests of the set-up, on a small project of its own: it does what is missing, once, and no more.

import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { prebuildName } from "./build-native.mjs";
import { root, run } from "./lib/tree.mjs";

const base = mkdtempSync(join(tmpdir(), "coronet-setup-"));
let count = 0;
let project = base;

const ADDON = `
#include <node_api.h>
NAPI_MODULE_INIT() { (void)env; return exports; }
`;

/** @param {string} path @param {string} text */
function write(path, text) {
  mkdirSync(join(project, path, ".."), { recursive: true });
  writeFileSync(join(project, path), text);
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function setup(args = [], env = {}) {
  return run(process.execPath, [join(project, "tools/setup.mjs"), ...args], {
    cwd: project,
    env: { ...process.env, ...env },
  });
}

/** @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
async function succeed(args = [], env = {}) {
  const finished = await setup(args, env);
  assert.equal(finished.code, 0, finished.stdout + finished.stderr);
  return finished.stdout;
}

/** @param {string} text */
const compilations = (text) => text.split("compiling TypeScript").length - 1;

describe("tools/setup.mjs", () => {
  beforeEach(() => {
    project = join(base, String(count++));
    mkdirSync(project);
    for (const file of ["tools", "package.json", "package-lock.json", "tsconfig.json"]) {
      cpSync(join(root, file), join(project, file), {
        recursive: true,
        filter: (path) => !path.includes("node_modules"),
      });
    }
    symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
    write("native/addon.c", ADDON);
    write("src/one.ts", "export const one: number = 1;\n");
    write("src/two.ts", "export const two: number = 2;\n");
  });

  after(() => {
    rmSync(base, { recursive: true, force: true });
  });

  test("compiles what is missing, and says nothing when there is nothing to do", async () => {
    assert.equal(compilations(await succeed()), 1);
    assert.ok(existsSync(join(project, "dist/src/one.js")));
    assert.equal(await succeed(), "");
  });

  test("knows the package by its own name before it was ever compiled", async () => {
    write("src/index.ts", 'export { one } from "./one.ts";\n');
    write(
      "examples/use.ts",
      'import { one } from "coronet";\nexport const two: number = one + 1;\n',
    );
    await succeed();
    const used = await run(process.execPath, [join(project, "dist/examples/use.js")]);
    assert.equal(used.code, 0, used.stderr);
  });

  test("compiles again when an output is gone, and with --force", async () => {
    await succeed();
    rmSync(join(project, "dist/src/one.js"));
    assert.equal(compilations(await succeed()), 1);
    assert.ok(existsSync(join(project, "dist/src/one.js")));
  });

  test("removes the outputs of a source that is gone", async () => {
    await succeed();
    rmSync(join(project, "src/two.ts"));
    await succeed();
    const left = readdirSync(join(project, "dist/src"));
    assert.deepEqual(left.sort(), ["one.d.ts", "one.js", "one.js.map"]);
  });

  test("leaves dist/ alone when there is a type error, unless told not to look", async () => {
    await succeed();
    write("src/one.ts", 'export const one: number = "1";\n');
    const failed = await setup();
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /src\/one\.ts\(1,14\): error TS2322/);
    assert.match(failed.stderr, /dist\/ is unchanged/);
    assert.equal(compilations(await succeed(["--no-check"])), 1);
    assert.equal((await setup()).code, 1, "what was not checked has to be checked the next time");
  });

  test("of several at the same time one compiles and the others wait", async () => {
    const finished = await Promise.all([setup(), setup(), setup()]);
    const said = finished.map(({ stdout }) => stdout).join("");
    assert.deepEqual(
      finished.map(({ code }) => code),
      [0, 0, 0],
      said,
    );
    assert.equal(compilations(said), 1, said);
  });

  test("takes over the lock of a process that died", async () => {
    write("build/.setup.lock/owner", JSON.stringify({ pid: process.pid, born: "long ago" }));
    assert.equal(compilations(await succeed()), 1);
    assert.ok(!existsSync(join(project, "build/.setup.lock")));
  });

  test("does nothing in an installed package", async () => {
    rmSync(join(project, "tsconfig.json"));
    assert.equal(await succeed(), "");
    assert.ok(!existsSync(join(project, "build")));
  });

  test("without a compiler names the addon that is used instead", async () => {
    const none = { CC: "no-such-compiler" };
    assert.match(await succeed([], none), /no-such-compiler\), and no prebuilt binary for/);
    write(`prebuilds/${prebuildName()}/coronet.node`, "");
    write("src/two.ts", "export const two: number = 3;\n");
    assert.match(await succeed([], none), /using prebuilds\/[^/]+\/coronet\.node/);
  });

  test("says what the C compiler said", async (t) => {
    write("native/addon.c", "#error wrong\n");
    const failed = await setup();
    if (/no C compiler|no native backend/.test(failed.stdout)) return t.skip("no compiler here");
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /native\/addon\.c:1:2: error: /);
    assert.match(failed.stderr, /the native addon does not compile/);
  });
});
