/**
 * ring.ts: a first-in first-out queue in a circular array.
 *
 *        head          tail
 *          v             v
 *   [ . . a b c d e f g . . ]     capacity is a power of two; it doubles when full
 *
 * Invariant: slots outside [head, tail) hold `undefined`, so that nothing removed stays reachable.
 */

export class Ring<T> {
  private items: (T | undefined)[];
  private head = 0;
  length = 0;

  /** With room for so many at first: a power of two. */
  constructor(room = 16) {
    this.items = new Array<T | undefined>(room).fill(undefined);
  }

  push(item: T): void {
    if (this.length === this.items.length) this.grow();
    this.items[(this.head + this.length) & (this.items.length - 1)] = item;
    this.length++;
  }

  /** Removes the oldest item; `undefined` when there is none. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.items[this.head];
    this.items[this.head] = undefined;
    this.head = (this.head + 1) & (this.items.length - 1);
    this.length--;
    return item;
  }

  private grow(): void {
    const old = this.items;
    const items = new Array<T | undefined>(old.length * 2).fill(undefined);
    for (let i = 0; i < this.length; i++) items[i] = old[(this.head + i) & (old.length - 1)];
    this.items = items;
    this.head = 0;
  }
}
