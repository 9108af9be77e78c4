/** file_version.ts: what is said of a file in a response's head, and whether it is the same file still. */
import type { Stats } from "node:fs";
import type { Version } from "./conditions.ts";

/** Changes that come so soon after another one could leave the same time behind, in ms. */
const YOUNG_MS = 2_000;

/** A file as it was looked at, and what clients are told of it. */
export class FileVersion implements Version {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
  readonly modified: number;
  /** Looked at so soon after its last change that another one may go unnoticed. */
  readonly young: boolean;
  readonly type: string;
  /** Headers of a whole answer, names and values in turn. */
  readonly list: readonly string[];
  /** Its content, where that is kept. */
  bytes: Buffer | undefined = undefined;
  /** When it is to be looked for anew, in ms. */
  until = 0;
  private readonly dev: number;
  private readonly ino: number;
  private readonly mtimeMs: number;
  private readonly ctimeMs: number;

  constructor(path: string, stats: Stats, type: string, coding: string, more: readonly string[]) {
    const { size, mtimeMs, ctimeMs, dev, ino } = stats;
    const now = Date.now();
    this.path = path;
    this.size = size;
    this.type = type;
    this.dev = dev;
    this.ino = ino;
    this.mtimeMs = mtimeMs;
    this.ctimeMs = ctimeMs;
    this.young = Math.max(mtimeMs, ctimeMs) > now - YOUNG_MS;
    const mark = coding === "" ? "" : `-${coding}`;
    const opaque = `"${size.toString(36)}-${Math.floor(mtimeMs * 1000).toString(36)}${mark}"`;
    this.etag = this.young ? `W/${opaque}` : opaque;
    // A date that lies ahead says nothing (RFC 9110, 8.8.2.1).
    const seconds = Math.floor(mtimeMs / 1000);
    this.modified = seconds <= 0 || seconds * 1000 > now ? -1 : seconds;
    const list = ["content-type", type, "accept-ranges", "bytes", "etag", this.etag];
    if (this.modified !== -1) {
      list.push("last-modified", new Date(this.modified * 1000).toUTCString());
    }
    if (coding !== "") list.push("content-encoding", coding);
    this.list = [...list, ...more];
  }

  /** Whether it is this file, unchanged. */
  is(stats: Stats): boolean {
    return (
      stats.mtimeMs === this.mtimeMs &&
      stats.size === this.size &&
      stats.ino === this.ino &&
      stats.ctimeMs === this.ctimeMs &&
      stats.dev === this.dev
    );
  }
}
