/** source.ts: the line of the program that a frame names, where it can be read. */
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A few lines around the one that is meant. */
export interface SourceLines {
  readonly first: number;
  readonly line: number;
  readonly lines: readonly string[];
}

const AROUND = 3;
const LARGEST = 2_000_000;
const MOST_FILES = 64;
const files = new Map<string, { readonly time: number; readonly lines: readonly string[] }>();

function linesOf(path: string): readonly string[] | undefined {
  try {
    const { mtimeMs, size } = statSync(path);
    const known = files.get(path);
    if (known?.time === mtimeMs) return known.lines;
    if (size > LARGEST) return undefined;
    const lines = readFileSync(path, "utf8").split("\n");
    if (files.size >= MOST_FILES) files.clear();
    files.set(path, { time: mtimeMs, lines });
    return lines;
  } catch {
    return undefined;
  }
}

/** Of "function (file:line:column)" or "file:line:column", as stacks of this program name them. */
export function sourceOf(frame: string): SourceLines | undefined {
  const place = /\(([^()]*)\)$/.exec(frame)?.[1] ?? frame;
  const [, file = "", number = ""] = /^(.+?):(\d+)(?::\d+)?$/.exec(place) ?? [];
  const isPath = file.startsWith("/") || file.startsWith("file:");
  if (!isPath) return undefined;
  const path = file.startsWith("file:") ? fileURLToPath(file) : file;
  const line = Number(number);
  const lines = linesOf(path);
  if (lines === undefined || line < 1 || line > lines.length) return undefined;
  const first = Math.max(1, line - AROUND);
  return { first, line, lines: lines.slice(first - 1, line + AROUND) };
}
