/**
 * ws.ts: the parts of the package ws that stand below our sockets, with their types: @types/ws knows of
 * its classes with events only. All of them are exports of the package; its version is pinned.
 */
import type { Writable } from "node:stream";
import * as ws from "ws";

/** Parameters of an extension by their names; true for one without a value. */
export type ExtensionParameters = Record<string, string | number | true | (string | true)[]>;

/** What was negotiated, by the extensions' names. */
export type Extensions = Record<string, PerMessageDeflate>;

interface ReceiverOptions {
  isServer: boolean;
  extensions: Extensions;
  maxPayload: number;
  maxBufferedChunks: number;
  maxFragments: number;
}

/** The parser of frames: a Writable that emits "message", "ping", "pong" and "conclude". */
export interface Receiver extends Writable {
  _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void;
}

/** Compresses and decompresses messages (RFC 7692). */
export interface PerMessageDeflate {
  /** What a client asks for. */
  offer(): ExtensionParameters;
  /** Settles what both sides do. Throws when nothing of it can be done. */
  accept(configurations: ExtensionParameters[]): ExtensionParameters;
  compress(data: Uint8Array, fin: boolean, done: (error: Error | null, data: Buffer) => void): void;
  cleanup(): void;
}

interface FrameOptions {
  fin: boolean;
  opcode: number;
  mask: boolean;
  /** The bytes are somebody's, and must not be masked where they are. */
  readOnly: boolean;
  rsv1: boolean;
}

interface Parts {
  Receiver: new (options: ReceiverOptions) => Receiver;
  Sender: { frame(data: Uint8Array, options: FrameOptions): Buffer[] };
  PerMessageDeflate: {
    new (options: object): PerMessageDeflate;
    readonly extensionName: string;
  };
  extension: {
    parse(header: string): Record<string, ExtensionParameters[]>;
    format(extensions: Record<string, ExtensionParameters | ExtensionParameters[]>): string;
  };
  subprotocol: { parse(header: string): Set<string> };
}

export const { Receiver, Sender, PerMessageDeflate, extension, subprotocol } =
  ws as unknown as Parts;
