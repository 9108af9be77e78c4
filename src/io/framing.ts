/**
 * framing.ts: messages on a byte stream: by a length in front of each, or by a delimiter behind it.
 *
 * Invariants
 *  - The length is judged before anything of the body is read or allocated; memory for a body grows
 *    with what arrives of it.
 *  - A message is taken out of the stream when it is whole. So a read that is interrupted (deadline,
 *    signal), or finds the stream malformed, takes nothing: the next one begins at the same place.
 *  - A message is written with one call, so messages of several goroutines never mix.
 */
import { type Ahead, bufferOf } from "./ahead.ts";
import { BufReader } from "./bufreader.ts";
import {
  checkCount,
  concat,
  IOError,
  type OpOptions,
  type Reader,
  unexpectedEOF,
  type Writer,
} from "./io.ts";
import { untilStep } from "./search.ts";
import { MORE, type Step } from "./steps.ts";

/** What a FramingError says beside its code. */
interface FramingErrorInit {
  code: "ERR_FRAME_TOO_LARGE" | "ERR_FRAME_MALFORMED";
  text: string;
  length?: number | bigint | undefined;
  limit?: number | undefined;
}

/**
 * A message is longer than allowed (ERR_FRAME_TOO_LARGE), or the stream holds no message there
 * (ERR_FRAME_MALFORMED). There is no way to find the next message: close the connection.
 *
 * @example
 * import { FramingError, lengthPrefixed, pipe } from "coronet";
 * const [a, b] = pipe();
 * const messages = lengthPrefixed({ bytes: 2, maxLength: 100 })(b);
 * await a.write(Uint8Array.of(0xff, 0xff));
 * try {
 *   await messages.read();
 * } catch (error) {
 *   if (error instanceof FramingError) console.log(error.code, error.length, error.limit);
 * }
 * // ERR_FRAME_TOO_LARGE 65537 100
 */
export class FramingError extends IOError {
  override readonly name: string = "FramingError";
  declare readonly code: "ERR_FRAME_TOO_LARGE" | "ERR_FRAME_MALFORMED";
  /** The length of the packet, as far as it is known. */
  readonly length: number | bigint | undefined;

  constructor(init: FramingErrorInit) {
    super(init.code, init.text, { limit: init.limit });
    this.length = init.length;
  }
}

/** Messages both ways over a stream. Reads queue, writes queue. */
export interface MessageStream<S> extends AsyncIterable<Uint8Array> {
  /** The next message, which is the receiver's; null at the end of the stream between two of them. */
  read(options?: OpOptions): Promise<Uint8Array | null>;
  /** Writes a message (a string as UTF-8). Resolves to its own bytes. */
  write(message: Uint8Array | string, options?: OpOptions): Promise<number>;
  /** Takes out what was read ahead, for handing the stream over. */
  takeBuffered(): Uint8Array;
  /** Iterates over the messages up to the end of the stream. Leaving the loop closes nothing. */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined>;
  /** What the codec was given. */
  readonly conn: S;
}

/** Makes a message stream of a conn, or of a reader and a writer. */
export interface Codec {
  <S extends Reader & Writer>(conn: S): MessageStream<S>;
  <S extends Reader>(reader: S, writer: Writer): MessageStream<S>;
}

/** One way to mark messages. */
interface Format {
  readonly name: string;
  /** The step that takes one message; it serves for one read. */
  step(): Step<Uint8Array | null>;
  /** The pieces of a packet. */
  pack(message: Uint8Array): Uint8Array[];
}

type VectorSink = Writer & {
  writev?(chunks: readonly Uint8Array[], options?: OpOptions): Promise<number>;
};

class Messages<S extends Reader> implements MessageStream<S>, AsyncIterator<Uint8Array, undefined> {
  readonly conn: S;
  private readonly format: Format;
  private readonly reader: BufReader;
  private readonly writer: VectorSink;

  constructor(format: Format, conn: S, writer: Writer) {
    this.format = format;
    this.conn = conn;
    this.writer = writer;
    this.reader = conn instanceof BufReader ? conn : new BufReader(conn);
  }

  read(options?: OpOptions): Promise<Uint8Array | null> {
    return this.reader.perform("read message", options?.signal, false, this.format.step());
  }

  async write(message: Uint8Array | string, options?: OpOptions): Promise<number> {
    const bytes = typeof message === "string" ? Buffer.from(message) : message;
    const pieces = this.format.pack(bytes);
    const { writer } = this;
    if (writer.writev !== undefined) await writer.writev(pieces, options);
    else await writer.write(concat(pieces), options);
    return bytes.length;
  }

  takeBuffered(): Uint8Array {
    return this.reader.takeBuffered();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const step = this.format.step();
    return this.reader.perform("read message", undefined, false, (ended, ahead) => {
      const value = step(ended, ahead);
      if (value === MORE) return MORE;
      return value === null ? { done: true, value: undefined } : { done: false, value };
    });
  }
}

function codecOf(format: Format): Codec {
  return ((conn: Reader, writer?: Writer) =>
    new Messages(format, conn, writer ?? (conn as unknown as Writer))) as Codec;
}

const DEFAULT_MAX = 1 << 20;

function checkMax(maxLength: number, what: string): void {
  checkCount(maxLength, `${what} maxLength`);
  if (maxLength === 0) throw new RangeError(`${what} maxLength: expected at least 1`);
}

function tooLarge(what: string, length: number | bigint | undefined, limit: number): FramingError {
  const which = length === undefined ? "a message" : `a packet of ${length} bytes`;
  const text = `${what}: ${which} is longer than ${limit} bytes`;
  return new FramingError({ code: "ERR_FRAME_TOO_LARGE", text, length, limit });
}

// ---- length in front

/** How lengths are written. A packet is header and body; the header ends with the length. */
export interface LengthPrefixOptions {
  /** Size of the length in bytes; 4 by default. */
  bytes?: 1 | 2 | 4 | 8;
  /** Its byte order; "big" by default. */
  endian?: "big" | "little";
  /** Where it stands in the packet: bytes of the header in front of it. 0 by default. */
  offset?: number;
  /**
   * What it counts: the "body" behind it (the default), the whole "packet", or everything but so many
   * bytes at the packet's beginning.
   */
  counts?: "body" | "packet" | number;
  /** Longest packet, header included, in bytes; 1 MiB by default. */
  maxLength?: number;
  /**
   * Messages are whole packets instead of bodies. True by default where the header has more in it than
   * the length; the length in a message that is written is filled in.
   */
  keepHeader?: boolean;
}

class LengthPrefix implements Format {
  readonly name = "lengthPrefixed";
  private readonly bytes: number;
  private readonly big: boolean;
  private readonly offset: number;
  private readonly header: number;
  private readonly uncounted: number;
  private readonly maxLength: number;
  private readonly keepHeader: boolean;

  constructor(options: LengthPrefixOptions) {
    const { bytes = 4, endian = "big", offset = 0, counts = "body" } = options;
    const { maxLength = DEFAULT_MAX, keepHeader = offset > 0 } = options;
    if (![1, 2, 4, 8].includes(bytes)) {
      throw new RangeError(`lengthPrefixed bytes: expected 1, 2, 4 or 8, got ${bytes}`);
    }
    if (endian !== "big" && endian !== "little") {
      throw new TypeError(`lengthPrefixed endian: expected "big" or "little", got ${endian}`);
    }
    checkCount(offset, "lengthPrefixed offset");
    checkMax(maxLength, "lengthPrefixed");
    this.bytes = bytes;
    this.big = endian === "big";
    this.offset = offset;
    this.header = offset + bytes;
    this.uncounted = counts === "body" ? this.header : counts === "packet" ? 0 : counts;
    checkCount(this.uncounted, "lengthPrefixed counts");
    this.maxLength = maxLength;
    this.keepHeader = keepHeader;
  }

  step(): Step<Uint8Array | null> {
    const { name, header, keepHeader } = this;
    let length = 0;
    return (ended, ahead) => {
      if (length === 0 && ahead.length >= header) length = this.lengthOf(ahead);
      if (length > 0 && ahead.length >= length) {
        if (keepHeader) return ahead.take(length);
        ahead.skip(header);
        return ahead.take(length - header);
      }
      if (!ended) return MORE;
      if (ahead.length === 0) return null;
      throw unexpectedEOF(name, ahead.take(ahead.length), length || header);
    };
  }

  /** The length of the packet whose header has arrived. */
  private lengthOf({ place: { memory, start } }: Ahead): number {
    const { name, header, maxLength, uncounted } = this;
    const counted = this.decode(memory, start + this.offset);
    const length = typeof counted === "bigint" ? counted + BigInt(uncounted) : counted + uncounted;
    if (length > maxLength) throw tooLarge(name, length, maxLength);
    if (length >= header) return Number(length);
    const text = `${name}: a packet of ${length} bytes is shorter than its header of ${header}`;
    throw new FramingError({ code: "ERR_FRAME_MALFORMED", text, length, limit: maxLength });
  }

  private decode(memory: Buffer, at: number): number | bigint {
    const { bytes, big } = this;
    if (bytes < 8) return big ? memory.readUIntBE(at, bytes) : memory.readUIntLE(at, bytes);
    const value = big ? memory.readBigUInt64BE(at) : memory.readBigUInt64LE(at);
    return value <= Number.MAX_SAFE_INTEGER - this.uncounted ? Number(value) : value;
  }

  pack(message: Uint8Array): Uint8Array[] {
    const { name, bytes, header, keepHeader, maxLength, offset, uncounted } = this;
    const length = keepHeader ? message.length : message.length + header;
    const counted = length - uncounted;
    const largest = bytes === 8 ? Infinity : 2 ** (8 * bytes) - 1;
    if (length > maxLength) throw tooLarge(name, length, maxLength);
    if (counted > largest) throw tooLarge(name, length, largest + uncounted);
    if (counted < 0 || length < header) {
      const text = `${name}: a packet of ${length} bytes is shorter than its header of ${header}`;
      throw new FramingError({ code: "ERR_FRAME_MALFORMED", text, length, limit: maxLength });
    }
    const head = Buffer.alloc(header);
    if (keepHeader) head.set(message.subarray(0, header));
    this.encode(head.subarray(offset), counted);
    return [head, keepHeader ? message.subarray(header) : message];
  }

  private encode(field: Buffer, counted: number): void {
    const { bytes, big } = this;
    if (bytes < 8) {
      if (big) field.writeUIntBE(counted, 0, bytes);
      else field.writeUIntLE(counted, 0, bytes);
    } else if (big) field.writeBigUInt64BE(BigInt(counted));
    else field.writeBigUInt64LE(BigInt(counted));
  }
}

/**
 * A codec for packets that begin with their length. A length above `maxLength`, or one that is shorter
 * than the header, is a FramingError before anything of the body is read.
 *
 * @example
 * import { lengthPrefixed, pipe } from "coronet";
 * const codec = lengthPrefixed({ bytes: 2, maxLength: 1024 });
 * const [a, b] = pipe();
 * const [client, server] = [codec(a), codec(b)];
 * await client.write("ping");
 * await client.write("pong");
 * await a.closeWrite();
 * for await (const message of server) console.log(String(Buffer.from(message))); // ping pong
 */
export function lengthPrefixed(options: LengthPrefixOptions = {}): Codec {
  return codecOf(new LengthPrefix(options));
}

// ---- delimiter behind

export interface DelimiterOptions {
  /** What stands behind every message. */
  delimiter: string | Uint8Array;
  /** Longest message, delimiter not counted, in bytes; 1 MiB by default. */
  maxLength?: number;
  /** Messages that are read end with the delimiter; those that are written may. */
  keepDelimiter?: boolean;
}

class Delimiter implements Format {
  readonly name = "delimited";
  private readonly delimiter: Buffer;
  private readonly maxLength: number;
  private readonly keep: boolean;

  constructor({ delimiter, maxLength = DEFAULT_MAX, keepDelimiter = false }: DelimiterOptions) {
    this.delimiter = Buffer.from(delimiter as string);
    if (this.delimiter.length === 0) {
      throw new RangeError("delimited: expected a delimiter that is not empty");
    }
    checkMax(maxLength, "delimited");
    this.maxLength = maxLength;
    this.keep = keepDelimiter;
  }

  step(): Step<Uint8Array | null> {
    const { delimiter, keep: inclusive, maxLength: limit, name } = this;
    const onTooLong = (): Error => tooLarge(name, undefined, limit);
    return untilStep(name, delimiter, { inclusive, limit, tooLong: onTooLong });
  }

  pack(message: Uint8Array): Uint8Array[] {
    const { delimiter, maxLength, name } = this;
    const at = message.length - delimiter.length;
    const ends = this.keep && at >= 0 && delimiter.equals(message.subarray(at));
    const body = ends ? message.subarray(0, at) : message;
    if (body.length > maxLength) throw tooLarge(name, body.length, maxLength);
    if (this.holdsDelimiter(body)) {
      const text = `${name}: the message contains the delimiter`;
      throw new FramingError({ code: "ERR_FRAME_MALFORMED", text, length: body.length });
    }
    return [body, delimiter];
  }

  /** Whether the peer would see a delimiter earlier than at the end. */
  private holdsDelimiter(body: Uint8Array): boolean {
    const { delimiter } = this;
    if (bufferOf(body).includes(delimiter)) return true;
    const tail = body.subarray(Math.max(0, body.length - delimiter.length + 1));
    return Buffer.concat([tail, delimiter]).indexOf(delimiter) < tail.length;
  }
}

/**
 * A codec for messages with a delimiter behind each. A message without one within `maxLength` is a
 * FramingError, and so is writing a message that contains it.
 *
 * @example
 * import { delimited, pipe } from "coronet";
 * const [a, b] = pipe();
 * await a.write("one\r\ntwo\r\n");
 * await a.close();
 * for await (const message of delimited({ delimiter: "\r\n" })(b)) {
 *   console.log(String(Buffer.from(message))); // one two
 * }
 */
export function delimited(options: DelimiterOptions): Codec {
  return codecOf(new Delimiter(options));
}
