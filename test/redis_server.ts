/** redis_server.ts: a redis-server of a test's own, on a unix socket in a folder that goes with it. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { lacks } from "./child.ts";
import { foreignEnv } from "./foreign_programs.ts";

/** Why there is no redis here; undefined when there is. */
export const lacksRedis = lacks("redis-server", "--version");

export class RedisServer implements AsyncDisposable {
  /** The path of its socket. */
  readonly address: string;
  private readonly stop: () => Promise<void>;

  private constructor(address: string, stop: () => Promise<void>) {
    this.address = address;
    this.stop = stop;
  }

  static async start(): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), "coronet-redis-"));
    const address = join(folder, "s");
    const options = ["--port", "0", "--unixsocket", address, "--save", "", "--appendonly", "no"];
    const child = spawn("redis-server", [...options, "--dir", folder], {
      stdio: ["ignore", "pipe", "inherit"],
      env: foreignEnv,
    });
    const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
    const stop = async (): Promise<void> => {
      child.kill();
      await closed;
      await rm(folder, { recursive: true, force: true });
    };
    for await (const line of createInterface(child.stdout)) {
      if (!/ready to accept connections/i.test(line)) continue;
      child.stdout.resume();
      return new RedisServer(address, stop);
    }
    await stop();
    throw new Error("redis-server ended before it was ready");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
