/**
 * fields.ts: which header fields go through a proxy, and which it adds (RFC 9110, 7.6; RFC 7239).
 *
 * Heads are rewritten from text to text: a field that goes through is cut out of the head that was parsed, its
 * name as it was sent. The few names that mean something to a proxy are told apart by their length first.
 *
 * Invariant: what frames a message is never passed on. Each side's is made from what its parser found.
 */
import type { ResponseParser } from "../client/parser.ts";
import type { Head, Headers } from "../headers.ts";
import { dateLine } from "../message.ts";
import { isNamed, valueAt } from "../parser.ts";

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

/** They are written anew on each side, or looked for. */
const OWN = ["content-length", "date", "expect", "host", "via"];

/** Whatever Connection names, these are needed to understand the message. */
const KEPT = new Set(["content-length", "host", "content-type", "content-encoding"]);

const BY = "1.1 coronet";
const TRAILERS = /(?:^|,)\s*trailers\s*(?:,|$)/i;

/** The names above, by their length. */
const special: (string[] | undefined)[] = [];
for (const name of [...HOP_BY_HOP, ...FORWARDED, ...OWN]) {
  special[name.length] = [...(special[name.length] ?? []), name];
}

/** Which of the names above a field has; "" for none of them. */
function specialName(text: string, start: number, end: number): string {
  const names = special[end - start];
  if (names === undefined) return "";
  for (const name of names) if (isNamed(text, start, name)) return name;
  return "";
}

/** The names that Connection headers list, in lower case. */
function namedIn({ text, spans }: Head): Set<string> | undefined {
  let found: Set<string> | undefined;
  for (let i = 0; i < spans.length; i += 4) {
    const start = spans[i] as number;
    if ((spans[i + 1] as number) - start !== 10 || !isNamed(text, start, "connection")) continue;
    for (const part of valueAt(text, spans, i).toLowerCase().split(",")) {
      const name = part.trim();
      if (name === "" || name === "close" || name === "keep-alive" || KEPT.has(name)) continue;
      found ??= new Set();
      found.add(name);
    }
  }
  return found;
}

/** A field as it goes on. */
function lineAt(text: string, spans: readonly number[], i: number): string {
  return `${text.slice(spans[i], spans[i + 1])}: ${valueAt(text, spans, i)}\r\n`;
}

function nameAt(text: string, spans: readonly number[], i: number): string {
  return text.slice(spans[i], spans[i + 1]).toLowerCase();
}

/** A value behind those that came, if any came. */
function behind(before: string, value: string): string {
  return before === "" ? value : `${before}, ${value}`;
}

/** What a request's head says: fields that go on, and what is made anew of others. */
export class RequestFields {
  /** The fields that go on as they are. */
  text = "";
  host = "";
  /** Declared length of the body; -1 without one. */
  length = -1;
  expects = false;
  /** The protocol that is asked for. */
  upgrade = "";
  /** Trailers are understood: the one thing that TE says to whoever is behind. */
  trailers = false;
  private forwarded = "";
  private forwardedFor = "";
  private forwardedHost = "";
  private forwardedProto = "";
  private via = "";

  constructor(head: Head, trusted: boolean) {
    const { text, spans } = head;
    const named = namedIn(head);
    for (let i = 0; i < spans.length; i += 4) {
      const name = specialName(text, spans[i] as number, spans[i + 1] as number);
      if (name !== "") {
        const isHidden = FORWARDED.has(name) && (!trusted || named?.has(name) === true);
        if (!isHidden) this.take(name, head, i);
      } else if (named === undefined || !named.has(nameAt(text, spans, i))) {
        this.text += lineAt(text, spans, i);
      }
    }
  }

  private take(name: string, { text, spans }: Head, i: number): void {
    const value = valueAt(text, spans, i);
    switch (name) {
      case "host":
        this.host = value;
        break;
      case "content-length":
        this.length = Number(value);
        break;
      case "expect":
        this.expects = true;
        break;
      case "upgrade":
        if (this.upgrade === "") this.upgrade = (value.split(",")[0] as string).trim();
        break;
      case "te":
        if (TRAILERS.test(value)) this.trailers = true;
        break;
      case "via":
        this.via = behind(this.via, value);
        break;
      case "forwarded":
        this.forwarded = behind(this.forwarded, value);
        break;
      case "x-forwarded-for":
        this.forwardedFor = behind(this.forwardedFor, value);
        break;
      case "x-forwarded-host":
        this.forwardedHost = behind(this.forwardedHost, value);
        break;
      case "x-forwarded-proto":
        this.forwardedProto = behind(this.forwardedProto, value);
        break;
      default:
        if (!HOP_BY_HOP.has(name)) this.text += lineAt(text, spans, i);
    }
  }

  /** The fields for the upstream, which say where the request has come from. */
  textFrom({ ip, host, proto }: From): string {
    const node = ip === "" ? "unknown" : ip.includes(":") ? `"[${ip}]"` : ip;
    const quoted = host === "" ? "" : `;host="${host.replace(/["\\]/g, "")}"`;
    const named = this.forwardedHost || host;
    return (
      this.text +
      `forwarded: ${behind(this.forwarded, `for=${node}${quoted};proto=${proto}`)}\r\n` +
      `x-forwarded-for: ${behind(this.forwardedFor, ip === "" ? "unknown" : ip)}\r\n` +
      (named === "" ? "" : `x-forwarded-host: ${named}\r\n`) +
      `x-forwarded-proto: ${this.forwardedProto || proto}\r\n` +
      `via: ${behind(this.via, BY)}\r\n`
    );
  }
}

/** What is known of the client. */
export interface From {
  /** Its address, without the port; "" when it has none. */
  ip: string;
  host: string;
  /** How it spoke. */
  proto: "http" | "https";
}

/** Takes out what does not go on, for somebody who is to see what does. */
export function dropFields(headers: Headers, trusted: boolean): void {
  for (const name of namedIn(headers.head) ?? []) headers.delete(name);
  const understood = TRAILERS.test(headers.get("te") ?? "");
  for (const name of HOP_BY_HOP) headers.delete(name);
  if (understood) headers.set("te", "trailers");
  if (!trusted) for (const name of FORWARDED) headers.delete(name);
}

/**
 * The fields of a response that go back, as text, without what the server says by itself. They have a Date:
 * whoever passes on a response without one says when it came (RFC 9110, 6.6.1).
 */
export function responseText(head: ResponseParser): string {
  const { text, spans } = head;
  const named = namedIn(head);
  let passed = "";
  let via = "";
  let dated = false;
  for (let i = 0; i < spans.length; i += 4) {
    const name = specialName(text, spans[i] as number, spans[i + 1] as number);
    if (name === "date") dated = true;
    if (name === "via") via = behind(via, valueAt(text, spans, i));
    else if (name === "content-length" || HOP_BY_HOP.has(name)) continue;
    else if (named === undefined || !named.has(nameAt(text, spans, i))) {
      passed += lineAt(text, spans, i);
    }
  }
  return `${passed}via: ${behind(via, BY)}\r\n${dated ? "" : dateLine()}`;
}

/** Names in lower case and values in turn, of fields as text. */
export function listOf(fields: string): string[] {
  const list: string[] = [];
  for (const line of fields.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon !== -1) list.push(line.slice(0, colon).toLowerCase(), line.slice(colon + 2));
  }
  return list;
}
