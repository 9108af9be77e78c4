/**
 * urgent_data.test.ts: a peer's urgent data (MSG_OOB, tcp(7)) is not part of the stream. A read stops
 * at its mark, so a short read does not mean that nothing is left: what follows must be read as well.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { listen, type TCPConn } from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { readAll, readText, turn } from "../testing/support.ts";
import { lacks } from "./child.ts";

/** Sends what the test says, piece by piece: "!" before a piece makes its last byte urgent. */
const SENDER = `
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for line in sys.stdin:
    line = line.rstrip("\\n")
    if line == "end":
        peer.shutdown(socket.SHUT_WR)
    elif line.startswith("!"):
        peer.send(line[1:].encode(), socket.MSG_OOB)
    else:
        peer.send(line.encode())
    print("sent", flush=True)
`;

/** Runs a check with a connection whose peer sends what `send` is told, and resolves when it has. */
async function withSender(
  check: (conn: TCPConn, send: (...pieces: string[]) => Promise<void>) => Promise<void>,
): Promise<void> {
  await using listener = await listen("tcp4", "127.0.0.1:0");
  const port = String(listener.addr).split(":")[1] as string;
  const sender = spawn("python3", ["-c", SENDER, port], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(sender, "close");
  await using conn = await listener.accept();
  const send = async (...pieces: string[]): Promise<void> => {
    for (const piece of pieces) {
      sender.stdin.write(`${piece}\n`);
      await once(sender.stdout, "data");
    }
  };
  try {
    await check(conn, send);
  } finally {
    sender.stdin.end();
    await closed;
  }
}

const skip = lacks("python3", "--version") ?? false;

describe("urgent data", { skip }, () => {
  test("that arrives while a read waits does not hold up what follows", (t) =>
    withLeakCheck(t, () =>
      withSender(async (conn, send) => {
        const reading = readAll(conn);
        await send("before", "!U", "after", "end");
        assert.equal(Buffer.from(await reading).toString(), "beforeafter");
      }),
    ));

  test("that has arrived before anybody reads does not hold up what follows", (t) =>
    withLeakCheck(t, () =>
      withSender(async (conn, send) => {
        await send("before", "!U", "after");
        assert.equal(await readText(conn, 11), "beforeafter");
        await send("more", "!U", "and more", "end");
        assert.equal(Buffer.from(await readAll(conn)).toString(), "moreand more");
      }),
    ));

  test("that comes in one segment with other bytes takes none of them away", (t) =>
    withLeakCheck(t, () =>
      withSender(async (conn, send) => {
        const first = conn.read(new Uint8Array(1));
        await turn();
        await send("x");
        assert.equal(await first, 1);
        // One after the other: an urgent byte that another one overtakes becomes part of the stream.
        await send("!abcU", "def");
        assert.equal(await readText(conn, 6), "abcdef");
        await send("!ghiU");
        assert.equal(await readText(conn, 3), "ghi");
        await send("end");
        assert.equal(await conn.read(new Uint8Array(1)), null);
      }),
    ));

  test("that comes alone wakes a read, which goes on waiting", (t) =>
    withLeakCheck(t, () =>
      withSender(async (conn, send) => {
        for (let i = 0; i < 20; i++) {
          const reading = readText(conn, 4);
          await send("!U", "data");
          assert.equal(await reading, "data");
        }
        await send("!U", "end");
        assert.equal(await conn.read(new Uint8Array(1)), null);
      }),
    ));
});
