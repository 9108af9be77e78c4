/** addr.test.ts: addresses in text: what is understood, what is refused, and how it is written. */
import assert from "node:assert/strict";
import { isIP, isIPv6 } from "node:net";
import { describe, test } from "node:test";
import { seeded } from "../../testing/support.ts";
import { unpack } from "../syscall/sockaddr.ts";
import {
  AddressError,
  addrOf,
  inetSockaddr,
  splitHostPort,
  TCPAddr,
  UnixAddr,
  unixSockaddr,
} from "./addr.ts";

/** A sockaddr as text, by way of the value that the kernel's answer becomes. */
function textOf(sockaddr: Uint8Array, network: "tcp" | "unix" = "tcp"): string {
  return String(addrOf(network, unpack(String.fromCharCode(...sockaddr))));
}

describe("host and port", () => {
  test("are told apart", () => {
    for (const [address, host, zone, port] of [
      ["127.0.0.1:80", "127.0.0.1", "", 80],
      ["example.org:65535", "example.org", "", 65_535],
      [":0", "", "", 0],
      ["[::1]:443", "::1", "", 443],
      ["[fe80::1%eth0]:22", "fe80::1", "eth0", 22],
      ["[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", "", 1],
      ["host:00080", "host", "", 80],
    ] as const) {
      assert.deepEqual(splitHostPort(address), { host, zone, port }, address);
    }
  });

  test("are refused with the reason", () => {
    for (const [address, reason] of [
      ["", /no port/],
      ["host", /no port/],
      ["host:", /port must be a number/],
      ["host:1e3", /port must be a number/],
      ["host: 80", /port must be a number/],
      ["host:+80", /port must be a number/],
      ["host:0x50", /port must be a number/],
      ["host:99999", /port must be a number/],
      ["host:123456", /port must be a number/],
      ["::1", /too many colons/],
      ["1:2:3", /too many colons/],
      ["[::1]", /no port/],
      ["[::1]80", /no port/],
      ["[host]:80", /not an IPv6 address/],
      ["[]:80", /not an IPv6 address/],
      ["[::1:80", /no port|colons/],
      ["[[::1]]:80", /no port|not an IPv6/],
    ] as const) {
      assert.throws(() => splitHostPort(address), { message: reason }, address);
      assert.throws(() => splitHostPort(address), AddressError, address);
    }
  });

  test("never crash, whatever the text, and what is understood can be written again", (t) => {
    const random = seeded(t);
    const alphabet = "0123456789abcdef:::...[[]]%%/@ \0é-+xX\n";
    let understood = 0;
    for (let i = 0; i < 50_000; i++) {
      let text = "";
      for (let n = random.below(12); n > 0; n--) text += alphabet[random.below(alphabet.length)];
      if (random.chance(0.5)) text += `:${random.below(70_000)}`;
      try {
        const { host, zone, port } = splitHostPort(text);
        assert.ok(Number.isInteger(port) && port >= 0 && port <= 65_535, text);
        assert.ok(!/[[\]]/.test(host + zone) || text.includes("%"), text);
        understood++;
        const again = isIPv6(host) ? String(new TCPAddr(host, port, zone)) : undefined;
        if (again !== undefined) assert.deepEqual(splitHostPort(again), { host, zone, port }, text);
      } catch (error) {
        assert.ok(error instanceof AddressError, `${JSON.stringify(text)}: ${error}`);
      }
    }
    assert.ok(understood > 100, `only ${understood} were understood`);
  });
});

describe("IP addresses", () => {
  test("become what the kernel calls them, and their shortest text again", () => {
    for (const [text, expected = text] of [
      ["0.0.0.0"],
      ["127.0.0.1"],
      ["255.255.255.255"],
      ["::"],
      ["::1"],
      ["1::"],
      ["2001:db8::8:800:200c:417a"],
      ["1:2:3:4:5:6:7:8"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1"],
      ["1:0:2:0:0:0:3:0", "1:0:2::3:0"],
      ["::ffff:10.1.2.3", "10.1.2.3"],
      ["::ffff:a01:203", "10.1.2.3"],
      ["64:ff9b::10.1.2.3", "64:ff9b::a01:203"],
      ["::10.1.2.3", "::a01:203"],
      ["fe80::1%3", "fe80::1%3"],
    ] as [string, string?][]) {
      const written = textOf(inetSockaddr(text, 80));
      const wanted = expected.includes(":") ? `[${expected}]:80` : `${expected}:80`;
      assert.equal(written.replace(/%[^\]]*/, ""), wanted.replace(/%[^\]]*/, ""), text);
    }
  });

  test("of IPv4 are mapped for a socket of IPv6", () => {
    const sockaddr = inetSockaddr("10.1.2.3", 80, "", true);
    assert.equal(sockaddr.length, 28);
    assert.equal(textOf(sockaddr), "10.1.2.3:80");
  });

  test("survive the way there and back, all of them", (t) => {
    const random = seeded(t);
    for (let i = 0; i < 5000; i++) {
      const groups = Array.from({ length: 8 }, () =>
        random.chance(0.5) ? "0" : random.below(65_536).toString(16),
      );
      const text = groups.join(":");
      const written = textOf(inetSockaddr(text, random.below(65_536)));
      const { host, port } = splitHostPort(written);
      assert.notEqual(isIP(host), 0, written);
      assert.deepEqual(
        inetSockaddr(host, port, "", true),
        inetSockaddr(text, port),
        `${text} was written as ${written}`,
      );
    }
  });

  test("with a zone of no interface are refused; a number is taken as its index", () => {
    assert.throws(() => inetSockaddr("fe80::1", 80, "no-such-if"), AddressError);
    assert.equal(new DataView(inetSockaddr("fe80::1", 80, "7").buffer).getUint32(24, true), 7);
  });
});

describe("unix addresses", () => {
  test("are paths or abstract names", () => {
    for (const text of [
      "/run/x.sock",
      "relative.sock",
      "@abstract",
      "@",
      "/tmp/协程",
      "@with\0nul",
    ]) {
      assert.equal(textOf(unixSockaddr(text), "unix"), text);
    }
    assert.equal(String(addrOf("unix", undefined)), "");
    assert.equal(String(new UnixAddr("unixpacket", "/x")), "/x");
  });

  test("are refused when they are empty, too long or hold a NUL", () => {
    assert.throws(() => unixSockaddr(""), AddressError);
    assert.throws(() => unixSockaddr("/a\0b"), /no NUL byte/);
    assert.throws(() => unixSockaddr("x".repeat(108)), /has 108 bytes; .* 107 at most/);
    assert.throws(() => unixSockaddr("é".repeat(54)), /has 108 bytes/);
    assert.equal(unixSockaddr("x".repeat(107)).length, 110);
  });
});
