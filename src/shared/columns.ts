/**
 * columns.ts: what the bytes of a table's row mean.
 *
 * A column has a fixed place in the row: an int32 (4 bytes), a float64 (8), or a text or bytes (the length
 * in 4 bytes, then room for `size`). A row in memory that is all zero has 0, "" and no bytes.
 */
import { scratch } from "../syscall/scratch.ts";

/** The type of a column: a number, or a text (in UTF-8) or bytes of at most so many bytes. */
export type ColumnType = "int32" | "float64" | `string:${number}` | `bytes:${number}`;

/** The columns of a table by their names. */
export type Columns = Readonly<Record<string, ColumnType>>;

/** What a column of a type holds. */
export type ColumnValue<T extends ColumnType> = T extends "int32" | "float64"
  ? number
  : T extends `string:${number}`
    ? string
    : Uint8Array;

/** A row of a table with such columns. */
export type Row<C extends Columns> = { [K in keyof C]: ColumnValue<C[K]> };

/** The names of the columns that hold numbers. */
export type NumberColumn<C extends Columns> = {
  [K in keyof C]: C[K] extends "int32" | "float64" ? K : never;
}[keyof C] &
  string;

export type ColumnKind = "int32" | "float64" | "string" | "bytes";

/** A column and its place. */
export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
  /** Its first byte within the row, and how many it takes there. */
  readonly offset: number;
  readonly length: number;
  /** Of a text or bytes: how many it may have. */
  readonly size: number;
}

const MOST = 65_536;

/** Gives every column its place; `bytes` is what a row takes. Throws for what is no column type. */
export function layOut(columns: Columns): { columns: Map<string, Column>; bytes: number } {
  const placed = new Map<string, Column>();
  let end = 0;
  for (const [name, type] of Object.entries(columns)) {
    const { kind, size } = parse(name, type);
    const align = kind === "float64" ? 8 : 4;
    const offset = Math.ceil(end / align) * align;
    const length = kind === "int32" || kind === "float64" ? align : 4 + size;
    placed.set(name, { name, kind, offset, length, size });
    end = offset + length;
  }
  if (placed.size === 0) throw new TypeError("a table has at least one column");
  if (end > MOST) throw new RangeError(`a row of ${end} bytes is too large: at most ${MOST}`);
  return { columns: placed, bytes: end };
}

function parse(name: string, type: unknown): { kind: ColumnKind; size: number } {
  if (type === "int32" || type === "float64") return { kind: type, size: 0 };
  const match = /^(string|bytes):(\d{1,5})$/.exec(String(type));
  const size = Number(match?.[2]);
  if (match !== null && size > 0) return { kind: match[1] as "string" | "bytes", size };
  throw new TypeError(
    `column "${name}": its type is "int32", "float64", "string:n" or "bytes:n", not ${String(type)}`,
  );
}

// ---- reading from the scratch buffer

const view = new DataView(scratch.buffer);
const text = Buffer.from(scratch.buffer);

/** The value of a column whose bytes begin at `at` in the scratch buffer. */
export function readColumn({ kind, size }: Column, at: number): number | string | Uint8Array {
  if (kind === "int32") return view.getInt32(at, true);
  if (kind === "float64") return view.getFloat64(at, true);
  const length = view.getUint32(at, true);
  if (length > size) throw new TypeError("the shared memory was overwritten");
  const from = at + 4;
  return kind === "string"
    ? text.toString("utf8", from, from + length)
    : scratch.slice(from, from + length);
}

// ---- writing pieces: offset, length, bytes rounded up to 4 (native/shared_table.c)

/** Pieces of a row that are to be written. */
export class Pieces {
  readonly bytes: Buffer;
  length = 0;
  private readonly view: DataView;

  /** Room for a piece of every column. */
  constructor(columns: Iterable<Column>) {
    let most = 0;
    for (const { length } of columns) most += 12 + length;
    this.bytes = Buffer.alloc(most);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, most);
  }

  /** Throws a TypeError or RangeError when the column cannot hold the value. */
  add(column: Column, value: unknown): void {
    const at = this.length;
    const length = this.write(column, value, at + 8);
    this.view.setUint32(at, column.offset, true);
    this.view.setUint32(at + 4, length, true);
    this.length = at + 8 + ((length + 3) & ~3);
  }

  private write(column: Column, value: unknown, at: number): number {
    switch (column.kind) {
      case "int32":
        this.view.setInt32(at, checkInt32(column, value), true);
        return 4;
      case "float64":
        this.view.setFloat64(at, checkNumber(column, value), true);
        return 8;
      case "string":
        return this.writeText(column, value, at);
      default:
        return this.writeBytes(column, value, at);
    }
  }

  private writeText(column: Column, value: unknown, at: number): number {
    if (typeof value !== "string") throw wrongType(column, value);
    if (!(value as unknown as { isWellFormed(): boolean }).isWellFormed()) {
      throw new TypeError(`column "${column.name}": half of a surrogate pair is no text`);
    }
    const length = Buffer.byteLength(value);
    this.checkSize(column, length, at);
    this.bytes.write(value, at + 4);
    return 4 + length;
  }

  private writeBytes(column: Column, value: unknown, at: number): number {
    if (!(value instanceof Uint8Array)) throw wrongType(column, value);
    this.checkSize(column, value.length, at);
    this.bytes.set(value, at + 4);
    return 4 + value.length;
  }

  private checkSize({ name, size }: Column, length: number, at: number): void {
    if (length > size) {
      throw new RangeError(`column "${name}": ${length} bytes are more than its ${size}`);
    }
    this.view.setUint32(at, length, true);
  }
}

function checkNumber(column: Column, value: unknown): number {
  if (typeof value === "number") return value;
  throw wrongType(column, value);
}

function checkInt32(column: Column, value: unknown): number {
  const number = checkNumber(column, value);
  if ((number | 0) === number) return number;
  throw new RangeError(`column "${column.name}": ${number} is no whole number of 32 bits`);
}

function wrongType({ name, kind }: Column, value: unknown): TypeError {
  return new TypeError(`column "${name}" is of type ${kind}, not ${typeof value}`);
}
