/**
 * known_heads.ts: heads that came twice: the third time they are compared instead of parsed.
 *
 * Clients that keep a connection often ask the same again, byte by byte: who polls, probes or calls one
 * resource. What a whole head without a body means depends on its bytes and the limits alone, so the
 * result of the parser is kept with them. There is one parser all the same: nothing here looks at bytes
 * but to tell whether they are equal.
 *
 * Invariants
 *  - Only heads that were taken, came in one piece, and end their message stand here.
 *  - The comparison takes the same time wherever the first difference is: heads hold secrets.
 */
import type { Llhttp } from "./llhttp.ts";
import type { ParserLimits } from "./parser.ts";

/** What a parser has found in a head. */
export interface HeadFacts {
  readonly text: string;
  readonly spans: number[];
  readonly method: string;
  readonly version: number;
  readonly urlStart: number;
  readonly urlEnd: number;
  readonly host: string;
  readonly keepAlive: boolean;
  readonly contentLength: number;
  readonly expect: string | undefined;
}

export interface KnownHead extends HeadFacts {
  readonly limits: ParserLimits;
  /** Bytes of the head; the words hold them and zeros behind. */
  readonly size: number;
  readonly words: Int32Array;
}

/** Longest head that is kept, and how many there are at most: one for each length modulo this. */
const LONGEST = 2048;
const SLOTS = 64;

const known: (KnownHead | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
/** The text of the last head of each slot that came for the first time. */
const once: string[] = Array.from({ length: SLOTS }, () => "");
let last: KnownHead | undefined;

/** The head that the input begins with at `at`, when it is a known one. */
export function recall(
  lib: Llhttp,
  at: number,
  length: number,
  limits: ParserLimits,
): KnownHead | undefined {
  let head = known[length % SLOTS];
  // Behind other requests of its chunk a head's end is not known: it may be like the one before.
  if (head === undefined || head.size !== length) head = last;
  if (head === undefined || head.size > length || head.limits !== limits) return undefined;
  if (!equal(lib, at, head)) return undefined;
  last = head;
  return head;
}

function equal({ bytes, words: input }: Llhttp, at: number, { words, size }: KnownHead): boolean {
  let different = 0;
  let done = 0;
  if ((at & 3) === 0) {
    const first = at >> 2;
    const whole = size >> 2;
    for (let i = 0; i < whole; i++) {
      different |= (input[first + i] as number) ^ (words[i] as number);
    }
    done = whole << 2;
  }
  for (let i = done; i < size; i++) {
    different |= (bytes[at + i] as number) ^ (((words[i >> 2] as number) >> ((i & 3) << 3)) & 255);
  }
  return different === 0;
}

/** A head of `size` bytes was parsed: it is kept when it came before. */
export function remember(
  lib: Llhttp,
  at: number,
  size: number,
  limits: ParserLimits,
  facts: HeadFacts,
): void {
  if (size > LONGEST) return;
  const slot = size % SLOTS;
  if (once[slot] !== facts.text) {
    once[slot] = facts.text;
    return;
  }
  const words = new Int32Array((size + 3) >> 2);
  new Uint8Array(words.buffer).set(lib.bytes.subarray(at, at + size));
  const { text, spans, method, version, urlStart, urlEnd } = facts;
  const { host, keepAlive, contentLength, expect } = facts;
  const line = { text, spans, method, version, urlStart, urlEnd };
  last = { ...line, host, keepAlive, contentLength, expect, limits, size, words };
  known[slot] = last;
  once[slot] = "";
}
