/** media_type.ts: what kind of content a file has, by its name. */
import { lookup } from "mrmime";

const OTHER = "application/octet-stream";

/** The Content-Type of a file. Text is taken for UTF-8. */
export function mediaType(name: string): string {
  const dot = name.lastIndexOf(".");
  // A name that begins with a dot, or has none, has no extension.
  const type = dot <= 0 ? undefined : lookup(name.slice(dot + 1));
  if (type === undefined) return OTHER;
  return type.startsWith("text/") ? `${type}; charset=utf-8` : type;
}

/** The codings of files that stand beside the ones they are made from, best first. */
export const CODINGS = [
  { bit: 2, name: "br", suffix: ".br" },
  { bit: 1, name: "gzip", suffix: ".gz" },
] as const;

let lastHeader: string | null = null;
let lastMask = 0;

/** Which of the codings an Accept-Encoding takes, as bits; clients repeat theirs. */
export function acceptedCodings(header: string | null): number {
  if (header === lastHeader) return lastMask;
  let mask = 0;
  let others = 0;
  let refused = 0;
  for (const part of (header ?? "").split(",")) {
    const [, name, q] = /^\s*([^\s;]+)\s*(?:;\s*q=([\d.]+)\s*)?$/i.exec(part) ?? [];
    if (name === undefined) continue;
    const lower = name.toLowerCase();
    const wanted = q === undefined || Number(q) > 0;
    for (const { bit, name: coding } of CODINGS) {
      if (lower === coding || (coding === "gzip" && lower === "x-gzip")) {
        if (wanted) mask |= bit;
        else refused |= bit;
      } else if (lower === "*" && wanted) others |= bit;
    }
  }
  lastHeader = header;
  lastMask = mask | (others & ~refused);
  return lastMask;
}
