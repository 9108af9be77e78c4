/**
 * names.ts: what can be asked of names: the interfaces of resolvers, their records and errors.
 */
import { type NetError, NetError as NetErrorClass } from "./errors.ts";

export interface LookupOptions {
  /** Ends this look-up only (ERR_CANCELED). */
  signal?: AbortSignal | undefined;
}

/** Looks host names up. Dials and listens take one of the caller's. */
export interface Resolver {
  /** The addresses of a host, in the order in which they should be tried. */
  lookupHost(host: string, options?: LookupOptions): Promise<string[]>;
}

/** Where a service is (RFC 2782). */
export interface SRV {
  target: string;
  port: number;
  priority: number;
  weight: number;
}

/** A host that takes mail (RFC 1035); a lower preference comes first. */
export interface MX {
  host: string;
  pref: number;
}

/**
 * Everything that can be looked up, as Go's net.Resolver has it. Names are given and returned without
 * a dot at the end. Each method fails with a NetError whose `op` is "lookup" and whose `address` is
 * the name that was asked for: ENOTFOUND when the name does not exist, ENODATA when it has no such
 * record, ETIMEDOUT (`timeout` true) when no server answers, ERR_CANCELED, ESERVFAIL, EREFUSED, …
 */
export interface NameResolver extends Resolver {
  /** The addresses of a host of one family, or of both ("ip"). */
  lookupIP(network: "ip" | "ip4" | "ip6", host: string, options?: LookupOptions): Promise<string[]>;
  /**
   * Where a service is: of _service._proto.name, or of the name itself when both are "". By priority,
   * and at random by weight within one, so that the first is the one to try.
   */
  lookupSRV(service: string, proto: string, name: string, options?: LookupOptions): Promise<SRV[]>;
  /** The texts of a name, one for each record. */
  lookupTXT(name: string, options?: LookupOptions): Promise<string[]>;
  /** The hosts that take a domain's mail, in the order of preference. */
  lookupMX(name: string, options?: LookupOptions): Promise<MX[]>;
  /** The name servers of a domain. */
  lookupNS(name: string, options?: LookupOptions): Promise<string[]>;
  /** The name at the end of a host's aliases; the host itself when it has none. */
  lookupCNAME(host: string, options?: LookupOptions): Promise<string>;
  /** The names of an IP address. */
  lookupAddr(ip: string, options?: LookupOptions): Promise<string[]>;
}

/** What a failed look-up was about. */
export interface Question {
  /** What was looked up: "host", "TXT", … */
  record: string;
  name: string;
  /** The servers that were asked, as text. */
  servers: string;
}

/** Codes of node:dns that have another name everywhere else. */
const CODES = new Map([
  ["ETIMEOUT", "ETIMEDOUT"],
  ["EBADNAME", "EINVAL"],
]);

const TEXTS = new Map<string, [text: string, hint?: string]>([
  ["ENOTFOUND", ["the name does not exist", "check its spelling"]],
  ["ENODATA", ["the name has no record of that kind"]],
  ["ETIMEDOUT", ["no server answered in time", "check the name server and the way to it"]],
  ["ECONNREFUSED", ["no name server listens there"]],
  ["ESERVFAIL", ["the server failed to answer", "try again, or ask another server"]],
  ["EREFUSED", ["the server refuses to answer"]],
  ["EAI_AGAIN", ["the name could not be resolved at the moment", "check the system's name server"]],
  ["EINVAL", ["it is no name that can be looked up"]],
]);

/** The error of a look-up; the code is taken from its cause. */
export function lookupError({ record, name, servers }: Question, cause: unknown): NetError {
  const given = (cause as { code?: unknown } | null)?.code;
  const known = typeof given === "string" ? (CODES.get(given) ?? given) : "ENOTFOUND";
  const [text, hint] = TEXTS.get(known) ?? [(cause as Error)?.message ?? "it failed"];
  const asked = servers === "" || known === "EINVAL" ? "" : ` (asked ${servers})`;
  return new NetErrorClass({
    op: "lookup",
    network: record,
    address: name,
    code: known,
    text: `${text}${asked}`,
    hint,
    timeout: known === "ETIMEDOUT",
    cause,
  });
}

/** Fails when the signal has ended the look-up. */
export function refuseAborted(question: Question, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  const { record: network, name: address } = question;
  const code = "ERR_CANCELED";
  const text = "operation was canceled";
  const { reason: cause } = signal;
  throw new NetErrorClass({ op: "lookup", network, address, code, text, cause });
}

/** Fails with a TypeError for what is no text, and with EINVAL for an empty name. */
export function checkName(question: Question): void {
  const { name, record } = question;
  if (typeof name !== "string") {
    throw new TypeError(`lookup ${record}: expected a name in text, got ${String(name)}`);
  }
  if (name === "" || name.includes("\0")) throw lookupError(question, { code: "EINVAL" });
}
