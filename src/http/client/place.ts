/** place.ts: a url, and what is made of it for each of its requests. */
import type { Origin, Origins } from "./origin.ts";

export interface Place {
  readonly url: URL;
  /** Without the fragment, which is nobody's but the caller's. */
  readonly href: string;
  /** Path and query. */
  readonly target: string;
  readonly origin: Origin;
  /** The unix socket that is dialled instead. */
  readonly socketPath: string | undefined;
}

export function placeOf(url: URL, origins: Origins, socketPath: string | undefined): Place {
  const { href, hash, pathname, search } = url;
  const origin = origins.of(url, socketPath);
  const plain = hash === "" ? href : href.slice(0, -hash.length);
  return { url, href: plain, target: pathname + search, origin, socketPath };
}
