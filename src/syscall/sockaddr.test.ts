/** sockaddr.test.ts: addresses in bytes, there and back, and as the kernel writes them. */
import assert from "node:assert/strict";
import { endianness } from "node:os";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM } from "./constants.ts";
import { NAME_BUFFER_SIZE } from "./kernel.ts";
import { nativeKernel } from "./native.ts";
import {
  decode,
  encodeInet,
  encodeUnix,
  type InetAddress,
  MAX_UNIX_PATH,
  pack,
  type SocketAddress,
  unpack,
} from "./sockaddr.ts";

/** A name buffer as the kernel fills it in; what it does not write is noise. */
function named(sockaddr: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(NAME_BUFFER_SIZE).fill(0xee);
  buffer.set(new Uint8Array(new Uint32Array([sockaddr.length]).buffer));
  buffer.set(sockaddr, 4);
  return buffer;
}

const port = fc.integer({ min: 0, max: 65_535 });
const bytes = (n: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: n, maxLength: n });

const v4: fc.Arbitrary<InetAddress> = fc
  .tuple(bytes(4), port)
  .map(([ip, n]) => ({ family: AF_INET, ip, port: n, scope: 0 }));
const v6: fc.Arbitrary<InetAddress> = fc
  .tuple(bytes(16), port, fc.integer({ min: 0, max: 0xffff_ffff }))
  .map(([ip, n, scope]) => ({ family: AF_INET6, ip, port: n, scope }));
const path = fc
  .uint8Array({ min: 1, minLength: 1, maxLength: MAX_UNIX_PATH })
  .filter((value) => value[0] !== 0);
const abstract = fc
  .uint8Array({ maxLength: MAX_UNIX_PATH })
  .map((rest) => Uint8Array.of(0, ...rest));

describe("an address", () => {
  for (const [name, arbitrary] of [
    ["IPv4", v4],
    ["IPv6 with a scope", v6],
  ] as const) {
    test(`of ${name} comes back as it was, also packed`, () => {
      fc.assert(
        fc.property(arbitrary, (address) => {
          const buffer = named(encodeInet(address));
          assert.deepEqual(decode(buffer), address);
          assert.deepEqual(unpack(pack(buffer)), address);
        }),
      );
    });
  }

  for (const [name, arbitrary] of [
    ["a path", path],
    ["an abstract name, NULs and all", abstract],
  ] as const) {
    test(`of a unix socket with ${name} comes back as it was, also packed`, () => {
      fc.assert(
        fc.property(arbitrary, (value) => {
          const buffer = named(encodeUnix(value));
          const expected: SocketAddress = { family: AF_UNIX, path: value };
          assert.deepEqual(decode(buffer), expected);
          assert.deepEqual(unpack(pack(buffer)), expected);
        }),
      );
    });
  }

  test("of a unix socket without a name has an empty path", () => {
    const buffer = named(Uint8Array.of(...new Uint8Array(new Uint16Array([AF_UNIX]).buffer)));
    assert.deepEqual(decode(buffer), { family: AF_UNIX, path: new Uint8Array(0) });
    assert.deepEqual(unpack(pack(buffer)), { family: AF_UNIX, path: new Uint8Array(0) });
  });

  test("of an unknown family, or none, is undefined", () => {
    assert.equal(decode(named(Uint8Array.of(77, 77, 1, 2))), undefined);
    assert.equal(decode(named(new Uint8Array(0))), undefined);
    assert.equal(decode(named(new Uint8Array(1))), undefined);
  });

  test("is taken out of its buffer: the buffer may be used again", () => {
    const buffer = named(
      encodeInet({ family: AF_INET, ip: bytesOf(1, 2, 3, 4), port: 5, scope: 0 }),
    );
    const address = decode(buffer) as InetAddress;
    buffer.fill(0);
    assert.deepEqual([...address.ip], [1, 2, 3, 4]);
  });

  test("is read at the place of its view, not of its memory", () => {
    const address: InetAddress = {
      family: AF_INET6,
      ip: new Uint8Array(16).fill(3),
      port: 7,
      scope: 9,
    };
    const memory = new Uint8Array(400);
    memory.set(named(encodeInet(address)), 41);
    const view = memory.subarray(41, 41 + NAME_BUFFER_SIZE);
    assert.deepEqual(decode(view), address);
    assert.deepEqual(unpack(pack(view)), address);
  });
});

function bytesOf(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

test("the layout is that of the man pages", { skip: endianness() !== "LE" }, () => {
  assert.deepEqual(
    [...encodeInet({ family: AF_INET, ip: bytesOf(127, 0, 0, 1), port: 0x1234, scope: 0 })],
    [2, 0, 0x12, 0x34, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
  );
  const ip = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  assert.deepEqual(
    [...encodeInet({ family: AF_INET6, ip, port: 80, scope: 0x0102 })],
    [10, 0, 0, 80, 0, 0, 0, 0, ...ip, 2, 1, 0, 0],
  );
  assert.deepEqual([...encodeUnix(Buffer.from("/a"))], [1, 0, 47, 97, 0]);
  assert.deepEqual([...encodeUnix(bytesOf(0, 97))], [1, 0, 0, 97]);
});

describe("the kernel", () => {
  const kernel = nativeKernel();
  const open: number[] = [];
  after(() => {
    for (const fd of open) kernel.close(fd);
  });

  function bound(family: number, sockaddr: Uint8Array): SocketAddress | undefined {
    const fd = kernel.socket(family, SOCK_STREAM, 0);
    open.push(fd);
    assert.equal(kernel.bind(fd, sockaddr), 0);
    const out = new Uint8Array(NAME_BUFFER_SIZE);
    assert.equal(kernel.getsockname(fd, out), 0);
    assert.deepEqual(unpack(pack(out)), decode(out));
    return decode(out);
  }

  test("understands an IPv4 address, and gives its port", () => {
    const ip = bytesOf(127, 0, 0, 1);
    const address = bound(AF_INET, encodeInet({ family: AF_INET, ip, port: 0, scope: 0 }));
    const { port: given, ...rest } = address as InetAddress;
    assert.deepEqual(rest, { family: AF_INET, ip, scope: 0 });
    assert.ok(given > 0);
  });

  test("understands an IPv6 address", (t) => {
    const ip = new Uint8Array(16);
    ip[15] = 1;
    const sockaddr = encodeInet({ family: AF_INET6, ip, port: 0, scope: 0 });
    const probe = kernel.socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0 || (kernel.bind(probe, sockaddr) as number) < 0)
      return t.skip("this machine has no IPv6");
    kernel.close(probe);
    const address = bound(AF_INET6, sockaddr) as InetAddress;
    assert.deepEqual([...address.ip], [...ip]);
    assert.ok(address.port > 0);
  });

  test("understands an abstract name with NULs, and one as long as can be", () => {
    const names = [
      bytesOf(0, 1, 0, 2, 0, process.pid & 0xff, process.pid >> 8),
      new Uint8Array(108).fill(process.pid & 0xff, 1),
    ];
    for (const name of names) {
      const address = bound(AF_UNIX, encodeUnix(name));
      assert.deepEqual(address, { family: AF_UNIX, path: name });
    }
  });

  test("gives an unnamed unix socket an empty address", () => {
    const pair = new Int32Array(2);
    assert.equal(kernel.socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
    open.push(...pair);
    const out = new Uint8Array(NAME_BUFFER_SIZE);
    for (const fd of pair) {
      assert.equal(kernel.getpeername(fd, out), 0);
      assert.deepEqual(decode(out), { family: AF_UNIX, path: new Uint8Array(0) });
    }
  });
});
