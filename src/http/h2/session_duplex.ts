/**
 * session_duplex.ts: the stream below a session of node:http2.
 *
 * Node copies every frame into a buffer of its own for a stream that is none of its sockets. They are many
 * and large: left to the garbage collector they make it mark the whole heap over and over, which costs a
 * third as much as sending them.
 *
 * Invariants
 *  - Nobody but the session writes, so that what it wrote is of no use to anybody once it is written.
 *  - Nothing is given back of a connection that keeps what it was given, as one over node:tls does: only the
 *    addon has sealed every byte when a write is done.
 */
import { ConnDuplex, type Done, type Piled } from "../../net/to_duplex.ts";
import { NativeTlsConn, type TlsConn } from "../../tls/conn.ts";

/** Smaller buffers cost the collector less than their memory's return does, in bytes. */
const LARGE = 4_096;

/** Not in Node 20, which leaves the memory to the collector. */
type Transferable = ArrayBuffer & { transfer?(length: number): ArrayBuffer };

export class SessionDuplex extends ConnDuplex {
  private readonly copies: boolean;

  constructor(conn: TlsConn) {
    super(conn, {});
    this.copies = conn instanceof NativeTlsConn;
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, (error) => {
      if (this.copies) giveBack(chunk);
      done(error);
    });
  }

  override _writev(chunks: Piled[], done: Done): void {
    super._writev(chunks, (error) => {
      if (this.copies) for (const { chunk } of chunks) giveBack(chunk);
      done(error);
    });
  }
}

/** Returns the memory of a buffer that has it for itself. */
function giveBack(chunk: Buffer | string): void {
  if (typeof chunk === "string" || chunk.length < LARGE) return;
  const memory = chunk.buffer as Transferable;
  if (memory.byteLength === chunk.length) memory.transfer?.(0);
}
