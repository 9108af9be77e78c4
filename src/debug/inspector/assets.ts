/** assets.ts: the page's files, with the headers that keep everything else out of it. */
import { readFileSync } from "node:fs";
import { Response } from "../../http/response.ts";

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** Of every response. No script, style or picture that is not a file of ours; nobody may frame it. */
export const SAFE = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

const folder = new URL("./page/", import.meta.url);
const known = new Map<string, Uint8Array>();

/** The page that asks for the token is all that one may see without it. */
export const PUBLIC = new Set(["login.html", "login.js", "base.css", "icon.svg"]);

/** A file of the page's folder; undefined when there is none of that name. */
export function asset(name: string, status = 200): Response | undefined {
  const [, extension = ""] = /^[a-z_]+(?:\.min|\.esm)?\.([a-z]+)$/i.exec(name) ?? [];
  const type = TYPES[extension];
  if (type === undefined) return undefined;
  let bytes = known.get(name);
  if (bytes === undefined) {
    try {
      bytes = readFileSync(new URL(name, folder));
    } catch {
      return undefined;
    }
    known.set(name, bytes);
  }
  return new Response(bytes, { status, headers: { ...SAFE, "content-type": type } });
}
