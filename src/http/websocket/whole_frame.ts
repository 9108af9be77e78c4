/**
 * whole_frame.ts: the frame that nearly all are: a whole message, whole in its chunk, as it must be.
 *
 * It is taken here, at a third of what a parser for all frames costs. Everything else about frames is the
 * Receiver's: whatever is not exactly this is given to it, byte for byte.
 */
import { isUtf8 } from "node:buffer";

/** First bytes: the last frame of a message, no extension, text or bytes. */
export const TEXT = 0x81;
const BYTES = 0x82;
/** From here on words are unmasked instead of bytes. */
const LARGE = 64;

/** What Buffers can do with any bytes, without the choice between encodings. */
const { latin1Slice, utf8Slice } = Buffer.prototype as unknown as Record<
  "latin1Slice" | "utf8Slice",
  (this: Uint8Array, from: number, to: number) => string
>;

/** The length of the frame that begins at `at`, its head included; 0 when the chunk ends within its head. */
export function frameLength(chunk: Uint8Array, at: number): number {
  const there = chunk.length - at;
  if (there < 2) return 0;
  const second = chunk[at + 1] as number;
  const mask = second >= 128 ? 4 : 0;
  const short = second & 127;
  if (short < 126) return there < 2 + mask ? 0 : 2 + mask + short;
  const head = (short === 126 ? 4 : 10) + mask;
  if (there < head) return 0;
  let length = 0;
  for (let i = at + 2; i < at + head - mask; i++) length = length * 256 + (chunk[i] as number);
  return head + length;
}

/** True for a frame of `frameLength` bytes that can be taken here. */
export function isWhole(chunk: Uint8Array, at: number, masked: boolean): boolean {
  const first = chunk[at];
  return (first === TEXT || first === BYTES) && (chunk[at + 1] as number) >= 128 === masked;
}

/** Its message, which takes the chunk's memory over; undefined for a text that is no UTF-8. */
export function messageOfFrame(
  chunk: Uint8Array,
  at: number,
  end: number,
  masked: boolean,
): string | Uint8Array | undefined {
  const short = (chunk[at + 1] as number) & 127;
  const from = at + (short < 126 ? 2 : short === 126 ? 4 : 10) + (masked ? 4 : 0);
  const bits = masked ? unmask(chunk, from, end) : bitsOf(chunk, from, end);
  if (chunk[at] === BYTES) return chunk.subarray(from, end);
  // ASCII: no bit above the seventh is set anywhere.
  if ((bits & 0x80808080) === 0) return latin1Slice.call(chunk, from, end);
  return isUtf8(chunk.subarray(from, end)) ? utf8Slice.call(chunk, from, end) : undefined;
}

/** Unmasks the payload, whose mask stands before it. Gives every bit that is set in it. */
function unmask(chunk: Uint8Array, from: number, end: number): number {
  let a = chunk[from - 4] as number;
  let b = chunk[from - 3] as number;
  let c = chunk[from - 2] as number;
  let d = chunk[from - 1] as number;
  let bits = 0;
  let i = from;
  if (end - from >= LARGE) {
    // Up to a word's beginning in memory, then by words, with the mask turned to fit.
    for (; ((chunk.byteOffset + i) & 3) !== 0; i++) {
      bits |= chunk[i] = (chunk[i] as number) ^ a;
      [a, b, c, d] = [b, c, d, a];
    }
    const words = new Int32Array(chunk.buffer, chunk.byteOffset + i, (end - i) >> 2);
    const mask = maskWord(a, b, c, d);
    for (let w = 0; w < words.length; w++) bits |= words[w] = (words[w] as number) ^ mask;
    i += words.length * 4;
  }
  for (; i + 4 <= end; i += 4) {
    bits |= chunk[i] = (chunk[i] as number) ^ a;
    bits |= chunk[i + 1] = (chunk[i + 1] as number) ^ b;
    bits |= chunk[i + 2] = (chunk[i + 2] as number) ^ c;
    bits |= chunk[i + 3] = (chunk[i + 3] as number) ^ d;
  }
  if (i < end) bits |= chunk[i] = (chunk[i] as number) ^ a;
  if (i + 1 < end) bits |= chunk[i + 1] = (chunk[i + 1] as number) ^ b;
  if (i + 2 < end) bits |= chunk[i + 2] = (chunk[i + 2] as number) ^ c;
  return bits;
}

const word = new Uint8Array(4);
const asInt = new Int32Array(word.buffer);

/** Four bytes of a mask as this machine's words have them. */
function maskWord(a: number, b: number, c: number, d: number): number {
  word[0] = a;
  word[1] = b;
  word[2] = c;
  word[3] = d;
  return asInt[0] as number;
}

/** Whether a short text is ASCII; of a long one isUtf8 finds out faster what is to be known. */
function bitsOf(chunk: Uint8Array, from: number, end: number): number {
  if (end - from >= LARGE) return 0x80;
  let bits = 0;
  for (let i = from; i < end; i++) bits |= chunk[i] as number;
  return bits;
}
