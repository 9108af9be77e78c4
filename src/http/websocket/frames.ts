/** frames.ts: messages as frames: a server's are as they are, a client's are masked (RFC 6455, 5.3). */
import { type PerMessageDeflate, Sender } from "./ws.ts";

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** Up to here a frame's payload is copied behind its head, which costs less than a list of buffers. */
const COPIED = 16_384;

export interface FrameKind {
  opcode: number;
  /** The last frame of its message. */
  fin: boolean;
  mask: boolean;
  /** The message is compressed. */
  compressed: boolean;
}

/** A frame's bytes, in the order in which they are written. `payload` is left as it is. */
export function frameOf(payload: Uint8Array, kind: FrameKind): Uint8Array[] {
  const { opcode, fin, mask, compressed } = kind;
  const parts = Sender.frame(payload, { fin, opcode, mask, readOnly: true, rsv1: compressed });
  if (parts.length === 1 || payload.length > COPIED) return parts;
  return [Buffer.concat(parts)];
}

/** A control frame. */
export function controlFrame(opcode: number, payload: Uint8Array, mask: boolean): Uint8Array {
  const parts = frameOf(payload, { opcode, fin: true, mask, compressed: false });
  return parts[0] as Uint8Array;
}

/** The payload of a close frame; empty without a code. */
export function closePayload(code: number | undefined, reason: string): Uint8Array {
  if (code === undefined) return new Uint8Array(0);
  const payload = Buffer.allocUnsafe(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return payload;
}

/**
 * A server's frame of text as a string of latin1, for a write without a buffer; undefined when the text is
 * no ASCII, or long.
 */
export function asciiFrame(text: string): string | undefined {
  const { length } = text;
  if (length > COPIED || Buffer.byteLength(text) !== length) return undefined;
  if (length < 126) return `\x81${String.fromCharCode(length)}${text}`;
  return `\x81\x7e${String.fromCharCode(length >> 8, length & 255)}${text}`;
}

/** One frame's payload, compressed. */
export function compress(
  deflate: PerMessageDeflate,
  payload: Uint8Array,
  fin: boolean,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    deflate.compress(payload, fin, (error, data) => {
      if (error) reject(error);
      else resolve(data);
    });
  });
}
