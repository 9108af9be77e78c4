/**
 * dns_resolver.ts: names by DNS alone, from servers of the caller's choice.
 *
 * node:dns can cancel only all queries of one of its resolvers, so each query gets one of its own: a
 * query that is canceled ends at once, with its sockets and timers, and no other is touched.
 */
import { Resolver as Channel, type MxRecord, type SrvRecord } from "node:dns";
import { isIP } from "node:net";
import { runtime } from "../runtime/runtime.ts";
import {
  checkName,
  type LookupOptions,
  lookupError,
  type MX,
  type NameResolver,
  type Question,
  refuseAborted,
  type SRV,
} from "./names.ts";

export interface DNSResolverOptions {
  /** "ip", "ip:port", "[v6]:port"; those of the system (/etc/resolv.conf) by default. */
  servers?: readonly string[];
  /** How long one try may take at first, in ms; later ones take longer. Node's default: 5 s. */
  timeout?: number;
  /** How often each server is asked; 4 by default. */
  tries?: number;
}

/** Aliases that are followed at most. */
const MAX_ALIASES = 16;

type Done<T> = (error: NodeJS.ErrnoException | null, value: T) => void;
type Ask<T> = (channel: Channel, name: string, done: Done<T>) => void;

function positive(value: number | undefined, name: string): void {
  if (value === undefined || (Number.isInteger(value) && value > 0 && value <= 0x7fff_ffff)) return;
  throw new RangeError(`DNSResolver: ${name} must be a positive whole number, got ${value}`);
}

/**
 * Looks names up by DNS, without /etc/hosts and what else the system is configured to use.
 *
 * @example
 * import { DNSResolver, NetError } from "coronet";
 * // A server that is not there: in life leave `servers` out, or name yours.
 * const resolver = new DNSResolver({ servers: ["127.0.0.1:1"], timeout: 200, tries: 1 });
 * try {
 *   await resolver.lookupTXT("example.com", { signal: AbortSignal.timeout(1000) });
 * } catch (error) {
 *   if (error instanceof NetError) console.log(error.op, error.address); // lookup example.com
 * }
 */
export class DNSResolver implements NameResolver {
  private readonly options: DNSResolverOptions;
  private readonly servers: readonly string[] | undefined;

  /** Throws a TypeError for a server that is no address, a RangeError for a wrong number. */
  constructor(options: DNSResolverOptions = {}) {
    positive(options.timeout, "timeout");
    positive(options.tries, "tries");
    this.options = options;
    this.servers = options.servers === undefined ? undefined : [...options.servers];
    if (this.servers?.length === 0) throw new TypeError("DNSResolver: servers must name one");
    // Says what is wrong with them.
    if (this.servers !== undefined) this.channel();
  }

  async lookupHost(host: string, options?: LookupOptions): Promise<string[]> {
    return await this.lookupIP("ip", host, options);
  }

  async lookupIP(
    network: "ip" | "ip4" | "ip6",
    host: string,
    options?: LookupOptions,
  ): Promise<string[]> {
    if (network !== "ip" && network !== "ip4" && network !== "ip6") {
      throw new TypeError(`lookupIP: unknown network "${network}"; known: ip, ip4, ip6`);
    }
    const families = network === "ip" ? [6, 4] : [Number(network[2])];
    const version = isIP(host);
    if (version !== 0 && families.includes(version)) return [host];
    const answers = await Promise.allSettled(
      families.map((family) => this.addresses(network, family, host, options)),
    );
    const ips = answers.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
    if (ips.length > 0) return ips;
    const errors = answers.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    throw errors.find((error) => error.code !== "ENODATA") ?? errors[0];
  }

  private addresses(
    network: string,
    family: number,
    host: string,
    options: LookupOptions | undefined,
  ): Promise<string[]> {
    const record = network === "ip" ? "host" : network;
    return this.query<string[]>(record, host, options, (channel, name, done) =>
      family === 6 ? channel.resolve6(name, done) : channel.resolve4(name, done),
    );
  }

  async lookupSRV(
    service: string,
    proto: string,
    name: string,
    options?: LookupOptions,
  ): Promise<SRV[]> {
    const full = service === "" && proto === "" ? name : `_${service}._${proto}.${name}`;
    const records = await this.query<SrvRecord[]>("SRV", full, options, (channel, asked, done) =>
      channel.resolveSrv(asked, done),
    );
    return inOrderOfTrial(
      records.map(({ name: target, port, priority, weight }) => {
        return { target, port, priority, weight };
      }),
    );
  }

  async lookupTXT(name: string, options?: LookupOptions): Promise<string[]> {
    const records = await this.query<string[][]>("TXT", name, options, (channel, asked, done) =>
      channel.resolveTxt(asked, done),
    );
    return records.map((parts) => parts.join(""));
  }

  async lookupMX(name: string, options?: LookupOptions): Promise<MX[]> {
    const records = await this.query<MxRecord[]>("MX", name, options, (channel, asked, done) =>
      channel.resolveMx(asked, done),
    );
    return records
      .map(({ exchange, priority }) => ({ host: exchange, pref: priority }))
      .sort((a, b) => a.pref - b.pref);
  }

  async lookupNS(name: string, options?: LookupOptions): Promise<string[]> {
    return await this.query<string[]>("NS", name, options, (channel, asked, done) =>
      channel.resolveNs(asked, done),
    );
  }

  async lookupCNAME(host: string, options?: LookupOptions): Promise<string> {
    let name = host;
    for (let hops = 0; hops < MAX_ALIASES; hops++) {
      try {
        const [next] = await this.query<string[]>("CNAME", name, options, (channel, asked, done) =>
          channel.resolveCname(asked, done),
        );
        if (next === undefined) return name;
        name = next;
      } catch (error) {
        // There is no further alias; where the last one leads to need not exist.
        const { code } = error as { code: string };
        if (code === "ENODATA" || (code === "ENOTFOUND" && hops > 0)) return name;
        throw error;
      }
    }
    const why = `its aliases go round, or are more than ${MAX_ALIASES}`;
    const cause = Object.assign(new Error(why), { code: "ELOOP" });
    throw lookupError(this.question("CNAME", host), cause);
  }

  async lookupAddr(ip: string, options?: LookupOptions): Promise<string[]> {
    const question = this.question("PTR", ip);
    if (typeof ip === "string" && isIP(ip) === 0) throw lookupError(question, { code: "EINVAL" });
    return await this.query<string[]>("PTR", ip, options, (channel, asked, done) =>
      channel.reverse(asked, done),
    );
  }

  private question(record: string, name: string): Question {
    return { record, name, servers: (this.servers ?? []).join(", ") };
  }

  private channel(): Channel {
    const { timeout, tries } = this.options;
    const channel = new Channel({
      ...(timeout === undefined ? {} : { timeout }),
      ...(tries === undefined ? {} : { tries }),
    });
    if (this.servers !== undefined) channel.setServers(this.servers);
    return channel;
  }

  private async query<T>(
    record: string,
    name: string,
    options: LookupOptions | undefined,
    ask: Ask<T>,
  ): Promise<T> {
    const question = this.question(record, name);
    checkName(question);
    const signal = options?.signal;
    refuseAborted(question, signal);
    try {
      return await answered(this.channel(), name, signal, ask);
    } catch (cause) {
      refuseAborted(question, signal);
      throw lookupError(question, cause);
    }
  }
}

/** What the servers answer; rejects at once when the signal is aborted, and ends the query. */
function answered<T>(
  channel: Channel,
  name: string,
  signal: AbortSignal | undefined,
  ask: Ask<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal?.reason);
      channel.cancel();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    ask(channel, name, (error, value) => {
      signal?.removeEventListener("abort", onAbort);
      if (error !== null) reject(error);
      else resolve(value);
    });
  });
}

/** By priority; within one at random, the more often first the greater the weight (RFC 2782). */
export function inOrderOfTrial(records: readonly SRV[]): SRV[] {
  const left = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: SRV[] = [];
  while (left.length > 0) {
    const { priority } = left[0] as SRV;
    const chosen = draw(left.filter((each) => each.priority === priority));
    ordered.push(chosen);
    left.splice(left.indexOf(chosen), 1);
  }
  return ordered;
}

/** One record, the likelier the greater its weight. */
function draw(records: readonly SRV[]): SRV {
  const total = records.reduce((sum, { weight }) => sum + weight, 0);
  let drawn = runtime().random.below(total + 1);
  for (const record of records) {
    drawn -= record.weight;
    if (drawn <= 0) return record;
  }
  return records[0] as SRV;
}
