/** dial_options.test.ts: where a dial connects from, and what a control function does to a socket. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { describe, type TestContext, test } from "node:test";
import {
  type DialOptions,
  dial,
  type ListenOptions,
  listen,
  type RawSocket,
  type Resolver,
  type TCPAddr,
  type TCPConn,
} from "../src/index.ts";
import { runtime } from "../src/runtime/runtime.ts";
import {
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  IPPROTO_TCP,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOL_SOCKET,
} from "../src/syscall/constants.ts";
import { abstractName, connect, lacksIPv6, socketFolder } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure } from "../testing/support.ts";

const ANY = "127.0.0.1:0";
const IP_TOS = 1;
const TCP_CONGESTION = 13;

function checked(check: (t: TestContext) => Promise<void>): (t: TestContext) => Promise<void> {
  return (t) => withLeakCheck(t, () => check(t));
}

function option(conn: TCPConn, level: number, name: number): number {
  const out = new Int32Array(1);
  const n = runtime().kernel.getsockopt(conn.fd.sysfd, level, name, new Uint8Array(out.buffer));
  assert.equal(n, 4);
  return out[0] as number;
}

function names(...ips: string[]): Resolver {
  return { lookupHost: async () => ips };
}

describe("a dial with a local address", () => {
  for (const localAddress of ["127.0.0.2", "127.0.0.2:0"]) {
    test(
      `comes from ${localAddress}, from a port that is chosen when the peer is known`,
      checked(async () => {
        await using listener = await listen("tcp", ANY);
        await using pair = await connect<TCPConn>(listener, undefined, { localAddress });
        assert.equal((pair.a.localAddr as TCPAddr).ip, "127.0.0.2");
        assert.equal(String(pair.b.remoteAddr), String(pair.a.localAddr));
        assert.equal(option(pair.a, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), 1);
      }),
    );
  }

  test(
    "comes from the port it names, also again right after",
    checked(async () => {
      await using listener = await listen("tcp", ANY);
      const free = await listen("tcp", "127.0.0.3:0");
      const { port } = free.addr as TCPAddr;
      await free.close();
      for (const localAddress of [`127.0.0.3:${port}`, `127.0.0.3:${port}`, `:${port}`]) {
        await using pair = await connect<TCPConn>(listener, undefined, { localAddress });
        assert.equal((pair.a.localAddr as TCPAddr).port, port);
        assert.equal(option(pair.a, SOL_SOCKET, SO_REUSEADDR), 1);
        // Closed here first: this side keeps the port in TIME_WAIT.
        await pair.a.close();
        assert.equal(await pair.b.read(new Uint8Array(1)), null);
      }
    }),
  );

  test("tries only the addresses of its family", { skip: lacksIPv6() ?? false }, (t) =>
    withLeakCheck(t, async () => {
      await using listener = await listen("tcp6", "[::1]:0");
      const { port } = listener.addr as TCPAddr;
      const resolver = names("127.0.0.1", "::1");
      for (const localAddress of ["::1", "[::1]:0"]) {
        await using conn = await dial("tcp", `both:${port}`, { localAddress, resolver });
        assert.equal((conn.remoteAddr as TCPAddr).ip, "::1");
        await (await listener.accept()).close();
      }
      const options = { localAddress: "::1" };
      const error = await failure(dial("tcp", `127.0.0.1:${port}`, options), "EADDRNOTAVAIL");
      assert.equal(
        error.message,
        `dial tcp ::1->127.0.0.1:${port}: no address of the peer is of the local address's family (EADDRNOTAVAIL)`,
      );
    }),
  );

  test(
    "comes from a path, which its peer sees",
    checked(async () => {
      await using folder = await socketFolder();
      const localAddress = folder.path("client");
      await using listener = await listen("unix", abstractName());
      const pair = await connect(listener, undefined, { localAddress });
      assert.equal(String(pair.b.remoteAddr), localAddress);
      assert.equal(String(pair.a.localAddr), localAddress);
      await pair.close();
      const again = dial("unix", String(listener.addr), { localAddress });
      assert.equal((await failure(again, "EADDRINUSE")).source, localAddress);
      rmSync(localAddress);
    }),
  );

  test(
    "fails clearly when the address is not of this machine, or no address",
    checked(async () => {
      await using listener = await listen("tcp", ANY);
      const from = (localAddress: string): Promise<TCPConn> =>
        dial("tcp", String(listener.addr), { localAddress });
      const error = await failure(from("192.0.2.1"), "EADDRNOTAVAIL");
      assert.match(error.message, /192\.0\.2\.1->127.*no interface of this machine has that/);
      await failure(from("localhost:0"), "EINVAL");
      await failure(from("127.0.0.1:http"), "EINVAL");
      await failure(from(""), "EINVAL");
      await assert.rejects(from(5 as never), TypeError);
      const options = { localAddress: "x".repeat(200) };
      await failure(dial("unix", abstractName(), options), "EINVAL");
    }),
  );
});

describe("a control function", () => {
  test(
    "changes the socket of a dial before it is bound and connected",
    checked(async () => {
      await using listener = await listen("tcp", ANY);
      const seen: RawSocket[] = [];
      const options: DialOptions = {
        localAddress: "127.0.0.2",
        control: (socket) => {
          const { fd, network, address } = socket;
          assert.deepEqual([network, address], ["tcp4", String(listener.addr)]);
          const name = new Uint8Array(132);
          assert.equal(runtime().kernel.getsockname(fd, name), 0);
          assert.deepEqual([...name.subarray(6, 12)], [0, 0, 0, 0, 0, 0], "it is not bound");
          socket.setOption(IPPROTO_IP, IP_TOS, 0x10);
          socket.setOption(IPPROTO_TCP, TCP_CONGESTION, Buffer.from("reno"));
          assert.equal(socket.getOption(IPPROTO_IP, IP_TOS), 0x10);
          const text = Buffer.from(socket.getOption(IPPROTO_TCP, TCP_CONGESTION, 16));
          assert.match(text.toString(), /^reno\0/);
          seen.push(socket);
        },
      };
      await using pair = await connect<TCPConn>(listener, undefined, options);
      assert.equal(option(pair.a, IPPROTO_IP, IP_TOS), 0x10);
      assert.equal(seen.length, 1);
      const [socket] = seen as [RawSocket];
      for (const use of [
        () => socket.fd,
        () => socket.setOption(IPPROTO_IP, IP_TOS, 0),
        () => socket.getOption(IPPROTO_IP, IP_TOS),
      ]) {
        assert.throws(use, { code: "ERR_CLOSED", message: /the control function has returned/ });
      }
    }),
  );

  test(
    "changes the socket of a listen before it is bound",
    checked(async () => {
      const control: ListenOptions["control"] = (socket) =>
        socket.setOption(SOL_SOCKET, SO_REUSEPORT, 1);
      await using first = await listen("tcp4", ANY, { control });
      await using second = await listen("tcp4", String(first.addr), { control });
      assert.equal(String(second.addr), String(first.addr));
      await failure(listen("tcp4", String(first.addr)), "EADDRINUSE");
      const networks: string[] = [];
      const note: ListenOptions["control"] = ({ network, address }) => {
        networks.push(`${network} ${address}`);
      };
      const name = abstractName();
      await (await listen("unix", name, { control: note })).close();
      assert.deepEqual(networks, [`unix ${name}`]);
    }),
  );

  test(
    "that throws fails the dial or listen with that error, and leaves no socket",
    checked(async () => {
      const mine = new Error("mine");
      const control = (): never => {
        throw mine;
      };
      const thrown = (error: unknown): boolean => error === mine;
      await assert.rejects(listen("tcp", ANY, { control }), thrown);
      await assert.rejects(listen("unix", abstractName(), { control }), thrown);
      await assert.rejects(dial("tcp", "127.0.0.1:9", { control }), thrown);
      await assert.rejects(dial("unix", abstractName(), { control }), thrown);
    }),
  );

  test(
    "that asks for what there is not gets a NetError; one that is async a TypeError",
    checked(async () => {
      const wrong: ListenOptions["control"] = (socket) => socket.setOption(SOL_SOCKET, 9999, 1);
      const error = await failure(listen("tcp", ANY, { control: wrong }), "ENOPROTOOPT");
      assert.equal(error.op, "set");
      const late = async (): Promise<void> => {
        throw new Error("too late");
      };
      await assert.rejects(listen("tcp", ANY, { control: late }), /must not be async/);
      await assert.rejects(dial("tcp", "127.0.0.1:9", { control: late }), /must not be async/);
    }),
  );
});
