/**
 * decoder.ts: bytes in, messages out: ws's parser, called straight from the loop that reads.
 *
 * A Receiver of ws is a Writable. Nothing of that is used: a chunk is given to its `_write`, and what it
 * finds comes back through `emit`, both in the same turn. So there is no stream below, no listener, and
 * nothing is buffered but the messages of one chunk and the frames of a message that is not complete.
 */
import { type Extensions, Receiver } from "./ws.ts";

/** What comes on a WebSocket: text, or bytes. */
export type Message = string | Uint8Array;

export interface CloseFrame {
  readonly code: number;
  readonly reason: string;
}

/** Parts of one message that are held: more can only be meant to cost memory. */
const MOST_PARTS = 131_072;

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

  constructor(isServer: boolean, extensions: Extensions, maxPayload: number) {
    const limits = { maxPayload, maxBufferedChunks: MOST_PARTS, maxFragments: MOST_PARTS };
    super({ isServer, extensions, ...limits });
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

  /** Decodes a chunk, which it takes over: at once, or while zlib works. Never fails: see `failure`. */
  decode(chunk: Uint8Array): Promise<void> | undefined {
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
