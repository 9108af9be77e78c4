/**
 * heap.ts: a binary min-heap of entries that know their own place.
 *
 * An entry carries its key (`when`) and its index, so that removing any entry costs O(log n) and
 * needs no search. Invariant: `entries[e.index] === e` for every entry inside, `e.index === -1` for
 * every entry outside.
 */

export interface HeapEntry {
  when: number;
  index: number;
}

export class Heap<E extends HeapEntry> {
  private entries: E[] = [];

  get size(): number {
    return this.entries.length;
  }

  peek(): E | undefined {
    return this.entries[0];
  }

  /** What is inside, in no order. */
  all(): readonly E[] {
    return this.entries;
  }

  push(entry: E): void {
    entry.index = this.entries.length;
    this.entries.push(entry);
    this.up(entry.index);
  }

  /** Takes an entry out, wherever it stands. An entry outside is left alone. */
  remove(entry: E): void {
    const index = entry.index;
    if (index === -1) return;
    entry.index = -1;
    const last = this.entries.pop() as E;
    if (last === entry) return;
    this.place(last, index);
    this.update(last);
  }

  /** Restores the order after `entry.when` has changed. */
  update(entry: E): void {
    this.up(entry.index);
    this.down(entry.index);
  }

  private place(entry: E, index: number): void {
    this.entries[index] = entry;
    entry.index = index;
  }

  private up(start: number): void {
    const entry = this.entries[start] as E;
    let index = start;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = this.entries[above] as E;
      if (parent.when <= entry.when) break;
      this.place(parent, index);
      index = above;
    }
    this.place(entry, index);
  }

  private down(start: number): void {
    const entry = this.entries[start] as E;
    const size = this.entries.length;
    let index = start;
    for (;;) {
      let below = index * 2 + 1;
      if (below >= size) break;
      let child = this.entries[below] as E;
      const right = this.entries[below + 1];
      if (right !== undefined && right.when < child.when) {
        child = right;
        below++;
      }
      if (entry.when <= child.when) break;
      this.place(child, index);
      index = below;
    }
    this.place(entry, index);
  }
}
