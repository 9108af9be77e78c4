/** framing.test.ts: every form of length and delimiter, what is refused, what an interruption leaves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pipePair, tcpPair } from "../../testing/conns.ts";
import { withLeakCheck } from "../../testing/leaks.ts";
import { pattern, staysPending } from "../../testing/support.ts";
import {
  BufReader,
  type Codec,
  delimited,
  FramingError,
  IOError,
  type LengthPrefixOptions,
  lengthPrefixed,
  NetError,
  pipe,
} from "../index.ts";

const hex = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString("hex");

/** The bytes of one message on the wire. */
async function wire(codec: Codec, message: Uint8Array | string): Promise<string> {
  const [a, b] = pipe();
  await codec(a).write(message);
  await a.close();
  return Buffer.from(await new BufReader(b).readAll()).toString("hex");
}

/** What a codec makes of the bytes that come. */
async function parse(codec: Codec, bytes: string | Uint8Array): Promise<(string | null)[]> {
  const [a, b] = pipe();
  await a.write(typeof bytes === "string" ? Buffer.from(bytes, "hex") : bytes);
  await a.close();
  const messages: string[] = [];
  for await (const message of codec(b)) messages.push(hex(message) as string);
  return messages;
}

async function framingError(operation: Promise<unknown>, code: string): Promise<FramingError> {
  const error = await operation.then(
    (value) => assert.fail(`expected ${code}, got ${value}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof FramingError && error instanceof IOError, String(error));
  assert.equal(error.code, code);
  return error;
}

const forms: [LengthPrefixOptions, packet: string, message: string][] = [
  [{}, "00000002" + "abcd", "abcd"],
  [{ bytes: 1 }, "02" + "abcd", "abcd"],
  [{ bytes: 2 }, "0002" + "abcd", "abcd"],
  [{ bytes: 8 }, "0000000000000002" + "abcd", "abcd"],
  [{ bytes: 2, endian: "little" }, "0200" + "abcd", "abcd"],
  [{ bytes: 4, endian: "little" }, "02000000" + "abcd", "abcd"],
  [{ bytes: 8, endian: "little" }, "0200000000000000" + "abcd", "abcd"],
  [{ bytes: 2, counts: "packet" }, "0004" + "abcd", "abcd"],
  [{ bytes: 2, offset: 2 }, "eeff0002" + "abcd", "eeff0002abcd"],
  [{ bytes: 2, offset: 2, counts: "packet" }, "eeff0006" + "abcd", "eeff0006abcd"],
  [{ bytes: 2, offset: 2, counts: 2 }, "eeff0004" + "abcd", "eeff0004abcd"],
  [{ bytes: 2, offset: 1, keepHeader: false }, "000002" + "abcd", "abcd"],
  [{ bytes: 1, keepHeader: true }, "02" + "abcd", "02abcd"],
];

for (const [options, packet, message] of forms) {
  test(`packets of the form ${JSON.stringify(options)}`, async () => {
    const codec = lengthPrefixed(options);
    assert.equal(await wire(codec, Buffer.from(message, "hex")), packet);
    assert.deepEqual(await parse(codec, packet + packet), [message, message]);
    assert.deepEqual(await parse(codec, ""), []);
  });
}

test("an empty body is a message", async () => {
  assert.deepEqual(await parse(lengthPrefixed({ bytes: 1 }), "00" + "00" + "01aa"), ["", "", "aa"]);
  assert.equal(await wire(lengthPrefixed({ bytes: 1 }), ""), "00");
  assert.deepEqual(await parse(delimited({ delimiter: ";" }), Buffer.from(";a;;")), ["", "61", ""]);
  assert.equal(await wire(delimited({ delimiter: ";" }), ""), "3b");
});

test("the length that is written fills the header that was given", async () => {
  const codec = lengthPrefixed({ bytes: 2, offset: 2 });
  assert.equal(await wire(codec, Buffer.from("eeff9999abcd", "hex")), "eeff0002abcd");
  await framingError(wire(codec, Buffer.from("ee", "hex")), "ERR_FRAME_MALFORMED");
});

test("a length beyond the limit is refused before its body is read, and again", async () => {
  for (const [options, header, length] of [
    [{ bytes: 4, maxLength: 100 }, "00000061", 101],
    [{ bytes: 4, maxLength: 100 }, "ffffffff", 0xffff_ffff + 4],
    [{ bytes: 8, maxLength: 100 }, "0000000100000000", 2 ** 32 + 8],
    [{ bytes: 8 }, "0020000000000000", 2n ** 53n + 8n],
    [{ bytes: 8 }, "ffffffffffffffff", 2n ** 64n - 1n + 8n],
    [{ bytes: 8, endian: "little" }, "ffffffffffffffff", 2n ** 64n - 1n + 8n],
    [{ bytes: 8, maxLength: Number.MAX_SAFE_INTEGER }, "001fffffffffffff", 2n ** 53n - 1n + 8n],
  ] as [LengthPrefixOptions, string, number | bigint][]) {
    const [a, b] = pipe();
    await a.write(Buffer.from(header, "hex"));
    const messages = lengthPrefixed(options)(b);
    for (let i = 0; i < 2; i++) {
      const error = await framingError(messages.read(), "ERR_FRAME_TOO_LARGE");
      assert.equal(error.length, length);
      assert.equal(error.limit, options.maxLength ?? 1 << 20);
    }
    assert.equal(hex(messages.takeBuffered()), header);
    await Promise.all([a.close(), b.close()]);
  }
});

test("a length that is shorter than its header is malformed", async () => {
  const codec = lengthPrefixed({ bytes: 2, counts: "packet" });
  const error = await framingError(parse(codec, "0001" + "abcd"), "ERR_FRAME_MALFORMED");
  assert.equal(error.length, 1);
});

test("what is too long to be written is refused and writes nothing", async () => {
  const [a, b] = pipe();
  const one = lengthPrefixed({ bytes: 1 })(a);
  await framingError(one.write(new Uint8Array(256)), "ERR_FRAME_TOO_LARGE");
  const small = lengthPrefixed({ maxLength: 10 })(a);
  await framingError(small.write(new Uint8Array(7)), "ERR_FRAME_TOO_LARGE");
  const lines = delimited({ delimiter: "\r\n", maxLength: 3 })(a);
  await framingError(lines.write("abcd"), "ERR_FRAME_TOO_LARGE");
  for (const inside of ["\r\n", "\r\na"]) {
    await framingError(lines.write(inside), "ERR_FRAME_MALFORMED");
  }
  await framingError(delimited({ delimiter: "aa" })(a).write("ba"), "ERR_FRAME_MALFORMED");
  await lines.write("\r");
  await a.close();
  assert.deepEqual(hex(await new BufReader(b).readAll()), "0d0d0a");
});

test("a delimiter that begins with what a message ends with is split where the peer meant it", async () => {
  const codec = delimited({ delimiter: "aab" });
  for (const message of ["a", "aa", "caa", "b", "ba"]) {
    const packet = await wire(codec, message);
    assert.deepEqual(await parse(codec, packet + packet), [
      Buffer.from(message).toString("hex"),
      Buffer.from(message).toString("hex"),
    ]);
  }
});

test("a delimiter that is kept", async () => {
  const codec = delimited({ delimiter: "\n", keepDelimiter: true });
  assert.deepEqual(await parse(codec, Buffer.from("a\nb\n")), ["610a", "620a"]);
  assert.equal(await wire(codec, "a\n"), "610a");
  assert.equal(await wire(codec, "a"), "610a");
  await framingError(wire(codec, "a\nb\n"), "ERR_FRAME_MALFORMED");
});

test("a message without a delimiter within the limit is refused, and stays", async () => {
  const [a, b] = pipe();
  await a.write("1234567890");
  const messages = delimited({ delimiter: ";", maxLength: 5 })(b);
  const error = await framingError(messages.read(), "ERR_FRAME_TOO_LARGE");
  assert.equal(error.limit, 5);
  await framingError(messages.read(), "ERR_FRAME_TOO_LARGE");
  assert.equal(messages.takeBuffered().length, 10);
});

test("a stream that ends inside a message is ERR_UNEXPECTED_EOF with what had come", async () => {
  for (const [codec, bytes] of [
    [lengthPrefixed({ bytes: 4 }), "0000"],
    [lengthPrefixed({ bytes: 4 }), "00000003aabb"],
    [lengthPrefixed({ bytes: 4, maxLength: 1 << 30 }), "10000000aabb"],
    [delimited({ delimiter: "\r\n" }), "616263"],
  ] as const) {
    const error = await parse(codec, bytes).catch((reason: unknown) => reason);
    assert.ok(error instanceof IOError && error.code === "ERR_UNEXPECTED_EOF", String(error));
    assert.equal(hex(error.partial ?? null), bytes);
  }
});

test("an interrupted read goes on at the same message", (t) =>
  withLeakCheck(t, async () => {
    for (const [codec, packet] of [
      [lengthPrefixed({ bytes: 4 }), Buffer.from("00000003aabbcc", "hex")],
      [lengthPrefixed(), Buffer.concat([Buffer.from("00030000", "hex"), pattern(0x30000)])],
      [delimited({ delimiter: "\r\n" }), Buffer.from("aabbcc0d0a", "hex")],
    ] as const) {
      await using pair = await tcpPair();
      const { a, b } = pair;
      b.setTimeouts({ read: 2 });
      const messages = codec(b);
      assert.equal(messages.conn, b);
      for (let at = 0; at < packet.length; at += Math.ceil(packet.length / 7)) {
        await a.write(packet.subarray(at, at + Math.ceil(packet.length / 7)));
        if (at + Math.ceil(packet.length / 7) >= packet.length) break;
        const error = await messages.read().catch((reason: unknown) => reason);
        assert.ok(error instanceof NetError && error.timeout, String(error));
        assert.equal(error.partial, undefined);
      }
      b.setTimeouts({ read: null });
      const message = (await messages.read()) as Uint8Array;
      assert.ok(Buffer.from(packet).includes(Buffer.from(message)));
      assert.equal(messages.takeBuffered().length, 0);
    }
  }));

test("reads of several goroutines queue, and a canceled one takes nothing", (t) =>
  withLeakCheck(t, async () => {
    await using pair = await pipePair();
    const { a, b } = pair;
    const [client, server] = [lengthPrefixed()(a), lengthPrefixed()(b)];
    const stop = new AbortController();
    const first = server.read();
    const second = server.read({ signal: stop.signal });
    const third = server.read();
    assert.ok(await staysPending(first));
    stop.abort();
    await assert.rejects(second, { code: "ERR_CANCELED" });
    await Promise.all(["one", "two"].map((each) => client.write(each)));
    assert.deepEqual(
      [await first, await third].map((m) => String(Buffer.from(m ?? []))),
      ["one", "two"],
    );
  }));

test("a reader and a writer will do, and bytes read ahead before stay in their place", async () => {
  const [a, b] = pipe();
  await a.write("greeting\none;two;");
  const reader = new BufReader(b);
  assert.equal(await reader.readLine(), "greeting");
  const written: string[] = [];
  const writer = {
    write: async (p: Uint8Array | string) => written.push(Buffer.from(p as Uint8Array).toString()),
  };
  const messages = delimited({ delimiter: ";" })(reader, writer);
  assert.equal(hex(await messages.read()), Buffer.from("one").toString("hex"));
  assert.equal(await messages.write("three"), 5);
  assert.deepEqual(written, ["three;"]);
  assert.equal(String(Buffer.from(messages.takeBuffered())), "two;");
});

test("options that mean nothing are refused", () => {
  assert.throws(() => lengthPrefixed({ bytes: 3 as never }), RangeError);
  assert.throws(() => lengthPrefixed({ endian: "middle" as never }), TypeError);
  assert.throws(() => lengthPrefixed({ offset: -1 }), RangeError);
  assert.throws(() => lengthPrefixed({ counts: -1 }), RangeError);
  assert.throws(() => lengthPrefixed({ maxLength: 0 }), RangeError);
  assert.throws(() => delimited({ delimiter: "" }), RangeError);
  assert.throws(() => delimited({ delimiter: ";", maxLength: 1.5 }), RangeError);
});
