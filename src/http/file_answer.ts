/** file_answer.ts: the answer to a GET or HEAD for a file that has been found (RFC 9110, 13 and 14). */
import { randomBytes } from "node:crypto";
import { IncomingSource, type Source } from "./body.ts";
import { judge, rangeHolds } from "./conditions.ts";
import { FileBody, type FilePiece } from "./file_body.ts";
import type { FileVersion } from "./file_version.ts";
import { type Span, spansOf } from "./ranges.ts";
import type { Request } from "./request.ts";
import { Response } from "./response.ts";

/** Says which bytes of the file are the answer: a status, headers, and what of it is sent. */
interface Plan {
  readonly status: number;
  readonly list: string[];
  /** undefined: no body. */
  readonly pieces: readonly FilePiece[] | undefined;
  readonly tail: string;
}

/** What an answer to a condition that failed still says. */
const SAID = new Set(["etag", "last-modified", "cache-control", "vary", "expires"]);

/**
 * Answers with a file: `open` gives its fd, which is the response's from then on, and is called only where
 * its bytes are needed.
 */
export function answerWith(request: Request, version: FileVersion, open: () => number): Response {
  const { status, list, pieces, tail } = planOf(request, version);
  if (pieces === undefined) return Response.ofParts(status, list, null);
  if (request.method === "HEAD") {
    list.push("content-length", String(sizeOf(pieces, tail)));
    return Response.ofParts(status, list, null);
  }
  return Response.ofParts(status, list, bodyOf(version, pieces, tail, open));
}

function bodyOf(
  { bytes }: FileVersion,
  pieces: readonly FilePiece[],
  tail: string,
  open: () => number,
): Source {
  if (bytes === undefined) return new IncomingSource(new FileBody(open(), pieces, tail));
  const [first] = pieces;
  if (first?.length === bytes.length && first.head === "") return bytes;
  if (first?.head === "") return bytes.subarray(first.offset, first.offset + first.length);
  const parts = pieces.flatMap(({ head, offset, length }) => [
    Buffer.from(head, "latin1"),
    bytes.subarray(offset, offset + length),
  ]);
  return Buffer.concat([...parts, Buffer.from(tail, "latin1")]);
}

function sizeOf(pieces: readonly FilePiece[], tail: string): number {
  return pieces.reduce((sum, { head, length }) => sum + head.length + length, tail.length);
}

function planOf(request: Request, version: FileVersion): Plan {
  const { headers } = request;
  const status = judge(headers, version);
  if (status !== 200) return failed(status, version);
  const range = request.method === "GET" ? headers.get("range") : null;
  const spans =
    range !== null && rangeHolds(headers.get("if-range"), version)
      ? spansOf(range, version.size)
      : undefined;
  if (spans === undefined) {
    const whole = { head: "", offset: 0, length: version.size };
    return { status: 200, list: [...version.list], pieces: [whole], tail: "" };
  }
  if (spans.length === 0) return unsatisfiable(version);
  const [first] = spans as [Span, ...Span[]];
  if (spans.length > 1) return multipart(version, spans);
  const list = [...version.list, "content-range", contentRange(first, version.size)];
  return { status: 206, list, pieces: [{ head: "", ...first }], tail: "" };
}

function failed(status: 304 | 412, { list }: FileVersion): Plan {
  const said: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    if (SAID.has(list[i] as string)) said.push(list[i] as string, list[i + 1] as string);
  }
  return { status, list: said, pieces: undefined, tail: "" };
}

function unsatisfiable({ size }: FileVersion): Plan {
  const list = ["content-range", `bytes */${size}`, "accept-ranges", "bytes"];
  return { status: 416, list, pieces: undefined, tail: "" };
}

function contentRange({ offset, length }: Span, size: number): string {
  return `bytes ${offset}-${offset + length - 1}/${size}`;
}

function multipart({ type, size, list }: FileVersion, spans: readonly Span[]): Plan {
  const boundary = randomBytes(12).toString("hex");
  const pieces = spans.map((span, i) => ({
    head:
      `${i === 0 ? "" : "\r\n"}--${boundary}\r\ncontent-type: ${type}\r\n` +
      `content-range: ${contentRange(span, size)}\r\n\r\n`,
    ...span,
  }));
  const all = [...list];
  all[all.indexOf("content-type") + 1] = `multipart/byteranges; boundary=${boundary}`;
  return { status: 206, list: all, pieces, tail: `\r\n--${boundary}--\r\n` };
}
