/**
 * table.ts: rows that are filtered, sorted and cut here, so that a page gets no more than it shows.
 *
 * A filter is words with spaces between them, each of which must hold:
 *   text          one of the columns contains it, in capitals or not
 *   column:text   that column contains it
 *   column>10     that column's number is larger; < is smaller
 *   -word         it does not hold
 */

export type Cell = string | number | undefined;

/** What a column's cell is, for an item. */
export type Columns<T> = Readonly<Record<string, (item: T) => Cell>>;

/** All of an item's texts in small letters, where that is at hand: words without a column look there. */
export type TextOf<T> = (item: T) => string;

export interface TableQuery {
  filter?: string | undefined;
  sort?: string | undefined;
  desc?: boolean | undefined;
  offset?: number | undefined;
  limit?: number | undefined;
}

export interface TablePart<T> {
  /** Items before the filter, and after it. */
  total: number;
  matched: number;
  offset: number;
  items: T[];
}

const LIMIT = 100;
const MOST = 1000;

type Test<T> = (item: T) => boolean;

function contains(cell: Cell, text: string): boolean {
  return cell !== undefined && String(cell).toLowerCase().includes(text);
}

function testOf<T>(word: string, columns: Columns<T>, text: TextOf<T> | undefined): Test<T> {
  if (word.startsWith("-") && word.length > 1) {
    const test = testOf(word.slice(1), columns, text);
    return (item) => !test(item);
  }
  const [, name = "", sign, rest = ""] = /^(\w+)([:<>])(.+)$/.exec(word) ?? [];
  const column = Object.hasOwn(columns, name) ? columns[name] : undefined;
  if (column !== undefined && sign === ":") return (item) => contains(column(item), rest);
  if (column !== undefined && !Number.isNaN(Number(rest))) {
    const bound = Number(rest);
    return (item) => {
      const cell = column(item);
      return typeof cell === "number" && (sign === ">" ? cell > bound : cell < bound);
    };
  }
  if (text !== undefined) return (item) => text(item).includes(word);
  // What is a number in a column (an age in ms) is not what the page shows of it.
  const all = Object.values(columns);
  return (item) =>
    all.some((each) => {
      const cell = each(item);
      return typeof cell === "string" && contains(cell, word);
    });
}

/** The cells come first that are there; numbers by size, texts by their characters. */
function compare(a: Cell, b: Cell): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  return a < b ? -1 : 1;
}

/** The items that a filter lets through. */
export function matching<T>(
  items: Iterable<T>,
  columns: Columns<T>,
  filter: string | undefined,
  text?: TextOf<T>,
): { total: number; found: T[] } {
  const tests = (filter ?? "")
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => testOf(word, columns, text));
  let total = 0;
  const found: T[] = [];
  for (const item of items) {
    total++;
    if (tests.every((test) => test(item))) found.push(item);
  }
  return { total, found };
}

/** The part of a table that a query asks for. */
export function select<T>(
  items: Iterable<T>,
  columns: Columns<T>,
  query: TableQuery,
  text?: TextOf<T>,
): TablePart<T> {
  const { total, found } = matching(items, columns, query.filter, text);
  const sorted = sortBy(found, columns[query.sort ?? ""], query.desc === true);
  return { total, matched: found.length, ...cut(sorted, query) };
}

/** The rows from `offset` on, at most `limit` of them. */
export function cut<T>(items: readonly T[], query: TableQuery): { offset: number; items: T[] } {
  const offset = Math.max(0, Math.min(query.offset ?? 0, items.length));
  const limit = Math.max(0, Math.min(query.limit ?? LIMIT, MOST));
  return { offset, items: items.slice(offset, offset + limit) };
}

function sortBy<T>(items: T[], column: ((item: T) => Cell) | undefined, desc: boolean): T[] {
  if (column === undefined) return desc ? items.reverse() : items;
  const keyed = items.map((item, at) => ({ item, at, key: column(item) }));
  const sign = desc ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) return compare(a.key, b.key) || a.at - b.at;
    return sign * compare(a.key, b.key) || a.at - b.at;
  });
  return keyed.map(({ item }) => item);
}
