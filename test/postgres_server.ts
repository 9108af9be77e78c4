/**
 * postgres_server.ts: a PostgreSQL cluster of a test's own, on a unix socket in a folder that goes with
 * it. PostgreSQL refuses to run as root: the user "nobody" runs it then.
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import { chownSync, existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { foreignEnv } from "./foreign_programs.ts";

/** Debian keeps the server's programs out of the path. */
const DEBIAN = "/usr/lib/postgresql";

function programs(): string | undefined {
  if (spawnSync("initdb", ["--version"], { stdio: "ignore", env: foreignEnv }).status === 0)
    return "";
  if (!existsSync(DEBIAN)) return undefined;
  const versions = readdirSync(DEBIAN).map((version) => join(DEBIAN, version, "bin/"));
  return versions.find((folder) => existsSync(`${folder}initdb`));
}

const folderOfPrograms = programs();

/** Why there is no PostgreSQL here; undefined when there is. */
export const lacksPostgres =
  folderOfPrograms === undefined ? "postgres is not installed" : undefined;

/** Whom it runs as, when this process must not. */
function otherUser(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = ["-u", "-g"].map((flag) =>
    Number(spawnSync("id", [flag, "nobody"], { encoding: "utf8" }).stdout),
  );
  return { uid: uid as number, gid: gid as number };
}

export class PostgresServer implements AsyncDisposable {
  /** The path of its socket. */
  readonly address: string;
  readonly user = "coronet";
  private readonly stop: () => Promise<void>;

  private constructor(address: string, stop: () => Promise<void>) {
    this.address = address;
    this.stop = stop;
  }

  static async start(): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), "coronet-pg-"));
    const who = otherUser();
    if (who.uid !== undefined) chownSync(folder, who.uid, who.gid as number);
    const data = join(folder, "data");
    const program = (name: string): string => `${folderOfPrograms}${name}`;
    const options = { ...who, cwd: folder, env: foreignEnv };
    await promisify(execFile)(
      program("initdb"),
      ["-D", data, "-U", "coronet", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
      options,
    );
    const settings = ["-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"];
    const child = spawn(program("postgres"), ["-D", data, ...settings], {
      ...options,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
    const stop = async (): Promise<void> => {
      child.kill("SIGQUIT");
      await closed;
      await rm(folder, { recursive: true, force: true });
    };
    for await (const line of createInterface(child.stderr)) {
      if (!line.includes("ready to accept connections")) continue;
      child.stderr.resume();
      return new PostgresServer(join(folder, ".s.PGSQL.5432"), stop);
    }
    await stop();
    throw new Error("postgres ended before it was ready");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
