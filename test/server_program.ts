/** server_program.ts: a program of its own with a server, for tests: test/programs/serve.ts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type Addr, type ServerStats, TCPAddr } from "../src/index.ts";
import { Child } from "./child.ts";

/** A program with a server that is ready. */
export class Program implements AsyncDisposable {
  readonly child: Child;
  pid = 0;
  addr: Addr = new TCPAddr("127.0.0.1", 0);

  private constructor(options: object, env: NodeJS.ProcessEnv = {}) {
    this.child = new Child("serve", [JSON.stringify(options)], { env });
  }

  static async start(options: object = {}, env?: NodeJS.ProcessEnv): Promise<Program> {
    const program = new Program({ listen: [["tcp", "127.0.0.1:0"]], ...options }, env);
    await program.ready();
    return program;
  }

  /** Waits until the server is ready. */
  async ready(): Promise<void> {
    this.onReady(await this.line());
  }

  /** Waits until a restart is over: the new program is ready, the old one has closed its server. */
  async restarted(): Promise<void> {
    const { pid } = this;
    const lines = [await this.line(), await this.line()].sort();
    assert.equal(lines[0], `closed ${pid}`);
    this.onReady(String(lines[1]));
  }

  private onReady(text: string): void {
    const [word, pid, addr = ""] = text.split(" ");
    assert.equal(word, "ready");
    this.pid = Number(pid);
    const at = addr.lastIndexOf(":");
    this.addr = new TCPAddr(addr.slice(0, at), Number(addr.slice(at + 1)));
  }

  line(): Promise<string> {
    return this.child.line();
  }

  async command(text: string): Promise<string> {
    this.child.say(text);
    return await this.line();
  }

  async stats(): Promise<ServerStats> {
    return JSON.parse(await this.command("stats")) as ServerStats;
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (isAlive(this.pid)) process.kill(this.pid, "SIGKILL");
    await this.child[Symbol.asyncDispose]();
  }
}

/** False also for one that has ended, and whose parent has not asked yet how. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(")") + 1));
  } catch {
    return false;
  }
}
