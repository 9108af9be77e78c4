/**
 * message.ts: the head of a response as text.
 *
 * Whatever goes in has been checked by Headers; heads are latin1, a byte per character.
 */
import { STATUS_CODES } from "node:http";
import type { Response } from "./response.ts";

/** How a response's body is framed (RFC 9112, 6). */
export type Framing =
  /** Content-Length: so many bytes. */
  | { kind: "length"; length: number }
  | { kind: "chunked" }
  /** The end of the connection is the end of the body: HTTP/1.0. */
  | { kind: "close" }
  /** No body, and no word about its length. */
  | { kind: "none" };

const lines: string[] = [];

/** The status line, with the usual phrase unless there is one. */
function statusLine(status: number, phrase: string): string {
  if (phrase !== "") return `HTTP/1.1 ${status} ${phrase}\r\n`;
  const known = lines[status];
  if (known !== undefined) return known;
  const line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  lines[status] = line;
  return line;
}

let dateSecond = -1;
let dateText = "";

/** The Date header of now; made once a second, when somebody asks. */
export function dateLine(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dateText;
}

let plainText = "";
let plainKind: string | undefined;
let plainDate = "";
let plainLength = -1;

/**
 * The whole head of a response of status 200 without headers of its own, on a connection that goes on.
 * Servers answer with few kinds and like lengths: the last one's often serves again.
 */
export function plainHead(kind: string | undefined, length: number): string {
  const date = dateLine();
  if (length === plainLength && kind === plainKind && date === plainDate) return plainText;
  plainLength = length;
  plainKind = kind;
  plainDate = date;
  const type = kind === undefined ? "" : `content-type: ${kind}\r\n`;
  plainText = `${statusLine(200, "")}${type}${date}content-length: ${length}\r\n\r\n`;
  return plainText;
}

/** What a handler's headers say about what is the server's to decide. */
export interface Said {
  /** The fields that are written as they are, with the Date. */
  fields: string;
  /** Connection: close. */
  close: boolean;
  /** Content-Length; -1 without one. */
  length: number;
}

/** Once for all responses of one kind of body and no headers of their own. */
const simple: Said = { fields: "", close: false, length: -1 };

/** The fields of a response. The result is valid until the next call. Throws for a bad Content-Length. */
export function fieldsOf(response: Response): Said {
  const { passedText } = response;
  simple.close = false;
  if (passedText !== undefined) {
    simple.length = response.passedLength;
    simple.fields = passedText;
    return simple;
  }
  const { headerList: list, bodyType } = response;
  simple.length = -1;
  if (list === undefined) {
    simple.fields =
      bodyType === undefined ? dateLine() : `content-type: ${bodyType}\r\n${dateLine()}`;
    return simple;
  }
  let text = "";
  let dated = false;
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string;
    const value = list[i + 1] as string;
    switch (name) {
      case "connection":
        if (/(?:^|,)\s*close\s*(?:,|$)/i.test(value)) simple.close = true;
        break;
      // The server frames the body by itself, and says itself how long the connection lives.
      case "transfer-encoding":
      case "keep-alive":
        break;
      case "content-length":
        simple.length = lengthOf(value, simple.length);
        break;
      default:
        if (name === "date") dated = true;
        text += `${name}: ${value}\r\n`;
    }
  }
  simple.fields = dated ? text : text + dateLine();
  return simple;
}

export function lengthOf(value: string, before: number): number {
  if (!/^\d{1,15}$/.test(value) || (before !== -1 && before !== Number(value))) {
    throw new TypeError(`the response's Content-Length is ${JSON.stringify(value)}`);
  }
  return Number(value);
}

/** The whole head. */
export function headOf(
  response: Response,
  fields: string,
  framing: Framing,
  connection: "" | "close" | "keep-alive",
): string {
  return (
    statusLine(response.status, response.statusText) +
    fields +
    (connection === "" ? "" : `connection: ${connection}\r\n`) +
    framingLine(framing)
  );
}

function framingLine(framing: Framing): string {
  switch (framing.kind) {
    case "length":
      return `content-length: ${framing.length}\r\n\r\n`;
    case "chunked":
      return "transfer-encoding: chunked\r\n\r\n";
    default:
      return "\r\n";
  }
}

/** The whole of a small response that the server gives by itself; the connection ends with it. */
export function plainResponse(status: number, reason: string): string {
  const text = `${reason}\n`;
  return (
    `${statusLine(status, "")}content-type: text/plain;charset=UTF-8\r\n${dateLine()}` +
    `connection: close\r\ncontent-length: ${text.length}\r\n\r\n${text}`
  );
}

export const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** The head that ends HTTP on a connection: another protocol follows. */
export function switchingHead(connect: boolean, protocol: string, list: readonly string[]): string {
  let text = connect
    ? statusLine(200, "Connection Established")
    : `${statusLine(101, "")}connection: Upgrade\r\nupgrade: ${protocol}\r\n`;
  for (let i = 0; i < list.length; i += 2) text += `${list[i]}: ${list[i + 1]}\r\n`;
  return `${text}\r\n`;
}
