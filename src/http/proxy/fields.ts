/**
 * fields.ts: which header fields go through a proxy, and which it adds (RFC 9110, 7.6; RFC 7239).
 *
 * Invariant: what frames a message is never passed on. Each side's is made from what its parser found.
 */
import type { ResponseParser } from "../client/parser.ts";
import { valueAt } from "../parser.ts";

/** They are of one connection only. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** They say where a request has come from. */
const FORWARDED = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-real-ip",
]);

/** Whatever Connection names, these are needed to understand the message. */
const KEPT = new Set(["content-length", "host", "content-type", "content-encoding"]);

const BY = "1.1 coronet";

/** The names that a Connection header lists, in lower case. */
function namedBy(value: string, names: Set<string> | undefined): Set<string> | undefined {
  let found = names;
  for (const part of value.toLowerCase().split(",")) {
    const name = part.trim();
    if (name === "" || name === "close" || name === "keep-alive" || KEPT.has(name)) continue;
    found ??= new Set();
    found.add(name);
  }
  return found;
}

/** The fields of a request that go on, in turn. */
export function requestFields(list: readonly string[], trusted: boolean): string[] {
  let named: Set<string> | undefined;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === "connection") named = namedBy(list[i + 1] as string, named);
  }
  const kept: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string;
    const value = list[i + 1] as string;
    if (name === "te") {
      // The one thing that it says to whoever is behind: trailers are understood.
      if (/(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) kept.push("te", "trailers");
    } else if (HOP_BY_HOP.has(name) || named?.has(name) === true) continue;
    else if (!trusted && FORWARDED.has(name)) continue;
    else kept.push(name, value);
  }
  return kept;
}

/** What is known of the client. */
export interface From {
  /** Its address, without the port; "" when it has none. */
  ip: string;
  host: string;
  /** How it spoke. */
  proto: "http" | "https";
}

/** Says in a request where it has come from. */
export function addForwarded(list: string[], { ip, host, proto }: From): void {
  const node = ip === "" ? "unknown" : ip.includes(":") ? `"[${ip}]"` : ip;
  const quoted = host === "" ? "" : `;host="${host.replace(/["\\]/g, "")}"`;
  add(list, "forwarded", `for=${node}${quoted};proto=${proto}`);
  add(list, "x-forwarded-for", ip === "" ? "unknown" : ip);
  addOnce(list, "x-forwarded-host", host);
  addOnce(list, "x-forwarded-proto", proto);
  add(list, "via", BY);
}

/** Behind what is there. */
function add(list: string[], name: string, value: string): void {
  for (let i = list.length - 2; i >= 0; i -= 2) {
    if (list[i] !== name) continue;
    list[i + 1] = `${list[i + 1]}, ${value}`;
    return;
  }
  list.push(name, value);
}

/** What a proxy before this one has said counts. */
function addOnce(list: string[], name: string, value: string): void {
  if (value === "") return;
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return;
  list.push(name, value);
}

/** The fields of a response that go back, in turn. */
export function responseFields({ text, spans, chunked }: ResponseParser): string[] {
  let named: Set<string> | undefined;
  const list: string[] = [];
  for (let i = 0; i < spans.length; i += 4) {
    const name = text.slice(spans[i], spans[i + 1]).toLowerCase();
    const value = valueAt(text, spans, i);
    if (name === "connection") named = namedBy(value, named);
    else if (!(HOP_BY_HOP.has(name) || (name === "content-length" && chunked))) {
      list.push(name, value);
    }
  }
  if (named !== undefined) {
    const names = named;
    for (let i = list.length - 2; i >= 0; i -= 2) {
      if (names.has(list[i] as string)) list.splice(i, 2);
    }
  }
  add(list, "via", BY);
  return list;
}
