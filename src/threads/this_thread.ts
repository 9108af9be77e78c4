/** this_thread.ts: what a reactor thread's module can ask about its thread and the others. */
import { Counters, type ThreadStats } from "./counters.ts";
import type { Exchange } from "./exchange.ts";
import type { ThreadInfo } from "./module.ts";

/** A thread that a connection can be transferred to. */
export interface ReactorThread {
  /** Its number: never given twice. */
  readonly id: number;
  /** Its place among the threads that run at once. */
  readonly index: number;
  /** Numbers about it, as of its last turn. */
  readonly stats: ThreadStats;
}

/** Another thread, or this one, seen from a reactor thread. */
export class Peer implements ReactorThread {
  readonly id: number;
  readonly index: number;
  /** @internal */
  readonly route: Exchange;
  private readonly counters: Counters;

  constructor(id: number, index: number, memory: SharedArrayBuffer, route: Exchange) {
    this.id = id;
    this.index = index;
    this.route = route;
    this.counters = new Counters(memory);
  }

  get stats(): ThreadStats {
    const { id, index } = this;
    return this.counters.read({ id, index, underway: 0, stalled: false });
  }
}

interface Self {
  readonly info: ThreadInfo;
  readonly peers: ReadonlyMap<number, Peer>;
}

let self: Self | undefined;

/** Called once, by the thread's program. */
export function become(reactor: Self): void {
  self = reactor;
}

/**
 * What this reactor thread was told about itself; undefined in a thread that is none.
 *
 * @example
 * import { thisThread } from "coronet";
 * console.log(thisThread()?.id); // undefined: this program's main thread is no reactor thread
 */
export function thisThread(): ThreadInfo | undefined {
  return self?.info;
}

/**
 * The threads of the set that this reactor thread belongs to, itself among them, by id; none in a
 * thread that is no reactor thread.
 *
 * @example
 * import { threads } from "coronet";
 * console.log(threads().map((thread) => thread.stats.live)); // []
 */
export function threads(): readonly ReactorThread[] {
  return self === undefined ? [] : [...self.peers.values()].sort((a, b) => a.id - b.id);
}

/** @internal The thread of an id, from a reactor thread of the same set. */
export function peerOf(id: number): Peer | undefined {
  return self?.peers.get(id);
}
