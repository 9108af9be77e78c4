/** bufwriter.test.ts: gathering, passing through, order, and errors that stay. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pipePair, tcpPair } from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { readAll, readFull, staysPending, writeTooMuch } from "../../testing/support.ts";
import { BufReader, BufWriter, IOError, pipe } from "../index.ts";
import type { Writer } from "./io.ts";

/** Remembers what each call was given. */
class Calls implements Writer {
  readonly calls: string[] = [];

  async write(p: Uint8Array | string): Promise<number> {
    this.calls.push(Buffer.from(p as Uint8Array).toString());
    return p.length;
  }
}

class VectorCalls extends Calls {
  async writev(chunks: readonly Uint8Array[]): Promise<number> {
    const pieces = chunks.map((chunk) => Buffer.from(chunk).toString());
    this.calls.push(pieces.join("|"));
    return pieces.join("").length;
  }
}

test("small writes are gathered until the buffer is full, or flushed", async () => {
  const sink = new Calls();
  const writer = new BufWriter(sink, { size: 16 });
  assert.equal(await writer.write("12345678"), 8);
  assert.equal(await writer.write(Buffer.from("12345678")), 8);
  assert.deepEqual([writer.buffered, writer.available, sink.calls], [16, 0, []]);
  await writer.write("x");
  assert.deepEqual([writer.buffered, sink.calls], [0, ["1234567812345678", "x"]]);
  await writer.flush();
  assert.equal(sink.calls.length, 2, "nothing to flush is no call");
  await writer.write("é");
  assert.equal(writer.buffered, 2);
  await writer.flush();
  assert.equal(sink.calls[2], "é");
});

test("a large write goes to the sink in one call with what was gathered", async () => {
  const sink = new VectorCalls();
  const writer = new BufWriter(sink, { size: 16 });
  await writer.write("head");
  assert.equal(await writer.write("a body that is too long for it"), 30);
  assert.deepEqual(sink.calls, ["head|a body that is too long for it"]);
});

test("what was written may be changed afterwards", async () => {
  const sink = new Calls();
  const writer = new BufWriter(sink);
  const p = Buffer.from("abc");
  await writer.write(p);
  p.fill("x");
  await writer.flush();
  assert.deepEqual(sink.calls, ["abc"]);
});

test("writes of several goroutines keep the order of their calls", async () => {
  const sink = new VectorCalls();
  const writer = new BufWriter(sink, { size: 16 });
  const all = ["a", "b".repeat(40), "c", "d".repeat(20), "e"].map((each) => writer.write(each));
  const flushed = writer.flush();
  const last = writer.write("f");
  await Promise.all([...all, flushed, last]);
  await writer.flush();
  const written = sink.calls.join("").replaceAll("|", "");
  assert.equal(written, `a${"b".repeat(40)}c${"d".repeat(20)}ef`);
});

test("an error of the sink stays, and a canceled wait leaves no trace", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a } = pair;
    const writer = new BufWriter(a, { size: 16 });
    const stop = new AbortController();
    await assert.rejects(writer.write("x", { signal: AbortSignal.abort() }), {
      code: "ERR_CANCELED",
    });
    const blocked = writer.write(new Uint8Array(200_000), { signal: stop.signal });
    assert.ok(await staysPending(blocked));
    const queued = new AbortController();
    const second = writer.write("y", { signal: queued.signal });
    queued.abort();
    await assert.rejects(second, { code: "ERR_CANCELED" });
    stop.abort();
    await assert.rejects(blocked, { code: "ERR_CANCELED", bytesWritten: 65_536 });
    const failures = [writer.write("z"), writer.flush(), writer.writeUint8(1), writer.write("")];
    for (const each of failures) await assert.rejects(each, { code: "ERR_CANCELED" });
    await writer.close();
    await assert.rejects(a.write("x"), { code: "ERR_CLOSED" });
  }));

test("close flushes and closes the sink; writing then is ERR_CLOSED", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    const { a, b } = pair;
    {
      await using writer = new BufWriter(a);
      await writer.write("last words");
    }
    assert.equal(String(Buffer.from(await readAll(b))), "last words");
    const writer = new BufWriter(new Calls());
    await writer.close();
    await writer.close();
    await assert.rejects(writer.write("x"), { code: "ERR_CLOSED" });
    await assert.rejects(writer.flush(), { code: "ERR_CLOSED" });
  }));

test("closing while the peer does not read fails with the connection", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await tcpPair();
    const { a } = pair;
    const blocked = assert.rejects(writeTooMuch(a), { code: "ERR_CLOSED" });
    const writer = new BufWriter(a);
    await writer.write("x");
    const closing = assert.rejects(writer.close(), { code: "ERR_CLOSED" });
    await a.close();
    await Promise.all([blocked, closing]);
  }));

test("numbers arrive as they were written", async () => {
  const [a, b] = pipe();
  const w = new BufWriter(a, { size: 16 });
  await w.writeUint8(0xfe);
  await w.writeInt8(-2);
  await w.writeUint16BE(0xfedc);
  await w.writeUint16LE(0xfedc);
  await w.writeInt16BE(-300);
  await w.writeInt16LE(-300);
  await w.writeUint32BE(0xfedcba98);
  await w.writeUint32LE(0xfedcba98);
  await w.writeInt32BE(-70_000);
  await w.writeInt32LE(-70_000);
  await w.writeBigUint64BE(0xfedcba9876543210n);
  await w.writeBigUint64LE(0xfedcba9876543210n);
  await w.writeBigInt64BE(-(1n << 40n));
  await w.writeBigInt64LE(-(1n << 40n));
  await w.writeFloat32BE(1.5);
  await w.writeFloat32LE(1.5);
  await w.writeFloat64BE(Math.PI);
  await w.writeFloat64LE(Math.PI);
  for (const n of [0, 127, 128, 300n, (1n << 64n) - 1n]) await w.writeUvarint(n);
  await w.close();
  const r = new BufReader(b);
  assert.deepEqual([await r.readUint8(), await r.readInt8()], [0xfe, -2]);
  assert.deepEqual([await r.readUint16BE(), await r.readUint16LE()], [0xfedc, 0xfedc]);
  assert.deepEqual([await r.readInt16BE(), await r.readInt16LE()], [-300, -300]);
  assert.deepEqual([await r.readUint32BE(), await r.readUint32LE()], [0xfedcba98, 0xfedcba98]);
  assert.deepEqual([await r.readInt32BE(), await r.readInt32LE()], [-70_000, -70_000]);
  assert.equal(await r.readBigUint64BE(), 0xfedcba9876543210n);
  assert.equal(await r.readBigUint64LE(), 0xfedcba9876543210n);
  assert.equal(await r.readBigInt64BE(), -(1n << 40n));
  assert.equal(await r.readBigInt64LE(), -(1n << 40n));
  assert.deepEqual([await r.readFloat32BE(), await r.readFloat32LE()], [1.5, 1.5]);
  assert.deepEqual([await r.readFloat64BE(), await r.readFloat64LE()], [Math.PI, Math.PI]);
  for (const n of [0n, 127n, 128n, 300n, (1n << 64n) - 1n]) assert.equal(await r.readUvarint(), n);
  assert.equal(await r.readByte(), null);
});

test("what does not fit is a RangeError and writes nothing", async () => {
  const writer = new BufWriter(new Calls());
  await assert.rejects(writer.writeUint8(256), RangeError);
  await assert.rejects(writer.writeInt16BE(-32_769), RangeError);
  await assert.rejects(writer.writeUvarint(-1), RangeError);
  await assert.rejects(writer.writeUvarint(1n << 64n), RangeError);
  await assert.rejects(writer.writeUvarint(0.5), RangeError);
  await assert.rejects(writer.write(5 as never), TypeError);
  assert.throws(() => new BufWriter(new Calls(), { size: 4 }), RangeError);
  assert.equal(writer.buffered, 0);
});

test("a sink that takes less than it is given is an error", async () => {
  const writer = new BufWriter({ write: async () => 1 });
  await writer.write("abc");
  await assert.rejects(writer.flush(), (error) => {
    return error instanceof IOError && error.code === "ERR_SHORT_WRITE";
  });
});

test("a flush over a conn is one packet", async () => {
  const [a, b] = pipe();
  const writer = new BufWriter(a);
  for (const each of ["a", "b", "c"]) await writer.write(each);
  await writer.flush();
  assert.equal((await readFull(b, 3)).length, 3);
});
