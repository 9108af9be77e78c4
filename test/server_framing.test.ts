/** server_framing.test.ts: servers that take messages instead of connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createServer, delimited, lengthPrefixed, type ServerFraming } from "../src/index.ts";
import { programPath } from "./child.ts";
import { connect, numbers, pause } from "./served.ts";

const start = (framing: ServerFraming) =>
  createServer({
    module: programPath("framed"),
    listen: [["tcp", "127.0.0.1:0"]],
    signals: false,
    framing,
  });

const addrOf = (server: Awaited<ReturnType<typeof start>>) => {
  const [addr] = server.addrs;
  assert.ok(addr);
  return addr;
};

test("messages arrive whole, however they are cut, and are answered in order", async () => {
  for (const framing of [{ bytes: 4 }, { delimiter: "\r\n" }] as ServerFraming[]) {
    await using server = await start(framing);
    await using conn = await connect(addrOf(server));
    const codec = "delimiter" in framing ? delimited(framing) : lengthPrefixed(framing);
    const peer = codec(conn);
    const texts = ["one", "", "three".repeat(1000)];
    const sent = (async () => {
      for (const text of texts) await peer.write(text);
      await conn.write("delimiter" in framing ? "x" : Uint8Array.of(0, 0));
      await pause(10);
      await conn.write("delimiter" in framing ? "y\r\n" : Uint8Array.of(0, 2, 120, 121));
    })();
    for (const text of [...texts, "xy"]) {
      const message = await peer.read();
      assert.equal(String(Buffer.from(message ?? [])), `${text.length}:${text}`);
    }
    await sent;
    await numbers(server, { requests: 4, malformed: 0 });
  }
});

test("a malformed message closes its connection alone, and is counted", async () => {
  await using server = await start({ bytes: 2, maxLength: 100 });
  const addr = addrOf(server);
  await using good = await connect(addr);
  const peer = lengthPrefixed({ bytes: 2 })(good);
  await peer.write("a");
  assert.equal(String(Buffer.from((await peer.read()) ?? [])), "1:a");
  await using bad = await connect(addr);
  await bad.write(Uint8Array.of(0xff, 0xff, 1, 2, 3));
  const end = await bad.read(new Uint8Array(10)).catch((error: { code: string }) => error.code);
  assert.ok(end === null || end === "ECONNRESET", String(end));
  // One that goes away in the middle of a message is no malformed one.
  const gone = await connect(addr);
  await gone.write(Uint8Array.of(0));
  await gone.close();
  await peer.write("b");
  assert.equal(String(Buffer.from((await peer.read()) ?? [])), "1:b");
  await numbers(server, { malformed: 1, closed: 2, live: 1, died: 0 });
});

test("a framing that makes no sense is refused", async () => {
  await assert.rejects(start({ bytes: 3 as never }), RangeError);
  await assert.rejects(start({ delimiter: "" }), RangeError);
});
