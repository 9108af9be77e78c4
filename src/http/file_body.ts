/**
 * file_body.ts: the body of a response that is a file, or parts of one: it goes from the file to the socket
 * without coming into this process.
 *
 * Whoever takes it as text, bytes or a stream reads it instead.
 *
 * Invariant: the fd is closed once, when the body has been sent, read to its end or canceled; or, when its
 * response was thrown away, by the garbage collector.
 */
import { closeSync, read } from "node:fs";
import type { Conn } from "../net/conn.ts";
import { allOf, type Incoming } from "./body.ts";
import type { Span } from "./ranges.ts";

/** A part of the body: text, and bytes of the file behind it. */
export interface FilePiece extends Span {
  readonly head: string;
}

/** An open file. */
class Handle {
  fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  close(): void {
    if (this.fd === -1) return;
    const { fd } = this;
    this.fd = -1;
    closeSync(fd);
  }
}

const forgotten = new FinalizationRegistry<Handle>((handle) => handle.close());

const CHUNK = 65_536;

export class FileBody implements Incoming {
  /** Bytes of the whole body. */
  readonly size: number;
  readonly trailers: readonly string[] = [];
  private readonly handle: Handle;
  private readonly pieces: readonly FilePiece[];
  private readonly tail: string;
  /** The piece that is read, and how far; -1 before its head. */
  private piece = 0;
  private at = -1;
  private reading = false;

  /** Takes the open file over. */
  constructor(fd: number, pieces: readonly FilePiece[], tail: string) {
    this.handle = new Handle(fd);
    this.pieces = pieces;
    this.tail = tail;
    this.size = tail.length;
    for (const { head, length } of pieces) this.size += head.length + length;
    forgotten.register(this, this.handle, this.handle);
  }

  /** Sends everything behind the head of a message. A file that has become too short is an error. */
  async sendTo(conn: Conn, messageHead: string): Promise<void> {
    const { handle, pieces, tail } = this;
    let before = messageHead;
    for (const { head, offset, length } of pieces) {
      const bytes = Buffer.from(before + head, "latin1");
      await conn.sendFile(handle, { offset, length, head: bytes });
      before = "";
    }
    if (tail !== "") await conn.write(tail);
  }

  async read(): Promise<Uint8Array | null> {
    const { handle, pieces } = this;
    const piece = pieces[this.piece];
    if (piece === undefined) {
      const last = this.piece++ === pieces.length ? this.tail : "";
      this.cancel();
      return last === "" ? null : Buffer.from(last, "latin1");
    }
    if (this.at === -1) {
      this.at = 0;
      if (piece.head !== "") return Buffer.from(piece.head, "latin1");
    }
    const left = piece.length - this.at;
    if (left === 0) {
      this.piece++;
      this.at = -1;
      return await this.read();
    }
    const chunk = Buffer.allocUnsafeSlow(Math.min(left, CHUNK));
    this.reading = true;
    let n = -1;
    try {
      n = await readAt(handle.fd, chunk, piece.offset + this.at);
    } finally {
      this.reading = false;
      // It failed, or nobody wants the rest any more.
      if (n === -1 || this.piece > pieces.length) this.cancel();
    }
    this.at += n;
    return chunk.subarray(0, n);
  }

  readAll(): Promise<Uint8Array> {
    return allOf(this);
  }

  /** Closes the file; nothing more can be had. */
  cancel(): void {
    this.piece = this.pieces.length + 1;
    // A thread of the pool may be at this very fd, whose number could be another file's then.
    if (this.reading) return;
    forgotten.unregister(this.handle);
    this.handle.close();
  }
}

/** Reads through the thread pool; at least one byte. */
function readAt(fd: number, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, position, (error, n) => {
      if (error !== null) reject(error);
      else if (n > 0) resolve(n);
      else reject(new Error(`the file ended at ${position}, before its response`));
    });
  });
}
