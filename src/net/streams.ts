/**
 * streams.ts: a conn's two directions as web streams, with backpressure both ways.
 *
 * The readable reads only when it is asked, into the reader's own buffer where it brings one; the
 * writable accepts a chunk when the one before it is in the kernel.
 */
import type { Conn } from "./conn.ts";

const DEFAULT_CHUNK = 16_384;

export function readableOf(conn: Conn): ReadableStream<Uint8Array> {
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: DEFAULT_CHUNK,
    async pull(controller) {
      // With autoAllocateChunkSize there is always a request.
      const request = controller.byobRequest as ReadableStreamBYOBRequest;
      const view = request.view as ArrayBufferView;
      const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
      let n = await conn.read(bytes);
      // An empty datagram: a stream of bytes has no place for it.
      while (n === 0) n = await conn.read(bytes);
      if (n === null) controller.close();
      request.respond(n ?? 0);
    },
    cancel: () => conn.closeRead(),
  });
}

export function writableOf(conn: Conn): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    async write(chunk) {
      await conn.write(chunk);
    },
    close: () => conn.closeWrite(),
    abort: () => conn.close(),
  });
}
