/**
 * leaks.ts: what a test leaves behind: goroutines, open fds, timers, waiting operations.
 *
 * A census is taken before and after. Things may take a moment to wind down (a peer's goroutine that
 * has still to see the end of its stream), so the second one is repeated for a while before it counts.
 */
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import type { TestContext } from "node:test";
import { attach } from "../src/debug/observers.ts";
import type { Goroutine } from "../src/runtime/goroutine.ts";
import { runtime, stats } from "../src/runtime/runtime.ts";

/** How long a test's leftovers may take to go, in ms. */
const PATIENCE_MS = 5_000;

/** What exists at one moment. */
export interface Census {
  /** Goroutines that have not ended. */
  goroutines: number;
  /** Connections and listeners that are open. */
  open: number;
  /** Operations that wait for I/O or a deadline. */
  parked: number;
  /** Armed timers of the runtime. */
  timers: number;
  /** The process's fds but for /dev/null: what each one is ("socket:[4711]"), by its number. */
  fds: Map<number, string>;
}

/** The fds of this process; empty where there is no /proc. */
export function openFds(): Map<number, string> {
  const fds = new Map<number, string>();
  let names: string[];
  try {
    names = readdirSync("/proc/self/fd");
  } catch {
    return fds;
  }
  for (const name of names) {
    try {
      fds.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // The fd that listed the directory: it is closed again.
    }
  }
  return fds;
}

/** Counts what exists now. */
export function census(): Census {
  const { goroutines, open, parked, timers } = stats();
  const fds = openFds();
  // Node keeps one in reserve from its first stream on.
  for (const [fd, target] of fds) if (target === "/dev/null") fds.delete(fd);
  return { goroutines: goroutines.live, open, parked, timers, fds };
}

/** Remembers goroutines and waiting operations by name while it is installed. */
class Names {
  readonly goroutines = new Set<Goroutine<unknown>>();
  readonly waiting = new Map<object, string>();
  uninstall = (): void => {};

  install(): void {
    const { goroutines, waiting } = this;
    this.uninstall = attach({
      started: (g) => goroutines.add(g),
      ended: (g) => goroutines.delete(g),
      parked: (waiter, kind, object) => waiting.set(waiter, `${kind} on ${nameOf(object)}`),
      resumed: (waiter) => waiting.delete(waiter),
    });
  }
}

function nameOf(object: object): string {
  const { network = "", localAddr, remoteAddr, addr } = object as Record<string, unknown>;
  const route = addr === undefined ? `${localAddr}->${remoteAddr}` : String(addr);
  return `${object.constructor.name} ${network} ${route}`;
}

function counted(what: string, before: number, after: number, names: Iterable<string>): string[] {
  if (after <= before) return [];
  const list = [...names];
  const which = list.length === 0 ? "" : `: ${list.slice(0, 10).join("; ")}`;
  return [`${what}: ${before} before, ${after} after${which}`];
}

/** What `after` has and `before` had not, one line for each kind; empty when nothing is left. */
function leftovers(before: Census, after: Census, names: Names): string[] {
  const fds = [...after.fds].filter(([fd, target]) => before.fds.get(fd) !== target);
  const goroutines = [...names.goroutines].map((g) => `${g.id} [${g.name}] from ${g.origin}`);
  return [
    ...counted("goroutines", before.goroutines, after.goroutines, goroutines),
    ...counted("open connections", before.open, after.open, []),
    ...counted("waiting operations", before.parked, after.parked, names.waiting.values()),
    ...counted("timers", before.timers, after.timers, []),
    ...counted(
      "file descriptors",
      before.fds.size,
      after.fds.size,
      fds.map(([fd, target]) => `${fd} is ${target}`),
    ),
  ];
}

async function settle(before: Census, names: Names, patience: number): Promise<string[]> {
  const giveUp = Date.now() + patience;
  for (let pause = 1; ; pause = Math.min(pause * 2, 100)) {
    const left = leftovers(before, census(), names);
    if (left.length === 0 || Date.now() > giveUp) return left;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Runs a test and fails it when something it made outlives it: a goroutine, an open connection or fd,
 * a timer of the runtime, an operation that still waits. What is still there gets `patience` ms to go.
 * Not for tests that run at the same time as others in one process.
 *
 * @example
 * import { test } from "node:test";
 * import { pipe } from "coronet";
 * import { withLeakCheck } from "coronet/testing";
 *
 * test("a pipe leaves nothing behind", (t) =>
 *   withLeakCheck(t, async () => {
 *     const [a, b] = pipe();
 *     await a.close();
 *     await b.close();
 *   }));
 */
export async function withLeakCheck(
  t: Pick<TestContext, "name">,
  fn: () => Promise<void>,
  patience = PATIENCE_MS,
): Promise<void> {
  // The poller's own fds are made once for the thread and are no leak.
  runtime().start();
  const before = census();
  const names = new Names();
  names.install();
  try {
    await fn();
    const left = await settle(before, names, patience);
    assert.deepEqual(left, [], `"${t.name}" left something behind`);
  } finally {
    names.uninstall();
  }
}
