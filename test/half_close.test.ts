/** half_close.test.ts: ending one direction, against peers that are not Coronet. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect as connectNode, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import { type Conn, dial, listen, type TCPAddr } from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure, pattern, readAll } from "../testing/support.ts";
import { lacks } from "./child.ts";

/** Answers a whole request, which ends with the peer's direction, by its length. */
async function answer(conn: Conn): Promise<void> {
  await using _ = conn;
  const request = await readAll(conn);
  await conn.write(`${request.length} bytes`);
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const part of stream) text += part;
  return text;
}

describe("half-close", () => {
  test("a client of node:net ends its direction and reads the answer", (t) =>
    withLeakCheck(t, async () => {
      await using listener = await listen("tcp", "127.0.0.1:0");
      const { port } = listener.addr as TCPAddr;
      const client = connectNode({ port, host: "127.0.0.1", allowHalfOpen: true });
      const [conn] = await Promise.all([listener.accept(), once(client, "connect")]);
      client.end(pattern(300_000));
      const [text] = await Promise.all([textOf(client), answer(conn)]);
      assert.equal(text, "300000 bytes");
    }));

  test("a server of node:net sees the end and answers", (t) =>
    withLeakCheck(t, async () => {
      const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
        let length = 0;
        socket.on("data", (part) => {
          length += part.length;
        });
        socket.on("end", () => socket.end(`${length} bytes`));
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      await using conn = await dial("tcp", `127.0.0.1:${port}`);
      await conn.write(pattern(300_000));
      await conn.closeWrite();
      assert.equal(Buffer.from(await readAll(conn)).toString(), "300000 bytes");
      await failure(conn.write("more"), "EPIPE");
      server.close();
      await once(server, "close");
    }));

  test(
    "nc -N ends its direction and prints the answer",
    { skip: lacks("sh", "-c", "nc -h 2>&1 | grep -q -- '-[A-Za-z]*N'") ?? false },
    (t) =>
      withLeakCheck(t, async () => {
        await using listener = await listen("tcp4", "127.0.0.1:0");
        const { port } = listener.addr as TCPAddr;
        const nc = spawn("nc", ["-N", "127.0.0.1", String(port)], {
          stdio: ["pipe", "pipe", "inherit"],
        });
        const closed = once(nc, "close");
        nc.stdin.end(pattern(100_000));
        const [text] = await Promise.all([textOf(nc.stdout), answer(await listener.accept())]);
        assert.equal(text, "100000 bytes");
        await closed;
      }),
  );
});
