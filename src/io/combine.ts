/** combine.ts: readers and writers made of others. */
import { checkCount, type OpOptions, type Reader, readSome, type Writer } from "./io.ts";
import { move, Transfer, type WriterTo, writeTo } from "./transfer.ts";

/** Reads one source after the other, as if they were one. */
class MultiReader implements WriterTo {
  private readonly sources: Reader[];

  constructor(sources: readonly Reader[]) {
    this.sources = [...sources];
  }

  async read(p: Uint8Array, options?: OpOptions): Promise<number | null> {
    if (p.length === 0) return 0;
    for (let source = this.sources[0]; source !== undefined; source = this.sources[0]) {
      const n = await readSome(source, p, options);
      if (n !== null) return n;
      if (this.sources[0] === source) this.sources.shift();
    }
    return null;
  }

  async [writeTo](dst: Writer, transfer: Transfer): Promise<void> {
    for (let source = this.sources[0]; source !== undefined; source = this.sources[0]) {
      await move(dst, source, transfer);
      if (transfer.left <= 0) return;
      if (this.sources[0] === source) this.sources.shift();
    }
  }
}

/**
 * One reader that reads the given ones, one after the other.
 *
 * @example
 * import { multiReader, pipe, readAll } from "coronet";
 * const [a, b] = pipe();
 * const [c, d] = pipe();
 * await a.write("head ");
 * await c.write("body");
 * await Promise.all([a.close(), c.close()]);
 * console.log(String(Buffer.from(await readAll(multiReader(b, d))))); // head body
 */
export function multiReader(...sources: readonly Reader[]): Reader {
  return new MultiReader(sources);
}

/** A reader that ends after so many bytes of another one. */
export class LimitedReader implements WriterTo {
  readonly source: Reader;
  /** Bytes that it may still give. */
  left: number;

  /** @internal */
  constructor(source: Reader, n: number) {
    checkCount(n, "limitReader");
    this.source = source;
    this.left = n;
  }

  async read(p: Uint8Array, options?: OpOptions): Promise<number | null> {
    if (p.length === 0) return 0;
    if (this.left === 0) return null;
    const n = await this.source.read(p.length > this.left ? p.subarray(0, this.left) : p, options);
    if (n !== null) this.left -= n;
    return n;
  }

  /** @internal For copy: as the source can do it. */
  async [writeTo](dst: Writer, transfer: Transfer): Promise<void> {
    const part = new Transfer(Math.min(this.left, transfer.left), transfer.options);
    try {
      await move(dst, this.source, part);
    } finally {
      this.left -= part.written;
      transfer.moved(part.written);
    }
  }
}

/**
 * A reader that ends after n bytes of another one: one body of several in a stream.
 *
 * @example
 * import { limitReader, pipe, readAll } from "coronet";
 * const [a, b] = pipe();
 * await a.write("bodynext");
 * console.log(String(Buffer.from(await readAll(limitReader(b, 4))))); // body
 */
export function limitReader(source: Reader, n: number): LimitedReader {
  return new LimitedReader(source, n);
}

/**
 * A reader that writes what it reads to a writer as well, before it gives it.
 *
 * @example
 * import { createHash } from "node:crypto";
 * import { pipe, readAll, teeReader } from "coronet";
 * const [a, b] = pipe();
 * await a.write("abc");
 * await a.close();
 * const hash = createHash("sha256");
 * await readAll(teeReader(b, { write: async (p) => (hash.update(p), p.length) }));
 * console.log(hash.digest("hex").slice(0, 8)); // ba7816bf
 */
export function teeReader(source: Reader, writer: Writer): Reader {
  return {
    async read(p, options) {
      const n = await source.read(p, options);
      if (n !== null && n > 0) await writer.write(p.subarray(0, n), options);
      return n;
    },
  };
}

/**
 * A writer that writes everything to each of the given ones, one after the other. It fails with the
 * first that fails.
 *
 * @example
 * import { discard, multiWriter, pipe } from "coronet";
 * const [a, b] = pipe();
 * await multiWriter(a, discard).write("both");
 * console.log(await b.read(new Uint8Array(8))); // 4
 */
export function multiWriter(...sinks: readonly Writer[]): Writer {
  return {
    async write(p, options) {
      for (const sink of sinks) await sink.write(p, options);
      return typeof p === "string" ? Buffer.byteLength(p) : p.length;
    },
  };
}

/**
 * A writer that throws everything away.
 *
 * @example
 * import { copy, discard, pipe } from "coronet";
 * const [a, b] = pipe();
 * await a.write("nobody wants it");
 * await a.close();
 * console.log(await copy(discard, b)); // 15
 */
export const discard: Writer = {
  write: async (p) => (typeof p === "string" ? Buffer.byteLength(p) : p.length),
};
