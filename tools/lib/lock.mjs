// A lock between processes: a directory, since mkdir either makes it or fails. Inside it stands who
// holds it, so that the lock of a process that died is taken over rather than waited for.

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A lock without an owner's name is being made, or its maker died between two lines. */
const NAMELESS_FOR_MS = 5_000;
const POLL_MS = 50;

/**
 * Takes the lock, waiting for whoever has it; the answer gives it back.
 * @param {string} path
 * @param {{ timeoutMs?: number, onWait?: (holder: number | undefined) => void }} [options]
 * @returns {Promise<() => void>}
 */
export async function lock(path, options = {}) {
  const deadline = Date.now() + (options.timeoutMs ?? 15 * 60_000);
  mkdirSync(dirname(path), { recursive: true });
  let told = false;
  while (!tryLock(path)) {
    if (breakStale(path)) continue;
    if (!told) {
      told = true;
      options.onWait?.(holderOf(path)?.pid);
    }
    if (Date.now() > deadline) {
      throw new Error(`${path} is still held by process ${holderOf(path)?.pid ?? "unknown"}`);
    }
    await sleep(POLL_MS);
  }
  return () => {
    rmSync(path, { recursive: true, force: true });
  };
}

/** @param {string} path */
function tryLock(path) {
  if (!makeDirectory(path)) return false;
  writeFileSync(join(path, "owner"), JSON.stringify({ pid: process.pid, born: born(process.pid) }));
  return true;
}

/**
 * Removes the lock when its owner is gone. Only one process at a time may do so: of two that saw the
 * same dead owner, the slower would remove the lock that the faster has taken meanwhile.
 * @param {string} path
 * @returns {boolean} whether it was removed
 */
function breakStale(path) {
  if (!isStale(path)) return false;
  const breaking = `${path}.breaking`;
  if (!makeDirectory(breaking)) {
    // Held for microseconds, so an old one is a dead one.
    if (ageOf(breaking) > NAMELESS_FOR_MS) rmSync(breaking, { recursive: true, force: true });
    return false;
  }
  try {
    if (!isStale(path)) return false;
    rmSync(path, { recursive: true, force: true });
    return true;
  } finally {
    rmSync(breaking, { recursive: true, force: true });
  }
}

/** @param {string} path */
function isStale(path) {
  const holder = holderOf(path);
  if (!holder) return ageOf(path) > NAMELESS_FOR_MS;
  return !isAlive(holder.pid) || holder.born !== born(holder.pid);
}

/**
 * @param {string} path
 * @returns {{ pid: number, born: string | undefined } | undefined}
 */
function holderOf(path) {
  try {
    return JSON.parse(readFileSync(join(path, "owner"), "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code !== "ESRCH";
  }
}

/**
 * When the process started, in the kernel's own count: process numbers are used again.
 * @param {number} pid
 */
function born(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function ageOf(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/**
 * @param {string} path
 * @returns {boolean} whether it was this call that made it
 */
function makeDirectory(path) {
  try {
    mkdirSync(path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    throw error;
  }
}
