/**
 * known_heads.ts: parts of heads that came twice: the third time they are compared instead of parsed.
 *
 * Clients ask the same again, byte by byte (who polls, probes or calls one resource), and more often
 * with another target and the same fields (browsers, gateways, clients of an API). So the request line
 * and the fields behind it are kept apart: what a line means depends on its bytes alone, what fields
 * mean on their bytes, the limits, and what the machine knows when it comes to them, which is the method
 * and the version. There is one parser all the same: nothing here looks at bytes but to find the first
 * line's end and to tell whether they are equal. A line that is new before fields that are known is given
 * to llhttp, up to its end (parser.ts).
 *
 * Invariants
 *  - Only parts of messages that were taken, came in one piece, and have no body stand here.
 *  - A known line is one line: the first LF is its end. Known fields begin behind it and end with the head.
 *  - The comparison takes the same time wherever the first difference is: heads hold secrets.
 */
import { randomBytes } from "node:crypto";
import type { Llhttp } from "./llhttp.ts";
import type { ParserLimits } from "./parser.ts";

/** What a parser has found in a head. */
export interface HeadFacts {
  readonly text: string;
  readonly spans: readonly number[];
  readonly method: string;
  readonly version: number;
  readonly target: string;
  readonly host: string;
  readonly keepAlive: boolean;
  readonly contentLength: number;
  readonly expect: string | undefined;
}

/** Bytes, for comparisons. */
interface Bytes {
  readonly size: number;
  /** From the first one on, as many as are whole; and the one that ends with the last byte. */
  readonly words: Int32Array;
  readonly lastWord: number;
}

/** A request line that was taken, CRLF included. */
export interface KnownLine extends Bytes {
  readonly method: string;
  readonly version: number;
  readonly target: string;
}

/** All fields of a head, with the empty line, behind a line of that method and version. */
export interface KnownFields extends Bytes {
  readonly limits: ParserLimits;
  readonly method: string;
  readonly version: number;
  /** Where the last value ends. */
  readonly end: number;
  /** The head, with `*` for the target, and the places in it. */
  readonly text: string;
  readonly spans: readonly number[];
  readonly host: string;
  readonly keepAlive: boolean;
  readonly contentLength: number;
  readonly expect: string | undefined;
}

/** Longest ones that are kept. */
const LONGEST_LINE = 256;
const LONGEST_FIELDS = 2048;
/** Shortest: the empty line, and something in front of it. */
const SHORTEST = 4;
/** How many of each there are at most; powers of two. */
const SLOTS = 64;
const SLOT_SHIFT = 26;
/** Words of fields that choose their slot. */
const SAMPLES = 8;
const LF = 10;
/** Odd, and another one in each process. */
const factor = randomBytes(4).readInt32LE() | 1;

function slots<T>(content: T): T[] {
  return Array.from({ length: SLOTS }, () => content);
}

const lines = slots<KnownLine | undefined>(undefined);
const fields = slots<KnownFields | undefined>(undefined);
/** The target, and the text of the fields, that came last to each slot and are not known yet. */
const onceLines = slots("");
const onceFields = slots("");
let lastFields: KnownFields | undefined;

/** How many bytes the first line has, with its LF; 0 without one among those that would be kept. */
export function lineSize({ bytes }: Llhttp, at: number, length: number): number {
  const most = at + Math.min(length, LONGEST_LINE);
  for (let i = at; i < most; i++) if (bytes[i] === LF) return i + 1 - at;
  return 0;
}

/** The fields that the input has from `at` on, and at most `length` bytes of them, when they are known. */
export function recallFields(
  lib: Llhttp,
  at: number,
  length: number,
  limits: ParserLimits,
): KnownFields | undefined {
  if (length < SHORTEST) return undefined;
  let found: KnownFields | undefined;
  if (length <= LONGEST_FIELDS) found = fields[slotOf(lib, at, length)];
  // Behind other requests of its chunk a head's end is not known: it may be like the one before.
  if (found === undefined || found.size !== length) found = lastFields;
  if (found === undefined || found.size > length || found.limits !== limits) return undefined;
  if (!equal(lib, at, found)) return undefined;
  lastFields = found;
  return found;
}

/** The line that the input has from `at` on. */
export function recallLine(lib: Llhttp, at: number, size: number): KnownLine | undefined {
  const found = lines[lineSlot(lib, at, size)];
  if (found === undefined || found.size !== size) return undefined;
  return equal(lib, at, found) ? found : undefined;
}

function equal({ view }: Llhttp, at: number, { size, words, lastWord }: Bytes): boolean {
  let different = view.getInt32(at + size - 4, true) ^ lastWord;
  let i = 0;
  let place = at;
  // Four at a time take two thirds of the time.
  for (const most = words.length - 3; i < most; i += 4, place += 16) {
    different |=
      (view.getInt32(place, true) ^ (words[i] as number)) |
      (view.getInt32(place + 4, true) ^ (words[i + 1] as number)) |
      (view.getInt32(place + 8, true) ^ (words[i + 2] as number)) |
      (view.getInt32(place + 12, true) ^ (words[i + 3] as number));
  }
  for (; i < words.length; i++, place += 4) {
    different |= view.getInt32(place, true) ^ (words[i] as number);
  }
  return different === 0;
}

function bytesOf({ view }: Llhttp, at: number, size: number): Bytes {
  const words = new Int32Array(size >> 2);
  for (let i = 0; i < words.length; i++) words[i] = view.getInt32(at + (i << 2), true);
  return { size, words, lastWord: view.getInt32(at + size - 4, true) };
}

/**
 * Fields of one length differ in a cookie or a token: some of their words tell them apart. Nobody outside can
 * tell which fields share a slot.
 */
function slotOf({ view }: Llhttp, at: number, size: number): number {
  const step = Math.max(4, (size / SAMPLES) | 0);
  let sum = size;
  for (let i = at; i + 4 <= at + size; i += step) {
    sum = Math.imul(sum ^ view.getInt32(i, true), factor);
  }
  return sum >>> SLOT_SHIFT;
}

/** Targets of one length differ in their last characters: those stand in front of " HTTP/1.1" and CRLF. */
function lineSlot({ view }: Llhttp, at: number, size: number): number {
  if (size < 15) return 0;
  return Math.imul(size ^ view.getInt32(at + size - 15, true), factor) >>> SLOT_SHIFT;
}

/** A line was taken: it is kept when it came before. */
export function rememberLine(lib: Llhttp, at: number, size: number, facts: HeadFacts): void {
  if (size < SHORTEST || size > LONGEST_LINE) return;
  const slot = lineSlot(lib, at, size);
  const { method, version, target } = facts;
  if (onceLines[slot] !== target) {
    onceLines[slot] = target;
    return;
  }
  onceLines[slot] = "";
  const { words, lastWord } = bytesOf(lib, at, size);
  lines[slot] = { size, words, lastWord, method, version, target };
}

/**
 * A head of `size` bytes was taken whose line has `line` of them: its fields are kept when they came before.
 */
export function rememberFields(
  lib: Llhttp,
  at: number,
  size: number,
  line: number,
  limits: ParserLimits,
  facts: HeadFacts,
): void {
  const length = size - line;
  if (length < SHORTEST || length > LONGEST_FIELDS) return;
  const slot = slotOf(lib, at + line, length);
  const text = facts.text.slice(line);
  if (onceFields[slot] !== text) {
    onceFields[slot] = text;
    return;
  }
  onceFields[slot] = "";
  const { words, lastWord } = bytesOf(lib, at + line, length);
  const { method, version, host, keepAlive, contentLength, expect } = facts;
  // Whose target it was is nobody's business.
  const first = `${method} * HTTP/1.${version - 10}\r\n`;
  const shift = first.length - line;
  lastFields = {
    size: length,
    words,
    lastWord,
    limits,
    method,
    version,
    end: text.length,
    text: first + text,
    spans: facts.spans.map((place) => place + shift),
    host,
    keepAlive,
    contentLength,
    expect,
  };
  fields[slot] = lastFields;
}
