// Where the benchmark's files are, found from wherever this module was compiled to.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findRoot(from: string): string {
  if (existsSync(join(from, "bench", "setup.mjs"))) return from;
  const parent = dirname(from);
  if (parent === from) throw new Error("the bench directory was not found");
  return findRoot(parent);
}

export const rootDir = findRoot(dirname(fileURLToPath(import.meta.url)));
export const benchDir = join(rootDir, "bench");
export const buildDir = join(benchDir, "build");
export const serversDir = join(benchDir, "servers");
export const resultsDir = join(benchDir, "results");
