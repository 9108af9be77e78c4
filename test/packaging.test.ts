// What a user gets: the package is packed, installed into an empty project without scripts and without a
// network, and used there from JavaScript and from TypeScript.

import assert from "node:assert/strict";
import { type ExecFileException, execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";

const root = resolve(import.meta.dirname, "../..");
const project = mkdtempSync(join(tmpdir(), "coronet-package-"));
const installed = join(project, "node_modules/coronet");

/** The only files that may be in the package. */
const SHIPPED = [
  /^package\.json$/,
  /^README\.md$/,
  /^CHANGELOG\.md$/,
  /^LICENSE$/,
  /^dist\/(src|testing)\/.+\.(js|js\.map|d\.ts)$/,
  /^dist\/src\/http\/llhttp\.(wasm|LICENSE)$/,
  /^dist\/src\/debug\/inspector\/page\/[a-z_]+\.(html|css|js|svg)$/,
  /^dist\/src\/debug\/inspector\/page\/uPlot\.(esm\.js|min\.css|LICENSE)$/,
  /^native\/[^/]+\.[ch]$/,
  /^prebuilds\/manifest\.json$/,
  /^prebuilds\/linux-(x64|arm64)-(glibc|musl)\/coronet\.node$/,
  /^tools\/build-native\.mjs$/,
];

const ECHO = `
import { readFileSync } from "node:fs";
import { dial, go, listen } from "coronet";

const listener = await listen("tcp", "127.0.0.1:0");
go(async () => {
  const conn = await listener.accept();
  for await (const chunk of conn) await conn.write(chunk);
  await conn.close();
});
const conn = await dial("tcp", String(listener.addr));
await conn.write(Buffer.from("over a real socket"));
await conn.closeWrite();
const buffer = Buffer.alloc(64);
let text = "";
for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
  text += buffer.toString("latin1", 0, n);
}
await conn.close();
await listener.close();
const addon = /\\S*coronet\\.node$/m.exec(readFileSync("/proc/self/maps", "utf8"));
console.log(JSON.stringify({ text, addon: addon && addon[0] }));
`;

const TASK = `
import { task } from "coronet";
export default (a, b) => a + b;
import { isMainThread } from "node:worker_threads";
if (isMainThread) console.log(await task(import.meta.url, [1, 2]));
`;

const COMMONJS = `
const { listen } = require("coronet");
console.log(typeof listen);
`;

const TYPED = `
import { type Conn, dial, go, listen, type Listener, NetError } from "coronet";

async function echo(conn: Conn): Promise<void> {
  await using _ = conn;
  for await (const chunk of conn) await conn.write(chunk);
}

export async function serve(): Promise<void> {
  await using listener: Listener = await listen("tcp", ":2333");
  for await (const conn of listener) go(echo, conn);
}

export async function ask(): Promise<number | null> {
  const conn = await dial("tcp", "127.0.0.1:2333", { timeout: 1000 });
  conn.setReadDeadline(new Date(Date.now() + 1000));
  try {
    return await conn.read(new Uint8Array(10));
  } catch (error) {
    if (error instanceof NetError && error.timeout) return null;
    throw error;
  }
}

// @ts-expect-error: a number is no address
await dial("tcp", 2333);
`;

interface Finished {
  status: number | string;
  stdout: string;
  stderr: string;
}

/** Runs a program in the project, without what npm and the developer left in the environment. */
function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_|^CORONET_|^NODE_OPTIONS$|^NODE_TEST_CONTEXT$/.test(name),
  );
  const options = { cwd: project, env: { ...Object.fromEntries(inherited), ...env } };
  return new Promise((settle) => {
    execFile(command, args, options, (error: ExecFileException | null, stdout, stderr) => {
      const status = error ? (error.code ?? error.signal ?? "unknown") : 0;
      settle({ status, stdout, stderr });
    });
  });
}

async function succeed(
  command: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<Finished> {
  const finished = await run(command, args, env);
  const { status, stdout, stderr } = finished;
  assert.equal(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}`);
  return finished;
}

function filesBelow(folder: string, prefix = ""): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? filesBelow(join(folder, entry.name), `${prefix}${entry.name}/`)
      : [prefix + entry.name],
  );
}

describe("the package", () => {
  before(async () => {
    const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    await succeed("npm", ["pack", root, ...quiet]);
    const tarball = readdirSync(project).find((name) => name.startsWith("coronet-"));
    assert.ok(tarball, "npm pack left no tarball");
    // Dependencies come from this checkout, as there is no network.
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const overrides: Record<string, string> = {};
    for (const name of Object.keys(dependencies)) {
      await succeed("npm", ["pack", join(root, "node_modules", name), ...quiet]);
      overrides[name] = `file:./${readdirSync(project).find((file) => file.startsWith(name))}`;
    }
    const manifest = { name: "user", private: true, type: "module", overrides };
    writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
    await succeed("npm", ["install", "--offline", "--omit=optional", ...quiet, `./${tarball}`]);
  });

  after(() => {
    rmSync(project, { recursive: true, force: true });
  });

  test("holds what it should and nothing else", () => {
    const files = filesBelow(installed);
    const strangers = files.filter((file) => !SHIPPED.some((pattern) => pattern.test(file)));
    assert.deepEqual(strangers, []);
    assert.deepEqual(
      files.filter((file) => /\.test\./.test(file)),
      [],
    );
    for (const pattern of SHIPPED) {
      assert.ok(
        files.some((file) => pattern.test(file)),
        `nothing in the package matches ${pattern}`,
      );
    }
  });

  test("needs no install script, and what it exports is there", () => {
    const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    for (const script of ["preinstall", "install", "postinstall"]) {
      assert.equal(manifest.scripts?.[script], undefined);
    }
    const targets = [manifest.types, ...Object.values(manifest.bin), manifest.exports]
      .flatMap(function leaves(value: unknown): unknown[] {
        return typeof value === "string" ? [value] : Object.values(value as object).flatMap(leaves);
      })
      .filter((target) => !existsSync(join(installed, String(target))));
    assert.deepEqual(targets, []);
  });

  test("echoes over a real socket with its prebuilt addon", async () => {
    assert.ok(!existsSync(join(installed, "build")));
    writeFileSync(join(project, "echo.js"), ECHO);
    const { stdout, stderr } = await succeed(process.execPath, ["echo.js"]);
    assert.equal(stderr, "");
    const { text, addon } = JSON.parse(stdout);
    assert.equal(text, "over a real socket");
    assert.match(addon, /node_modules\/coronet\/prebuilds\/[^/]+\/coronet\.node$/);
  });

  test("runs tasks on the pool that it is installed with", async () => {
    writeFileSync(join(project, "task.js"), TASK);
    const { stdout, stderr } = await succeed(process.execPath, ["task.js"]);
    assert.deepEqual([stdout, stderr], ["3\n", ""]);
  });

  test("can be required from CommonJS", async () => {
    writeFileSync(join(project, "required.cjs"), COMMONJS);
    const { stdout } = await succeed(process.execPath, ["--no-warnings", "required.cjs"]);
    assert.equal(stdout.trim(), "function");
  });

  test("type-checks in a strict project that checks libraries as well", async () => {
    mkdirSync(join(project, "node_modules/@types"), { recursive: true });
    symlinkSync(join(root, "node_modules/@types/node"), join(project, "node_modules/@types/node"));
    const compilerOptions = {
      target: "ES2022",
      lib: ["ES2023", "ESNext.Disposable"],
      module: "NodeNext",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      types: ["node"],
    };
    writeFileSync(
      join(project, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["user.ts"] }),
    );
    writeFileSync(join(project, "user.ts"), TYPED);
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    await succeed(process.execPath, [tsc, "--pretty", "false"]);
  });

  test("says, without a compiler, which addon it uses", async () => {
    const build = join(installed, "tools/build-native.mjs");
    const { stdout } = await succeed(process.execPath, [build], { CC: "no-such-compiler" });
    assert.match(stdout, /no-such-compiler|node_api\.h/);
    assert.match(stdout, /using prebuilds\/[^/]+\/coronet\.node\n$/);
  });
});
