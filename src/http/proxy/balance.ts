/**
 * balance.ts: which of the upstreams that are up gets a request.
 */
import type { Choose, ProxyOptions } from "./options.ts";
import type { Upstream } from "./upstream.ts";

/** In turn, by weight, and evenly spread: 5:1 is aabaaa, not aaaaab (nginx's smooth weighted order). */
function inTurn(candidates: readonly Upstream[]): Upstream | undefined {
  let total = 0;
  let best: Upstream | undefined;
  for (const each of candidates) {
    total += each.weight;
    each.credit += each.weight;
    if (best === undefined || each.credit > best.credit) best = each;
  }
  if (best !== undefined) best.credit -= total;
  return best;
}

/** Whoever has the fewest requests for its weight; in turn among equals. */
function leastBusy(candidates: readonly Upstream[]): Upstream | undefined {
  let least = Infinity;
  for (const { active, weight } of candidates) least = Math.min(least, active / weight);
  return inTurn(candidates.filter(({ active, weight }) => active / weight === least));
}

/** FNV-1a, stirred. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * The same one for the same key, as long as it is up; when one goes, only its keys move (rendezvous
 * hashing, weighted by logarithm).
 */
function byKey(candidates: readonly Upstream[], key: string): Upstream | undefined {
  let best: Upstream | undefined;
  let most = -Infinity;
  for (const each of candidates) {
    const unit = (hashOf(`${key}\n${each.url}`) + 0.5) / 0x1_0000_0000;
    const score = -each.weight / Math.log(unit);
    if (score > most) [best, most] = [each, score];
  }
  return best;
}

export function chooser({ balance = "round-robin", key }: ProxyOptions): Choose {
  if (typeof balance === "function") return balance;
  if (balance === "round-robin") return inTurn;
  if (balance === "least-connections") return leastBusy;
  if (balance !== "hash") throw new TypeError(`reverseProxy: there is no balance "${balance}"`);
  const keyOf: NonNullable<typeof key> =
    key ?? ((_, { remoteAddr }) => String(remoteAddr).replace(/:\d+$/, ""));
  return (candidates, request, info) => byKey(candidates, keyOf(request, info));
}
