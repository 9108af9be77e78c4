/**
 * pool.ts: objects that are used again instead of made anew.
 *
 * Invariants
 *  - It holds at most `limit` objects; what comes back beyond that is left to the garbage collector.
 *  - The one that came back last goes out first: its memory is the warmest.
 */
import { observer } from "../runtime/observer.ts";

/** Objects that a pool keeps unless it is told otherwise. */
const DEFAULT_LIMIT = 256;

export interface PoolOptions<T> {
  /** How many idle objects it keeps at most (256). */
  limit?: number;
  /** Makes an object ready for its next user; called when it comes back. */
  reset?: (object: T) => void;
}

/**
 * Idle objects for reuse: buffers, encoders, whatever is dear to make. Not for connections: those end
 * by themselves while they are idle.
 *
 * @example
 * import { Pool } from "coronet";
 * const buffers = new Pool(() => new Uint8Array(64 * 1024));
 * const buffer = buffers.get();
 * buffers.put(buffer);
 * console.log(buffers.get() === buffer); // true
 */
export class Pool<T> {
  private readonly make: () => T;
  private readonly reset: ((object: T) => void) | undefined;
  private readonly limit: number;
  private readonly idle: T[];

  constructor(make: () => T, options?: PoolOptions<T>) {
    const limit = options?.limit ?? DEFAULT_LIMIT;
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw new RangeError(`a pool's limit is a whole number from 0, not ${limit}`);
    }
    this.make = make;
    this.reset = options?.reset;
    this.limit = limit;
    this.idle = [];
  }

  /** Idle objects. */
  get size(): number {
    return this.idle.length;
  }

  /** An idle object, or a new one. */
  get(): T {
    if (this.idle.length === 0) return this.make();
    const object = this.idle.pop() as T;
    if (observer.acquired !== null) observer.acquired(this, "item", undefined, undefined, object);
    return object;
  }

  /** Gives an object back. Whoever gave it must not touch it any more. */
  put(object: T): void {
    if (this.idle.length >= this.limit) return;
    if (this.reset !== undefined) this.reset(object);
    if (observer.released !== null) observer.released(this, "item", undefined, undefined, object);
    this.idle.push(object);
  }
}
