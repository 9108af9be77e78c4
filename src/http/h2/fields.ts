/**
 * fields.ts: fields of HTTP/2 as a head of HTTP/1.1 has them, and back (RFC 9113, 8).
 *
 * A request's fields are written out as a head with the places in it: whatever looks at a request of
 * HTTP/1.1 looks at this one.
 */

import { randomBytes } from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http2";
import { lengthOf } from "../message.ts";
import type { Settings } from "../options.ts";
import { HOST } from "../parser.ts";
import type { Response } from "../response.ts";

/** What was asked for. */
export interface Head {
  method: string;
  target: string;
  host: string;
  text: string;
  spans: number[];
  /** Declared; -1 when it was not. */
  length: number;
  expect: string | undefined;
  /** The protocol that a CONNECT asks for (RFC 8441); "" for none. */
  protocol: string;
  /** 0, or with which status it is refused, and why. */
  status: number;
  reason: string;
}

/** They frame messages of HTTP/1.1, or are of one connection only (RFC 9113, 8.2.2). */
export const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

class Writer {
  text: string;
  readonly spans: number[] = [];

  constructor(first: string) {
    this.text = `${first}\r\n`;
  }

  add(name: string, value: string): void {
    const start = this.text.length;
    this.text += `${name}: ${value}\r\n`;
    const at = start + name.length + 2;
    this.spans.push(start, start + name.length, at, at + value.length);
  }
}

/** The head that a list of fields makes: names in lower case and values in turn. */
export function headOf(raw: readonly string[], settings: Settings): Head {
  const pseudo: Record<string, string> = Object.create(null);
  const list: string[] = [];
  let cookies = "";
  let expect: string | undefined;
  let length = -1;
  let bytes = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    bytes += name.length + value.length + 4;
    if (name.startsWith(":")) pseudo[name] = value;
    // They may come one by one; HTTP/1.1 knows them only together (RFC 9113, 8.2.3).
    else if (name === "cookie") cookies += cookies === "" ? value : `; ${value}`;
    else list.push(name, value);
    if (name === "expect") expect = value;
    if (name === "content-length" && /^\d{1,15}$/.test(value)) length = Number(value);
  }
  const { ":method": verb = "", ":path": path = "", ":protocol": protocol = "" } = pseudo;
  const named = list.findIndex((name, i) => i % 2 === 0 && name === "host");
  const host = pseudo[":authority"] ?? (named === -1 ? "" : (list[named + 1] as string));
  // As HTTP/1.1 asks for it: handlers need not know of the other way.
  const method = protocol === "" ? verb : "GET";
  const target = method === "CONNECT" ? host : path;
  const head = new Writer(`${method} ${target} HTTP/2`);
  if (host !== "") head.add("host", host);
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== "host") head.add(list[i] as string, list[i + 1] as string);
  }
  if (cookies !== "") head.add("cookie", cookies);
  if (protocol !== "") {
    head.add("connection", "Upgrade");
    head.add("upgrade", protocol);
    if (protocol === "websocket") {
      head.add("sec-websocket-key", randomBytes(16).toString("base64"));
    }
  }
  const { text, spans } = head;
  const made = { method, target, host, text, spans, length, expect, protocol };
  const [status, reason] = judge(made, bytes, list.length / 2, settings);
  return { ...made, status, reason };
}

type Made = Omit<Head, "status" | "reason">;

function judge(head: Made, bytes: number, fields: number, settings: Settings): [number, string] {
  const { host, target, method, expect, length } = head;
  if (host !== "" && !HOST.test(host)) return [400, "the authority is not a host"];
  if (!(target.startsWith("/") || target === "*" || method === "CONNECT")) {
    return [400, "the path is none"];
  }
  if (target.length > settings.url) return [414, "the request target is too long"];
  if (bytes > settings.headerBytes || fields > settings.headers) {
    return [431, "the request's headers are too large"];
  }
  if (expect !== undefined && expect.toLowerCase() !== "100-continue") {
    return [417, "only 100-continue can be expected"];
  }
  if (length > settings.body) return [413, "the body is too large"];
  return [0, ""];
}

/** A list of names and values as node:http2 takes it. */
export function headersOf(list: readonly string[]): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string;
    const value = list[i + 1] as string;
    if (HOP_BY_HOP.has(name)) continue;
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (name === "set-cookie") headers[name] = [before, value].flat();
    else headers[name] = `${before}, ${value}`;
  }
  return headers;
}

/** The fields of a response. Throws a TypeError for a Content-Length that is none. */
export function responseHeaders(response: Response): OutgoingHttpHeaders {
  const { headerList: list, bodyType } = response;
  const headers =
    list === undefined
      ? headersOf(bodyType === undefined ? [] : ["content-type", bodyType])
      : headersOf(list);
  headers[":status"] = response.status;
  if (list !== undefined && "content-length" in headers) {
    let length = -1;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === "content-length") length = lengthOf(list[i + 1] as string, length);
    }
    headers["content-length"] = length;
  }
  return headers;
}
