/**
 * cosocket_receive.test.ts: the receive patterns of a cosocket: lines, all, exactly n, at most n, until
 * a delimiter, in whole and in pieces, however the bytes are cut into packets.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  type Conn,
  connect,
  go,
  IOError,
  listen,
  type PooledConn,
  type Reader,
} from "../src/index.ts";
import { withLeakCheck } from "../testing/leaks.ts";
import { failure, nextChunk, pattern, seeded, turn } from "../testing/support.ts";

async function withPair(
  t: TestContext,
  body: (conn: PooledConn, peer: Conn) => Promise<void>,
): Promise<void> {
  await withLeakCheck(t, async () => {
    await using listener = await listen("tcp", "127.0.0.1:0");
    await using conn = await connect(String(listener.addr));
    await using peer = await listener.accept();
    await body(conn, peer);
  });
}

/** Writes text byte by byte, with turns of the loop between. */
async function trickle(peer: Conn, text: string): Promise<void> {
  for (const byte of Buffer.from(text)) {
    await peer.write(Uint8Array.of(byte));
    await turn();
  }
}

const text = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString();

test("a line ends with LF; a CR before it is dropped; the rest keeps its CRs", (t) =>
  withPair(t, async (conn, peer) => {
    const sent = go(trickle, peer, "one\r\ntwo\n\r\n\nth\rree\r\r\nlast").join();
    const lines = [];
    for (let i = 0; i < 5; i++) lines.push(await conn.readLine());
    assert.deepEqual(lines, ["one", "two", "", "", "th\rree\r"]);
    const rest = conn.readLine();
    await sent;
    await peer.closeWrite();
    assert.equal(await rest, "last");
    assert.equal(await conn.readLine(), null);
  }));

test("exactly n bytes, at most n bytes, and all of them", (t) =>
  withPair(t, async (conn, peer) => {
    const sent = go(trickle, peer, "0123456789").join();
    assert.equal(text(await conn.readFull(4)), "0123");
    const some = (await conn.readAtMost(2)) as Uint8Array;
    assert.ok(some.length >= 1 && some.length <= 2);
    const all = conn.readAll();
    await sent;
    await peer.closeWrite();
    assert.equal(`${text(some)}${text(await all)}`, "456789");
    assert.equal((await conn.readAll()).length, 0);
    assert.equal(await conn.readFull(1), null);
    assert.equal(await conn.readAtMost(1), null);
  }));

test("until a delimiter across packets, without it or with it", (t) =>
  withPair(t, async (conn, peer) => {
    go(trickle, peer, "a--b--end--end-c--end");
    assert.equal(text(await conn.readUntil("--end")), "a--b");
    assert.equal(text(await conn.readUntil("--end", { inclusive: true })), "--end");
    assert.equal(text(await conn.readUntil(Buffer.from("--end"))), "-c");
  }));

test("until a delimiter in pieces, however packets cut it", (t) =>
  withPair(t, async (conn, peer) => {
    const random = seeded(t);
    const delimiter = "--end--";
    for (let round = 0; round < 50; round++) {
      const body = pattern(random.below(5000), round).map((byte) => (byte % 2 === 0 ? 45 : byte));
      const clean = Buffer.from(Buffer.from(body).toString("latin1").replaceAll("--end", "-"));
      const whole = Buffer.concat([clean, Buffer.from(`${delimiter}next\n`)]);
      go(async () => {
        for (let at = 0; at < whole.length; ) {
          const length = 1 + random.below(600);
          await peer.write(whole.subarray(at, at + length));
          if (random.chance(0.5)) await turn();
          at += length;
        }
      });
      const got: Uint8Array[] = [];
      const reader = conn.until(delimiter);
      const p = new Uint8Array(512);
      for (let n = await reader.read(p); n !== null; n = await reader.read(p)) {
        got.push(p.slice(0, n));
      }
      assert.ok(Buffer.concat(got).equals(clean));
      assert.equal(await conn.readLine(), "next");
    }
  }));

/** Everything that a reader gives, as text; what had come before it failed goes to `seen`. */
async function drain(reader: Reader, seen: string[]): Promise<void> {
  const p = new Uint8Array(3);
  for (let n = await reader.read(p); n !== null; n = await reader.read(p)) {
    seen.push(String(text(p.subarray(0, n))));
  }
}

test("reading pieces may stop, or time out within the delimiter, and loses nothing", (t) =>
  withPair(t, async (conn, peer) => {
    await peer.write("abc--");
    const reader = conn.until("--end");
    const p = new Uint8Array(1);
    assert.equal(await reader.read(p), 1);
    assert.equal(text(p), "a");
    conn.setTimeouts({ read: 5 });
    const seen: string[] = [];
    await failure(drain(reader, seen), "ERR_DEADLINE");
    conn.setTimeouts({ read: null });
    await peer.write("-d--e");
    const rest = drain(reader, seen);
    await peer.write("nd!");
    await rest;
    assert.equal(seen.join(""), "bc---d");
    assert.equal(await reader.read(p), null, "it stays at its end");
    assert.equal(text(await conn.readFull(1)), "!");
  }));

test("a stream that ends inside a pattern hands out what had arrived", (t) =>
  withPair(t, async (conn, peer) => {
    await peer.write("unfinished");
    await peer.closeWrite();
    const error = await conn.readUntil("--end").catch((reason: unknown) => reason);
    assert.ok(error instanceof IOError);
    assert.equal(error.code, "ERR_UNEXPECTED_EOF");
    assert.equal(text(error.partial as Uint8Array), "unfinished");
    assert.equal(conn.setKeepalive(), false);
  }));

test("a stream that ends inside pieces hands out what is left of them", (t) =>
  withPair(t, async (conn, peer) => {
    await peer.write("abc--en");
    await peer.closeWrite();
    const seen: string[] = [];
    const error = await drain(conn.until("--end"), seen).catch((reason: unknown) => reason);
    assert.ok(error instanceof IOError);
    assert.equal(seen.join("") + text(error.partial as Uint8Array), "abc--en");
  }));

test("an error hands out what had arrived as partial", (t) =>
  withPair(t, async (conn, peer) => {
    await peer.write("0123");
    conn.setTimeouts({ read: 5 });
    const error = (await failure(conn.readFull(10), "ERR_DEADLINE")) as { partial?: Uint8Array };
    assert.equal(text(error.partial as Uint8Array), "0123");
    conn.setTimeouts({ read: null });
    await peer.write("456789");
    assert.equal(text(await conn.readFull(6)), "456789");
  }));

test("reading by pattern and reading as any Conn see one stream", (t) =>
  withPair(t, async (conn, peer) => {
    await peer.write("line\nchunk");
    assert.equal(await conn.readLine(), "line");
    await conn.waitReadable();
    assert.equal(text(await nextChunk(conn)), "chunk");
    await peer.write("l2\nrest");
    assert.equal(await conn.readLine(), "l2");
    const p = new Uint8Array(2);
    assert.equal(await conn.read(p), 2);
    assert.equal(text(p), "re");
    const { value } = await conn.readable.getReader().read();
    assert.equal(text(value as Uint8Array), "st");
  }));

test("readers queue in the order of their calls", (t) =>
  withPair(t, async (conn, peer) => {
    const first = conn.readLine();
    const second = conn.readFull(3);
    const third = conn.read(new Uint8Array(9));
    const fourth = conn.readUntil(";");
    await trickle(peer, "one\nABCx");
    assert.deepEqual([await first, text(await second), await third], ["one", "ABC", 1]);
    await peer.write("end;");
    assert.equal(text(await fourth), "end");
  }));

test("a size that is none is an error and takes nothing", (t) =>
  withPair(t, async (conn, peer) => {
    await peer.write("x");
    await assert.rejects(conn.readFull(-1), RangeError);
    await assert.rejects(conn.readAtMost(-1), RangeError);
    await assert.rejects(conn.readFull(1.5), RangeError);
    await assert.rejects(conn.readUntil(""), RangeError);
    assert.throws(() => conn.until(""), RangeError);
    await assert.rejects(conn.readLine({ limit: -1 }), RangeError);
    assert.equal(text(await conn.readFull(1)), "x");
    assert.equal((await conn.readAtMost(0))?.length, 0);
  }));

test("what is sent may be text, bytes, or many of both", (t) =>
  withPair(t, async (conn, peer) => {
    await conn.write("ä");
    await conn.write(Uint8Array.of(33));
    await conn.writev(["a", Uint8Array.of(98), "c"]);
    await conn.closeWrite();
    let all = "";
    for await (const chunk of peer) all += Buffer.from(chunk).toString("latin1");
    assert.equal(Buffer.from(all, "latin1").toString(), "ä!abc");
  }));
