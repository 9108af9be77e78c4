/**
 * decoder.ts: bytes in, messages out: ws's parser, called straight from the loop that reads.
 *
 * A Receiver of ws is a Writable. Nothing of that is used: a chunk is given to its `_write`, and what it
 * finds comes back through `emit`, both in the same turn. So there is no stream below, no listener, and
 * nothing is buffered but the messages of one chunk and the frames of a message that is not complete.
 *
 * Without compression a message that is whole in its chunk does not go there at all (whole_frame.ts). For
 * that the frames are counted off by their lengths.
 *
 * Invariants
 *  - The Receiver is given every byte of a frame or none. Between frames that it was given it is at the
 *    beginning of one.
 */
import { chunkOf } from "../../poll/buffers.ts";
import { frameLength, isWhole, messageOfFrame, TEXT } from "./whole_frame.ts";
import { type Extensions, Receiver } from "./ws.ts";

/** What comes on a WebSocket: text, or bytes. */
export type Message = string | Uint8Array;

export interface CloseFrame {
  readonly code: number;
  readonly reason: string;
}

/** Parts of one message that are held: more can only be meant to cost memory. */
const MOST_PARTS = 131_072;
/** Of a frame, in bytes. */
const LONGEST_HEAD = 14;
const NO_TEXT = "Invalid WebSocket frame: invalid UTF-8 sequence";

const nothing = new Uint8Array(0);

export class Decoder extends Receiver {
  /** What nobody has received yet; `first` is the next one's place. */
  private messages: Message[] = [];
  private first = 0;
  /** Pings that nobody has answered yet. */
  pings: Buffer[] | undefined = undefined;
  closeFrame: CloseFrame | undefined = undefined;
  /** What is wrong with what came; nothing is decoded any more. */
  failure: Error | undefined = undefined;
  /** A chunk is being decoded. */
  busy = false;
  private wake: (() => void) | undefined = undefined;
  private readonly masked: boolean;
  private readonly plain: boolean;
  private readonly maxPayload: number;
  /** Bytes that are missing of the frame that the Receiver is at. */
  private missing = 0;
  /** What the Receiver was given of a head that was cut. */
  private head: Uint8Array = nothing;
  /** The message that the Receiver is at goes on in further frames. */
  private goesOn = false;

  constructor(isServer: boolean, extensions: Extensions, maxPayload: number) {
    const limits = { maxPayload, maxBufferedChunks: MOST_PARTS, maxFragments: MOST_PARTS };
    super({ isServer, extensions, ...limits });
    this.masked = isServer;
    this.plain = Object.keys(extensions).length === 0;
    this.maxPayload = maxPayload;
  }

  /** Messages that wait. */
  get waiting(): number {
    return this.messages.length - this.first;
  }

  /** Nothing is decoded any more. */
  get over(): boolean {
    return this.closeFrame !== undefined || this.failure !== undefined;
  }

  /** The next message; there has to be one. */
  shift(): Message {
    const message = this.messages[this.first++] as Message;
    if (this.first === this.messages.length) this.drop();
    return message;
  }

  /** Forgets what waits. */
  drop(): void {
    this.messages = [];
    this.first = 0;
  }

  /** The next byte begins a message, and nothing is compressed: few bytes outlive their chunk. */
  get isBetween(): boolean {
    return this.plain && this.missing === 0 && !this.goesOn && this.head.length === 0;
  }

  /**
   * Decodes bytes in memory that is somebody else's again afterwards. A text becomes a string there; the
   * other messages, and what the Receiver is to have, are copied.
   */
  decodeShared(memory: Uint8Array, length: number): void {
    const chunk = memory.subarray(0, length);
    if (chunk[0] !== TEXT) return void this.decode(chunkOf(memory, 0, length));
    let at = 0;
    while (at < length && chunk[at] === TEXT) {
      const end = at + frameLength(chunk, at);
      if (end === at || end > length || !this.mayTake(chunk, at, end)) break;
      this.take(messageOfFrame(chunk, at, end, this.masked));
      at = end;
      if (this.over) return;
    }
    if (at < length) void this.decode(chunkOf(memory, at, length - at));
  }

  private mayTake(chunk: Uint8Array, at: number, end: number): boolean {
    return end - at <= this.maxPayload && isWhole(chunk, at, this.masked);
  }

  /** Decodes a chunk, which it takes over: at once, or while zlib works. Never fails: see `failure`. */
  decode(chunk: Uint8Array): Promise<void> | undefined {
    if (!this.plain) return this.feed(chunk);
    for (let at = 0; at < chunk.length && !this.over; ) {
      if (this.missing === 0) {
        const end = at + frameLength(chunk, at);
        const fits = end > at && end <= chunk.length && this.mayTake(chunk, at, end);
        if (fits && this.isBetween) {
          this.take(messageOfFrame(chunk, at, end, this.masked));
          at = end;
          continue;
        }
        this.begin(chunk, at);
      }
      const part = chunk.subarray(at, at + this.missing);
      this.missing -= part.length;
      at += part.length;
      void this.feed(part);
    }
    return undefined;
  }

  private take(message: Message | undefined): void {
    if (message !== undefined) this.messages.push(message);
    else this.failure = Object.assign(new Error(NO_TEXT), { code: "WS_ERR_INVALID_UTF8" });
  }

  /** The Receiver gets the frame that begins here: finds out how much of it is to come. */
  private begin(chunk: Uint8Array, at: number): void {
    const { head } = this;
    const begun =
      head.length === 0 ? chunk : Buffer.concat([head, chunk.subarray(at, at + LONGEST_HEAD)]);
    const from = head.length === 0 ? at : 0;
    const length = frameLength(begun, from);
    if (length === 0) {
      // The head is cut: as far as it goes it is the Receiver's already.
      this.head = begun.slice(from);
      this.missing = chunk.length - at;
      return;
    }
    this.head = nothing;
    this.missing = length - head.length;
    const first = begun[from] as number;
    if ((first & 15) < 8) this.goesOn = first < 128;
  }

  /** As decode, by the Receiver alone. */
  feed(chunk: Uint8Array): Promise<void> | undefined {
    this.busy = true;
    const { buffer, byteOffset, length } = chunk;
    this._write(Buffer.from(buffer as ArrayBuffer, byteOffset, length), "latin1", this.decoded);
    if (!this.busy) return undefined;
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  private readonly decoded = (error?: Error | null): void => {
    this.busy = false;
    if (error) this.failure = error;
    const { wake } = this;
    this.wake = undefined;
    wake?.();
  };

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    switch (event) {
      case "message":
        this.messages.push(messageOf(args[0] as Buffer, args[1] as boolean));
        return true;
      case "ping":
        this.pings ??= [];
        this.pings.push(args[0] as Buffer);
        return true;
      case "pong":
        return true;
      case "conclude":
        this.closeFrame = { code: args[0] as number, reason: (args[1] as Buffer).toString() };
        return true;
      default:
        return super.emit(event, ...args);
    }
  }
}

function messageOf(data: Buffer, isBinary: boolean): Message {
  if (!isBinary) return data.toString();
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}
