// Starts an echo server of a peer and waits until it listens.
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { start, stop } from "./children.ts";
import type { Peer } from "./peers.ts";

export interface RunningServer {
  pid: number;
  address: string;
  /** The last lines it wrote to stderr. */
  complaints(): string;
  stop(): Promise<void>;
}

const START_PATIENCE_MS = 15_000;
const COMPLAINTS_KEPT = 10;

function keepComplaints(child: ChildProcess): string[] {
  const lines: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => {
    lines.push(line);
    if (lines.length > COMPLAINTS_KEPT) lines.shift();
  });
  return lines;
}

/**
 * The line "listening PORT"; "listening PORT PID" from a script that starts the server proper.
 */
function listening(child: ChildProcess): Promise<{ port: number; pid: number }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error("the server does not listen")),
      START_PATIENCE_MS,
    );
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const [, port, pid = child.pid] = /^listening (\d+)(?: (\d+))?$/.exec(line) ?? [];
      if (port !== undefined) resolve({ port: Number(port), pid: Number(pid) });
    });
    child.once("error", reject);
    child.once("close", () => reject(new Error("the server ended before it listened")));
    child.once("close", () => clearTimeout(timer));
  });
}

/**
 * Ends the server; a script that started it cleans up behind it and ends by itself. Were the script
 * killed instead, its server would live on and hold this process's pipes open for ever.
 */
async function stopBoth(child: ChildProcess, pid: number): Promise<void> {
  if (pid === child.pid) return await stop(child);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode !== null || child.signalCode !== null) return;
  process.kill(pid, "SIGKILL");
  await ended;
}

export async function startServer(
  peer: Peer,
  core: number | undefined,
  buffer: number,
): Promise<RunningServer> {
  const host = "127.0.0.1";
  const options = ["--host", host, "--port", "0"];
  if (peer.takesBuffer) options.push("--buffer", String(buffer));
  const child = start([...peer.command, ...options], { core, env: peer.env });
  const lines = keepComplaints(child);
  const complaints = () => lines.join("\n");
  try {
    const { port, pid } = await listening(child);
    return { pid, address: `${host}:${port}`, complaints, stop: () => stopBoth(child, pid) };
  } catch (error) {
    await stop(child);
    throw new Error(`${(error as Error).message}\n${complaints()}`.trim());
  }
}
