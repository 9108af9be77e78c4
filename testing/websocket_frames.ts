/** websocket_frames.ts: frames of WebSockets made and taken apart by hand, for tests of whoever does so. */

/** One frame, as RFC 6455, 5.2 has it. */
export interface Frame {
  opcode: number;
  payload: Uint8Array;
  fin?: boolean;
  /** The three reserved bits, as a number from 0 to 7. */
  rsv?: number;
  /** Says another length in its head than its payload has. */
  length?: number;
  /** False leaves a client's frame unmasked, true masks a server's. */
  masked?: boolean;
}

const MASK = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);

/** A frame's bytes; a client's are masked. */
export function encode(frame: Frame, fromClient: boolean): Buffer {
  const { opcode, payload, fin = true, rsv = 0, length = payload.length } = frame;
  const masked = frame.masked ?? fromClient;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bit = masked ? 0x80 : 0;
  if (length < 126) head.push(bit | length);
  else if (length < 65_536) head.push(bit | 126, length >> 8, length & 255);
  else {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(length));
    head.push(bit | 127, ...size);
  }
  if (!masked) return Buffer.concat([Buffer.from(head), payload]);
  const hidden = payload.map((byte, i) => byte ^ (MASK[i % 4] as number));
  return Buffer.concat([Buffer.from(head), MASK, hidden]);
}

/** The whole frames at the beginning of some bytes. */
export function decodeFrames(bytes: Buffer): Required<Frame>[] {
  const frames: Required<Frame>[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const first = bytes[at] as number;
    const second = bytes[at + 1] as number;
    let length = second & 127;
    at += 2;
    if (length === 126) {
      if (at + 2 > bytes.length) break;
      length = bytes.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      if (at + 8 > bytes.length) break;
      length = Number(bytes.readBigUInt64BE(at));
      at += 8;
    }
    const masked = second >= 128;
    const mask = masked ? bytes.subarray(at, at + 4) : Uint8Array.of(0, 0, 0, 0);
    if (masked) at += 4;
    if (at + length > bytes.length) break;
    const payload = bytes
      .subarray(at, at + length)
      .map((byte, i) => byte ^ (mask[i % 4] as number));
    at += length;
    frames.push({
      opcode: first & 15,
      payload,
      fin: first >= 128,
      rsv: (first >> 4) & 7,
      length,
      masked,
    });
  }
  return frames;
}

/** The head of a client's handshake. */
export function handshake(...lines: string[]): string {
  const head = [
    "GET / HTTP/1.1",
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...lines,
  ];
  return `${head.join("\r\n")}\r\n\r\n`;
}
