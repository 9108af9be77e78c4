/**
 * headers.ts: Headers as the Fetch standard has them, over a head that was parsed and not yet taken apart.
 *
 * A request's headers begin as the text of its head and the places in it; get() and has() look there. The
 * list is made when somebody asks for more than single values.
 *
 * Invariants
 *  - `list` holds names in lower case and values in turn. Once it is made, the text is not looked at.
 *  - Every name is a token and no value holds CR, LF, NUL or a character above U+00FF, so that what is
 *    written can be written as it is.
 */
import { valueAt } from "./parser.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in there
const NO_VALUE = /[\0\r\n]|[^\x00-\xff]/;
const EDGES = /^[\t\n\r ]+|[\t\n\r ]+$/g;

/** Names that have been seen and are fine, in lower case. Few names serve most messages. */
const names = new Map<string, string>();
const MOST_NAMES = 512;

/** A header's name in lower case. Throws a TypeError for what is none. */
export function headerName(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const text = String(name);
  if (!TOKEN.test(text)) throw new TypeError(`Headers: ${JSON.stringify(text)} is not a name`);
  const lower = text.toLowerCase();
  if (names.size < MOST_NAMES) names.set(text, lower);
  return lower;
}

/** A header's value, without white space around it. Throws a TypeError for what is none. */
export function headerValue(value: unknown): string {
  let text = String(value);
  if (text !== "") {
    const first = text.charCodeAt(0);
    const last = text.charCodeAt(text.length - 1);
    if (first <= 0x20 || last <= 0x20) text = text.replace(EDGES, "");
  }
  if (NO_VALUE.test(text)) {
    throw new TypeError(
      `Headers: ${JSON.stringify(text)} is not a value: it has CR, LF, NUL or what is not latin1`,
    );
  }
  return text;
}

/** A head that was parsed: its text, and the places of its fields in it (parser.ts). */
export interface Head {
  readonly text: string;
  readonly spans: readonly number[];
}

/** What a list of headers can be made from. */
export type HeadersInit =
  | Headers
  | globalThis.Headers
  | Iterable<readonly [string, string]>
  | Iterable<readonly string[]>
  | Readonly<Record<string, string>>;

/** Names and values in turn, checked. */
export function headerList(init: HeadersInit | null | undefined): string[] {
  if (init === undefined) return [];
  if (init === null || (typeof init !== "object" && typeof init !== "function")) {
    throw new TypeError("Headers: expected headers, pairs or a record");
  }
  if (init instanceof Headers) return [...init.ownList()];
  const list: string[] = [];
  if (Symbol.iterator in init) {
    for (const pair of init as Iterable<readonly string[]>) {
      const [name, value, ...rest] = pair;
      if (name === undefined || value === undefined || rest.length > 0) {
        throw new TypeError("Headers: expected pairs of a name and a value");
      }
      list.push(headerName(name), headerValue(value));
    }
    return list;
  }
  for (const name of Object.keys(init)) {
    add(list, headerName(name), headerValue((init as Record<string, string>)[name]));
  }
  return list;
}

function add(list: string[], name: string, value: string): void {
  list.push(name, value);
}

/** The values of a name in a list, joined; null without one. */
export function findIn(list: readonly string[], name: string): string | null {
  let found: string | null = null;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== name) continue;
    const value = list[i + 1] as string;
    found = found === null ? value : `${found}${name === "cookie" ? "; " : ", "}${value}`;
  }
  return found;
}

/**
 * Names and values of a message's header (fetch.spec.whatwg.org). Names are told in lower case.
 *
 * @example
 * import { Headers } from "coronet/http";
 * const headers = new Headers({ "Content-Type": "text/plain" });
 * headers.append("Vary", "accept");
 * headers.append("Vary", "cookie");
 * console.log(headers.get("vary"), [...headers.keys()]); // accept, cookie [ 'content-type', 'vary' ]
 */
export class Headers {
  private list: string[] | undefined;
  private text: string;
  private spans: readonly number[];
  /** Changes with the list: whoever iterates sees what is changed meanwhile. */
  private version: number;

  constructor(init?: HeadersInit) {
    this.list = headerList(init);
    this.text = "";
    this.spans = [];
    this.version = 0;
  }

  /** @internal Over the text of a parsed head. */
  static ofHead(text: string, spans: readonly number[]): Headers {
    const headers = new Headers();
    headers.list = undefined;
    headers.text = text;
    headers.spans = spans;
    return headers;
  }

  /** @internal Takes a checked list over. */
  static ofList(list: string[]): Headers {
    const headers = new Headers();
    headers.list = list;
    return headers;
  }

  /** The values of a name, joined by ", "; null when there is none. */
  get(name: string): string | null {
    const lower = headerName(name);
    if (this.list !== undefined) return findIn(this.list, lower);
    let found: string | null = null;
    const { text, spans } = this;
    for (let i = 0; i < spans.length; i += 4) {
      if (!isField(text, spans, i, lower)) continue;
      const value = valueAt(text, spans, i);
      if (found === null) found = value;
      else found += (lower === "cookie" ? "; " : ", ") + value;
    }
    return found;
  }

  has(name: string): boolean {
    const lower = headerName(name);
    const { list, text, spans } = this;
    if (list !== undefined) {
      for (let i = 0; i < list.length; i += 2) if (list[i] === lower) return true;
      return false;
    }
    for (let i = 0; i < spans.length; i += 4) if (isField(text, spans, i, lower)) return true;
    return false;
  }

  /** Every Set-Cookie by itself: their values cannot be joined. */
  getSetCookie(): string[] {
    const list = this.ownList();
    return list.filter((_, i) => i % 2 === 1 && list[i - 1] === "set-cookie");
  }

  append(name: string, value: string): void {
    this.ownList().push(headerName(name), headerValue(value));
    this.version++;
  }

  /** Puts one value in the place of all that the name has. */
  set(name: string, value: string): void {
    const lower = headerName(name);
    const text = headerValue(value);
    const list = this.ownList();
    this.version++;
    const first = list.findIndex((entry, i) => i % 2 === 0 && entry === lower);
    if (first === -1) {
      list.push(lower, text);
      return;
    }
    list[first + 1] = text;
    remove(list, lower, first + 2);
  }

  delete(name: string): void {
    this.version++;
    remove(this.ownList(), headerName(name), 0);
  }

  forEach(
    callback: (value: string, name: string, headers: this) => void,
    receiver?: unknown,
  ): void {
    if (typeof callback !== "function") throw new TypeError("Headers.forEach: expected a function");
    for (const [name, value] of this) callback.call(receiver, value, name, this);
  }

  *entries(): HeadersIterator<[string, string]> {
    let all: [string, string][] = [];
    let version = -1;
    for (let i = 0; ; i++) {
      if (version !== this.version) {
        all = sorted(this.ownList());
        version = this.version;
      }
      const entry = all[i];
      if (entry === undefined) return;
      yield entry;
    }
  }

  *keys(): HeadersIterator<string> {
    for (const [name] of this.entries()) yield name;
  }

  *values(): HeadersIterator<string> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): HeadersIterator<[string, string]> {
    return this.entries();
  }

  get [Symbol.toStringTag](): string {
    return "Headers";
  }

  /** @internal The fields as they came, or as they are by now. */
  get head(): Head {
    const { list, text, spans } = this;
    return list === undefined ? { text, spans } : headOf(list);
  }

  /** @internal The list itself: whoever changes it changes the headers. */
  ownList(): string[] {
    if (this.list !== undefined) return this.list;
    const { text, spans } = this;
    const list: string[] = [];
    for (let i = 0; i < spans.length; i += 4) {
      list.push(text.slice(spans[i], spans[i + 1]).toLowerCase(), valueAt(text, spans, i));
    }
    this.list = list;
    return list;
  }
}

function headOf(list: readonly string[]): Head {
  let text = "";
  const spans: number[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const [name, value] = [list[i] as string, list[i + 1] as string];
    const at = text.length;
    const from = at + name.length + 2;
    spans.push(at, at + name.length, from, from + value.length);
    text += `${name}: ${value}\r\n`;
  }
  return { text, spans };
}

type HeadersIterator<T> = Generator<T, undefined, undefined>;

function isField(text: string, spans: readonly number[], i: number, lower: string): boolean {
  const start = spans[i] as number;
  if ((spans[i + 1] as number) - start !== lower.length) return false;
  if ((text.charCodeAt(start) | 0x20) !== (lower.charCodeAt(0) | 0x20)) return false;
  return text.slice(start, start + lower.length).toLowerCase() === lower;
}

function remove(list: string[], name: string, from: number): void {
  let to = from;
  for (let i = from; i < list.length; i += 2) {
    if (list[i] === name) continue;
    list[to] = list[i] as string;
    list[to + 1] = list[i + 1] as string;
    to += 2;
  }
  list.length = to;
}

/** In the order of their names, values of one name joined, Set-Cookie apart. */
function sorted(list: readonly string[]): [string, string][] {
  const entries = new Map<string, string>();
  const cookies: [string, string][] = [];
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string;
    if (name === "set-cookie") cookies.push([name, list[i + 1] as string]);
    else if (!entries.has(name)) entries.set(name, findIn(list, name) as string);
  }
  return [...entries, ...cookies].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

// Code that asks whether something is one of the global class's gets a yes.
Object.setPrototypeOf(Headers.prototype, globalThis.Headers.prototype);
