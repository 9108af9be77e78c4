/**
 * message.ts: how a value travels between threads.
 *
 * Bytes, strings and numbers travel as they are, everything else as v8.serialize writes it. A tag says
 * which it is; undefined, null, true and false are a tag alone.
 */
import { deserialize, serialize } from "node:v8";
import { chunkOfScratch } from "../poll/buffers.ts";
import { SCRATCH_SIZE, scratch } from "../syscall/scratch.ts";

const BYTES = 0;
const TEXT = 1;
const NUMBER = 2;
const CLONE = 3;
const UNDEFINED = 4;
const NULL = 5;
const TRUE = 6;
const FALSE = 7;

/** A string of at most so many units fits into the scratch buffer, whatever they are. */
const SHORT = Math.floor((SCRATCH_SIZE - 4) / 3);

/** A value as bytes, where the addon cannot read the value itself. */
class Encoded {
  readonly tag: number;
  readonly bytes: Uint8Array;

  constructor(tag: number, bytes: Uint8Array) {
    this.tag = tag;
    this.bytes = bytes;
  }
}

type WellFormed = { isWellFormed(): boolean };

/** A value that the addon can send: itself, or Encoded. Throws a TypeError for what cannot be cloned. */
export function encode(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      if (value.length > SHORT && (value as unknown as WellFormed).isWellFormed()) {
        return new Encoded(TEXT, Buffer.from(value));
      }
      return (value as unknown as WellFormed).isWellFormed() ? value : clone(value);
    case "number":
    case "boolean":
    case "undefined":
      return value;
    default:
      if (value === null || value instanceof Uint8Array || value instanceof Encoded) return value;
      return clone(value);
  }
}

function clone(value: unknown): Encoded {
  let bytes: Uint8Array;
  try {
    bytes = serialize(value);
  } catch (cause) {
    const message = `a value cannot go to another thread: ${(cause as Error).message}`;
    throw new TypeError(message, { cause });
  }
  return new Encoded(CLONE, bytes);
}

/** Bytes of an encoded value. */
export function sizeOf(message: unknown): number {
  if (message instanceof Uint8Array) return message.length;
  if (message instanceof Encoded) return message.bytes.length;
  if (typeof message === "string") return Buffer.byteLength(message);
  return typeof message === "number" ? 8 : 0;
}

/** The tag of an encoded value. */
export function tagOf(message: unknown): number {
  switch (typeof message) {
    case "string":
      return TEXT;
    case "number":
      return NUMBER;
    case "boolean":
      return message ? TRUE : FALSE;
    case "undefined":
      return UNDEFINED;
    default:
      if (message === null) return NULL;
      return message instanceof Encoded ? message.tag : BYTES;
  }
}

/** What the addon takes the bytes of an encoded value from. */
export function payloadOf(message: unknown): unknown {
  return message instanceof Encoded ? message.bytes : message;
}

const scratchNumber = new Float64Array(scratch.buffer, 0, 1);
const scratchText = Buffer.from(scratch.buffer);

/** The value of a message of n bytes that is in the scratch buffer. */
export function decodeScratch(tag: number, n: number): unknown {
  switch (tag) {
    case BYTES:
      return chunkOfScratch(n);
    case TEXT:
      return scratchText.toString("utf8", 0, n);
    case NUMBER:
      return scratchNumber[0];
    case CLONE:
      // Typed arrays inside are views of these bytes: they must not be anybody else's.
      return deserialize(scratch.slice(0, n));
    default:
      return decodeEmpty(tag);
  }
}

/** The value of a message whose bytes are an array of their own. */
export function decode(tag: number, bytes: Uint8Array): unknown {
  switch (tag) {
    case BYTES:
      return bytes;
    case TEXT:
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
    case NUMBER:
      return new Float64Array(bytes.slice(0, 8).buffer)[0];
    case CLONE:
      return deserialize(bytes);
    default:
      return decodeEmpty(tag);
  }
}

function decodeEmpty(tag: number): unknown {
  if (tag === UNDEFINED) return undefined;
  return tag === NULL ? null : tag === TRUE;
}
