/**
 * table.ts: rows that threads share, found by a key (Swoole's Table).
 *
 * The rows and their locks are native/shared_table.c's; columns.ts says what a row's bytes mean. Each
 * operation is one native call, and so atomic: nobody sees half of a set, and two incr are both counted.
 */
import { observer } from "../runtime/observer.ts";
import type { SharedKernel } from "../syscall/kernel.ts";
import {
  type Column,
  type Columns,
  type ColumnValue,
  layOut,
  type NumberColumn,
  Pieces,
  type Row,
  readColumn,
} from "./columns.ts";
import { adopt, KIND_TABLE, memoryOf, openMemory, thread } from "./memory.ts";

const USUAL_KEY_BYTES = 64;
const NO_ROOM = 2;
const MISSING = 1;
/** Room for the keys of one bucket; it grows when they need more. */
const KEYS_ROOM = 4096;

export interface TableOptions<C extends Columns> {
  /** Most rows, 1 to 2^24: their memory is taken at once. */
  rows: number;
  /** The columns, each "int32", "float64", "string:n" or "bytes:n" with n bytes of room. */
  columns: C;
  /** Most bytes of a key in UTF-8, 1 to 1024; 64 by default. */
  keySize?: number | undefined;
}

/** What another thread makes its Table of; goes through postMessage and workerData. */
export interface TableHandle<C extends Columns> {
  readonly memory: SharedArrayBuffer;
  readonly columns: C;
}

class Opened<C extends Columns> {
  readonly memory: SharedArrayBuffer;
  readonly columns: C;

  constructor(memory: SharedArrayBuffer, columns: C) {
    this.memory = memory;
    this.columns = columns;
  }
}

function create<C extends Columns>({ rows, columns, keySize }: TableOptions<C>): Opened<C> {
  const { kernel } = thread();
  const { bytes } = layOut(columns);
  const keys = keySize ?? USUAL_KEY_BYTES;
  const memory = new SharedArrayBuffer(kernel.tableBytes(rows, keys, bytes));
  const seed = (Math.random() * 0x1_0000_0000) | 0;
  kernel.tableFormat(new Uint8Array(memory), rows, keys, bytes, seed);
  return new Opened(memory, { ...columns });
}

/**
 * A table of fixed-size rows that threads share. Its rows have the type that its columns say.
 *
 * A value that has no room in its column is a RangeError, never cut; so are a key that is too long and a
 * new row when the table is full (code ERR_TABLE_FULL).
 *
 * @example
 * import { Table } from "coronet";
 * const visits = new Table({ rows: 1024, columns: { page: "string:64", hits: "int32" } });
 * visits.set("home", { page: "/index.html" });
 * visits.incr("home", "hits");
 * const same = Table.from(structuredClone(visits.handle)); // as in another thread
 * console.log(same.get("home")); // { page: '/index.html', hits: 1 }
 */
export class Table<const C extends Columns> implements Iterable<[key: string, row: Row<C>]> {
  private readonly memory: SharedArrayBuffer;
  private readonly shape: C;
  private readonly columns: Map<string, Column>;
  private readonly all: Column[];
  private readonly bytes: number;
  private readonly pieces: Pieces;
  private readonly id: number;
  private readonly kernel: SharedKernel;

  constructor(options: TableOptions<C>);
  constructor(options: TableOptions<C> | Opened<C>) {
    const { memory, columns } = options instanceof Opened ? options : create(options);
    const layout = layOut(columns);
    this.kernel = thread().kernel;
    this.memory = memory;
    this.shape = columns;
    this.columns = layout.columns;
    this.all = [...layout.columns.values()];
    this.bytes = layout.bytes;
    this.pieces = new Pieces(this.all);
    this.id = openMemory(memory, KIND_TABLE);
    adopt(this, this.id);
  }

  /** The table of a handle that came from another thread. Throws a TypeError when it is none. */
  static from<const C extends Columns>(handle: TableHandle<C>): Table<C> {
    const memory = memoryOf(handle) as SharedArrayBuffer;
    if (typeof handle?.columns !== "object" || handle.columns === null) {
      throw new TypeError("not the handle of a shared table");
    }
    return new Table<C>(new Opened(memory, handle.columns) as unknown as TableOptions<C>);
  }

  /** What another thread makes its Table of: for workerData and postMessage. */
  get handle(): TableHandle<C> {
    return { memory: this.memory, columns: this.shape };
  }

  /** Rows that are there. */
  get size(): number {
    this.noteLook();
    return this.kernel.tableSize(this.id);
  }

  /**
   * Writes columns of a row, all in one step. A row that is not there is made, with 0, "" and no bytes in
   * the columns that are not given; in one that is there those stay as they are.
   */
  set(key: string, row: Partial<Row<C>>): void {
    const { pieces } = this;
    this.noteChange();
    pieces.length = 0;
    for (const name in row) {
      const value = row[name];
      if (value !== undefined) pieces.add(this.column(name), value);
    }
    const result = this.kernel.tableWrite(this.id, checkKey(key), pieces.bytes, 0, pieces.length);
    if (result === NO_ROOM) throw this.full();
  }

  /** The row of a key, or one column of it; undefined when the key is not there. */
  get(key: string): Row<C> | undefined;
  get<K extends keyof C & string>(key: string, column: K): ColumnValue<C[K]> | undefined;
  get(key: string, name?: string): unknown {
    this.noteLook();
    if (name !== undefined) {
      const column = this.column(name);
      const result = this.kernel.tableRead(this.id, checkKey(key), column.offset, column.length);
      return result === MISSING ? undefined : readColumn(column, 0);
    }
    if (this.kernel.tableRead(this.id, checkKey(key), 0, this.bytes) === MISSING) return undefined;
    const row: Record<string, unknown> = {};
    for (const column of this.all) row[column.name] = readColumn(column, column.offset);
    return row;
  }

  /**
   * Adds to a number, and gives the sum. A row that is not there is made. An int32 goes on at the other
   * end of its range; a float64 counts exactly to 2^53.
   */
  incr(key: string, column: NumberColumn<C>, by = 1): number {
    const { kind, offset } = this.column(column);
    if (kind !== "int32" && kind !== "float64") {
      throw new TypeError(`column "${column}" is of type ${kind}, not a number`);
    }
    this.noteLook();
    this.noteChange();
    const sum = this.kernel.tableAdd(this.id, checkKey(key), offset, kind === "int32" ? 0 : 1, by);
    if (sum === undefined) throw this.full();
    return sum;
  }

  /** Subtracts from a number, and gives the difference; as incr. */
  decr(key: string, column: NumberColumn<C>, by = 1): number {
    return this.incr(key, column, -by);
  }

  /** Takes a row out; says whether it was there. */
  delete(key: string): boolean {
    this.noteLook();
    this.noteChange();
    return this.kernel.tableDelete(this.id, checkKey(key)) !== MISSING;
  }

  /** Whether a row is there. */
  has(key: string): boolean {
    this.noteLook();
    return this.kernel.tableRead(this.id, checkKey(key), 0, 0) !== MISSING;
  }

  /**
   * The keys. Rows may come and go meanwhile, in any thread: a key that stays is given once, one that
   * comes or goes once or not at all.
   */
  *keys(): IterableIterator<string> {
    const buckets = this.kernel.tableBuckets(this.id);
    let buffer = Buffer.alloc(KEYS_ROOM);
    for (let bucket = 0; bucket < buckets; bucket++) {
      let length = this.kernel.tableKeys(this.id, bucket, buffer, 0, buffer.length);
      while (length > buffer.length) {
        buffer = Buffer.alloc(length * 2);
        length = this.kernel.tableKeys(this.id, bucket, buffer, 0, buffer.length);
      }
      yield* split(buffer, length);
    }
  }

  /** The rows with their keys, as keys() finds them. */
  *[Symbol.iterator](): IterableIterator<[key: string, row: Row<C>]> {
    for (const key of this.keys()) {
      const row = this.get(key);
      if (row !== undefined) yield [key, row];
    }
  }

  private noteLook(): void {
    if (observer.acquired !== null) observer.acquired(this, "shared");
  }

  private noteChange(): void {
    if (observer.released !== null) observer.released(this, "shared");
  }

  private column(name: string): Column {
    const column = this.columns.get(name);
    if (column === undefined) throw new TypeError(`the table has no column "${name}"`);
    return column;
  }

  private full(): RangeError {
    const error = new RangeError(`the table is full: all of its rows are in use (${this.size})`);
    return Object.assign(error, { code: "ERR_TABLE_FULL" });
  }
}

/** Two keys that differ only in halves of surrogate pairs would be the same in UTF-8. */
function checkKey(key: string): string {
  if (typeof key !== "string") throw new TypeError(`a key is a string, not ${typeof key}`);
  if ((key as unknown as { isWellFormed(): boolean }).isWellFormed()) return key;
  throw new TypeError("half of a surrogate pair is no text: not a key");
}

/** The keys of a bucket: each its length and its bytes, rounded up to 4. */
function split(buffer: Buffer, end: number): string[] {
  const keys: string[] = [];
  for (let at = 0; at < end; ) {
    const length = buffer.readUInt32LE(at);
    keys.push(buffer.toString("utf8", at + 4, at + 4 + length));
    at += 4 + ((length + 3) & ~3);
  }
  return keys;
}
