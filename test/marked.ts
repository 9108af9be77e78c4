/** marked.ts: every process that descends from one that was started with a mark in its environment. */
import { readdirSync, readFileSync } from "node:fs";

const NAME = "CORONET_TEST_MARK";
let marks = 0;

export class Mark {
  readonly env: Record<string, string>;
  private readonly text: string;

  constructor() {
    const value = `${process.pid}-${marks++}`;
    this.env = { [NAME]: value };
    this.text = `${NAME}=${value}`;
  }

  /** Those that run, with their command lines. */
  processes(): Map<number, string> {
    const found = new Map<number, string>();
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const environment = readFileSync(`/proc/${name}/environ`, "latin1").split("\0");
        if (!environment.includes(this.text)) continue;
        found.set(Number(name), readFileSync(`/proc/${name}/cmdline`, "latin1"));
      } catch {
        // It has ended meanwhile, or is somebody else's.
      }
    }
    return found;
  }

  killAll(): void {
    for (const pid of this.processes().keys()) kill(pid);
  }
}

/** kill -9, of a process that may have ended already. */
export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has.
  }
}
