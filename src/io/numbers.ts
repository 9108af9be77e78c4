/** numbers.ts: reading numbers from the bytes read ahead. */
import { IOError, type OpOptions, unexpectedEOF } from "./io.ts";
import { MORE, StepReader } from "./steps.ts";

/** Digits of 7 bits that a number of 64 bits takes. */
const LONGEST_VARINT = 10;

/** A stream that ends before or inside a number is ERR_UNEXPECTED_EOF. */
export abstract class NumberReader extends StepReader {
  readUint8(options?: OpOptions): Promise<number> {
    return this.number("readUint8", 1, options, (m, at) => m.readUInt8(at));
  }

  readInt8(options?: OpOptions): Promise<number> {
    return this.number("readInt8", 1, options, (m, at) => m.readInt8(at));
  }

  readUint16BE(options?: OpOptions): Promise<number> {
    return this.number("readUint16BE", 2, options, (m, at) => m.readUInt16BE(at));
  }

  readUint16LE(options?: OpOptions): Promise<number> {
    return this.number("readUint16LE", 2, options, (m, at) => m.readUInt16LE(at));
  }

  readInt16BE(options?: OpOptions): Promise<number> {
    return this.number("readInt16BE", 2, options, (m, at) => m.readInt16BE(at));
  }

  readInt16LE(options?: OpOptions): Promise<number> {
    return this.number("readInt16LE", 2, options, (m, at) => m.readInt16LE(at));
  }

  readUint32BE(options?: OpOptions): Promise<number> {
    return this.number("readUint32BE", 4, options, (m, at) => m.readUInt32BE(at));
  }

  readUint32LE(options?: OpOptions): Promise<number> {
    return this.number("readUint32LE", 4, options, (m, at) => m.readUInt32LE(at));
  }

  readInt32BE(options?: OpOptions): Promise<number> {
    return this.number("readInt32BE", 4, options, (m, at) => m.readInt32BE(at));
  }

  readInt32LE(options?: OpOptions): Promise<number> {
    return this.number("readInt32LE", 4, options, (m, at) => m.readInt32LE(at));
  }

  readBigUint64BE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigUint64BE", 8, options, (m, at) => m.readBigUInt64BE(at));
  }

  readBigUint64LE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigUint64LE", 8, options, (m, at) => m.readBigUInt64LE(at));
  }

  readBigInt64BE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigInt64BE", 8, options, (m, at) => m.readBigInt64BE(at));
  }

  readBigInt64LE(options?: OpOptions): Promise<bigint> {
    return this.number("readBigInt64LE", 8, options, (m, at) => m.readBigInt64LE(at));
  }

  readFloat32BE(options?: OpOptions): Promise<number> {
    return this.number("readFloat32BE", 4, options, (m, at) => m.readFloatBE(at));
  }

  readFloat32LE(options?: OpOptions): Promise<number> {
    return this.number("readFloat32LE", 4, options, (m, at) => m.readFloatLE(at));
  }

  readFloat64BE(options?: OpOptions): Promise<number> {
    return this.number("readFloat64BE", 8, options, (m, at) => m.readDoubleBE(at));
  }

  readFloat64LE(options?: OpOptions): Promise<number> {
    return this.number("readFloat64LE", 8, options, (m, at) => m.readDoubleLE(at));
  }

  /**
   * An unsigned number of up to 64 bits, 7 bits per byte, the low ones first (protobuf, Go's
   * encoding/binary). A longer one is ERR_OVERFLOW and stays in the stream.
   */
  readUvarint(options?: OpOptions): Promise<bigint> {
    const { ahead } = this;
    return this.perform("readUvarint", options?.signal, true, (ended) => {
      let value = 0n;
      for (let i = 0; i < LONGEST_VARINT; i++) {
        if (i >= ahead.length) {
          if (!ended) return MORE;
          throw unexpectedEOF("readUvarint", ahead.take(ahead.length));
        }
        const byte = ahead.at(i);
        value |= BigInt(byte & 0x7f) << BigInt(7 * i);
        if (byte >= 0x80) continue;
        if (i === LONGEST_VARINT - 1 && byte > 1) break;
        ahead.drop(i + 1);
        return value;
      }
      throw new IOError("ERR_OVERFLOW", "readUvarint: the number has more than 64 bits");
    });
  }

  private number<T>(
    what: string,
    bytes: number,
    options: OpOptions | undefined,
    get: (memory: Buffer, at: number) => T,
  ): Promise<T> {
    const { ahead } = this;
    return this.perform(what, options?.signal, true, (ended) => {
      if (ahead.length < bytes) {
        if (!ended) return MORE;
        throw unexpectedEOF(what, ahead.take(ahead.length), bytes);
      }
      const { memory, start } = ahead.place;
      const value = get(memory, start);
      ahead.drop(bytes);
      return value;
    });
  }
}
