/**
 * foreign.ts: a Response of the platform's class, as ours. Frameworks that take a fetch handler make them.
 *
 * Its body is a stream whatever it was made of. What is there without waiting is taken out: a body that has
 * ended by then is sent with its length, in one write with the head.
 */
import { Response } from "./response.ts";

/** Parts of a body that are taken without waiting, at most: a text is one, and the end behind it. */
const MOST_PARTS = 3;
/** Microtasks after which a read that has not settled is one that waits. Node's streams take four. */
const PATIENCE = 8;

type Reader = ReadableStreamDefaultReader<Uint8Array>;
type Read = Awaited<ReturnType<Reader["read"]>>;

export async function fromPlatform(other: globalThis.Response): Promise<Response> {
  const response = Response.from(other);
  const { source } = response;
  if (!(source instanceof ReadableStream) || source.locked) return response;
  const reader = source.getReader();
  const parts: Uint8Array[] = [];
  for (let i = 0; i < MOST_PARTS; i++) {
    const reading = reader.read();
    const read = await atOnce(reading);
    if (read === undefined) {
      response.source = streamOf(parts, reader, reading);
      return response;
    }
    if (read.done) {
      response.source = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
      return response;
    }
    parts.push(read.value);
  }
  response.source = streamOf(parts, reader, reader.read());
  return response;
}

/** What a read gives, if it gives it before anything else happens. */
async function atOnce(reading: Promise<Read>): Promise<Read | undefined> {
  let read: Read | undefined;
  let failed = false;
  reading.then(
    (value) => {
      read = value;
    },
    () => {
      failed = true;
    },
  );
  for (let i = 0; i < PATIENCE && read === undefined && !failed; i++) await undefined;
  return read;
}

/** What has been read, what is being read, and what is left. */
function streamOf(
  parts: Uint8Array[],
  reader: Reader,
  reading: Promise<Read>,
): ReadableStream<Uint8Array> {
  let next: Promise<Read> | undefined = reading;
  // Whoever pulls sees it; nobody may.
  reading.catch(() => {});
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const part = parts.shift();
        if (part !== undefined) {
          controller.enqueue(part);
          return;
        }
        const { done, value } = await (next ?? reader.read());
        next = undefined;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
