/**
 * control_messages.test.ts: a unix socket's peer may send file descriptors along with bytes. A read
 * ends behind such a message although more bytes stand behind it, and no edge tells of them.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { listen } from "../net/listen.ts";

/** Sends "x" when it is told to, then, when told again, bytes with an fd and bytes without. */
const SENDER = `
import os, socket, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.connect("\\0" + sys.argv[1])
peer.recv(1)
peer.send(b"x")
peer.recv(1)
read_end, write_end = os.pipe()
socket.send_fds(peer, [b"first"], [read_end])
peer.send(b"second")
print("sent", flush=True)
peer.recv(1)
`;

function unavailable(): string | false {
  const { status } = spawnSync("python3", ["-c", "import socket; socket.send_fds"]);
  return status === 0 ? false : "no python3 here whose sockets can send file descriptors";
}

test("bytes behind a message with file descriptors are not forgotten", {
  skip: unavailable(),
}, async () => {
  const name = `coronet-control-${process.pid}`;
  await using listener = await listen("unix", `@${name}`);
  const sender = spawn("python3", ["-c", SENDER, name], { stdio: ["ignore", "pipe", "inherit"] });
  await using conn = await listener.accept();
  conn.setTimeouts({ read: 10_000 });
  const buffer = new Uint8Array(100);
  const read = async (): Promise<string> => {
    const n = await conn.read(buffer);
    return Buffer.from(buffer.subarray(0, n ?? 0)).toString();
  };
  // The first read waits, so that the poller knows the socket before anything comes.
  const first = read();
  await conn.write("1");
  assert.equal(await first, "x");
  await conn.write("2");
  await once(sender.stdout, "data");
  assert.equal(await read(), "first");
  assert.equal(await read(), "second");
  await conn.write("3");
  await once(sender, "exit");
});
