/** datagrams.test.ts: datagrams exchanged with programs that are not Coronet: a DNS server, socat. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { type Conn, dial, listenPacket, NetError, type PacketConn } from "../src/index.ts";
import { nativeOnly } from "../testing/backend.ts";
import { lacksIPv6, socketFolder } from "../testing/conns.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { inMs, turn } from "../testing/support.ts";
import { Child, lacks } from "./child.ts";
import { foreignEnv } from "./foreign_programs.ts";

/** Ends a program when it is disposed of. */
class Program implements AsyncDisposable {
  readonly process: ChildProcess;
  private readonly closed: Promise<unknown>;
  private text = "";

  constructor(command: string, args: readonly string[]) {
    this.process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: foreignEnv });
    this.closed = once(this.process, "close");
    this.process.stdin?.on("error", () => {});
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on("data", (part) => {
        this.text += part;
      });
    }
  }

  /** Waits until its output contains a text. */
  async says(text: string): Promise<string> {
    while (!this.text.includes(text)) {
      assert.equal(this.process.exitCode, null, `it ended before it said "${text}": ${this.text}`);
      await turn();
    }
    return this.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await this.closed;
  }
}

/** A port that nobody has at this moment. */
async function freePort(): Promise<number> {
  await using conn = await listenPacket("udp4", "127.0.0.1:0");
  return Number(String(conn.localAddr).split(":")[1]);
}

/** A program that serves a port of its own: on another one when somebody else was quicker. */
async function serving(
  start: (port: number) => Program,
  ready: string,
): Promise<{ program: Program; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const program = start(port);
    try {
      await program.says(ready);
      return { program, port };
    } catch (error) {
      await program[Symbol.asyncDispose]();
      if (attempt === 10) throw error;
    }
  }
}

/** Sends until an answer comes: datagrams may get lost, or be refused for a moment. */
async function ask(conn: Conn, question: Uint8Array): Promise<Buffer> {
  const answer = Buffer.alloc(1500);
  for (;;) {
    try {
      conn.setReadDeadline(inMs(300));
      await conn.write(question);
      const n = (await conn.read(answer)) as number;
      return answer.subarray(0, n);
    } catch (error) {
      if (!(error instanceof NetError) || !/ECONNREFUSED|ERR_DEADLINE/.test(error.code))
        throw error;
      await turn();
    }
  }
}

// ---- DNS messages (RFC 1035, section 4)

const TYPE_A = 1;
const TYPE_TXT = 16;
const CLASS_IN = 1;

function encodeQuery(id: number, name: string, type: number): Buffer {
  const labels = name.split(".").map((label) => Buffer.from(`\0${label}`));
  for (const label of labels) label[0] = label.length - 1;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2); // recursion desired
  header.writeUInt16BE(1, 4);
  const tail = Buffer.alloc(5);
  tail.writeUInt16BE(type, 1);
  tail.writeUInt16BE(CLASS_IN, 3);
  return Buffer.concat([header, ...labels, tail]);
}

/** Where a name ends: after a zero, or after a pointer to another place. */
function endOfName(message: Buffer, at: number): number {
  for (let i = at; ; ) {
    const length = message[i] as number;
    if (length >= 0xc0) return i + 2;
    i += length + 1;
    if (length === 0) return i;
  }
}

interface Reply {
  id: number;
  code: number;
  records: { type: number; data: Buffer }[];
}

function decodeReply(message: Buffer): Reply {
  assert.equal(message.readUInt16BE(2) & 0x8000, 0x8000, "it is no reply");
  let at = 12;
  for (let i = 0; i < message.readUInt16BE(4); i++) at = endOfName(message, at) + 4;
  const records: Reply["records"] = [];
  for (let i = 0; i < message.readUInt16BE(6); i++) {
    at = endOfName(message, at);
    const length = message.readUInt16BE(at + 8);
    const data = message.subarray(at + 10, at + 10 + length);
    records.push({ type: message.readUInt16BE(at), data });
    at += 10 + length;
  }
  return { id: message.readUInt16BE(0), code: message.readUInt16BE(2) & 15, records };
}

describe("dnsmasq over dial of udp", { skip: lacks("dnsmasq", "--version") ?? false }, () => {
  const TEXT = "datagrams of every kind";

  function serve(port: number): Program {
    return new Program("dnsmasq", [
      ...[
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--no-daemon",
        "--conf-file=/dev/null",
      ],
      ...[`--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces", "--user="],
      ...["--host-record=one.test,192.0.2.1", "--host-record=two.test,192.0.2.2"],
      ...[`--txt-record=text.test,${TEXT}`, "--local=/test/"],
    ]);
  }

  test("answers questions, also many at once on one socket", { timeout: 60_000 }, (t) =>
    withLeakCheck(t, async () => {
      const { program, port } = await serving(serve, "started");
      await using _ = program;
      await using conn = await dial("udp", `127.0.0.1:${port}`);
      const one = decodeReply(await ask(conn, encodeQuery(1, "one.test", TYPE_A)));
      assert.deepEqual(
        [one.id, one.code, one.records.map(({ data }) => data.join("."))],
        [1, 0, ["192.0.2.1"]],
      );
      const text = decodeReply(await ask(conn, encodeQuery(2, "text.test", TYPE_TXT)));
      assert.equal(text.records[0]?.data.toString("utf8", 1), TEXT);
      assert.equal(decodeReply(await ask(conn, encodeQuery(3, "none.test", TYPE_A))).code, 3);

      const open = new Map<number, string>();
      for (let id = 100; id < 150; id++) {
        const [name, ip] = id % 2 === 0 ? ["one", "192.0.2.1"] : ["two", "192.0.2.2"];
        open.set(id, ip);
        await conn.write(encodeQuery(id, `${name}.test`, TYPE_A));
      }
      conn.setReadDeadline(inMs(20_000));
      for await (const chunk of conn) {
        const { id, records } = decodeReply(Buffer.from(chunk));
        assert.equal(records[0]?.data.join("."), open.get(id));
        open.delete(id);
        if (open.size === 0) break;
      }
    }),
  );

  test("answers a PacketConn that asks by batch", { timeout: 60_000 }, (t) =>
    withLeakCheck(t, async () => {
      const { program, port } = await serving(serve, "started");
      await using _ = program;
      await using probe = await dial("udp", `127.0.0.1:${port}`);
      await ask(probe, encodeQuery(1, "one.test", TYPE_A));
      await using conn = await listenPacket("udp4", "127.0.0.1:0");
      conn.setReadDeadline(inMs(20_000));
      const addr = `127.0.0.1:${port}`;
      const queries = Array.from({ length: 20 }, (_, id) => ({
        data: encodeQuery(id, "two.test", TYPE_A),
        addr,
      }));
      assert.equal(await conn.writeBatch(queries), 20);
      const ids = new Set<number>();
      while (ids.size < 20) {
        for (const { data, addr: from } of await conn.readBatch()) {
          assert.equal(String(from), addr);
          ids.add(decodeReply(Buffer.from(data)).id);
        }
      }
    }),
  );
});

describe("socat", { skip: lacks("socat", "-V") ?? false }, () => {
  /** A program that sends what it is told and prints what comes back. */
  async function talk(program: Program, server: PacketConn): Promise<void> {
    program.process.stdin?.write("to coronet\n");
    const buffer = Buffer.alloc(100);
    const { n, addr } = await server.readFrom(buffer);
    assert.equal(buffer.toString("utf8", 0, n), "to coronet\n");
    await server.writeTo("from coronet\n", addr);
    await program.says("from coronet\n");
  }

  test("UDP4 sends to a PacketConn and hears it", { timeout: 60_000 }, (t) =>
    withLeakCheck(t, async () => {
      await using server = await listenPacket("udp", "127.0.0.1:0");
      await using program = new Program("socat", ["-", `UDP4:${server.localAddr}`]);
      await talk(program, server);
    }),
  );

  test(
    "UDP6 sends to a PacketConn and hears it",
    {
      skip: lacksIPv6() ?? false,
      timeout: 60_000,
    },
    (t) =>
      withLeakCheck(t, async () => {
        await using server = await listenPacket("udp6", "[::1]:0");
        await using program = new Program("socat", ["-", `UDP6:${server.localAddr}`]);
        await talk(program, server);
      }),
  );

  const skip = nativeOnly("Node has no unixgram");
  test("UNIX-SENDTO sends to a PacketConn and hears it", { skip, timeout: 60_000 }, (t) =>
    withLeakCheck(t, async () => {
      await using folder = await socketFolder();
      const [path, bound] = [folder.path("server"), folder.path("socat")];
      await using server = await listenPacket("unixgram", path);
      await using program = new Program("socat", ["-", `UNIX-SENDTO:${path},bind=${bound}`]);
      await talk(program, server);
    }),
  );

  test("UDP4-RECVFROM echoes what dial of udp sends", { timeout: 60_000 }, (t) =>
    withLeakCheck(t, async () => {
      const { program, port } = await serving(
        (port) =>
          new Program("socat", [
            ...["-d", "-d", `UDP4-RECVFROM:${port},bind=127.0.0.1,fork`, "EXEC:cat"],
          ]),
        "receiving",
      );
      await using _ = program;
      await using conn = await dial("udp4", `127.0.0.1:${port}`);
      assert.equal((await ask(conn, Buffer.from("echo"))).toString(), "echo");
    }),
  );

  test("UNIX-RECVFROM echoes what dial of unixgram sends", { skip, timeout: 60_000 }, (t) =>
    withLeakCheck(t, async () => {
      await using folder = await socketFolder();
      const path = folder.path("echo");
      await using _ = new Program("socat", [`UNIX-RECVFROM:${path},fork`, "EXEC:cat"]);
      while (!existsSync(path)) await turn();
      await using conn = await dial("unixgram", path);
      assert.equal((await ask(conn, Buffer.from("echo"))).toString(), "echo");
    }),
  );
});

test("a batch costs one system call, and iteration takes batches", {
  skip:
    nativeOnly("datagrams go one by one") ||
    (lacks("strace", "-f", "-e", "trace=read", "-o", "/dev/null", "true") ?? false),
}, async () => {
  await using folder = await socketFolder();
  const trace = folder.path("trace");
  const calls = "trace=sendmmsg,recvmmsg,sendto,recvfrom,sendmsg,recvmsg";
  const prefix = ["strace", "-f", "-qq", "-s", "0", "-o", trace, "-e", calls];
  await using child = new Child("batches", [], { prefix, timeout: 100_000 });
  const { stdout } = await child.ended;
  assert.equal(stdout, `${20 * 64}\n`);
  const names = readFileSync(trace, "utf8").match(/(?<=^\d+ +)\w+(?=\()/gm) ?? [];
  const counts = names.reduce((map, name) => map.set(name, (map.get(name) ?? 0) + 1), new Map());
  assert.deepEqual(Object.fromEntries(counts), { sendmmsg: 20, recvmmsg: 20 });
});
