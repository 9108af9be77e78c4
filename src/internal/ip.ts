/** ip.ts: IP addresses as text and as bytes in network order. */
import { networkInterfaces } from "node:os";

/** The 4 bytes of an IPv4 address; `text` is known to be valid. */
export function parseIPv4(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

/** The 16 bytes of an IPv6 address (RFC 4291, section 2.2); `text` is known to be valid. */
export function parseIPv6(text: string): Uint8Array {
  let plain = text;
  const four = /(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (four !== null) {
    const [a, b, c, d] = parseIPv4(four[1] as string) as unknown as [
      number,
      number,
      number,
      number,
    ];
    plain = `${text.slice(0, four.index)}${hex((a << 8) | b)}:${hex((c << 8) | d)}`;
  }
  const [head, tail] = plain.split("::") as [string, string | undefined];
  const left = groups(head);
  const right = groups(tail ?? "");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...new Array<number>(zeros).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function groups(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

function hex(value: number): string {
  return value.toString(16);
}

/** Text of the 4 or 16 bytes of an IP address; IPv6 as in RFC 5952, mapped IPv4 as IPv4. */
export function formatIP(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join(".");
  const mapped = ip.subarray(0, 10).every((byte) => byte === 0) && ip[10] === 255 && ip[11] === 255;
  if (mapped) return ip.subarray(12).join(".");
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push(((ip[i] as number) << 8) | (ip[i + 1] as number));
  const [start, length] = longestZeros(words);
  if (length < 2) return words.map(hex).join(":");
  const head = words.slice(0, start).map(hex).join(":");
  const tail = words
    .slice(start + length)
    .map(hex)
    .join(":");
  return `${head}::${tail}`;
}

function longestZeros(words: number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > best[1]) best = [i, end - i];
    if (end > i) i = end;
  }
  return best;
}

/** The interface that a link-local address belongs to, by its index; "" for 0. */
export function zoneName(index: number): string {
  if (index === 0) return "";
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some((a) => a.family === "IPv6" && a.scopeid === index)) return name;
  }
  return String(index);
}

/** The index of an interface, by its name or the index in text; 0 when it has no link-local address. */
export function zoneIndex(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  for (const address of networkInterfaces()[zone] ?? []) {
    // Only its link-local addresses carry the interface's index.
    if (address.family === "IPv6" && address.scopeid > 0) return address.scopeid;
  }
  return 0;
}
