/**
 * list.ts: an intrusive doubly linked list: a queue from whose middle an entry can leave in O(1).
 *
 *   list ──head──▶ oldest ⇄ … ⇄ newest ◀──tail── list
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
  private head: ListEntry | undefined = undefined;
  private tail: ListEntry | undefined = undefined;
  length = 0;

  /** The oldest entry, which stays inside. */
  peek(): E | undefined {
    return this.head as E | undefined;
  }

  push(entry: E): void {
    entry.list = this as unknown as List<ListEntry>;
    entry.older = this.tail;
    if (this.tail === undefined) this.head = entry;
    else this.tail.newer = entry;
    this.tail = entry;
    this.length++;
  }

  /** Takes the oldest entry out. */
  shift(): E | undefined {
    const entry = this.head as E | undefined;
    if (entry !== undefined) this.remove(entry);
    return entry;
  }

  /** Takes an entry out, wherever it stands. False when it is not in this list. */
  remove(entry: E): boolean {
    if (entry.list !== (this as unknown)) return false;
    const { older, newer } = entry;
    if (older === undefined) this.head = newer;
    else older.newer = newer;
    if (newer === undefined) this.tail = older;
    else newer.older = older;
    entry.list = entry.newer = entry.older = undefined;
    this.length--;
    return true;
  }
}
