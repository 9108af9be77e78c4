/** resolve.ts: host names to addresses, by node:dns. */
import { lookup } from "node:dns";
import { isIP } from "node:net";
import { inspect } from "node:util";
import type { NetError, NetOp } from "./errors.ts";
import { NetError as NetErrorClass } from "./errors.ts";

/** Looks host names up. Dials and listens take one of the caller's. */
export interface Resolver {
  /** The addresses of a host, in the order in which they should be tried. */
  lookupHost(host: string, options?: { signal?: AbortSignal | undefined }): Promise<string[]>;
}

/** getaddrinfo(3), through node:dns: /etc/hosts, then the system's name servers. */
export const systemResolver: Resolver = {
  lookupHost(host, options) {
    return new Promise((resolve, reject) => {
      const { signal } = options ?? {};
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      // getaddrinfo cannot be interrupted; its late answer is dropped.
      const onAbort = (): void => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
      lookup(host, { all: true, order: "verbatim" }, (error, addresses) => {
        signal?.removeEventListener("abort", onAbort);
        if (error !== null) reject(error);
        else resolve(addresses.map(({ address }) => address));
      });
    });
  },
};

/** The addresses of a host, until the signal is aborted, whether or not the resolver heeds it. */
export async function lookupHost(
  resolver: Resolver = systemResolver,
  host: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const answer = resolver.lookupHost(host, { signal });
  const ips: unknown = await (signal === undefined ? answer : unlessAborted(answer, signal));
  // What it answers ends in a sockaddr.
  if (Array.isArray(ips) && ips.every((ip) => typeof ip === "string" && isNumeric(ip))) return ips;
  throw new TypeError(`the resolver answered ${inspect(ips)} instead of IP addresses`);
}

function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const done = (): void => signal.removeEventListener("abort", onAbort);
    answer.then(resolve, reject).then(done, done);
  });
}

/** Whether the text is an IP address and needs no look-up. */
export function isNumeric(host: string): boolean {
  return isIP(host) !== 0;
}

/** The error for a name that was not found. */
export function resolveError(
  op: NetOp,
  network: string,
  address: string,
  host: string,
  cause: unknown,
): NetError {
  const code = (cause as { code?: unknown } | null)?.code;
  return new NetErrorClass({
    op,
    network,
    address,
    code: typeof code === "string" ? code : "ENOTFOUND",
    text: `the name "${host}" could not be resolved`,
    cause,
  });
}
