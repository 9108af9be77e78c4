/**
 * decode.ts: a body as it was before its Content-Encoding, by the platform's zlib.
 *
 * A body that ends inside of its coding is an error, never an end.
 */
import { pipeline, Readable } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from "node:zlib";
import { allOf, type Incoming } from "../body.ts";

/** What is asked for. */
export const ACCEPTED = "gzip, deflate, br";

/** Codings on top of each other; more are somebody's joke (fetch in browsers has the same bound). */
const MOST = 5;
const CHUNK = { chunkSize: 65_536 };

/** The codings to undo, last one first; undefined when one of them is not known, or there are none. */
export function codingsOf(value: string): string[] | undefined {
  if (value === "") return undefined;
  const codings = value.split(",").map((coding) => coding.trim().toLowerCase());
  const real = codings.filter((coding) => coding !== "" && coding !== "identity");
  if (real.length === 0 || real.length > MOST) return undefined;
  return real.every((coding) => KNOWN.has(coding)) ? real.reverse() : undefined;
}

const KNOWN = new Set(["gzip", "x-gzip", "deflate", "br"]);

/** A body that is there already. */
export class WholeBody implements Incoming {
  readonly trailers: readonly string[] = [];
  private bytes: Uint8Array | null;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  async read(): Promise<Uint8Array | null> {
    const { bytes } = this;
    this.bytes = null;
    return bytes;
  }

  async readAll(): Promise<Uint8Array> {
    return (await this.read()) ?? new Uint8Array(0);
  }

  cancel(): void {
    this.bytes = null;
  }
}

export class DecodedBody implements Incoming {
  private readonly coded: Incoming;
  private readonly codings: readonly string[];
  /** Makes an error of what the decoder says. */
  private readonly refuse: (reason: unknown) => Error;
  private decoded: AsyncIterator<Uint8Array> | undefined = undefined;
  private last: Readable | undefined = undefined;
  private failed: { readonly error: unknown } | undefined = undefined;
  private empty = false;

  constructor(coded: Incoming, codings: readonly string[], refuse: (reason: unknown) => Error) {
    this.coded = coded;
    this.codings = codings;
    this.refuse = refuse;
  }

  get trailers(): readonly string[] {
    return this.coded.trailers;
  }

  async read(): Promise<Uint8Array | null> {
    if (this.decoded === undefined) await this.begin();
    if (this.empty) return null;
    try {
      const { done, value } = await (this.decoded as AsyncIterator<Uint8Array>).next();
      return done === true ? null : value;
    } catch (error) {
      // What the connection failed with is told as it is.
      this.failed ??= { error: this.refuse(error) };
      throw this.failed.error;
    }
  }

  readAll(): Promise<Uint8Array> {
    return allOf(this);
  }

  cancel(): void {
    this.coded.cancel();
    this.last?.destroy();
  }

  /** The first byte says which of the two kinds of "deflate" it is (RFC 9110, 8.4.1.2). */
  private async begin(): Promise<void> {
    const first = await this.coded.read();
    if (first === null) {
      this.empty = true;
      return;
    }
    const source = Readable.from(this.rest(first), { objectMode: false });
    const stages = this.codings.map((coding) => decoderOf(coding, first));
    const last = stages.at(-1) as unknown as Readable;
    pipeline([source, ...stages], () => {});
    this.last = last;
    this.decoded = last[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  private async *rest(first: Uint8Array): AsyncGenerator<Uint8Array> {
    yield first;
    try {
      for (let part = await this.coded.read(); part !== null; part = await this.coded.read()) {
        yield part;
      }
    } catch (error) {
      this.failed = { error };
      throw new Error("the body broke off");
    }
  }
}

function decoderOf(coding: string, first: Uint8Array): NodeJS.ReadWriteStream {
  if (coding === "br") return createBrotliDecompress(CHUNK);
  if (coding !== "deflate") return createGunzip(CHUNK);
  return ((first[0] as number) & 0x0f) === 0x08 ? createInflate(CHUNK) : createInflateRaw(CHUNK);
}
