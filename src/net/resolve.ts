/** resolve.ts: names as the system resolves them, and the look-up that dials and listens make. */
import { lookup } from "node:dns";
import { isIP } from "node:net";
import { inspect } from "node:util";
import { awaited } from "../runtime/awaited.ts";
import { DNSResolver } from "./dns_resolver.ts";
import type { NetError, NetOp } from "./errors.ts";
import { NetError as NetErrorClass } from "./errors.ts";
import {
  checkName,
  type LookupOptions,
  lookupError,
  type NameResolver,
  type Resolver,
  refuseAborted,
} from "./names.ts";

const FAMILIES = { ip: 0, ip4: 4, ip6: 6 } as const;

class SystemResolver extends DNSResolver implements NameResolver {
  override async lookupHost(host: string, options?: LookupOptions): Promise<string[]> {
    return await this.lookupIP("ip", host, options);
  }

  override async lookupIP(
    network: "ip" | "ip4" | "ip6",
    host: string,
    options?: LookupOptions,
  ): Promise<string[]> {
    if (!Object.hasOwn(FAMILIES, network)) {
      throw new TypeError(`lookupIP: unknown network "${network}"; known: ip, ip4, ip6`);
    }
    const question = { record: network === "ip" ? "host" : network, name: host, servers: "" };
    checkName(question);
    const signal = options?.signal;
    refuseAborted(question, signal);
    const answer = getaddrinfo(host, FAMILIES[network]);
    try {
      return await (signal === undefined ? answer : unlessAborted(answer, signal));
    } catch (cause) {
      refuseAborted(question, signal);
      throw lookupError(question, cause);
    }
  }
}

/** It cannot be interrupted: a late answer is dropped by whoever no longer waits for it. */
function getaddrinfo(host: string, family: 0 | 4 | 6): Promise<string[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { all: true, family, order: "verbatim" }, (error, addresses) => {
      if (error !== null) reject(error);
      else resolve(addresses.map(({ address }) => address));
    });
  });
}

/**
 * The system's resolver. Hosts by getaddrinfo(3): /etc/hosts, then whatever the system is configured
 * to use; every other record by DNS from the system's name servers.
 *
 * @example
 * import { systemResolver } from "coronet";
 * const ips = await systemResolver.lookupIP("ip4", "localhost");
 * console.log(ips.includes("127.0.0.1")); // true
 */
export const systemResolver: NameResolver = new SystemResolver();

/** The addresses of a host, until the signal is aborted, whether or not the resolver heeds it. */
export async function lookupHost(
  resolver: Resolver = systemResolver,
  host: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const answer = resolver.lookupHost(host, { signal });
  const abortable = signal === undefined ? answer : unlessAborted(answer, signal);
  const ips: unknown = await awaited(Promise.resolve(abortable), "resolve", { host });
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
  const { code, timeout } = (cause ?? {}) as { code?: unknown; timeout?: unknown };
  return new NetErrorClass({
    op,
    network,
    address,
    code: typeof code === "string" ? code : "ENOTFOUND",
    text: `the name "${host}" could not be resolved`,
    timeout: timeout === true,
    cause,
  });
}
