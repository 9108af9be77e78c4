/**
 * native.ts: loads the addon. The only file that knows where the .node is.
 *
 * Looked for, in this order: the path in CORONET_NATIVE; build/coronet.node, which set-up compiles
 * where a compiler is present; prebuilds/<platform>-<arch>-<libc>/coronet.node, which travels in the
 * package. An install script is never needed.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NativeKernel } from "./kernel.ts";
import { scratch } from "./scratch.ts";

const require = createRequire(import.meta.url);

/** The package's folder: the nearest one above this file with a package.json. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error("coronet: its package.json was not found");
    folder = parent;
  }
  return folder;
}

/** Which C library this Node runs on: only glibc names its version in Node's report. */
function libc(): string {
  const { report } = process as { report?: { excludeNetwork?: boolean; getReport(): object } };
  if (report === undefined) return "glibc";
  const before = report.excludeNetwork;
  // The report would look up the names of every peer of this process.
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (before !== undefined) report.excludeNetwork = before;
  return header?.glibcVersionRuntime === undefined ? "musl" : "glibc";
}

function* candidates(): Generator<string> {
  const forced = process.env.CORONET_NATIVE;
  if (forced) {
    yield forced;
    return;
  }
  const root = packageRoot();
  yield join(root, "build", "coronet.node");
  const platform = `${process.platform}-${process.arch}-${libc()}`;
  yield join(root, "prebuilds", platform, "coronet.node");
}

function load(): NativeKernel {
  const tried: string[] = [];
  for (const path of candidates()) {
    if (!existsSync(path)) {
      tried.push(`${path}: no such file`);
      continue;
    }
    try {
      return require(path) as NativeKernel;
    } catch (error) {
      tried.push(`${path}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    `coronet: no native addon for ${process.platform}-${process.arch} could be loaded.\n` +
      tried.map((line) => `  tried ${line}\n`).join("") +
      `  ${howToGetIt()}`,
  );
}

/** What to do where the addon is missing. */
export function howToGetIt(): string {
  const { platform, arch } = process;
  if (platform !== "linux") return `There is none for ${platform}-${arch} yet.`;
  const tool = join(packageRoot(), "tools", "build-native.mjs");
  return `To build one, install a C compiler and run: node ${tool}`;
}

let loaded: NativeKernel | undefined;

/** The addon of this thread, loaded at the first call. Throws with every path that was tried. */
export function nativeKernel(): NativeKernel {
  if (loaded === undefined) {
    loaded = load();
    loaded.setScratch(scratch);
  }
  return loaded;
}
