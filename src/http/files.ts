/**
 * files.ts: serveFiles() and fileResponse(): files as responses.
 *
 * A file is looked for through the thread pool, once a second at most. In between its path is known to lead
 * to a file that may be served, and one stat(2), or fstat(2) where it is opened, says whether it is the same,
 * unchanged: what is asked for often costs no thread, and a change is seen at once.
 *
 * Invariants
 *  - A file that changed so lately that a further change could go unnoticed is never remembered.
 *  - Every fd is given to a FileBody, or closed.
 */
import { closeSync, fstatSync, openSync, read, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { answerWith } from "./file_answer.ts";
import {
  closeLater,
  isBelow,
  namesOf,
  OPEN_FLAGS,
  type Opened,
  openFile,
  pathOf,
  statusOf,
} from "./file_path.ts";
import { FileVersion } from "./file_version.ts";
import { headerValue } from "./headers.ts";
import { acceptedCodings, CODINGS, mediaType } from "./media_type.ts";
import type { Request } from "./request.ts";
import { Response } from "./response.ts";

/** What holds for every file of a handler, or for one response. */
export interface FileOptions {
  /** The Cache-Control of a file: a value, or what says it for a path below the root. None by default. */
  cacheControl?: string | ((path: string) => string | undefined);
  /**
   * Sends `file.br` or `file.gz` in the place of `file`, where they are there and the client takes them.
   * They are as old as you left them: nobody looks whether they belong together. false by default.
   */
  precompressed?: boolean;
}

export interface ServeFilesOptions extends FileOptions {
  /** What the path of a request begins with, and a file's path does not: "/static". */
  prefix?: string;
  /** The file that stands for a folder; "index.html" by default, false for none. */
  index?: string | false;
  /** Serves names that begin with a dot; only /.well-known by default. */
  dotfiles?: boolean;
  /** Follows symbolic links that lead out of the root; 403 by default. */
  symlinks?: boolean;
}

/** A handler that answers with files; a promise only where the file has to be looked for. */
export type FileHandler = (request: Request | globalThis.Request) => Response | Promise<Response>;

/** How long a file's path is taken to lead to it, in ms. */
const KNOWN_MS = 1_000;
/** Files that a handler remembers, and bytes of theirs that it keeps in memory. */
const MOST_KNOWN = 4096;
const MOST_BYTES = 32 << 20;
/** Files up to this size are kept in memory: to send one costs less than to open it. */
const KEPT = 65_536;

/** Files that have been served lately, the one that was longest not asked for first. */
class Known {
  private readonly versions = new Map<string, FileVersion>();
  private bytes = 0;

  get(key: string): FileVersion | undefined {
    return this.versions.get(key);
  }

  put(key: string, version: FileVersion): void {
    this.drop(key);
    this.versions.set(key, version);
    this.bytes += version.bytes?.length ?? 0;
    for (const oldest of this.versions.keys()) {
      if (this.versions.size <= MOST_KNOWN && this.bytes <= MOST_BYTES) break;
      this.drop(oldest);
    }
  }

  drop(key: string): void {
    const version = this.versions.get(key);
    if (version === undefined) return;
    this.versions.delete(key);
    this.bytes -= version.bytes?.length ?? 0;
  }
}

function plain(status: number, text: string, more: string[] = []): Response {
  return Response.ofParts(status, ["content-type", "text/plain; charset=utf-8", ...more], text);
}

function refusal(status: 400 | 403 | 404): Response {
  if (status === 400) return plain(400, "Bad Request\n");
  return status === 403 ? plain(403, "Forbidden\n") : plain(404, "Not Found\n");
}

/** The answer to another method than GET and HEAD; undefined for these. */
function wrongMethod(method: string): Response | undefined {
  if (method === "GET" || method === "HEAD") return undefined;
  return plain(405, "Method Not Allowed\n", ["allow", "GET, HEAD"]);
}

function ours(request: Request | globalThis.Request): Request {
  return request as Request;
}

/** Opens the first of a file's forms that is there and that the client takes. */
async function openForm(
  path: string,
  codings: number,
): Promise<Opened & { path: string; coding: string }> {
  for (const { bit, name, suffix } of CODINGS) {
    if ((codings & bit) === 0) continue;
    const form = path + suffix;
    const opened = await openFile(form).catch(() => undefined);
    if (opened?.stats.isFile() === true) return { ...opened, path: form, coding: name };
    if (opened !== undefined) closeLater(opened.fd);
  }
  return { ...(await openFile(path)), path, coding: "" };
}

/** The headers that options add. */
function addedBy({ cacheControl, precompressed }: FileOptions, path: string): string[] {
  const list: string[] = [];
  const value = typeof cacheControl === "function" ? cacheControl(path) : cacheControl;
  if (value !== undefined) list.push("cache-control", headerValue(value));
  if (precompressed === true) list.push("vary", "accept-encoding");
  return list;
}

class Files {
  private readonly root: string;
  private readonly options: ServeFilesOptions;
  private readonly prefix: string;
  private readonly index: string | false;
  private readonly known = new Known();

  constructor(root: string, options: ServeFilesOptions) {
    this.root = resolve(root);
    this.options = options;
    const { prefix = "", index = "index.html" } = options;
    this.prefix = prefix.replace(/\/+$/, "");
    this.index = index;
    if (this.prefix !== "" && !this.prefix.startsWith("/")) {
      throw new TypeError(`serveFiles: the prefix begins with a slash, got ${prefix}`);
    }
    if (index !== false && basename(index) !== index) {
      throw new TypeError(`serveFiles: index is the name of a file, got ${index}`);
    }
  }

  readonly handle = (given: Request | globalThis.Request): Response | Promise<Response> => {
    const request = ours(given);
    const wrong = wrongMethod(request.method);
    if (wrong !== undefined) return wrong;
    const { url } = request;
    const path = pathOf(url);
    const codings =
      this.options.precompressed === true
        ? acceptedCodings(request.headers.get("accept-encoding"))
        : 0;
    const key = codings === 0 ? path : `${path}\0${codings}`;
    return this.again(request, key) ?? this.look(request, url, path, codings, key);
  };

  /** Answers with a file that is known; undefined when it has to be looked for. */
  private again(request: Request, key: string): Response | undefined {
    const version = this.known.get(key);
    if (version === undefined) return undefined;
    try {
      let opened = false;
      const open = (): number => {
        opened = true;
        return openAgain(version);
      };
      if (version.until > Date.now()) {
        const response = answerWith(request, version, open);
        // Who has opened it knows.
        if (opened || isThere(version)) return response;
      }
    } catch {
      // It may not be read any more, was replaced just now, …: looking for it will tell.
    }
    this.known.drop(key);
    return undefined;
  }

  private async look(
    request: Request,
    url: string,
    path: string,
    codings: number,
    key: string,
  ): Promise<Response> {
    const below = this.below(path);
    if (below === undefined) return refusal(404);
    const names = namesOf(below, this.options.dotfiles === true);
    if (typeof names === "number") return refusal(names);
    const folder = below.endsWith("/");
    if (folder && this.index === false) return refusal(404);
    const place = join(this.root, ...names, folder ? (this.index as string) : "");
    try {
      return await this.found(request, url, key, place, codings, `/${names.join("/")}`);
    } catch (error) {
      const status = statusOf(error);
      if (status === 0) throw error;
      return refusal(status);
    }
  }

  /** The path without the prefix; undefined when it begins with another one. */
  private below(path: string): string | undefined {
    const { prefix } = this;
    if (prefix === "") return path;
    if (!path.startsWith(prefix)) return undefined;
    const rest = path.slice(prefix.length);
    return rest === "" || rest.startsWith("/") ? rest : undefined;
  }

  private async found(
    request: Request,
    url: string,
    key: string,
    place: string,
    codings: number,
    name: string,
  ): Promise<Response> {
    const opened = await openForm(place, codings);
    const { fd, stats, path, coding } = opened;
    let used = false;
    try {
      if (this.options.symlinks !== true && !(await isBelow(this.root, fd, path))) {
        return refusal(403);
      }
      if (stats.isDirectory()) return isIndexed(key) ? refusal(404) : redirect(url);
      if (!stats.isFile()) return refusal(404);
      const more = addedBy(this.options, name);
      const version = new FileVersion(path, stats, mediaType(basename(place)), coding, more);
      if (!version.young) await this.remember(key, version, fd);
      return answerWith(request, version, () => {
        used = true;
        return fd;
      });
    } finally {
      if (!used) closeLater(fd);
    }
  }

  private async remember(key: string, version: FileVersion, fd: number): Promise<void> {
    const { size } = version;
    if (size <= KEPT) {
      const bytes = Buffer.allocUnsafeSlow(size);
      if ((await readFully(fd, bytes)) < size) return;
      version.bytes = bytes;
    }
    version.until = Date.now() + KNOWN_MS;
    this.known.put(key, version);
  }
}

/** The path named the folder's index. */
function isIndexed(key: string): boolean {
  return (key.split("\0")[0] as string).endsWith("/");
}

/** To the same path with a slash behind it, where relative links lead to what is in the folder. */
function redirect(url: string): Response {
  const path = pathOf(url);
  const query = url.slice(url.indexOf(path, url.indexOf("://") + 3) + path.length);
  // Two slashes at its beginning would name another host.
  const location = `${path.replace(/^\/+/, "/")}/${query}`;
  return Response.ofParts(301, ["location", location], null);
}

/** Whether a file that is known is there, unchanged. */
function isThere(version: FileVersion): boolean {
  const stats = statSync(version.path, { throwIfNoEntry: false });
  return stats !== undefined && version.is(stats);
}

/** Opens a file that is known. Throws when it is not there, or is another one. */
function openAgain(version: FileVersion): number {
  const fd = openSync(version.path, OPEN_FLAGS);
  if (version.is(fstatSync(fd))) return fd;
  closeSync(fd);
  throw new Error("the file was replaced");
}

async function readFully(fd: number, bytes: Buffer): Promise<number> {
  for (let have = 0; ; ) {
    if (have === bytes.length) return have;
    const n = await new Promise<number>((done, reject) => {
      read(fd, bytes, have, bytes.length - have, have, (error, count) =>
        error === null ? done(count) : reject(error),
      );
    });
    if (n === 0) return have;
    have += n;
  }
}

/**
 * Makes a handler that answers with the files of a folder, to GET and HEAD: with their media types,
 * validators (ETag, Last-Modified) and conditions, ranges, an index for folders, and a redirect where the
 * slash behind a folder's name is missing. They go to the socket by sendfile(2).
 *
 * What it refuses: 400 for a path that cannot be decoded, 403 for what may not be read and for links that
 * lead out of the folder, 404 for what is not there, is no file, or is hidden, 405 for other methods.
 *
 * @example
 * import { basename, dirname } from "node:path";
 * import { Response, serve, serveFiles } from "coronet/http";
 * const files = serveFiles(dirname(process.execPath), { prefix: "/bin", cacheControl: "max-age=60" });
 * await using server = await serve("127.0.0.1:0", (request) =>
 *   new URL(request.url).pathname.startsWith("/bin/") ? files(request) : new Response("home"),
 * );
 * const url = `http://${server.addr}/bin/${basename(process.execPath)}`;
 * const answer = await fetch(url, { headers: { range: "bytes=1-3" } });
 * console.log(answer.status, await answer.text()); // 206 ELF
 */
export function serveFiles(root: string, options: ServeFilesOptions = {}): FileHandler {
  return new Files(root, options).handle;
}

/**
 * Answers a GET or HEAD with one file, whose path is yours and not the client's. 404 when it is not there,
 * 403 when it may not be read, 405 for other methods; ranges and conditions as serveFiles has them.
 *
 * @example
 * import { fileResponse, Request } from "coronet/http";
 * const request = new Request("http://example.com/node", { headers: { range: "bytes=1-3" } });
 * const response = await fileResponse(process.execPath, request, { cacheControl: "no-cache" });
 * console.log(response.status, await response.text()); // 206 ELF
 */
export async function fileResponse(
  path: string,
  request: Request | globalThis.Request,
  options: FileOptions = {},
): Promise<Response> {
  const wrong = wrongMethod(request.method);
  if (wrong !== undefined) return wrong;
  const accepted = options.precompressed === true ? request.headers.get("accept-encoding") : null;
  let opened: Awaited<ReturnType<typeof openForm>>;
  try {
    opened = await openForm(path, acceptedCodings(accepted));
  } catch (error) {
    const status = statusOf(error);
    if (status === 0) throw error;
    return refusal(status);
  }
  const { fd, stats, coding } = opened;
  let used = false;
  try {
    if (!stats.isFile()) return refusal(404);
    const name = basename(path);
    const version = new FileVersion(path, stats, mediaType(name), coding, addedBy(options, path));
    return answerWith(ours(request), version, () => {
      used = true;
      return fd;
    });
  } finally {
    if (!used) closeLater(fd);
  }
}
