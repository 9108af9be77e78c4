/**
 * others.ts: the other threads of this process and its worker processes, by their control sockets: what they
 * are asked, and their samples from tick to tick.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import { askControl, controlFolder } from "../control.ts";
import type { Sample } from "./sample.ts";

const PATIENCE_MS = 900;
/** How often is looked for new ones, in ms. */
const LOOK_MS = 3000;

/** The parent of a process, where /proc tells. */
function parentOf(pid: number): number | undefined {
  try {
    // The second field is a name in parentheses, which may have spaces in it.
    const [, rest = ""] = /^.*\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
    return Number(rest.split(" ")[1]);
  } catch {
    return undefined;
  }
}

/** The control sockets of this process's other threads and of its children. */
function otherSockets(): string[] {
  const folder = controlFolder();
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((name) => {
      const [, pid, thread] = /^(\d+)\.(\d+)\.sock$/.exec(name) ?? [];
      if (pid === undefined) return false;
      if (Number(pid) === process.pid) return Number(thread) !== threadId;
      return parentOf(Number(pid)) === process.pid;
    })
    .map((name) => join(folder, name));
}

/** The control socket of a thread by its page's name, "PID.THREAD"; undefined when there is none. */
export function socketOf(thread: string): string | undefined {
  return otherSockets().find((path) => path.endsWith(`/${thread}.sock`));
}

/** Asks all others one question: what those said who answered in time, and how many did not. */
export async function askOthers(
  command: string,
  argument: unknown,
  patience: number,
): Promise<{ answers: unknown[]; silent: number }> {
  const asked = otherSockets().map((path) =>
    askControl(path, command, argument, { patience, referenced: false }),
  );
  const settled = await Promise.allSettled(asked);
  const answers = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  return { answers, silent: settled.length - answers.length };
}

/** Asks the others, one question at a time for each. */
export class Others {
  private paths: string[] = [];
  private looked = Number.NEGATIVE_INFINITY;
  private readonly latest = new Map<string, Sample>();
  private readonly asking = new Set<string>();

  /** What they said last; the next answers are asked for. */
  look(): Sample[] {
    const now = performance.now();
    if (now - this.looked > LOOK_MS) {
      this.looked = now;
      this.paths = otherSockets();
      for (const path of this.latest.keys()) {
        if (!this.paths.includes(path)) this.latest.delete(path);
      }
    }
    for (const path of this.paths) if (!this.asking.has(path)) void this.ask(path);
    return [...this.latest.values()].sort((a, b) => a.pid - b.pid || a.thread - b.thread);
  }

  private async ask(path: string): Promise<void> {
    this.asking.add(path);
    try {
      const sample = await askControl(path, "numbers", undefined, {
        patience: PATIENCE_MS,
        referenced: false,
      });
      this.latest.set(path, sample as Sample);
    } catch {
      // It is busy, or has ended: what it said last stays until its socket is gone.
    }
    this.asking.delete(path);
  }
}
