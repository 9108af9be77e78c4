/**
 * body.ts: the body that Request and Response have: given as text, bytes, a stream, …, or still to come
 * from a connection; taken as text, bytes, json, form data, or a stream.
 *
 * A body that is given as text or bytes and taken as such never becomes a stream. What is rare (form data,
 * blobs) is left to the platform's own classes.
 *
 * Invariants
 *  - A body is taken once: by a method, or by whoever locks its stream.
 *  - A body from a connection is read only as fast as it is taken.
 */
import { Readable } from "node:stream";
import { isAnyArrayBuffer, isUint8Array } from "node:util/types";
import type { BaseConn } from "../net/conn.ts";

/** Whether somebody has read from a web stream, or canceled it; @types/node knows of Node's only. */
const { isDisturbed } = Readable as unknown as { isDisturbed(stream: ReadableStream): boolean };

/** A body that arrives: on a connection, as a request's or a response's. */
export interface Incoming {
  /** The next bytes, which are the receiver's; null at the end. */
  read(): Promise<Uint8Array | null>;
  /** Everything that is left. */
  readAll(): Promise<Uint8Array>;
  /** All of it, when it is there already. */
  takeNow?(): Uint8Array | undefined;
  /** Nobody wants the rest. */
  cancel(): void;
  /**
   * Moves what is left straight to another connection, as far as that can be done; it may be nothing. The
   * number of bytes.
   */
  moveTo?(conn: BaseConn): Promise<number>;
  /** Names and values of the trailers in turn, once the body has been read. */
  readonly trailers: readonly string[];
}

/** What a body may be given as. */
export type BodyInit =
  | string
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>;

/** What a body is kept as. */
export type Source = string | Uint8Array | ReadableStream<Uint8Array> | IncomingSource | null;

/** Tells an arriving body apart from a stream. */
export class IncomingSource {
  readonly incoming: Incoming;

  constructor(incoming: Incoming) {
    this.incoming = incoming;
  }
}

export const TEXT_TYPE = "text/plain;charset=UTF-8";

/** A body in the form it is kept in, and the type that it brings along. */
export function sourceOf(init: BodyInit): { source: Source; type: string | undefined } {
  if (typeof init === "string") return { source: init, type: TEXT_TYPE };
  // The standard copies bytes here; a server that sends a file from memory would do so each time.
  if (isUint8Array(init)) return { source: init, type: undefined };
  if (isAnyArrayBuffer(init)) {
    return { source: new Uint8Array(init as ArrayBuffer), type: undefined };
  }
  if (ArrayBuffer.isView(init)) {
    const bytes = new Uint8Array(init.buffer, init.byteOffset, init.byteLength);
    return { source: bytes, type: undefined };
  }
  if (init instanceof URLSearchParams) {
    return { source: String(init), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  if (init instanceof ReadableStream) {
    if (init.locked || isDisturbed(init)) {
      throw new TypeError("body: the stream is locked, or has been read from");
    }
    return { source: init, type: undefined };
  }
  if (init instanceof Blob || init instanceof FormData) {
    const platform = new globalThis.Response(init);
    const source = platform.body as ReadableStream<Uint8Array> | null;
    return { source, type: platform.headers.get("content-type") ?? undefined };
  }
  if (typeof init === "object" && init !== null && Symbol.asyncIterator in init) {
    return { source: streamOf(init), type: undefined };
  }
  return { source: String(init), type: TEXT_TYPE };
}

const encoder = new TextEncoder();

/** Chunks of an iteration as a stream, pulled one at a time. */
function streamOf(chunks: AsyncIterable<Uint8Array | string>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done === true) controller.close();
        else controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
      },
      async cancel(reason) {
        await iterator.return?.(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** An arriving body as a stream of bytes. */
function streamOfIncoming(incoming: Incoming): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = await incoming.read();
        if (chunk === null) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: () => incoming.cancel(),
    },
    { highWaterMark: 0 },
  );
}

/** Parts of a body that are smaller are joined when there are so many of them, or so many bytes. */
const BLOCK = 16_384;
const MOST_SMALL = 1024;

/** Everything that is left of a body. */
export async function allOf(body: Pick<Incoming, "read">): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  // How many of them at the end are small, and their bytes.
  let few = 0;
  let small = 0;
  for (let part = await body.read(); part !== null; part = await body.read()) {
    parts.push(part);
    few = part.length < BLOCK ? few + 1 : 0;
    small = part.length < BLOCK ? small + part.length : 0;
    // A client that sends byte by byte must not cost an object for each.
    if (few < MOST_SMALL && small < BLOCK) continue;
    if (few > 1) parts.push(Buffer.concat(parts.splice(parts.length - few)));
    few = small < BLOCK ? 1 : 0;
    if (few === 0) small = 0;
  }
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}

async function readStream(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!isUint8Array(value)) throw new TypeError("body: its stream holds what is no Uint8Array");
    parts.push(value);
  }
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}

/** Node's own, which takes any array of bytes and decodes as the Encoding standard has it. */
const { utf8Slice } = Buffer.prototype as unknown as {
  utf8Slice(this: Uint8Array, start: number, end: number): string;
};

/** A text as it comes back from UTF-8: without a byte order mark, and without half a surrogate pair. */
function wellFormed(text: string): string {
  const whole = (text as unknown as { toWellFormed(): string }).toWellFormed();
  return whole.charCodeAt(0) === 0xfeff ? whole.slice(1) : whole;
}

/** UTF-8, without a byte order mark. Costs a third of what a TextDecoder does for short texts. */
function decode(bytes: Uint8Array): string {
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return utf8Slice.call(bytes, marked ? 3 : 0, bytes.length);
}

export abstract class Body {
  /** @internal */
  source: Source;
  private stream: ReadableStream<Uint8Array> | undefined;
  private taken: boolean;

  constructor(source: Source) {
    this.source = source;
    this.stream = undefined;
    this.taken = false;
  }

  abstract get headers(): { get(name: string): string | null };

  /** The body as a stream of bytes; null when there is none. */
  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    const { source } = this;
    if (source === null) return null;
    if (this.stream === undefined) {
      if (source instanceof ReadableStream) this.stream = source;
      else if (source instanceof IncomingSource) this.stream = streamOfIncoming(source.incoming);
      else this.stream = streamOf(once(source, this.taken));
      // What has been taken is nobody else's to read.
      if (this.taken) this.stream.getReader();
    }
    return this.stream as ReadableStream<Uint8Array<ArrayBuffer>>;
  }

  /** True once somebody has begun to take the body. */
  get bodyUsed(): boolean {
    if (this.taken) return this.source !== null;
    return this.stream !== undefined && isDisturbed(this.stream);
  }

  /** @internal Somebody has asked for the body as a stream, and may read it at any time. */
  get streams(): boolean {
    return this.stream !== undefined;
  }

  /** @internal Somebody takes the body now: the stream where there is one, or what it was given as. */
  take(): Source {
    if (this.source === null) return null;
    const { stream } = this;
    if (this.bodyUsed || stream?.locked === true) {
      throw new TypeError("body: it has been used already");
    }
    this.taken = true;
    return stream ?? this.source;
  }

  async text(): Promise<string> {
    const source = this.take();
    return textNow(source) ?? decode(await bytesOfSource(source));
  }

  // biome-ignore lint/suspicious/noExplicitAny: as the platform's
  async json(): Promise<any> {
    const source = this.take();
    return JSON.parse(textNow(source) ?? decode(await bytesOfSource(source)));
  }

  /** The body's bytes, in an array of the caller's own. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await bytesOfSource(this.take());
    const own = bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
    return own as Uint8Array<ArrayBuffer>;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer;
  }

  async blob(): Promise<Blob> {
    const type = this.headers.get("content-type") ?? "";
    return new Blob([await this.bytes()], { type });
  }

  async formData(): Promise<FormData> {
    const type = this.headers.get("content-type") ?? "";
    const bytes = await this.bytes();
    return await new globalThis.Response(bytes, { headers: { "content-type": type } }).formData();
  }

  /** @internal A second one of the same body. */
  protected fork(): Source {
    if (this.bodyUsed || this.stream?.locked === true) {
      throw new TypeError("clone: the body has been used already");
    }
    const { source } = this;
    if (source === null || typeof source === "string" || isUint8Array(source)) return source;
    const [ours, theirs] = (this.body as ReadableStream<Uint8Array>).tee();
    this.source = this.stream = ours;
    return theirs;
  }
}

async function* once(
  value: string | Uint8Array,
  taken: boolean,
): AsyncGenerator<Uint8Array | string> {
  if (!taken && value.length > 0) yield value;
}

/** The text of a body that need not be waited for. */
function textNow(source: Source): string | undefined {
  if (typeof source === "string") return wellFormed(source);
  if (isUint8Array(source)) return decode(source);
  const bytes = source instanceof IncomingSource ? source.incoming.takeNow?.() : undefined;
  return bytes === undefined ? undefined : decode(bytes);
}

async function bytesOfSource(source: Source): Promise<Uint8Array> {
  if (source === null) return new Uint8Array(0);
  if (typeof source === "string") return encoder.encode(source);
  if (isUint8Array(source)) return source.slice();
  if (source instanceof IncomingSource) return await source.incoming.readAll();
  return await readStream(source);
}

/**
 * Puts a class of ours below the platform's, so that `instanceof` the platform's says yes. No field of ours
 * may have the name of one of its accessors: assigning to that would throw.
 */
export function asGlobal(ours: { prototype: object }, global: { prototype: object }): void {
  const between = Object.create(global.prototype, Object.getOwnPropertyDescriptors(Body.prototype));
  Object.setPrototypeOf(ours.prototype, between);
}
