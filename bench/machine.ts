// The facts about the machine and the versions that a result is worth nothing without.
import { readFileSync } from "node:fs";
import { arch, cpus, release, type as systemType, totalmem } from "node:os";
import { join } from "node:path";
import type { Placement } from "./children.ts";
import { rootDir } from "./paths.ts";
import type { Peer } from "./peers.ts";

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  architecture: string;
  virtual: boolean;
  congestionControl: string;
  placement: string;
}

function isVirtual(): boolean {
  try {
    return /\bhypervisor\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return false;
  }
}

export function describeMachine(placement: Placement): Machine {
  const cores = cpus();
  return {
    cpu: cores[0]?.model ?? "unknown",
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${systemType()} ${release()}`,
    architecture: arch(),
    virtual: isVirtual(),
    congestionControl: congestionControl(),
    placement: placement.text,
  };
}

function congestionControl(): string {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();
  } catch {
    return "unknown";
  }
}

/** The version of Coronet itself. */
export function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(join(rootDir, "package.json"), "utf8"));
  return manifest.version;
}

export function versionsOf(peers: readonly Peer[]): Record<string, string> {
  return Object.fromEntries(peers.map((peer) => [peer.id, peer.version()]));
}
