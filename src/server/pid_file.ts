/**
 * pid_file.ts: the file that says which process a server is.
 *
 * It is refused while the process that it names is alive, unless that is the one which hands over; a
 * stale one is replaced. It is written whole (a new file renamed over the old), and removed at the end
 * only if it still names this process.
 */
import { readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

/** The process that a pid file names; undefined when there is no file, or no number in it. */
function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, "latin1").trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is somebody else's, and alive.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

export class PidFile {
  private readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Claims a path, before anything is bound. `predecessor` is the process that hands over to this one. */
  static create(path: string, predecessor: number | undefined): PidFile {
    const file = new PidFile(resolve(path));
    const pid = readPid(file.path);
    const free = pid === undefined || pid === predecessor || pid === process.pid || !isAlive(pid);
    if (!free) {
      throw Object.assign(
        new Error(`createServer: ${path} names process ${pid}, which runs: stop it first`),
        { code: "EEXIST" },
      );
    }
    // What hands over keeps its file until its successor is ready.
    if (predecessor === undefined) file.write();
    return file;
  }

  write(): void {
    const temporary = `${this.path}.${process.pid}`;
    writeFileSync(temporary, `${process.pid}\n`);
    renameSync(temporary, this.path);
  }

  /** Removes the file if it is ours. After a change of user that may be forbidden: then it is left stale. */
  remove(): void {
    try {
      if (readPid(this.path) === process.pid) unlinkSync(this.path);
    } catch {
      // Left behind: the next start sees that it is stale.
    }
  }
}
