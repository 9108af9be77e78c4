// What several tools ask of the checkout: where it is, which files are in it, how to run a program.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's root. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/**
 * Every file below the folders that `wanted` accepts, sorted, relative to `base`. A folder that is not
 * there has no files.
 * @param {string} base
 * @param {readonly string[]} folders
 * @param {(file: string) => boolean} wanted
 * @param {(folder: string) => boolean} [enter] which folders to look into
 * @returns {string[]}
 */
export function listFiles(
  base,
  folders,
  wanted,
  enter = (folder) => !folder.endsWith("node_modules"),
) {
  /** @type {string[]} */
  const found = [];
  /** @param {string} folder */
  const walk = (folder) => {
    for (const entry of entriesOf(join(base, folder))) {
      const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (enter(path)) walk(path);
      } else if (wanted(path)) found.push(path);
    }
  };
  for (const folder of folders) walk(folder);
  return found.sort();
}

/** @param {string} directory */
function entriesOf(directory) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}

/**
 * A path as a person at the root would write it.
 * @param {string} path
 * @param {string} [base]
 */
export function shown(path, base = root) {
  return relative(base, path).split(sep).join("/") || ".";
}

/**
 * @typedef {object} Finished
 * @property {number | null} code
 * @property {NodeJS.Signals | null} signal
 * @property {string} stdout
 * @property {string} stderr
 * @property {boolean} timedOut
 * @property {Error} [error]   the program could not be started
 *
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {number} [timeoutMs]   killed after so long
 * @property {boolean} [inherit]    its output goes straight to ours
 */

/**
 * Runs a program to its end. Its input is empty.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<Finished>}
 */
export function run(command, args, options = {}) {
  return new Promise((settle) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: options.env ?? process.env,
      stdio: ["ignore", options.inherit ? "inherit" : "pipe", options.inherit ? "inherit" : "pipe"],
    });
    let stdout = "";
    let stderr = "";
    let timedOut = false;
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            child.kill("SIGKILL");
          }, options.timeoutMs);
    child.on("error", (error) => {
      clearTimeout(timer);
      settle({ code: null, signal: null, stdout, stderr, timedOut, error });
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      settle({ code, signal, stdout, stderr, timedOut });
    });
  });
}

/**
 * Does the work on every item, so many at a time, in order of their start.
 * @template T, R
 * @param {readonly T[]} items
 * @param {number} width
 * @param {(item: T) => Promise<R>} work
 * @returns {Promise<R[]>}
 */
export async function inParallel(items, width, work) {
  /** @type {R[]} */
  const results = new Array(items.length);
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  return results;
}
