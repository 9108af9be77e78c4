/**
 * cell.ts: objects, arrays, Maps and Sets whose accesses are watched.
 *
 * A watched object is a Proxy of the plain one. Objects inside of it are watched when they are read out
 * of it, if they are plain objects, arrays, Maps or Sets; what is written into it is stored as it is
 * outside. So one object has one Proxy, and a program sees the same identities watched and unwatched.
 *
 * Each property, element, key of a Map and member of a Set is a place of its own; which of them there
 * are (what Object.keys, length, size and loops ask) is one more, which adding and removing update.
 * Methods are no places, and code of a method runs on the Proxy.
 */
import { ADDS, BLIND, LOOKS, type Manner, Place } from "./accesses.ts";

/** Told of every access; `name` is the place's, for reports. */
export interface Watcher {
  read(place: Place, cell: Cell, key: unknown): void;
  write(place: Place, cell: Cell, key: unknown, manner: Manner): void;
}

/** Which places there are. */
const SHAPE = Symbol("keys");

/** What is known of a watched object. */
export class Cell {
  /** How the program reaches it, for reports: "cache.users". */
  readonly name: string;
  private readonly watcher: Watcher;
  private readonly places = new Map<unknown, Place>();

  constructor(name: string, watcher: Watcher) {
    this.name = name;
    this.watcher = watcher;
  }

  read(key: unknown): void {
    this.watcher.read(this.place(key), this, key);
  }

  write(key: unknown, manner: Manner): void {
    this.watcher.write(this.place(key), this, key, manner);
  }

  readShape(): void {
    this.read(SHAPE);
  }

  changeShape(): void {
    this.write(SHAPE, ADDS);
  }

  /** A place as reports call it. */
  nameOf(key: unknown): string {
    if (key === SHAPE) return `the keys of ${this.name}`;
    if (typeof key === "string") {
      return /^\d+$/.test(key) ? `${this.name}[${key}]` : `${this.name}.${key}`;
    }
    return `${this.name}[${describe(key)}]`;
  }

  /** The watched form of something inside. */
  inside<T>(value: T, key: unknown): T {
    return isWatchable(value) ? watch(value, this.nameOf(key), this.watcher) : value;
  }

  private place(key: unknown): Place {
    let place = this.places.get(key);
    if (place === undefined) {
      place = new Place();
      this.places.set(key, place);
    }
    return place;
  }
}

function describe(key: unknown): string {
  if (typeof key === "object" && key !== null) return key.constructor?.name ?? "object";
  return typeof key === "function" ? key.name || "function" : String(key);
}

/** The Proxy of an object, and the object of a Proxy. */
const proxies = new WeakMap<object, object>();
const plain = new WeakMap<object, object>();
const cells = new WeakMap<object, Cell>();

/** The object itself, of one that may be a Proxy of ours. */
function bare<T>(value: T): T {
  return (plain.get(value as object) as T | undefined) ?? value;
}

function isWatchable(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return (
    prototype === Object.prototype ||
    prototype === null ||
    prototype === Map.prototype ||
    prototype === Set.prototype
  );
}

/** The watched form of an object: the same for every call. */
export function watch<T extends object>(object: T, name: string, watcher: Watcher): T {
  if (plain.has(object)) return object;
  const known = proxies.get(object);
  if (known !== undefined) return known as T;
  const cell = new Cell(name, watcher);
  const proxy = new Proxy(object, handlerFor(object, cell)) as T;
  cells.set(object, cell);
  proxies.set(object, proxy);
  plain.set(proxy, object);
  return proxy;
}

function handlerFor(object: object, cell: Cell): ProxyHandler<object> {
  if (object instanceof Map) return new CollectionHandler(cell, mapMethods);
  if (object instanceof Set) return new CollectionHandler(cell, setMethods);
  return new ObjectHandler(cell, Array.isArray(object));
}

// ---- objects and arrays

class ObjectHandler implements ProxyHandler<object> {
  private readonly cell: Cell;
  private readonly array: boolean;

  constructor(cell: Cell, array: boolean) {
    this.cell = cell;
    this.array = array;
  }

  get(target: object, key: PropertyKey, receiver: unknown): unknown {
    if (this.array && Object.hasOwn(arrayMethods, key)) return arrayMethods[key as string];
    const found = Object.getOwnPropertyDescriptor(target, key);
    if (found === undefined) {
      const value = Reflect.get(target, key, receiver);
      // Neither its own nor inherited: a property that may come.
      if (value === undefined && typeof key === "string") this.cell.read(key);
      return value;
    }
    if (found.get !== undefined) return Reflect.get(target, key, receiver);
    this.note(key);
    const { value } = found;
    // A Proxy must not give another value for what cannot change.
    const fixed = found.configurable === false && found.writable === false;
    return fixed ? value : this.cell.inside(value, key);
  }

  set(target: object, key: PropertyKey, value: unknown, receiver: unknown): boolean {
    if (hasSetter(target, key) || bare(receiver) !== target) {
      return Reflect.set(target, key, value, receiver);
    }
    const length = this.array && key === "length";
    if (length) {
      for (let i = Number(value); i < (target as unknown[]).length; i++) {
        this.cell.write(String(i), BLIND);
      }
    } else this.cell.write(key, BLIND);
    if (length || !Object.hasOwn(target, key)) this.cell.changeShape();
    return Reflect.set(target, key, bare(value), target);
  }

  has(target: object, key: PropertyKey): boolean {
    this.note(key);
    return Reflect.has(target, key);
  }

  deleteProperty(target: object, key: PropertyKey): boolean {
    if (Object.hasOwn(target, key)) {
      this.cell.write(key, LOOKS);
      this.cell.changeShape();
    } else this.note(key);
    return Reflect.deleteProperty(target, key);
  }

  defineProperty(target: object, key: PropertyKey, descriptor: PropertyDescriptor): boolean {
    this.cell.write(key, BLIND);
    if (!Object.hasOwn(target, key)) this.cell.changeShape();
    if ("value" in descriptor) descriptor.value = bare(descriptor.value);
    return Reflect.defineProperty(target, key, descriptor);
  }

  getOwnPropertyDescriptor(target: object, key: PropertyKey): PropertyDescriptor | undefined {
    this.note(key);
    return Reflect.getOwnPropertyDescriptor(target, key);
  }

  ownKeys(target: object): (string | symbol)[] {
    this.cell.readShape();
    return Reflect.ownKeys(target);
  }

  private note(key: PropertyKey): void {
    if (this.array && key === "length") this.cell.readShape();
    else this.cell.read(key);
  }
}

function hasSetter(target: object, key: PropertyKey): boolean {
  for (let o: object | null = target; o !== null; o = Object.getPrototypeOf(o)) {
    const found = Object.getOwnPropertyDescriptor(o, key);
    if (found !== undefined) return found.set !== undefined || found.get !== undefined;
  }
  return false;
}

type Method = (this: object, ...args: unknown[]) => unknown;

function cellOf(proxy: object): [object: object, cell: Cell] {
  const object = bare(proxy);
  return [object, cells.get(object) as Cell];
}

/** An array's method that changes it as one step; `from` says from which element on. */
function mutator(
  name:
    | "push"
    | "pop"
    | "shift"
    | "unshift"
    | "splice"
    | "sort"
    | "reverse"
    | "fill"
    | "copyWithin",
  from: (length: number, args: unknown[]) => number,
): Method {
  return function (...args) {
    const [object, cell] = cellOf(this);
    const array = object as unknown[];
    const { length } = array;
    const results = (Array.prototype[name] as Method).apply(array, args.map(bare));
    for (let i = from(length, args); i < Math.max(length, array.length); i++) {
      cell.write(String(i), ADDS);
    }
    cell.changeShape();
    if (results === array) return this;
    return Array.isArray(results)
      ? results.map((value) => cell.inside(value, "removed"))
      : cell.inside(results, "removed");
  };
}

/** An array's method that looks for something: what is looked for may be watched or not. */
function finder(name: "includes" | "indexOf" | "lastIndexOf"): Method {
  return function (...args) {
    const [object, cell] = cellOf(this);
    const array = object as unknown[];
    cell.readShape();
    for (let i = 0; i < array.length; i++) cell.read(String(i));
    return (Array.prototype[name] as Method).apply(array, args.map(bare));
  };
}

const all = (): number => 0;

const arrayMethods: Record<string, Method> = {
  push: mutator("push", (length) => length),
  pop: mutator("pop", (length) => Math.max(0, length - 1)),
  shift: mutator("shift", all),
  unshift: mutator("unshift", all),
  splice: mutator("splice", (length, [start]) => {
    const at = Math.trunc(Number(start ?? 0)) || 0;
    return at < 0 ? Math.max(0, length + at) : Math.min(at, length);
  }),
  sort: mutator("sort", all),
  reverse: mutator("reverse", all),
  fill: mutator("fill", all),
  copyWithin: mutator("copyWithin", all),
  includes: finder("includes"),
  indexOf: finder("indexOf"),
  lastIndexOf: finder("lastIndexOf"),
};

// ---- Maps and Sets

class CollectionHandler implements ProxyHandler<object> {
  private readonly cell: Cell;
  private readonly methods: Record<PropertyKey, Method>;

  constructor(cell: Cell, methods: Record<PropertyKey, Method>) {
    this.cell = cell;
    this.methods = methods;
  }

  get(target: object, key: PropertyKey): unknown {
    if (key === "size") {
      this.cell.readShape();
      return (target as Map<unknown, unknown>).size;
    }
    if (Object.hasOwn(this.methods, key)) return this.methods[key as string];
    return Reflect.get(target, key, target);
  }
}

function* entries(proxy: object): Generator<[unknown, unknown]> {
  const [object, cell] = cellOf(proxy);
  cell.readShape();
  for (const [key, value] of (object as Map<unknown, unknown>).entries()) {
    cell.read(key);
    yield [cell.inside(key, key), cell.inside(value, key)];
  }
}

function* keys(proxy: object): Generator<unknown> {
  for (const [key] of entries(proxy)) yield key;
}

function* values(proxy: object): Generator<unknown> {
  for (const [, value] of entries(proxy)) yield value;
}

function forEach(this: object, fn: unknown, thisArg?: unknown): void {
  const call = fn as (value: unknown, key: unknown, collection: object) => void;
  for (const [key, value] of entries(this)) call.call(thisArg, value, key, this);
}

function has(this: object, key: unknown): boolean {
  const [object, cell] = cellOf(this);
  cell.read(bare(key));
  return (object as Map<unknown, unknown>).has(bare(key));
}

function remove(this: object, key: unknown): boolean {
  const [object, cell] = cellOf(this);
  cell.write(bare(key), LOOKS);
  cell.changeShape();
  return (object as Map<unknown, unknown>).delete(bare(key));
}

function clear(this: object): void {
  const [object, cell] = cellOf(this);
  const collection = object as Map<unknown, unknown>;
  for (const key of collection.keys()) cell.write(key, BLIND);
  cell.changeShape();
  collection.clear();
}

const shared = {
  has,
  clear,
  delete: remove,
  forEach,
  entries(this: object) {
    return entries(this);
  },
  keys(this: object) {
    return keys(this);
  },
  values(this: object) {
    return values(this);
  },
} as unknown as Record<PropertyKey, Method>;

const mapMethods = {
  ...shared,
  get(this: object, key: unknown) {
    const [object, cell] = cellOf(this);
    cell.read(bare(key));
    return cell.inside((object as Map<unknown, unknown>).get(bare(key)), bare(key));
  },
  set(this: object, key: unknown, value: unknown) {
    const [object, cell] = cellOf(this);
    const map = object as Map<unknown, unknown>;
    cell.write(bare(key), BLIND);
    if (!map.has(bare(key))) cell.changeShape();
    map.set(bare(key), bare(value));
    return this;
  },
  [Symbol.iterator](this: object) {
    return entries(this);
  },
} as unknown as Record<PropertyKey, Method>;

const setMethods = {
  ...shared,
  add(this: object, value: unknown) {
    const [object, cell] = cellOf(this);
    cell.write(bare(value), LOOKS);
    cell.changeShape();
    (object as Set<unknown>).add(bare(value));
    return this;
  },
  [Symbol.iterator](this: object) {
    return values(this);
  },
} as unknown as Record<PropertyKey, Method>;
