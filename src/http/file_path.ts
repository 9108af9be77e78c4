/**
 * file_path.ts: from the path of an url to a file below a folder, and to no other file.
 *
 * Invariants
 *  - Percent signs are decoded once, part by part: what decodes to a separator or a NUL names no file.
 *  - What counts is the file that was opened, by the kernel's own account of it: a link that is put in
 *    place between a look and an open changes nothing.
 */
import {
  close,
  closeSync,
  constants,
  fstat,
  open,
  readlinkSync,
  realpath,
  realpathSync,
  type Stats,
} from "node:fs";
import { sep } from "node:path";

/** The part of an url between host and query, as it stands there. */
export function pathOf(url: string): string {
  const begin = url.indexOf("/", url.indexOf("://") + 3);
  if (begin === -1) return "/";
  const query = url.indexOf("?", begin);
  return query === -1 ? url.slice(begin) : url.slice(begin, query);
}

/** Folders whose names begin with a dot and that are meant for everybody (RFC 8615). */
const PUBLIC = ".well-known";

/**
 * The names on the way from the root to a file; a number is the status to refuse the path with. Empty ones
 * are passed over, so no path begins with two slashes, which would name another host in a Location.
 */
export function namesOf(path: string, hidden: boolean): string[] | 400 | 404 {
  const names: string[] = [];
  for (const part of path.split("/")) {
    if (part === "") continue;
    let name = part;
    if (part.includes("%")) {
      try {
        name = decodeURIComponent(part);
      } catch {
        return 400;
      }
    }
    if (name.includes("\0")) return 400;
    // No file has a slash in its name; a backslash is a separator to somebody else.
    if (/[/\\]/.test(name) || name === "." || name === "..") return 404;
    if (name.startsWith(".") && !hidden && !(name === PUBLIC && names.length === 0)) return 404;
    names.push(name);
  }
  return names;
}

// A fifo is not waited for, and no terminal becomes this process's own.
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
export const OPEN_FLAGS = FLAGS;

export interface Opened {
  readonly fd: number;
  readonly stats: Stats;
}

/** Opens a file through the thread pool. Fails as open(2). */
export async function openFile(path: string): Promise<Opened> {
  const fd = await new Promise<number>((resolve, reject) => {
    open(path, FLAGS, (error, n) => (error === null ? resolve(n) : reject(error)));
  });
  try {
    const stats = await new Promise<Stats>((resolve, reject) => {
      fstat(fd, (error, found) => (error === null ? resolve(found) : reject(error)));
    });
    return { fd, stats };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Whether the open file stands below a folder, whatever links led to it. */
export async function isBelow(root: string, fd: number, path: string): Promise<boolean> {
  const real = await new Promise<string>((resolve, reject) => {
    realpath(root, (error, found) => (error === null ? resolve(found) : reject(error)));
  });
  const place = placeOf(fd, path);
  return place === real || place.startsWith(real.endsWith(sep) ? real : real + sep);
}

/** Where an open file is (proc(5)); without /proc, where its path leads to now. */
function placeOf(fd: number, path: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return realpathSync(path);
  }
}

/** The status that a failure to open stands for; 0 when it is no client's business. */
export function statusOf(error: unknown): 403 | 404 | 0 {
  switch ((error as { code?: unknown }).code) {
    case "ENOENT":
    case "ENOTDIR":
    case "ENAMETOOLONG":
    case "ELOOP":
    case "ENXIO":
    case "EISDIR":
      return 404;
    case "EACCES":
    case "EPERM":
      return 403;
    default:
      return 0;
  }
}

/** Closes without waiting. */
export function closeLater(fd: number): void {
  close(fd, () => {});
}
