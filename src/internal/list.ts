/**
 * list.ts: an intrusive doubly linked list: a queue from whose middle an entry can leave in O(1).
 *
 *        ┌──────────────── newer ────────────────┐
 *        ▼                                       │
 *     oldest ──newer──▶ … ──newer──▶ newest ◀── list
 *
 * A ring (`older` links run the other way), so that the list itself holds one pointer: it is usually
 * old where its entries are young, and every store of a young object into an old one costs the
 * garbage collector's bookkeeping.
 *
 * Invariants: an entry is in one list at most; `entry.list` is that list, undefined outside. An entry
 * that left holds no link to its former neighbours.
 */

export abstract class ListEntry {
  /** @internal */
  list: List<ListEntry> | undefined = undefined;
  /** @internal */
  newer: ListEntry | undefined = undefined;
  /** @internal */
  older: ListEntry | undefined = undefined;
}

export class List<E extends ListEntry> {
  private newest: ListEntry | undefined = undefined;
  length = 0;

  /** The oldest entry, which stays inside. */
  peek(): E | undefined {
    return this.newest?.newer as E | undefined;
  }

  push(entry: E): void {
    const { newest } = this;
    entry.list = this as unknown as List<ListEntry>;
    if (newest === undefined) {
      entry.newer = entry.older = entry;
    } else {
      const oldest = newest.newer as ListEntry;
      entry.newer = oldest;
      entry.older = newest;
      newest.newer = oldest.older = entry;
    }
    this.newest = entry;
    this.length++;
  }

  /** Takes the oldest entry out. */
  shift(): E | undefined {
    const { newest } = this;
    if (newest === undefined) return undefined;
    const oldest = newest.newer as E;
    this.remove(oldest);
    return oldest;
  }

  /** Takes the newest entry out. */
  pop(): E | undefined {
    const { newest } = this;
    if (newest !== undefined) this.remove(newest as E);
    return newest as E | undefined;
  }

  /** Visits the entries, oldest first. The one that is visited may leave meanwhile, others may not. */
  forEach(visit: (entry: E) => void): void {
    let next = this.newest?.newer;
    for (let left = this.length; left > 0; left--) {
      const entry = next as E;
      next = entry.newer;
      visit(entry);
    }
  }

  /** Takes an entry out, wherever it stands. False when it is not in this list. */
  remove(entry: E): boolean {
    if (entry.list !== (this as unknown)) return false;
    const { older, newer } = entry;
    if (newer === entry) {
      this.newest = undefined;
    } else {
      (older as ListEntry).newer = newer;
      (newer as ListEntry).older = older;
      if (this.newest === entry) this.newest = older;
    }
    entry.list = entry.newer = entry.older = undefined;
    this.length--;
    return true;
  }
}
