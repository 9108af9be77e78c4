/**
 * placement.ts: which thread a connection goes to.
 *
 * A policy names a thread; one that is stalled is passed over, whatever the policy, for the next one
 * that is not: a connection waits for a busy thread only when all are.
 */
import type { Addr } from "../net/addr.ts";
import { TCPAddr } from "../net/addr.ts";
import type { ThreadStats } from "./counters.ts";

/**
 * How an acceptor chooses:
 *   "least-busy"    the fewest connections (the default)
 *   "round-robin"   one after the other
 *   "peer-hash"     by the peer's IP address: a machine always comes to the same thread
 *   { key }         by a key of the caller's, the same way
 *   a function      gives an index into the statistics, or "refuse": the connection is closed
 */
export type Placement<S = ThreadStats> =
  | "least-busy"
  | "round-robin"
  | "peer-hash"
  | { key: (peer: Addr) => string | number }
  | ((peer: Addr, stats: readonly S[]) => number | "refuse");

/** A thread that connections can be placed on. */
export interface Candidate<S = ThreadStats> {
  /** Its connections, with those under way to it. */
  readonly load: number;
  readonly stalled: boolean;
  readonly stats: S;
}

/** FNV-1a, 32 bits. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

/** Chooses among candidates, at least one; undefined refuses. */
export type Chooser<S = ThreadStats> = <C extends Candidate<S>>(
  peer: () => Addr,
  all: readonly C[],
) => C | undefined;

/** The first candidate from `start` on that is not stalled; the one at `start` when all are. */
function from<C extends Candidate<unknown>>(all: readonly C[], start: number): C {
  for (let i = 0; i < all.length; i++) {
    const each = all[(start + i) % all.length] as C;
    if (!each.stalled) return each;
  }
  return all[start % all.length] as C;
}

/** The candidate with the least load that is not stalled; among equals the first from `start` on. */
export function leastBusy<C extends Candidate<unknown>>(all: readonly C[], start: number): C {
  let best = from(all, start);
  for (let i = 0; i < all.length; i++) {
    const each = all[(start + i) % all.length] as C;
    if (each.load < best.load && each.stalled === best.stalled) best = each;
  }
  return best;
}

function byKey(keyOf: (peer: Addr) => string | number): Chooser<unknown> {
  return (peer, all) => from(all, hashOf(String(keyOf(peer()))) % all.length);
}

function hostOf(peer: Addr): string {
  return peer instanceof TCPAddr ? peer.ip : String(peer);
}

/** True for a policy that goes by the peer alone. */
export function isKeyed(placement: unknown): boolean {
  return placement === "peer-hash" || (typeof placement === "object" && placement !== null);
}

/** The chooser of a policy. Throws a TypeError, in the name of `call`, for what is none. */
export function chooserOf<S = ThreadStats>(
  placement: Placement<S>,
  call = "startThreads",
): Chooser<S> {
  let turn = 0;
  if (placement === "least-busy") return (_peer, all) => leastBusy(all, turn++);
  if (placement === "round-robin") return (_peer, all) => from(all, turn++);
  if (placement === "peer-hash") return byKey(hostOf);
  if (typeof placement === "function") return byFunction(placement);
  if (typeof placement === "object" && typeof placement?.key === "function") {
    return byKey(placement.key);
  }
  throw new TypeError(`${call}: unknown placement ${String(placement)}`);
}

function byFunction<S>(choose: Extract<Placement<S>, (...args: never[]) => unknown>): Chooser<S> {
  return (peer, all) => {
    const index = choose(
      peer(),
      all.map((each) => each.stats),
    );
    if (index === "refuse") return undefined;
    if (!Number.isInteger(index) || index < 0 || index >= all.length) {
      throw new RangeError(`placement: expected an index below ${all.length}, got ${index}`);
    }
    return from(all, index);
  };
}
