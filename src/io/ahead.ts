/**
 * ahead.ts: bytes that were read ahead: a window into memory, filled at its end, emptied at its start.
 *
 *         start        end
 *           v           v
 *   [ gone  | readable  | room ]
 *
 * A chunk that comes as memory of its own becomes the window as it is. More bytes are copied behind
 * what is left; memory grows to twice what it holds, so n bytes cost O(n) copies however they trickle
 * in. An empty window gives its memory back. Bytes that leave are copied out, except where they are
 * nearly all of the memory.
 *
 * Lines are slices of a text that is decoded for many of them at once: a call out of JavaScript costs more
 * than a short line. `text` from `textAt` on is what is readable, as far as it goes.
 */
import { isAscii } from "node:buffer";

const NONE = Buffer.alloc(0);

/** Smallest memory for bytes that are gathered. */
const LEAST = 256;
/** V8 keeps the bytes of arrays up to here in its own heap; asking for their buffer moves them out. */
const IN_HEAP = 64;
/** Bytes that are decoded at once: a line that someone keeps may keep so much text alive. */
const MOST_TEXT = 1024;
/** Fewer hold one line, as a rule, which is as cheap by itself. */
const LEAST_TEXT = 64;

const CR = 13;

export class Ahead {
  /** Memory that stays when the window is empty: what a plain source is read into. */
  private readonly kept: number;
  private memory: Buffer = NONE;
  private start = 0;
  private end = 0;
  private text = "";
  private textAt = 0;

  constructor(kept: number) {
    this.kept = kept;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Adds bytes whose memory may be kept. */
  append(chunk: Uint8Array): void {
    if (this.length === 0 && this.kept === 0) {
      this.memory = chunk.length <= IN_HEAP ? copyOf(chunk) : bufferOf(chunk);
      this.start = 0;
      this.end = chunk.length;
      return;
    }
    this.reserve(chunk.length);
    this.memory.set(chunk, this.end);
    this.end += chunk.length;
  }

  /** Room for at least n bytes at the end, to be followed by `added`. */
  room(n: number): Uint8Array {
    this.reserve(n);
    return this.memory.subarray(this.end);
  }

  added(n: number): void {
    this.end += n;
  }

  /** Puts bytes back before the others; they are copied. */
  prepend(bytes: Uint8Array): void {
    this.text = "";
    if (bytes.length > this.start) {
      const { length } = this;
      const memory = Buffer.allocUnsafeSlow(Math.max(bytes.length + length, this.kept));
      this.memory.copy(memory, bytes.length, this.start, this.end);
      this.memory = memory;
      this.start = bytes.length;
      this.end = bytes.length + length;
    }
    this.start -= bytes.length;
    this.memory.set(bytes, this.start);
  }

  /** A view of the first n bytes. */
  view(n: number): Uint8Array {
    return plain(this.memory, this.start, n);
  }

  /** Takes up to p.length bytes out, into p. */
  moveTo(p: Uint8Array): number {
    const n = Math.min(p.length, this.length);
    this.memory.copy(p, 0, this.start, this.start + n);
    this.drop(n);
    return n;
  }

  /** Takes n bytes out. */
  take(n: number): Uint8Array {
    const { memory, start } = this;
    let taken: Uint8Array;
    if (n * 2 >= memory.length && n === this.length && n > 0) {
      taken = plain(memory, start, n);
      this.memory = NONE;
      this.text = "";
      this.start = this.end = 0;
    } else {
      taken = new Uint8Array(n);
      memory.copy(taken, 0, start, start + n);
      this.drop(n);
    }
    return taken;
  }

  /** Takes n bytes out, as UTF-8 text, and `more` bytes behind them without a look. */
  takeText(n: number, more: number): string {
    const text = this.memory.toString("utf8", this.start, this.start + n);
    this.drop(n + more);
    return text;
  }

  /** Passes over n bytes; something else is to be taken or dropped after it. */
  skip(n: number): void {
    this.text = "";
    this.start += n;
  }

  /** The next line where it is of ASCII and others are behind it; undefined says nothing. */
  shortLine(limit: number): string | undefined {
    if (this.text === "" && !this.decode()) return undefined;
    const { text, textAt } = this;
    const at = text.indexOf("\n", textAt);
    if (at === -1) return undefined;
    const end = at > textAt && text.charCodeAt(at - 1) === CR ? at - 1 : at;
    if (end - textAt > limit) return undefined;
    this.drop(at + 1 - textAt);
    return text.slice(textAt, end);
  }

  private decode(): boolean {
    const { memory, start } = this;
    const end = Math.min(this.end, start + MOST_TEXT);
    if (end - start < LEAST_TEXT || !isAscii(memory.subarray(start, end))) return false;
    this.text = memory.toString("latin1", start, end);
    this.textAt = 0;
    return true;
  }

  drop(n: number): void {
    this.start += n;
    if (this.text !== "") {
      this.textAt += n;
      if (this.textAt >= this.text.length) this.text = "";
    }
    if (this.start !== this.end) return;
    this.start = this.end = 0;
    if (this.memory.length !== this.kept) this.memory = NONE;
  }

  /** The byte at an offset. */
  at(offset: number): number {
    return this.memory[this.start + offset] as number;
  }

  /** The offset of the first `needle` between `from` and `to`, or -1. */
  indexOf(needle: number | Uint8Array, from: number, to = this.length): number {
    const { memory, start } = this;
    const end = start + to;
    if (from >= to) return -1;
    const within = end === memory.length ? memory : memory.subarray(0, end);
    const at = within.indexOf(needle, start + from);
    return at === -1 ? -1 : at - start;
  }

  /** Memory and place of the first byte, for reading numbers. */
  get place(): { readonly memory: Buffer; readonly start: number } {
    return { memory: this.memory, start: this.start };
  }

  private reserve(n: number): void {
    if (this.memory.length - this.end >= n) return;
    const { length } = this;
    // Moving is cheap only where it makes much room.
    if (length * 2 <= this.memory.length && length + n <= this.memory.length) {
      this.memory.copyWithin(0, this.start, this.end);
    } else {
      const size = Math.max(length + n, length === 0 ? this.kept : length * 2, this.kept, LEAST);
      const memory = Buffer.allocUnsafeSlow(size);
      this.memory.copy(memory, 0, this.start, this.end);
      this.memory = memory;
    }
    this.start = 0;
    this.end = length;
  }
}

/** A copy of a few bytes. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafe(bytes.length);
  copy.set(bytes);
  return copy;
}

function plain(memory: Uint8Array, start: number, n: number): Uint8Array {
  return new Uint8Array(memory.buffer, memory.byteOffset + start, n);
}

/** The same bytes as a Buffer, for its methods. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
