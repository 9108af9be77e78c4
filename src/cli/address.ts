/** address.ts: addresses as they are typed, and what to type in another terminal to reach one. */
import { type Addr, type StreamNetwork, TCPAddr } from "../index.ts";
import { UsageError } from "./arguments.ts";

const NETWORKS: readonly string[] = [
  "tcp",
  "tcp4",
  "tcp6",
  "unix",
  "unixpacket",
] satisfies StreamNetwork[];

/** Shown by the help of every command that takes an address. */
export const ADDRESS_HELP = `Addresses: 127.0.0.1:2333   [::1]:2333   :2333   localhost:0   /run/x.sock   @name
  :2333 is every interface to a server, this machine to a client; port 0 is any free one;
  what contains a "/" or begins with "@" is a unix socket`;

/** The network that an address belongs to by its form, unless one is named. */
export function networkOf(address: string, named: string | undefined): StreamNetwork {
  if (named === undefined) return looksUnix(address) ? "unix" : "tcp";
  if (NETWORKS.includes(named)) return named as StreamNetwork;
  throw new UsageError(`coronet: unknown network "${named}"; known: ${NETWORKS.join(", ")}`);
}

function looksUnix(address: string): boolean {
  return address.startsWith("@") || address.includes("/");
}

/** The command that connects to an address by hand. */
export function clientFor(addr: Addr): string {
  return client(addr, "");
}

/** The same, for the end of a pipe: it half-closes when its input ends. */
export function pipeClientFor(addr: Addr): string {
  return client(addr, "-N ");
}

function client(addr: Addr, flag: string): string {
  if (addr instanceof TCPAddr) return `nc ${flag}${reachable(addr)} ${addr.port}`;
  const name = String(addr);
  if (name.startsWith("@")) return `socat - ABSTRACT-CONNECT:${name.slice(1)}`;
  return `nc ${flag}-U ${name}`;
}

/** An address of this machine, where the listener has them all. */
function reachable({ ip, zone }: TCPAddr): string {
  if (ip === "0.0.0.0" || ip === "::") return "127.0.0.1";
  return zone === "" ? ip : `${ip}%${zone}`;
}

/** Where the second service of a program listens, unless it is told: beside the first. */
export function neighbour(address: string, port: number): string {
  if (looksUnix(address)) return `${address}.stats`;
  return `${address.slice(0, address.lastIndexOf(":") + 1)}${port}`;
}
