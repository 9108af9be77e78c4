// What Linux says about a process in /proc: its memory, and how many files it may open.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** In bytes. */
export interface Memory {
  rss: number;
  privateDirty: number;
}

function kilobytes(text: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
  return value === undefined ? Number.NaN : Number(value) * 1024;
}

export function readMemory(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return { rss: kilobytes(status, "VmRSS"), privateDirty: kilobytes(rollup, "Private_Dirty") };
}

const SAMPLE_MS = 250;
const STEADY_SAMPLES = 6;
const STEADY_SHARE = 0.002;

/** Waits until the process's memory has been steady for a while, then reads it. */
export async function settledMemory(pid: number, leastMs: number, mostMs: number) {
  const recent: number[] = [];
  const began = performance.now();
  for (;;) {
    await delay(SAMPLE_MS);
    const memory = readMemory(pid);
    recent.push(memory.rss);
    if (recent.length > STEADY_SAMPLES) recent.shift();
    const largest = Math.max(...recent);
    const steady =
      recent.length === STEADY_SAMPLES && largest - Math.min(...recent) <= largest * STEADY_SHARE;
    const waited = performance.now() - began;
    if (waited >= mostMs || (steady && waited >= leastMs)) return memory;
  }
}

/** Clock ticks per second in /proc (USER_HZ, which is 100 on every Linux; time(7)). */
const TICKS = 100;

/** CPU seconds that a process has used, with all of its threads. */
export function cpuOfProcess(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may hold anything; utime and stime are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** CPU seconds that the machine has used on all cores: all but idle and waiting for disks. */
export function cpuOfMachine(): number {
  const line = /^cpu +(.*)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(" ").map(Number);
  return (user + nice + system + irq + softirq) / TICKS;
}

/** How many files a process may open here, at most. */
export function openFilesAtMost(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
    return hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
  } catch {
    return 1024;
  }
}
