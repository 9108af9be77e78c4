/**
 * syncmap.ts: a map that may change while it is walked, with the compound operations of Go's sync.Map.
 *
 * A JavaScript Map is already safe between two awaits. What it lacks: a key that is deleted and set
 * again during a walk comes up a second time, and "if it is still this value, put that one" is two
 * steps with room for an await in between.
 *
 * Invariant: entries stand in the order of their serial numbers, and a key gets a new number only when
 * it is set anew. A walk ends at the first entry that is younger than itself, so it yields what was
 * there when it began, less what has gone since, and no key twice.
 */
import { observer } from "../runtime/observer.ts";

class Entry<V> {
  value: V;
  readonly serial: number;

  constructor(value: V, serial: number) {
    this.value = value;
    this.serial = serial;
  }
}

/**
 * A map for goroutines that share it.
 *
 * @example
 * import { SyncMap } from "coronet";
 * const sessions = new SyncMap<string, { user: string }>();
 * const { value, loaded } = sessions.loadOrStore("s1", { user: "ada" });
 * console.log(value.user, loaded); // ada false
 * for (const [id] of sessions) sessions.delete(id);
 * console.log(sessions.size); // 0
 */
export class SyncMap<K, V> implements Iterable<[K, V]> {
  private readonly entries: Map<K, Entry<V>>;
  private serial: number;

  constructor() {
    this.entries = new Map<K, Entry<V>>();
    this.serial = 0;
  }

  get size(): number {
    if (observer.acquired !== null) observer.acquired(this, "keys");
    return this.entries.size;
  }

  has(key: K): boolean {
    this.noteLook(key);
    return this.entries.has(key);
  }

  /** The value of a key; undefined when it has none. */
  load(key: K): V | undefined {
    this.noteLook(key);
    return this.entries.get(key)?.value;
  }

  store(key: K, value: V): void {
    this.put(this.entries.get(key), key, value);
  }

  /** The value that is there (`loaded` is true), or else the given one, which it stores. */
  loadOrStore(key: K, value: V): { value: V; loaded: boolean } {
    const entry = this.look(key);
    if (entry !== undefined) return { value: entry.value, loaded: true };
    this.put(entry, key, value);
    return { value, loaded: false };
  }

  /** Deletes a key; its value, if it had one. */
  loadAndDelete(key: K): V | undefined {
    const entry = this.look(key);
    if (entry !== undefined) this.remove(key);
    return entry?.value;
  }

  /** Deletes a key; false when it was not there. */
  delete(key: K): boolean {
    return this.look(key) !== undefined && this.remove(key);
  }

  /** Stores a value; the one before it, if there was one. */
  swap(key: K, value: V): V | undefined {
    const entry = this.look(key);
    const before = entry?.value;
    this.put(entry, key, value);
    return before;
  }

  /**
   * Stores `next` if the key has the value `old` (compared as by Object.is); says whether it did.
   *
   * @example
   * import { SyncMap } from "coronet";
   * const turn = new SyncMap<string, number>();
   * turn.store("player", 1);
   * console.log(turn.compareAndSwap("player", 1, 2), turn.compareAndSwap("player", 1, 3)); // true false
   */
  compareAndSwap(key: K, old: V, next: V): boolean {
    const entry = this.look(key);
    if (entry === undefined || !Object.is(entry.value, old)) return false;
    this.put(entry, key, next);
    return true;
  }

  /** Deletes a key if it has the value `old`; says whether it did. */
  compareAndDelete(key: K, old: V): boolean {
    const entry = this.look(key);
    return entry !== undefined && Object.is(entry.value, old) && this.remove(key);
  }

  clear(): void {
    if (observer.released !== null) observer.released(this, "keys");
    this.entries.clear();
  }

  /**
   * Calls `fn` for each key until it returns false. The map may change meanwhile: a key that has gone
   * is left out, a key that was added is not visited, a value is the present one.
   */
  range(fn: (key: K, value: V) => unknown): void {
    for (const [key, value] of this) if (fn(key, value) === false) return;
  }

  /** As range; there may be awaits between the steps. */
  *[Symbol.iterator](): Generator<[K, V], void, undefined> {
    const end = this.serial;
    for (const [key, entry] of this.entries) {
      if (entry.serial >= end) return;
      this.noteLook(key);
      yield [key, entry.value];
    }
  }

  /** Who sees what is there comes after whoever put it there. */
  private look(key: K): Entry<V> | undefined {
    this.noteLook(key);
    return this.entries.get(key);
  }

  private noteLook(key: K): void {
    if (observer.acquired !== null) observer.acquired(this, "key", undefined, undefined, key);
  }

  private put(entry: Entry<V> | undefined, key: K, value: V): void {
    if (observer.released !== null) observer.released(this, "key", undefined, undefined, key);
    if (entry !== undefined) entry.value = value;
    else this.entries.set(key, new Entry(value, this.serial++));
  }

  private remove(key: K): boolean {
    if (observer.released !== null) observer.released(this, "gone", undefined, undefined, key);
    return this.entries.delete(key);
  }
}
