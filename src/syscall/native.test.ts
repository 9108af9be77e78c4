/** native.test.ts: where the addon is looked for, and what is said when it cannot be loaded. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { nativeKernel } from "./native.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "coronet-native-"));
after(() => rmSync(folder, { recursive: true }));

/** Loads the addon in a process of its own: what it printed. */
function load(modulePath: string, native?: string): { status: number | null; output: string } {
  const { CORONET_NATIVE: _, ...inherited } = process.env;
  const env = native === undefined ? inherited : { ...inherited, CORONET_NATIVE: native };
  const code = `
    import { nativeKernel } from ${JSON.stringify(modulePath)};
    try {
      const kernel = nativeKernel();
      const fd = kernel.eventfd();
      console.log("loaded", fd >= 0, kernel.close(fd), nativeKernel() === kernel);
    } catch (error) {
      console.log(error.message);
      process.exitCode = 1;
    }
  `;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", code],
    { encoding: "utf8", env },
  );
  return { status, output: stdout + stderr };
}

/** The addon that these tests run with. */
function addonInUse(): string {
  const forced = process.env.CORONET_NATIVE;
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] };
  return forced ?? (sharedObjects.find((path) => path.endsWith("coronet.node")) as string);
}

/** A copy of the compiled loader in a package of its own, with or without an addon. */
function packageWith(name: string): { root: string; module: string } {
  const root = join(folder, name);
  cpSync(here, join(root, "dist", "src", "syscall"), { recursive: true });
  writeFileSync(join(root, "package.json"), '{ "name": "coronet", "type": "module" }');
  return { root, module: join(root, "dist", "src", "syscall", "native.js") };
}

test("the addon is loaded once per thread", () => {
  assert.equal(nativeKernel(), nativeKernel());
});

describe("CORONET_NATIVE", () => {
  test("names the addon to load", () => {
    nativeKernel();
    const { output } = load(join(here, "native.js"), addonInUse());
    assert.equal(output, "loaded true 0 true\n");
  });

  test("that points nowhere is an error that says what was tried, and nothing else is", () => {
    const { status, output } = load(join(here, "native.js"), "/no/such/coronet.node");
    assert.equal(status, 1);
    assert.match(output, /^coronet: no native addon for \S+-\S+ could be loaded\.\n/);
    assert.match(output, /\n {2}tried \/no\/such\/coronet\.node: no such file\n/);
    assert.equal(output.match(/tried/g)?.length, 1);
    assert.match(output, /install a C compiler/);
  });

  test("that points to something else says what is wrong with it", () => {
    const bogus = join(folder, "bogus.node");
    writeFileSync(bogus, "not a shared object");
    const { status, output } = load(join(here, "native.js"), bogus);
    assert.equal(status, 1);
    assert.ok(output.includes(`tried ${bogus}: ${bogus}: `), output);
    assert.match(output, /too short|invalid ELF header|not a/i);
  });
});

describe("without CORONET_NATIVE", () => {
  const platform = (): string => {
    const { header } = process.report.getReport() as unknown as {
      header: { glibcVersionRuntime?: string };
    };
    const libc = header.glibcVersionRuntime === undefined ? "musl" : "glibc";
    return `${process.platform}-${process.arch}-${libc}`;
  };

  test("the compiled addon is taken, then the prebuilt one", () => {
    nativeKernel();
    const { root, module } = packageWith("both");
    const prebuilt = join(root, "prebuilds", platform());
    mkdirSync(prebuilt, { recursive: true });
    copyFileSync(addonInUse(), join(prebuilt, "coronet.node"));
    assert.equal(load(module).output, "loaded true 0 true\n");
    // A compiled one that does not load is no reason to do without.
    mkdirSync(join(root, "build"));
    writeFileSync(join(root, "build", "coronet.node"), "broken");
    assert.equal(load(module).output, "loaded true 0 true\n");
    rmSync(prebuilt, { recursive: true });
    copyFileSync(addonInUse(), join(root, "build", "coronet.node"));
    assert.equal(load(module).output, "loaded true 0 true\n");
  });

  test("an error lists both places", () => {
    const { root, module } = packageWith("neither");
    const { status, output } = load(module);
    assert.equal(status, 1);
    const places = [
      join(root, "build", "coronet.node"),
      join(root, "prebuilds", platform(), "coronet.node"),
    ];
    for (const place of places) assert.ok(output.includes(`tried ${place}: no such file`), output);
  });

  test("a loader outside of any package says so", () => {
    const lost = join(folder, "lost");
    cpSync(here, lost, { recursive: true });
    const { output } = load(join(lost, "native.js"));
    assert.match(output, /package\.json was not found/);
  });
});

test("the addon can be loaded twice in one thread, under two names: each has its own fds", () => {
  nativeKernel();
  const copy = join(folder, "copy.node");
  copyFileSync(addonInUse(), copy);
  const second = createRequire(import.meta.url)(copy) as ReturnType<typeof nativeKernel>;
  assert.notEqual(second, nativeKernel());
  const fd = second.eventfd();
  assert.ok(nativeKernel().close(fd) < 0);
  assert.equal(second.close(fd), 0);
});
