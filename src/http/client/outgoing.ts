/**
 * outgoing.ts: the head of a request as text, and what its body is framed by.
 *
 * Whatever goes in has been checked by Headers. What belongs to the connection is the client's to say:
 * such fields of the caller's are dropped, but for "Connection: close" and "Expect: 100-continue".
 */
import type { Source } from "../body.ts";
import { ACCEPTED } from "./decode.ts";
import type { Outgoing } from "./exchange.ts";
import type { Redirected } from "./redirect.ts";

/** Methods whose body is told about even when there is none (RFC 9110, 8.6). */
const HAS_BODY = new Set(["POST", "PUT", "PATCH"]);

const CLOSE = /(?:^|,)\s*close\s*(?:,|$)/i;

/** The request as it is sent; with `decode` compressed bodies are asked for. Throws a TypeError for a Content-Length that is not the body's. */
export function outgoingOf(request: Redirected, decode: boolean): Outgoing {
  const { method, place, headers, source } = request;
  const { target, origin } = place;
  let fields = "";
  let { host } = origin;
  let declared = -1;
  let close = false;
  let expects = false;
  let agent = false;
  let accept = false;
  let coding = !decode;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const value = headers[i + 1] as string;
    switch (name) {
      case "host":
        host = value;
        continue;
      case "content-length":
        declared = lengthOf(value, declared);
        continue;
      case "connection":
        if (CLOSE.test(value)) close = true;
        continue;
      case "transfer-encoding":
      case "keep-alive":
      case "proxy-connection":
      case "te":
      case "upgrade":
        continue;
      case "expect":
        expects = value.toLowerCase() === "100-continue" && source !== null;
        continue;
      case "user-agent":
        agent = true;
        break;
      case "accept":
        accept = true;
        break;
      case "range":
      case "accept-encoding":
        // Part of a compressed body cannot be decoded.
        coding = true;
        break;
      default:
    }
    fields += `${name}: ${value}\r\n`;
  }
  const length = framed(source, declared);
  const head =
    `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${fields}` +
    (accept ? "" : "accept: */*\r\n") +
    (agent ? "" : "user-agent: coronet\r\n") +
    (coding ? "" : `accept-encoding: ${ACCEPTED}\r\n`) +
    (close ? "connection: close\r\n" : "") +
    (expects ? "expect: 100-continue\r\n" : "") +
    framingLine(method, source, length);
  return { method, url: place.href, origin, head, source, length, expects, close, upgrades: false };
}

function framingLine(method: string, source: Source, length: number): string {
  if (source === null && !HAS_BODY.has(method)) return "\r\n";
  if (length === -1) return "transfer-encoding: chunked\r\n\r\n";
  return `content-length: ${length}\r\n\r\n`;
}

/** Bytes of the body; -1 when nobody knows. */
function framed(source: Source, declared: number): number {
  let length = 0;
  if (typeof source === "string") length = Buffer.byteLength(source);
  else if (source instanceof Uint8Array) length = source.length;
  else if (source !== null) return declared;
  if (declared === -1 || declared === length) return length;
  throw new TypeError(
    `fetch: the request's Content-Length is ${declared}, its body has ${length} bytes`,
  );
}

function lengthOf(value: string, before: number): number {
  if (/^\d{1,15}$/.test(value) && (before === -1 || before === Number(value))) return Number(value);
  throw new TypeError(`fetch: the request's Content-Length is ${JSON.stringify(value)}`);
}
