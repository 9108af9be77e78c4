/**
 * socat.test.ts: a real socat talks to every kind of stream socket, as the client of our listener and as
 * the server that we dial: a megabyte in each direction at once, then the end of each direction by itself.
 */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { describe, test } from "node:test";
import { type Conn, dial, go, listen, type StreamNetwork, type TCPAddr } from "../src/index.ts";
import { abstractName, lacksIPv6, socketFolder } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { assertSameBytes, pattern, pieces, readAll, seeded } from "../testing/support.ts";
import { lacks } from "./child.ts";

const lacksSocat = lacks("socat", "-V");

/** One kind of socket, in Coronet's words and in socat's. */
interface Kind {
  name: string;
  network: StreamNetwork;
  /** What we listen on. */
  address(path: string): string;
  /** What socat connects to, and what it listens on; `address` is our listener's, or ours to choose. */
  connect(address: string): string;
  serve(address: string): string;
  unavailable?: string | undefined;
}

const port = (address: string): string => address.slice(address.lastIndexOf(":") + 1);
/** A socket of whole packets (SOCK_SEQPACKET). */
const PACKETS = ",socktype=5";

const KINDS: readonly Kind[] = [
  {
    name: "TCP over IPv4",
    network: "tcp4",
    address: () => "127.0.0.1:0",
    connect: (address) => `TCP4:127.0.0.1:${port(address)}`,
    serve: () => "TCP4-LISTEN:0,bind=127.0.0.1",
  },
  {
    name: "TCP over IPv6",
    network: "tcp6",
    address: () => "[::1]:0",
    connect: (address) => `TCP6:[::1]:${port(address)}`,
    serve: () => "TCP6-LISTEN:0,bind=[::1]",
    unavailable: lacksIPv6(),
  },
  {
    name: "a unix socket with a path",
    network: "unix",
    address: (path) => path,
    connect: (address) => `UNIX-CONNECT:${address}`,
    serve: (address) => `UNIX-LISTEN:${address}`,
  },
  {
    name: "a unix socket with an abstract name",
    network: "unix",
    address: abstractName,
    connect: (address) => `ABSTRACT-CONNECT:${address.slice(1)}`,
    serve: (address) => `ABSTRACT-LISTEN:${address.slice(1)}`,
  },
  {
    name: "a unix socket of packets",
    network: "unixpacket",
    address: (path) => path,
    connect: (address) => `UNIX-CONNECT:${address}${PACKETS}`,
    serve: (address) => `UNIX-LISTEN:${address}${PACKETS}`,
  },
];

/** socat between its standard streams and an address. */
class Socat implements AsyncDisposable {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  private log = "";

  constructor(address: string) {
    // It stays for up to 60 s after one direction has ended, and tells where it listens.
    const args = ["-d", "-d", "-t", "60", "-b", "16384", "-", address];
    this.child = spawn("socat", args, { stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdin.on("error", () => {});
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
    });
  }

  /** Waits until it listens; the address that it says it listens on. */
  async listening(): Promise<string> {
    for (;;) {
      const where = /listening on (?:AF=\d+ |LEN=\d+ )*"?([^"\s]+)/.exec(this.log);
      if (where !== null) return where[1] as string;
      assert.equal(this.child.exitCode, null, this.log);
      await Promise.race([once(this.child.stderr, "data"), once(this.child, "close")]);
    }
  }

  async send(parts: Uint8Array[]): Promise<void> {
    const { stdin } = this.child;
    for (const part of parts) if (!stdin.write(part)) await once(stdin, "drain");
  }

  async receive(length: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let have = 0;
    while (have < length) {
      const chunk = this.child.stdout.read() as Buffer | null;
      if (chunk === null) await once(this.child.stdout, "readable");
      else have += chunks.push(chunk) && chunk.length;
    }
    return Buffer.concat(chunks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill("SIGKILL");
      await once(this.child, "close");
    }
  }
}

const LENGTH = 1 << 20;

async function receive(conn: Conn, length: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let have = 0;
  for await (const chunk of conn) {
    chunks.push(chunk);
    have += chunk.length;
    if (have >= length) break;
  }
  return Buffer.concat(chunks);
}

/** A megabyte each way at once; then each direction ends, `first` the one of that end. */
async function exchange(
  conn: Conn,
  socat: Socat,
  cut: (bytes: Uint8Array) => Uint8Array[],
  first: "ours" | "socat's",
): Promise<void> {
  const [there, back] = [pattern(LENGTH, 1), pattern(LENGTH, 2)];
  const sending = go(async () => {
    for (const piece of cut(there)) await conn.write(piece);
  }).join();
  const [received, got] = await Promise.all([
    socat.receive(LENGTH),
    receive(conn, LENGTH),
    sending,
    socat.send(cut(back)),
  ]);
  assertSameBytes(received, there);
  assertSameBytes(got, back);
  if (first === "ours") {
    await conn.closeWrite();
    await socat.send([Buffer.from("still open")]);
    socat.child.stdin.end();
    assert.equal(Buffer.from(await readAll(conn)).toString(), "still open");
  } else {
    socat.child.stdin.end();
    assert.equal((await readAll(conn)).length, 0);
    await conn.write("still open");
    assert.equal((await socat.receive(10)).toString(), "still open");
    await conn.closeWrite();
  }
  // It has seen both ends, and has nothing more to say.
  socat.child.stdout.resume();
  assert.deepEqual(await once(socat.child, "close"), [0, null]);
}

for (const kind of KINDS) {
  describe(`socat over ${kind.name}`, { skip: lacksSocat ?? kind.unavailable }, () => {
    for (const first of ["ours", "socat's"] as const) {
      test(`as the client of our listener, ${first} direction ends first`, (t) =>
        withLeakCheck(t, async () => {
          const random = seeded(t);
          await using folder = await socketFolder();
          await using listener = await listen(kind.network, kind.address(folder.path("s")));
          await using socat = new Socat(kind.connect(String(listener.addr)));
          await using conn = await listener.accept();
          await exchange(conn, socat, (bytes) => pieces(bytes, random, 16_000), first);
        }));

      test(`as the server that we dial, ${first} direction ends first`, (t) =>
        withLeakCheck(t, async () => {
          const random = seeded(t);
          await using folder = await socketFolder();
          const chosen = kind.address(folder.path("s"));
          await using socat = new Socat(kind.serve(chosen));
          const said = await socat.listening();
          const address = kind.network.startsWith("tcp") ? said : chosen;
          await using conn = await dial(kind.network, address);
          if (kind.network.startsWith("tcp")) {
            assert.equal((conn.remoteAddr as TCPAddr).port, Number(port(said)));
          }
          await exchange(conn, socat, (bytes) => pieces(bytes, random, 16_000), first);
        }));
    }
  });
}
