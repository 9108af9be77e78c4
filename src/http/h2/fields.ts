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

/** What each field has beside its name and value in HTTP/1.1, in bytes. */
const FIELD = 4;
const COLON = 0x3a;
/** A Content-Length that a number holds. */
const LENGTH = /^\d{1,15}$/;

/** A head that is being written. */
class HeadWriter {
  text: string;
  readonly spans: number[] = [];
  /** Bytes of all fields as HTTP/1.1 counts them, and how many there are. */
  bytes = 0;
  fields = 0;
  /** The Content-Length that was declared; -1 without one. */
  length = -1;

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

/** The value of the first field of this name; undefined without one. */
function firstOf(raw: readonly string[], wanted: string): string | undefined {
  for (let i = 0; i < raw.length; i += 2) if (raw[i] === wanted) return raw[i + 1];
  return undefined;
}

/** The head that a list of fields makes: names in lower case and values in turn. */
export function headOf(raw: readonly string[], settings: Settings): Head {
  let method = "";
  let path = "";
  let protocol = "";
  let authority: string | undefined;
  let bytes = 0;
  // They stand before all others (RFC 9113, 8.3).
  let first = 0;
  for (; first < raw.length; first += 2) {
    const name = raw[first] as string;
    if (name.charCodeAt(0) !== COLON) break;
    const value = raw[first + 1] as string;
    bytes += name.length + value.length + FIELD;
    if (name === ":method") method = value;
    else if (name === ":path") path = value;
    else if (name === ":authority") authority = value;
    else if (name === ":protocol") protocol = value;
  }
  const host = authority ?? firstOf(raw, "host") ?? "";
  // As HTTP/1.1 asks for it: handlers need not know of the other way.
  if (protocol !== "") method = "GET";
  const target = method === "CONNECT" ? host : path;
  const writer = new HeadWriter(`${method} ${target} HTTP/2`);
  writer.bytes = bytes;
  if (host !== "") writer.add("host", host);
  const expect = addFields(writer, raw, first);
  if (protocol !== "") {
    writer.add("connection", "Upgrade");
    writer.add("upgrade", protocol);
    if (protocol === "websocket") {
      writer.add("sec-websocket-key", randomBytes(16).toString("base64"));
    }
  }
  const { text, spans } = writer;
  const length = writer.length;
  const head = {
    method,
    target,
    host,
    text,
    spans,
    length,
    expect,
    protocol,
    status: 0,
    reason: "",
  };
  judge(head, writer, settings);
  return head;
}

/** Adds the fields from one on. What the client expects, if anything. */
function addFields(writer: HeadWriter, raw: readonly string[], first: number): string | undefined {
  let expect: string | undefined;
  let cookies = "";
  for (let i = first; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    writer.bytes += name.length + value.length + FIELD;
    // They may come one by one; HTTP/1.1 knows them only together (RFC 9113, 8.2.3).
    if (name === "cookie") {
      cookies += cookies === "" ? value : `; ${value}`;
      continue;
    }
    writer.fields++;
    if (name === "host") continue;
    if (name === "expect") expect = value;
    else if (name === "content-length" && LENGTH.test(value)) writer.length = Number(value);
    writer.add(name, value);
  }
  if (cookies !== "") writer.add("cookie", cookies);
  return expect;
}

/** Says whether the request is refused. */
function judge(head: Head, { bytes, fields }: HeadWriter, settings: Settings): void {
  const { host, target, method, expect, length } = head;
  if (host !== "" && !HOST.test(host)) refuse(head, 400, "the authority is not a host");
  else if (!(target.startsWith("/") || target === "*" || method === "CONNECT")) {
    refuse(head, 400, "the path is none");
  } else if (target.length > settings.url) refuse(head, 414, "the request target is too long");
  else if (bytes > settings.headerBytes || fields > settings.headers) {
    refuse(head, 431, "the request's headers are too large");
  } else if (expect !== undefined && expect.toLowerCase() !== "100-continue") {
    refuse(head, 417, "only 100-continue can be expected");
  } else if (length > settings.body) refuse(head, 413, "the body is too large");
}

function refuse(head: Head, status: number, reason: string): void {
  head.status = status;
  head.reason = reason;
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
  const { headerList: list, bodyType, status } = response;
  if (list === undefined) {
    if (bodyType === undefined) return { ":status": status };
    return { ":status": status, "content-type": bodyType };
  }
  const headers = headersOf(list);
  headers[":status"] = status;
  if ("content-length" in headers) {
    let length = -1;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === "content-length") length = lengthOf(list[i + 1] as string, length);
    }
    headers["content-length"] = length;
  }
  return headers;
}
