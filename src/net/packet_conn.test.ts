/** packet_conn.test.ts: what only one network of datagrams has: families, groups, paths, full queues. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { describe, type TestContext, test } from "node:test";
import { nativeOnly } from "../../testing/backend.ts";
import { abstractName, lacksIPv6, socketFolder } from "../../testing/conns.ts";
import { openFds, withLeakCheck } from "../../testing/leaks.ts";
import { failure, inMs, staysPending, thrown, turn } from "../../testing/support.ts";
import {
  type ListenPacketOptions,
  listen,
  listenPacket,
  type PacketConn,
  type PacketNetwork,
  stats,
  UDPAddr,
  UnixAddr,
} from "../index.ts";
import {
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_LOOP,
  IPV6_UNICAST_HOPS,
  SOL_SOCKET,
} from "../syscall/constants.ts";
import { nativeKernel } from "../syscall/native.ts";
import { HAS_REUSE_PORT } from "../syscall/portable_socket.ts";

function checked(check: (t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return (t) => withLeakCheck(t, () => check(t));
}

function udp(address = "127.0.0.1:0", options?: ListenPacketOptions): Promise<PacketConn> {
  return listenPacket("udp", address, options);
}

async function receive(conn: PacketConn): Promise<string> {
  const buffer = Buffer.alloc(65_536);
  const { n } = await conn.readFrom(buffer);
  return buffer.toString("utf8", 0, n);
}

/** socket(7), asm-generic: no checksums on what is sent. */
const SO_NO_CHECK = 11;

const portOf = (conn: PacketConn): number => (conn.localAddr as UDPAddr).port;

describe("listenPacket", () => {
  test(
    "takes both families on :port, and shows IPv4 as IPv4",
    {
      skip: lacksIPv6() ?? false,
    },
    checked(async () => {
      await using both = await udp(":0");
      await using four = await listenPacket("udp4", "127.0.0.1:0");
      await using six = await listenPacket("udp6", "[::1]:0");
      await four.writeTo("4", `127.0.0.1:${portOf(both)}`);
      await six.writeTo("6", `[::1]:${portOf(both)}`);
      for (const sender of [four, six]) {
        const { addr } = await both.readFrom(new Uint8Array(4));
        assert.equal(String(addr), String(sender.localAddr));
        await both.writeTo("by address", addr);
        await both.writeTo("by text", String(addr));
        assert.deepEqual([await receive(sender), await receive(sender)], ["by address", "by text"]);
      }
    }),
  );

  test(
    "keeps the families apart where it is asked to",
    {
      skip: lacksIPv6() ?? false,
    },
    checked(async () => {
      await using six = await listenPacket("udp6", ":0");
      await using four = await listenPacket("udp4", `:${portOf(six)}`);
      assert.equal(portOf(four), portOf(six));
      await failure(six.writeTo("x", four.localAddr), "EINVAL");
      await failure(four.writeTo("x", "[::1]:9"), "EINVAL");
      await failure(listenPacket("udp4", "[::1]:0"), "EADDRNOTAVAIL");
    }),
  );

  test(
    "shares a port among sockets that all ask for it",
    { skip: HAS_REUSE_PORT ? false : nativeOnly("Node has reusePort from 23.1 on") },
    checked(async () => {
      await using first = await udp("127.0.0.1:0", { reusePort: true });
      await using second = await udp(String(first.localAddr), { reusePort: true });
      assert.equal(String(first.localAddr), String(second.localAddr));
      const error = await failure(udp(String(first.localAddr)), "EADDRINUSE");
      assert.equal(error.op, "listen");
    }),
  );

  test(
    "asks the resolver for a name",
    checked(async () => {
      const resolver = { lookupHost: async () => ["::1", "127.0.0.1"] };
      await using conn = await udp("somewhere:0", { resolver });
      assert.equal((conn.localAddr as UDPAddr).ip, "127.0.0.1");
      const refusing = { lookupHost: async () => Promise.reject(new Error("no")) };
      await failure(udp("nowhere:0", { resolver: refusing }), "ENOTFOUND");
    }),
  );

  test(
    "refuses what it does not know",
    checked(async () => {
      await assert.rejects(listenPacket("tcp" as PacketNetwork, ":0"), TypeError);
      await assert.rejects(listen("udp" as "tcp", ":0"), /listenPacket/);
      await assert.rejects(udp(":0", { readBuffer: -1 }), RangeError);
      await failure(udp("127.0.0.1"), "EINVAL");
      await failure(udp("192.0.2.200:0"), "EADDRNOTAVAIL");
      await failure(listenPacket("unixgram", `/${"x".repeat(200)}`), "EINVAL");
    }),
  );

  test("leaves no socket behind when it fails", async () => {
    await using held = await udp();
    const before = openFds().size;
    for (let i = 0; i < 20; i++) await failure(udp(String(held.localAddr)), "EADDRINUSE");
    assert.equal(openFds().size, before);
  });

  test(
    "sets the kernel's buffers",
    checked(async () => {
      await using large = await udp("127.0.0.1:0", { readBuffer: 1 << 20, writeBuffer: 1 << 20 });
      large.setReadBuffer(1 << 19).setWriteBuffer(1 << 19);
      await using sender = await udp();
      // Far more than the usual buffer takes.
      const messages = Array.from({ length: 500 }, () => ({ data: "x", addr: large.localAddr }));
      await sender.writeBatch(messages);
      let count = 0;
      while (count < 500) count += (await large.readBatch()).length;
    }),
  );
});

describe("UDP addresses", () => {
  test(
    "are made by the user as well",
    checked(async () => {
      await using a = await udp();
      await using b = await udp();
      const addr = new UDPAddr("127.0.0.1", portOf(b));
      for (const text of ["one", "two"]) await a.writeTo(text, addr);
      assert.deepEqual([await receive(b), await receive(b)], ["one", "two"]);
      await b.writeTo("x", a.localAddr);
      const { addr: from } = await a.readFrom(new Uint8Array(1));
      assert.deepEqual(from, addr);
    }),
  );

  test(
    "of many senders are right, also where two share a place",
    checked(async () => {
      await using server = await udp("127.0.0.1:0", { readBuffer: 1 << 20 });
      const clients = await Promise.all(Array.from({ length: 300 }, () => udp("127.0.0.1:0")));
      for (const client of clients)
        await client.writeTo(String(client.localAddr), server.localAddr);
      let right = 0;
      for await (const { data, addr } of server) {
        assert.equal(Buffer.from(data).toString(), String(addr));
        if (++right === clients.length) break;
      }
      for (const client of clients) await client.close();
    }),
  );
});

describe("a batch over UDP, whose datagrams of one length go through the kernel together", () => {
  /** Lengths that begin and end runs in every way. */
  const lengths = [5, 5, 5, 3, 5, 0, 0, 7, 7, 1452, 1452, 9, 1453, 1453, 4000, 4000, 2, 1, 1, 1];

  function textOf(data: Uint8Array): string {
    return Buffer.from(data).toString();
  }

  for (const [network, local, lacking] of [
    ["udp4", "127.0.0.1:0", undefined],
    ["udp6", "[::1]:0", lacksIPv6()],
  ] as const) {
    test(
      `leaves each as it was, ${network}`,
      { skip: lacking ?? false },
      checked(async () => {
        await using a = await listenPacket(network, local);
        await using b = await listenPacket(network, local, { readBuffer: 1 << 20 });
        await using c = await listenPacket(network, local, { readBuffer: 1 << 20 });
        const texts = lengths.map((length, i) => String.fromCharCode(65 + i).repeat(length));
        const toB = texts.map((data) => ({ data, addr: b.localAddr }));
        assert.equal(await a.writeBatch(toB), texts.length);
        assert.deepEqual(
          (await b.readBatch()).map(({ data }) => textOf(data)),
          texts,
        );
        const toBoth = texts.map((data, i) => ({ data, addr: (i % 5 < 3 ? b : c).localAddr }));
        await a.writeBatch(toBoth);
        for (const [conn, own] of [
          [b, texts.filter((_, i) => i % 5 < 3)],
          [c, texts.filter((_, i) => i % 5 >= 3)],
        ] as const) {
          const batch = await conn.readBatch();
          assert.deepEqual(
            batch.map(({ data }) => textOf(data)),
            own,
          );
          assert.ok(batch.every(({ addr }) => String(addr) === String(a.localAddr)));
        }
      }),
    );
  }

  test(
    "fails with the one that can't be sent, and sends those before it",
    checked(async () => {
      await using a = await listenPacket("udp4", "127.0.0.1:0");
      await using b = await listenPacket("udp4", "127.0.0.1:0");
      const good = { data: "good", addr: b.localAddr };
      const bad = { data: "good", addr: "127.0.0.1:0" };
      const error = await failure(a.writeBatch([good, good, good, bad, bad, good]), "EINVAL");
      assert.equal(error.messagesSent, 3);
      assert.equal(error.address, "127.0.0.1:0");
      assert.equal((await b.readBatch()).length, 3);
      const first = await failure(a.writeBatch([bad, bad]), "EINVAL");
      assert.equal(first.messagesSent, 0);
      assert.equal(await a.writeBatch([good, good]), 2);
      assert.equal((await b.readBatch()).length, 2);
    }),
  );

  test(
    "goes one by one where the kernel can't do so",
    { skip: nativeOnly("its numbers are no fds that the kernel knows") },
    checked(async () => {
      await using a = await listenPacket("udp4", "127.0.0.1:0");
      await using b = await listenPacket("udp4", "127.0.0.1:0");
      // Without checksums it refuses to cut.
      const noCheck = new Uint8Array(new Int32Array([1]).buffer);
      assert.equal(nativeKernel().setsockopt(a.fd.sysfd, SOL_SOCKET, SO_NO_CHECK, noCheck), 0);
      const messages = Array.from({ length: 10 }, () => ({ data: "same", addr: b.localAddr }));
      for (let i = 0; i < 3; i++) assert.equal(await a.writeBatch(messages), 10);
      let count = 0;
      while (count < 30) count += (await b.readBatch()).length;
      assert.equal(count, 30);
    }),
  );
});

describe("broadcast", () => {
  const broadcast = "255.255.255.255:9";

  test(
    "is EACCES until it is allowed",
    checked(async () => {
      await using conn = await listenPacket("udp4", ":0");
      await failure(conn.writeTo("x", broadcast), "EACCES");
      conn.setBroadcast();
      // There may be no route for it on this machine, but permission is no longer the problem.
      await conn.writeTo("x", broadcast).catch(({ code }) => assert.notEqual(code, "EACCES"));
      conn.setBroadcast(false);
      await failure(conn.writeTo("x", broadcast), "EACCES");
    }),
  );
});

/** An interface that takes datagrams to a group and, with `loop`, heeds whether they come back. */
async function interfaceFor(
  network: PacketNetwork,
  group: string,
  loop: boolean,
): Promise<string | undefined> {
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    // The loopback interface is a wire whose both ends are here: everything comes back.
    if (loop && addresses.some(({ internal }) => internal)) continue;
    await using conn = await listenPacket(network, ":0");
    try {
      conn.setMulticastInterface(name).setMulticastTTL(0).joinGroup(group, name);
      const address = group.includes(":") ? `[${group}]:9` : `${group}:9`;
      await conn.writeTo("x", address);
      // The portable backend tells it with the next one.
      await turn();
      await conn.writeTo("x", address);
      return name;
    } catch {
      // It has no route for groups.
    }
  }
  return undefined;
}

// A group that another process is in reaches every socket of its port (IP_MULTICAST_ALL, ip(7)).
const own = `${(process.pid >> 8) & 255}.${process.pid & 255}`;

for (const [network, group, lacking] of [
  ["udp4", `239.11.${own}`, undefined],
  ["udp6", `ff05::1:${(1 + (process.pid & 0xfffe)).toString(16)}`, lacksIPv6()],
  ["udp", `239.12.${own}`, lacksIPv6()],
] as const) {
  const find = async (loop: boolean): Promise<string | undefined> =>
    lacking === undefined ? await interfaceFor(network, group, loop) : undefined;
  const iface = await find(false);
  const looping = await find(true);
  const none = "no interface here has a route for groups";

  describe(`groups of ${network}`, { skip: lacking ?? false }, () => {
    /** A socket that sends, and one that is in the group. */
    async function members(name: string): Promise<[PacketConn, PacketConn]> {
      const sender = await listenPacket(network, ":0");
      const receiver = await listenPacket(network, ":0");
      sender.setMulticastInterface(name).setMulticastTTL(0);
      receiver.joinGroup(group, name);
      return [sender, receiver];
    }

    /** True when what is sent to the group arrives; a datagram to the socket itself comes after it. */
    async function arrives(sender: PacketConn, receiver: PacketConn): Promise<boolean> {
      const port = portOf(receiver);
      await sender.writeTo(
        "group",
        group.includes(":") ? `[${group}]:${port}` : `${group}:${port}`,
      );
      await receiver.writeTo("self", network === "udp4" ? `127.0.0.1:${port}` : `[::1]:${port}`);
      if ((await receive(receiver)) === "self") return false;
      assert.equal(await receive(receiver), "self");
      return true;
    }

    test(
      "reach members only, while they are members",
      { skip: iface === undefined ? none : false },
      checked(async () => {
        const name = iface as string;
        const [sender, receiver] = await members(name);
        await using _ = sender;
        await using __ = receiver;
        assert.equal(await arrives(sender, receiver), true);
        receiver.leaveGroup(group, name);
        assert.equal(await arrives(sender, receiver), false);
        const { op } = await thrown(() => receiver.leaveGroup(group, name), "EADDRNOTAVAIL");
        assert.equal(op, "set");
      }),
    );

    test(
      "reach this machine or not, as the sender says",
      { skip: looping === undefined ? `${none} but the loopback interface` : false },
      checked(async () => {
        const [sender, receiver] = await members(looping as string);
        await using _ = sender;
        await using __ = receiver;
        sender.setMulticastLoop(false);
        assert.equal(await arrives(sender, receiver), false);
        sender.setMulticastLoop(true);
        assert.equal(await arrives(sender, receiver), true);
      }),
    );

    test(
      "and hops are options of each family that the socket has",
      { skip: nativeOnly("its numbers are no fds that the kernel knows") },
      checked(async () => {
        await using conn = await listenPacket(network, ":0");
        conn.setTTL(9).setMulticastTTL(7).setMulticastLoop(false);
        const out = new Uint8Array(4);
        const option = (level: number, name: number): number => {
          assert.ok(nativeKernel().getsockopt(conn.fd.sysfd, level, name, out) > 0);
          return out[0] as number;
        };
        if (network !== "udp6") {
          const four = [IP_TTL, IP_MULTICAST_TTL, IP_MULTICAST_LOOP];
          assert.deepEqual(
            four.map((name) => option(IPPROTO_IP, name)),
            [9, 7, 0],
          );
        }
        if (network !== "udp4") {
          const six = [IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP];
          assert.deepEqual(
            six.map((name) => option(IPPROTO_IPV6, name)),
            [9, 7, 0],
          );
        }
      }),
    );

    test(
      "need an interface that there is",
      checked(async () => {
        await using conn = await listenPacket(network, ":0");
        await thrown(() => conn.joinGroup(group, "nonesuch0"), "ENODEV");
        await thrown(() => conn.setMulticastInterface("nonesuch0"), "ENODEV");
      }),
    );
  });
}

describe("unixgram", { skip: nativeOnly("Node has none") }, () => {
  test(
    "removes its path on close, only if it made it",
    checked(async () => {
      await using folder = await socketFolder();
      const path = folder.path("s");
      {
        await using conn = await listenPacket("unixgram", path);
        assert.equal(String(conn.localAddr), path);
        assert.ok(existsSync(path));
        await failure(listenPacket("unixgram", path), "EADDRINUSE");
        assert.ok(existsSync(path));
      }
      assert.ok(!existsSync(path));
      writeFileSync(path, "mine");
      await failure(listenPacket("unixgram", path), "EADDRINUSE");
      assert.ok(existsSync(path));
    }),
  );

  test(
    "answers by path, and tells a peer without a name",
    checked(async () => {
      await using folder = await socketFolder();
      await using server = await listenPacket("unixgram", folder.path("server"));
      await using client = await listenPacket("unixgram", folder.path("client"));
      await client.writeTo("x", server.localAddr);
      const { addr } = await server.readFrom(new Uint8Array(1));
      assert.ok(addr instanceof UnixAddr);
      assert.equal(addr.path, folder.path("client"));
      await failure(server.writeTo("x", new UnixAddr("unixgram", "")), "EINVAL");
    }),
  );

  test(
    "to nobody is ENOENT or ECONNREFUSED, and the socket goes on",
    checked(async () => {
      await using folder = await socketFolder();
      await using conn = await listenPacket("unixgram", "");
      await failure(conn.writeTo("x", folder.path("none")), "ENOENT");
      await failure(conn.writeTo("x", abstractName()), "ECONNREFUSED");
      await using other = await listenPacket("unixgram", "");
      const messages = [
        { data: "first", addr: other.localAddr },
        { data: "second", addr: folder.path("none") },
        { data: "third", addr: other.localAddr },
      ];
      const error = await failure(conn.writeBatch(messages), "ENOENT");
      assert.equal(error.messagesSent, 1);
      assert.equal(error.address, folder.path("none"));
      assert.match(error.message, /after 1 messages/);
      assert.equal(await receive(other), "first");
    }),
  );

  test(
    "waits while the receiver's queue is full, and then goes on",
    checked(async () => {
      await using a = await listenPacket("unixgram", "");
      await using b = await listenPacket("unixgram", "");
      const messages = Array.from({ length: 1000 }, (_, i) => ({
        data: `${i}`,
        addr: b.localAddr,
      }));
      const batch = a.writeBatch(messages);
      const single = a.writeTo("single", b.localAddr);
      assert.ok(await staysPending(Promise.race([batch, single])));
      assert.equal(stats().timers, 1);
      for (let i = 0; i < 1000; i++) assert.equal(await receive(b), `${i}`);
      assert.equal(await receive(b), "single");
      assert.deepEqual([await batch, await single], [1000, 6]);
    }),
  );

  test(
    "a write that waits obeys deadline, signal and close, and says how far it came",
    checked(async () => {
      await using a = await listenPacket("unixgram", "");
      await using b = await listenPacket("unixgram", "");
      const messages = Array.from({ length: 1000 }, () => ({ data: "x", addr: b.localAddr }));
      const batch = a.writeBatch(messages);
      const { turns } = stats();
      a.setWriteDeadline(inMs(100));
      const first = await failure(batch, "ERR_DEADLINE");
      assert.ok(stats().turns - turns < 100, "it looks for room all the time");
      assert.ok((first.messagesSent as number) > 0 && (first.messagesSent as number) < 1000);
      a.setWriteDeadline(null);
      const signal = AbortSignal.timeout(10);
      const second = await failure(a.writeBatch(messages, { signal }), "ERR_CANCELED");
      assert.equal(second.messagesSent, 0);
      // Longer than the longest pause between two tries: they do not start it anew.
      a.setTimeouts({ write: 80 });
      assert.equal((await failure(a.writeTo("x", b.localAddr), "ERR_DEADLINE")).bytesWritten, 0);
      a.setTimeouts({ write: null });
      const last = [
        a.writeTo("x", b.localAddr),
        a.writeBatch(messages),
        a.writeTo("y", b.localAddr),
      ];
      assert.ok(await staysPending(Promise.race(last)));
      await a.close();
      for (const write of last) await failure(write, "ERR_CLOSED");
      assert.equal(stats().timers, 0);
    }),
  );

  test(
    "a buffer taken away while its write waits is a TypeError",
    checked(async () => {
      await using a = await listenPacket("unixgram", "");
      await using b = await listenPacket("unixgram", "");
      const full = Array.from({ length: 100 }, () => ({ data: "x", addr: b.localAddr }));
      await failure(a.writeBatch(full, { signal: AbortSignal.timeout(10) }), "ERR_CANCELED");
      for (const write of [
        (data: Uint8Array) => a.writeTo(data, b.localAddr),
        (data: Uint8Array) => a.writeBatch([{ data, addr: b.localAddr }]),
      ]) {
        const data = new Uint8Array(8);
        const writing = write(data);
        structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
        await assert.rejects(writing, TypeError);
      }
    }),
  );

  test(
    "larger than a slot goes through: cut off when it is read ahead",
    checked(async () => {
      await using a = await listenPacket("unixgram", "", { writeBuffer: 1 << 20 });
      await using b = await listenPacket("unixgram", "");
      const size = 100_000;
      const data = new Uint8Array(size).fill(7);
      await a.writeBatch([
        { data: "before", addr: b.localAddr },
        { data, addr: b.localAddr },
        { data: "after", addr: b.localAddr },
      ]);
      const batch = await b.readBatch();
      assert.deepEqual(
        batch.map((datagram) => [datagram.data.length, datagram.size, datagram.truncated]),
        [
          [6, 6, false],
          [65_536, size, true],
          [5, 5, false],
        ],
      );
      await a.writeTo(data, b.localAddr);
      const whole = await b.readFrom(new Uint8Array(size));
      assert.deepEqual([whole.n, whole.truncated], [size, false]);
    }),
  );
});
