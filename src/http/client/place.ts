/** place.ts: a url, and what is made of it for each of its requests. */
import type { Origin } from "./origin.ts";
import type { ClientTlsOptions } from "./tls.ts";

export interface Place {
  readonly url: URL;
  /** Without the fragment, which is nobody's but the caller's. */
  readonly href: string;
  /** Path and query. */
  readonly target: string;
  readonly origin: Origin;
  /** The unix socket that is dialled instead. */
  readonly socketPath: string | undefined;
  /** What the caller says of TLS. */
  readonly tls: ClientTlsOptions | undefined;
}

export function placeOf(
  url: URL,
  origin: Origin,
  socketPath: string | undefined,
  tls: ClientTlsOptions | undefined,
): Place {
  const { href, hash, pathname, search } = url;
  const plain = hash === "" ? href : href.slice(0, -hash.length);
  return { url, href: plain, target: pathname + search, origin, socketPath, tls };
}
