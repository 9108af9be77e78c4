/**
 * streams.ts: a conn's two directions as web streams, with backpressure both ways.
 *
 * The readable reads only when it is asked: into the reader's own buffer where it brings one, else a
 * chunk of what is there, so that it holds no buffer while it waits. The writable accepts a chunk when
 * the one before it is in the kernel. Neither closes the conn, except that aborting the writable does:
 * there is no other way to tell the peer that the stream is not whole.
 */
import type { Conn } from "./conn.ts";

export function readableOf(conn: Conn): ReadableStream<Uint8Array> {
  const chunks = conn[Symbol.asyncIterator]();
  return new ReadableStream({
    type: "bytes",
    pull: (controller) =>
      controller.byobRequest === null
        ? pullChunk(chunks, controller)
        : pullInto(conn, controller.byobRequest, controller),
    cancel: () => conn.closeRead(),
  });
}

async function pullChunk(
  chunks: AsyncIterator<Uint8Array, undefined>,
  controller: ReadableByteStreamController,
): Promise<void> {
  let next = await chunks.next();
  // An empty datagram: a stream of bytes has no place for it.
  while (next.done !== true && next.value.length === 0) next = await chunks.next();
  if (next.done === true) {
    controller.close();
    // A reader may have brought a buffer in the meantime.
    controller.byobRequest?.respond(0);
  } else controller.enqueue(ownMemory(next.value));
}

async function pullInto(
  conn: Conn,
  request: ReadableStreamBYOBRequest,
  controller: ReadableByteStreamController,
): Promise<void> {
  const view = request.view as ArrayBufferView;
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  let n = await conn.read(bytes);
  while (n === 0) n = await conn.read(bytes);
  if (n === null) controller.close();
  request.respond(n ?? 0);
}

/** The stream takes a chunk's memory over: it must not be a part of some that others have too. */
function ownMemory(chunk: Uint8Array): Uint8Array {
  return chunk.length * 2 < chunk.buffer.byteLength ? chunk.slice() : chunk;
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
